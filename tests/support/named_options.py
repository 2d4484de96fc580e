"""Every message that a program prints in a test names options that this program has.

A sentence is often made far from the program that prints it, by code that several share; so it may
tell a user to give an option that the program at hand has not. This plug-in looks at all messages
of all tests that call a program's ``main``.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import re
from collections.abc import Sequence

import pytest

from minideconv.models import MODELS
from minideconv.settings import command_line


def options_of(program: str, arguments: Sequence[str]) -> set[str]:
    """Return the options that a program has, in the command that the arguments call."""
    name = program if program.startswith("minideconv.") else f"minideconv.{program}"
    module = importlib.import_module(name)
    if not hasattr(module, "make_parser"):
        module = importlib.import_module(f"{name}.__main__")
    makers = {"train": [lambda m=m: module.make_parser(m) for m in MODELS]}
    makers["few_labels"] = [
        lambda n=n, d=d: module.make_parser(n, d)
        for n in ("deconvnet", "probe")
        for d in ("shapes", "voc")
    ]
    short = name.removeprefix("minideconv.")
    found: set[str] = set()
    for make in makers.get(short, [module.make_parser]):
        found |= _options(make(), arguments)
    return found


def _options(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for action in parser._actions:
        found |= {flag for flag in action.option_strings if flag.startswith("--")}
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                found |= _options(inner, arguments) if name in arguments else set()
    return found


def foreign_options(program: str, sentence: str, arguments: Sequence[str]) -> list[str]:
    """Return the options in a sentence that the program has not, but for commands to be typed."""
    own = re.sub(r"(python3? -m|mpiexec|pip) [^;]*", "", sentence)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", own))
    # What the user typed comes back as it is.
    named -= {each.partition("=")[0] for each in arguments}
    return sorted(named - options_of(program, arguments)) if named else []


@pytest.fixture(autouse=True)
def _messages_name_options_that_there_are(monkeypatch):
    plain = command_line.report_mistake

    @functools.wraps(plain)
    def checked(name, sentence, arguments):
        plain(name, sentence, arguments)
        if name.startswith("minideconv."):
            foreign = foreign_options(name, sentence, [*map(str, arguments)])
            assert not foreign, f"{name} has no {', '.join(foreign)}: {sentence}"

    monkeypatch.setattr(command_line, "report_mistake", checked)
