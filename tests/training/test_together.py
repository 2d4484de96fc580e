"""Programs that are started together, or on a folder in which another one works, stay apart."""

from __future__ import annotations

import os

import pytest
from killed_runs import check_consistent, ended, in_child

from minideconv import report, train
from minideconv.ablate import __main__ as ablate
from minideconv.few_labels import __main__ as few_labels
from minideconv.sparse_coding import __main__ as sparse_coding
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.lock import run_lock
from minideconv.training.run.report import report_html

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.skipif(
        os.environ.get("MINIDECONV_TEST_DEVICE", "cpu") != "cpu", reason="a GPU survives no fork"
    ),
]

TINY = [
    *("--train-images", "4", "--val-images", "2", "--image-size", "32", "--input-size", "16"),
    *("--width", "2", "--fc", "4", "--depth", "2", "--device", "cpu", "-b", "2", "--images", "0"),
    *("--recalibrate", "1", "--fc-kernel", "0", "-q", "--epochs", "1"),
]


def together(count, arguments, folder):
    """Train in so many processes that begin at one moment; return their exit codes."""
    reading, writing = os.pipe()

    def work():
        os.close(writing)
        os.chdir(folder)
        os.read(reading, 1)  # ends when the other end is closed
        os._exit(train.main(arguments))

    children = [in_child(work) for _ in range(count)]
    os.close(reading)
    os.close(writing)
    return sorted(map(ended, children))


@pytest.mark.parametrize("count", [2, 3, 10])
def test_runs_that_begin_together_have_a_folder_each(tmp_path, count):
    assert together(count, TINY, tmp_path) == [0] * count
    folders = sorted((tmp_path / "runs").iterdir())
    assert {folder.name for folder in folders} == {f"shapes-{n}" for n in range(1, count + 1)}
    for folder in folders:
        check_consistent(folder)
        assert (folder / "evaluation.json").exists()
        assert (folder / "log.txt").read_text().count("began: ") == 1


@pytest.mark.parametrize("count", [2, 3, 10])
def test_of_runs_that_begin_together_in_one_folder_one_trains(tmp_path, count):
    codes = together(count, [*TINY, "--output-dir", "here"], tmp_path)
    assert codes == [0] + [2] * (count - 1)
    check_consistent(tmp_path / "here")
    assert (tmp_path / "here" / "log.txt").read_text().count("began: ") == 1


@pytest.mark.parametrize("count", [2, 3, 10])
def test_of_runs_that_are_resumed_together_one_goes_on(tmp_path, count):
    """One that comes when another is done goes on with what that left: nothing."""
    assert train.main([*TINY, "--output-dir", str(tmp_path / "run")]) == 0
    order = ["--resume", "run", "--epochs", "3", "--reschedule", "-q"]
    codes = together(count, order, tmp_path)
    assert codes[0] == 0
    assert set(codes) <= {0, 2}
    check_consistent(tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert sum('"kind": "epoch"' in line for line in lines) == 3


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (train.main, [*TINY, "--output-dir"]),
        (ablate.main, ["--epochs", "1", "-q", "--output"]),
        (few_labels.main, ["--epochs", "1", "-q", "--output"]),
        (sparse_coding.main, ["learn", "PICTURES", "-q", "--steps", "1", "--device", "cpu", "-o"]),
        (sparse_coding.main, ["hierarchy", "-q", "--device", "cpu", "-o"]),
    ],
)
def test_no_program_works_where_another_one_does(tmp_path, capsys, program, arguments):
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "pictures" / "a.png")
    folder = tmp_path / "work"
    folder.mkdir()
    given = [str(tmp_path / "pictures") if text == "PICTURES" else text for text in arguments]
    with run_lock(folder):
        assert program([*given, str(folder)]) == 2
        error = capsys.readouterr().err
        assert f"{folder} is in use: process {os.getpid()} on " in error
        assert len(error.splitlines()) == 1
        assert os.listdir(folder) == [".lock"]
    assert os.listdir(folder) == []


def test_a_report_that_is_written_all_the_time_ends_no_run(tmp_path):
    """It has temporary names of its own, and its look at the lock keeps no run from beginning."""
    folder = tmp_path / "run"
    assert train.main([*TINY, "--lr-schedule", "constant", "--output-dir", str(folder)]) == 0
    before = (folder / "report.html").stat().st_ino

    def look():
        while not (tmp_path / "enough").exists():
            assert report.main([str(folder)]) == 0

    lookers = [in_child(look) for _ in range(3)]
    try:
        for epochs in ("2", "3", "4"):
            assert train.main(["--resume", str(folder), "--epochs", epochs, "-q"]) == 0
    finally:
        (tmp_path / "enough").touch()
        codes = [ended(looker) for looker in lookers]
    assert codes == [0, 0, 0]
    assert (folder / "report.html").stat().st_ino != before
    assert not list(folder.glob(".writing-*"))
    assert "<b>stopped:" not in report_html(RunFolder(folder))
