"""From settings to command-line options and TOML files, and back."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from minideconv.errors import UsageError
from minideconv.settings.setting import Setting, option_name

__all__ = ["add_options", "file_error", "given_options", "read_toml", "to_toml"]


def add_options(parser: argparse.ArgumentParser, settings: Mapping[str, Setting]) -> None:
    """Add one option for each setting, in groups."""
    groups: dict[str, Any] = {}
    for name, setting in settings.items():
        if setting.group not in groups:
            groups[setting.group] = parser.add_argument_group(setting.group)
        kind = setting.kind
        arguments: dict[str, Any] = {"dest": name, "help": setting.help}
        if kind is bool:
            arguments["action"] = (
                argparse.BooleanOptionalAction if setting.default else "store_true"
            )
        else:
            number = "N" if kind is int else None
            arguments["type"] = _reader(kind)
            arguments["metavar"] = "|".join(setting.choices) or setting.metavar or number
        # SUPPRESS: what was not given is not in the namespace, so a file's value can stand.
        action = groups[setting.group].add_argument(
            *setting.flags, option_name(name), default=argparse.SUPPRESS, **arguments
        )
        action.config_default = setting.default


def _reader(kind: type) -> Any:
    """Return a function that reads an option's text, with an error sentence in plain words."""

    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a {'whole number' if kind is int else 'number'}"
            ) from None

    return read


def given_options(namespace: argparse.Namespace, names: Collection[str]) -> dict[str, Any]:
    """Return the settings that were really given on the command line."""
    return {name: value for name, value in vars(namespace).items() if name in names}


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read settings from a TOML file; tables only group them, so their names are free.

    Raises
    ------
    UsageError
        If the file is missing, is not TOML, or has the same setting twice.
    """
    found: dict[str, Any] = {}

    def collect(table: dict[str, Any]) -> None:
        for key, value in table.items():
            name = key.replace("-", "_")
            if isinstance(value, dict):
                collect(value)
            elif name in found:
                raise file_error(path, f": {name} is set twice")
            else:
                found[name] = value

    try:
        with open(path, "rb") as file:
            collect(tomllib.load(file))
    except OSError as error:
        raise file_error(path, f": {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise file_error(path, f" is not valid TOML: {error}") from error
    return found


def file_error(path: str | Path, wrong: str) -> UsageError:
    """Return the error about a file of settings; the command line names it with ``--config``."""
    return UsageError(f"{path}{wrong}", f"--config {path}{wrong}")


def to_toml(settings: Mapping[str, Setting], values: Mapping[str, Any]) -> str:
    """Write the values of all settings as TOML, one table per group; `read_toml` reads it back."""
    groups: dict[str, list[str]] = {}
    for name, setting in settings.items():
        if values[name] is None:  # TOML has no null: the default, said in a comment
            line = f"# {name} is not set"
        else:  # JSON's strings (all escapes ASCII), numbers and booleans are valid TOML too
            line = f"{name} = {json.dumps(values[name])}"
        groups.setdefault(setting.group, []).append(line)
    return "\n".join(f'["{group}"]\n' + "\n".join(lines) + "\n" for group, lines in groups.items())
