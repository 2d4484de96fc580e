"""Names that the system cannot look up end every program by one sentence, and leave nothing."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from PIL import Image
from tiny_run import TINY

from minideconv import evaluate, predict, train
from minideconv.data.__main__ import main as data_main
from minideconv.settings.command_line import run_program

LONG = "x" * 300


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    return str(folder)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with a photograph and a VOC folder without pictures, and the current one."""
    monkeypatch.chdir(tmp_path)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / "voc" / folder).mkdir(parents=True)
    (tmp_path / "voc" / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n")
    photograph("a.png")
    return tmp_path


def photograph(name):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(name)


@pytest.mark.parametrize(
    ("program", "order"),
    [
        (predict.main, [LONG, "a.png"]),
        (predict.main, ["RUN", "a.png", "-o", LONG]),
        (train.main, [*TINY, "--output-dir", LONG]),
        (train.main, [*TINY, "--output-dir", f"new/{LONG}"]),
        (train.main, ["--resume", LONG]),
        (train.main, ["--config", LONG]),
        (train.main, ["--data", "voc", "--data-root", LONG]),
        (train.main, ["--data", "voc", "--data-root", "voc", "--train-split", LONG]),
        (evaluate.main, [LONG]),
        (evaluate.main, ["RUN", "--json", LONG]),
        (data_main, ["show", "--output", LONG]),
        (data_main, ["subset", "--data-root", "voc", "--splits", "train", "--output", LONG]),
    ],
)
def test_names_that_are_too_long(run, work, capsys, program, order):
    before = sorted(work.rglob("*"))
    assert program([run if word == "RUN" else word for word in order]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minideconv.")
    assert LONG in error
    assert len(error.splitlines()) == 1
    assert sorted(work.rglob("*")) == before


@pytest.mark.parametrize("flag", [[], ["--overwrite"]])
def test_predict_goes_on_with_the_other_photographs(run, work, capsys, flag):
    odd = "y" * 244  # with _overlay.png behind it a name too long, with .png not
    photograph(f"{odd}.png")
    names = [f"{LONG}.png", f"{odd}.png", "a.png"]
    assert predict.main([run, *names, "-o", "out", *flag, "-q"]) == 1
    assert capsys.readouterr().err == (
        f"minideconv.predict: {LONG}.png cannot be read: File name too long\n"
        f"minideconv.predict: {odd}.png: out/{odd}_overlay.png cannot be written: File name too"
        " long\n"
        "minideconv.predict: 2 of 3 files failed\n"
    )
    assert sorted(os.listdir("out")) == ["a.png", "a_overlay.png"]


def test_a_folder_that_may_not_be_looked_into(capsys):
    def refuse(arguments):
        raise PermissionError(errno.EACCES, "Permission denied", "locked/run")

    assert run_program("minideconv.train", refuse, []) == 2
    assert capsys.readouterr().err == "minideconv.train: locked/run: Permission denied\n"


def test_other_errors_of_the_system_are_bugs():
    def fail(arguments):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "log.txt")

    with pytest.raises(FileNotFoundError):
        run_program("minideconv.train", fail, [])
