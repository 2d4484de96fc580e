"""From `TrainConfig` to command-line options and TOML files, and back.

Where a setting is given twice, the command line wins over the file, and the file over the default.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minideconv.errors import UsageError
from minideconv.settings.config import TrainConfig, field_kind, settings

__all__ = ["add_options", "given_options", "read_toml", "to_toml"]


def add_options(parser: argparse.ArgumentParser, names: Iterable[str] | None = None) -> None:
    """Add one option for each field of `TrainConfig` (or for those in `names`), in groups."""
    groups: dict[str, Any] = {}
    defaults = {item.name: item.default for item in dataclasses.fields(TrainConfig)}
    for name, setting in settings().items():
        if names is not None and name not in names:
            continue
        if setting.group not in groups:
            groups[setting.group] = parser.add_argument_group(setting.group)
        kind, _ = field_kind(name)
        arguments: dict[str, Any] = {"dest": name, "help": setting.help}
        if kind is bool and defaults[name] is False:
            arguments["action"] = "store_true"
        elif kind is bool:
            arguments["action"] = argparse.BooleanOptionalAction
        else:
            arguments["type"] = _reader(kind)
            if setting.choices:
                arguments["metavar"] = "|".join(setting.choices)
            else:
                arguments["metavar"] = setting.metavar
        # SUPPRESS: what was not given is not in the namespace, so a file's value can stand.
        action = groups[setting.group].add_argument(
            *setting.flags,
            "--" + name.replace("_", "-"),
            default=argparse.SUPPRESS,
            **arguments,
        )
        action.config_default = defaults[name]


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


def given_options(namespace: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were really given on the command line."""
    return {name: getattr(namespace, name) for name in settings() if hasattr(namespace, name)}


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read settings from a TOML file; tables only group them, so their names are free.

    Raises
    ------
    UsageError
        If the file is missing, is not TOML, or has a key that is no setting (the nearest name is
        suggested), or the same setting twice.
    """
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path} is not valid TOML: {error}") from error
    found: dict[str, Any] = {}
    _collect(content, found, path)
    return found


def _collect(table: dict[str, Any], found: dict[str, Any], path: str | Path) -> None:
    for key, value in table.items():
        name = key.replace("-", "_")
        if isinstance(value, dict):
            _collect(value, found, path)
        elif name not in settings():
            near = difflib.get_close_matches(name, settings(), n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"--config {path}: there is no setting {key!r}{hint}")
        elif name in found:
            raise UsageError(f"--config {path}: {name} is set twice")
        else:
            found[name] = value


def to_toml(config: TrainConfig) -> str:
    """Write all settings as TOML, one table per group; `read_toml` reads it back."""
    groups: dict[str, list[str]] = {}
    for name, setting in settings().items():
        value = getattr(config, name)
        lines = groups.setdefault(setting.group, [])
        if value is None:  # TOML has no null: the default, said in a comment
            lines.append(f"# {name} is not set")
        else:
            lines.append(f"{name} = {_toml_value(value)}")
    return "\n".join(f'["{group}"]\n' + "\n".join(lines) + "\n" for group, lines in groups.items())


def _toml_value(value: Any) -> str:
    # JSON's strings (all escapes ASCII), numbers and booleans are valid TOML too.
    return json.dumps(value)
