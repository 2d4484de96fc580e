"""The page about one's own data, walked by its own commands, for every format of an export."""

from __future__ import annotations

import importlib
import json

import labelled_exports as made_up
import numpy as np
import own_data
import pytest
from PIL import Image

# What makes the page's network small enough for a test: of two options the later counts.
TINY = {
    "train": [
        *("--input-size", "16", "--width", "2", "--fc", "4", "--depth", "2", "--epochs", "2"),
        *("-b", "4", "--recalibrate", "2", "--images", "2", "-q"),
    ],
}


def run(name, words):
    program = "data.__main__" if words[0] == "data" else words[0]
    arguments = words[1:] + TINY.get(name, [])
    return importlib.import_module(f"minideconv.{program}").main(arguments)


def test_the_page_shows_five_commands():
    assert list(own_data.page_commands()) == ["convert", "check", "train", "evaluate", "predict"]


@pytest.mark.parametrize("kind", made_up.EXPORTS)
def test_the_walk(kind, tmp_path, monkeypatch, capsys):
    scenes = made_up.scenes()
    source = made_up.EXPORTS[kind](tmp_path, scenes)
    monkeypatch.chdir(tmp_path)
    said = {}
    for name, words in own_data.page_commands().items():
        words = [str(source) if word == "labelled" else word for word in words]
        assert run(name, words) == 0, capsys.readouterr().err
        said[name] = capsys.readouterr().out
    for name in ("convert", "check", "evaluate"):
        for label in made_up.CLASSES:
            assert label in said[name], f"{label} is not in what {name} prints"
            assert "aeroplane" not in said[name]
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation["classes"] == list(made_up.CLASSES)
    assert "aeroplane" not in (tmp_path / "run" / "report.html").read_text()
    colours = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    if kind in ("cvat", "rgb"):
        colours = [made_up.COLOURS[name] for name in made_up.CLASSES]
    with Image.open(tmp_path / "predicted" / "field_04.png") as mask:
        assert mask.size == scenes[4].image.shape[1::-1]
        assert np.array(mask).max() < len(colours)
        palette = np.array(mask.getpalette()).reshape(-1, 3)[: len(colours)]
    np.testing.assert_array_equal(palette, colours)
