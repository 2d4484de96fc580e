"""From settings to command-line options and TOML files, and back."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from minideconv.errors import UsageError
from minideconv.files.reading import read_text
from minideconv.settings.setting import Setting, option_name

__all__ = ["add_options", "file_error", "given_options", "read_toml", "to_toml"]

_MOST_TOML = 1 << 20  # bytes
_MOST_DOTS = 2000


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
                raise file_error(path, f": {name[:200]} is set twice")
            else:
                found[name] = value

    try:
        text = read_text(path, _MOST_TOML)
        # The parser takes time with the square of the parts of a dotted name.
        if text.count(".") > _MOST_DOTS:
            raise ValueError(f"it has more than {_MOST_DOTS} dots")
        collect(tomllib.loads(text))
    except OSError as error:
        raise file_error(path, f": {error.strerror}") from error
    except UsageError:
        raise
    # Beside the parser's own error: a number of thousands of digits, tables too deep for it.
    except (ValueError, RecursionError) as error:
        raise file_error(path, f" is not valid TOML: {error}") from error
    return found


def file_error(path: str | Path, wrong: str) -> UsageError:
    """Return the error about a file of settings; the command line names it with ``--config``."""
    return UsageError(f"{path}{wrong}", f"--config {path}{wrong}")


def to_toml(settings: Mapping[str, Setting], values: Mapping[str, Any]) -> str:
    """Write the values of all settings as TOML, one table per group; `read_toml` reads it back."""
    groups: dict[str, list[str]] = {}
    for name, setting in settings.items():
        if values[name] is None:  # TOML has no null: the default, as a comment
            line = f"# {name} is not set"
        elif isinstance(values[name], str):
            line = f"{name} = {_toml_text(values[name])}"
        else:  # JSON's numbers and booleans are valid TOML too
            line = f"{name} = {json.dumps(values[name])}"
        groups.setdefault(setting.group, []).append(line)
    tables = (f"[{_toml_text(group)}]\n" + "\n".join(lines) for group, lines in groups.items())
    return "\n".join(f"{table}\n" for table in tables)


def _toml_text(text: str) -> str:
    """Return a text as TOML's basic string, in ASCII, so that any terminal can show it.

    Unlike JSON, TOML has one escape for a character, not two halves of a pair; half of a pair alone
    is no text, and no setting is one.
    """
    return '"' + "".join(map(_toml_character, text)) + '"'


def _toml_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isascii() and character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
