"""The settings in examples/ are ones that the training command takes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from minideconv import train

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_settings_are_taken_as_they_stand(path, capsys):
    assert train.main(["--config", str(path), "--data-root", ".", "--print-config"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    flat = {name: value for group in printed.values() for name, value in group.items()}
    for name, value in tomllib.loads(path.read_text()).items():
        assert flat[name] == value, name


def test_there_are_examples():
    assert EXAMPLES
