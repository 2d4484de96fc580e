"""Files opened for reading: regular files of a bounded length, whatever stands in their place."""

from __future__ import annotations

import os
import socket

import pytest

from minideconv import evaluate, predict, report, train
from minideconv.errors import CheckpointError, UsageError
from minideconv.files.reading import open_regular, read_bytes, read_json, read_text
from minideconv.segmentation.crf_file import read_crf
from minideconv.settings.options import read_toml
from minideconv.training import load_checkpoint

pytestmark = pytest.mark.cpu


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_a_file_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"é": [1]}', encoding="utf-8")
    assert read_json(path) == {"é": [1]}
    assert read_text(path) == '{"é": [1]}'
    assert read_bytes(path, most=11) == path.read_bytes()
    with open_regular(path) as file:
        assert file.read(1) == b"{"


def test_what_is_no_file_is_refused_at_once(tmp_path, pipe, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        cases = {
            pipe: "it is a pipe, not a file",
            tmp_path / "socket": "it is a socket, not a file",
            "/dev/zero": "it is a device, not a file",
            tmp_path: "Is a directory",
            tmp_path / "none": "No such file or directory",
            "a\0b": "No such file or directory",
        }
        for path, wrong in cases.items():
            with pytest.raises(OSError, match=r"\S") as caught:
                open_regular(path)
            assert caught.value.strerror == wrong, path


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"x" * 101, "it is longer than 100 bytes"),
        (b"\xff", "it is not valid JSON: 'utf-8' codec"),
        (b"[1", "it is not valid JSON: Expecting"),
        (b"[" * 100, "it is not valid JSON: Expecting value"),
        (b"", "it is not valid JSON"),
    ],
)
def test_what_is_no_json(tmp_path, content, wrong):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(OSError, match=r"\S") as caught:
        read_json(tmp_path / "a", most=100)
    assert wrong in caught.value.strerror


def test_too_deep_for_the_parser(tmp_path):
    (tmp_path / "a").write_text("[" * 100_000)
    with pytest.raises(OSError, match="not valid JSON"):
        read_json(tmp_path / "a")


def test_text_that_is_none(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    with pytest.raises(OSError, match="it is not text in UTF-8"):
        read_text(tmp_path / "a")


def test_readers_refuse_a_pipe(pipe):
    for read, kind in ((load_checkpoint, CheckpointError), (read_crf, UsageError)):
        with pytest.raises(kind, match="it is a pipe, not a file"):
            read(pipe)
    with pytest.raises(UsageError, match="it is a pipe, not a file"):
        read_toml(pipe)


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "evaluation.json"])
def test_a_pipe_in_a_run_folder_stops_no_program(tmp_path, name, capsys):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text(
        '{"data": "shapes", "model": "deconvnet", "epochs": 1}'
    )
    (tmp_path / "run" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "run" / name)
    assert report.main([str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_pipe_instead_of_a_checkpoint_stops_no_program(pipe, tmp_path, capsys):
    picture = str(tmp_path / "a.png")
    for main, arguments in (
        (evaluate.main, [str(pipe)]),
        (predict.main, [str(pipe), picture]),
        (train.main, ["--resume", str(pipe)]),
    ):
        assert main(arguments) == 1
        err = capsys.readouterr().err
        assert "it is a pipe, not a file" in err
        assert err.count("\n") == 1
    assert train.main(["--config", str(pipe)]) == 2
    assert "it is a pipe, not a file" in capsys.readouterr().err
