"""``predict`` loses no image because of another: one line for each that failed, and exit code 1."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tiny_run import TINY

from minideconv import predict, train
from minideconv.files import atomic
from minideconv.segmentation import Segmenter
from minideconv.training.run.checkpoint import load_checkpoint, save_checkpoint

GOOD = ["first.png", "last.png"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    return str(folder)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty folder, and the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return tmp_path


def photograph(name, seed=0, **options):
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (12, 17, 3), dtype=np.uint8)).save(f"in/{name}", **options)


def around(*names):
    """Two good photographs around some others."""
    photograph(GOOD[0])
    photograph(GOOD[1], 1)
    return [f"in/{name}" for name in (GOOD[0], *names, GOOD[1])]


def check_one_failed(capsys, output, *needles, failed=1, of=3):
    """The others are there, whole; what was wrong is one line with these words."""
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == failed + 1, captured.err
    assert lines[-1] == f"minideconv.predict: {failed} of {of} files failed"
    for line in lines[:-1]:
        assert line.startswith("minideconv.predict: ")
        assert all(needle in line for needle in needles), line
        assert "Traceback" not in line
    made = sorted(os.listdir(output))
    assert made == sorted(f"{stem}{end}" for stem in ("first", "last") for end in
                          (".png", "_overlay.png"))  # fmt: skip
    for name in made:
        with Image.open(os.path.join(output, name)) as picture:
            assert picture.size == (17, 12)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 7 GiB"),
        struct.error("unpack requires a buffer\nof 4 bytes"),
        ZeroDivisionError("division by zero"),
        NotImplementedError("unsupported DDS"),
        KeyError(34665),
        RecursionError("too deep"),
        OSError(errno.EIO, "Input/output error"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["reading", "network", "encoding"])
def test_whatever_is_raised_about_one(run, work, monkeypatch, capsys, error, where):
    names, calls = around("bad.png"), []
    photograph("bad.png", 2)

    def second(function):
        def call(*arguments, **options):
            calls.append(1)
            if len(calls) == 2:
                raise error
            return function(*arguments, **options)

        return call

    if where == "reading":
        monkeypatch.setattr(predict, "read_image", second(predict.read_image))
    elif where == "network":
        monkeypatch.setattr(Segmenter, "_forward", second(Segmenter._forward))
    else:
        kind = predict.tasks.get("segmentation")
        monkeypatch.setattr(kind, "predict", second(kind.predict))
    assert predict.main([run, *names, "-o", "out", "-q"]) == 1
    check_one_failed(capsys, "out", "in/bad.png")


@pytest.mark.parametrize(
    ("content", "needle"),
    [
        (b"", "bad.jpg"),
        (b"\xff\xd8\xff\xe0 no more", "bad.jpg"),
        (b"DDS " + struct.pack("<31I", 124, 0x1007, 4, 4, *[0] * 27), "bad.jpg"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "bad.jpg"),
        (None, "bad.jpg does not exist"),
    ],
)
def test_files_that_are_no_picture(run, work, capsys, content, needle):
    names = around("bad.jpg")
    if content is not None:
        (work / "in" / "bad.jpg").write_bytes(content)
    assert predict.main([run, *names, "-o", "out", "-q"]) == 1
    check_one_failed(capsys, "out", needle)


def test_broken_exif_costs_no_image(run, work):
    exif = Image.Exif()
    exif[0x0112] = 1
    data = bytearray(exif.tobytes())
    names = around("odd.jpg", "short.jpg")
    photograph("odd.jpg", 2, exif=bytes(data[:-6]))
    rational = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\5\0\1\0\0\0\x1a\0\0\0\0\0\0\0" + bytes(8)
    photograph("short.jpg", 3, exif=rational)  # an orientation of 0/0
    ended = program(run, *names, "-o", "out", "-q")
    assert ended.returncode == 0
    assert ended.stderr == b""
    assert len(os.listdir("out")) == 8


def test_too_many_pixels_is_too_large(run, work, capsys, monkeypatch):
    names = around("huge.png")
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save("in/huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    assert predict.main([run, *names, "-o", "out", "-q"]) == 1
    check_one_failed(capsys, "out", "in/huge.png", "too many pixels")


def test_a_name_that_is_too_long_with_the_ending(run, work, capsys):
    long = "x" * 245 + ".png"  # x...x_overlay.png has 257 characters
    names = around(long)
    photograph(long, 2)
    assert predict.main([run, *names, "-o", "out", "-q"]) == 1
    check_one_failed(capsys, "out", "cannot be written: File name too long")


def test_a_full_disk_leaves_neither_file_of_an_image(run, work, capsys, monkeypatch):
    names = around("bad.png")
    photograph("bad.png", 2)
    real, opened = atomic.tempfile.mkstemp, []

    def mkstemp(*arguments, **options):
        opened.append(1)
        if len(opened) == 4:  # the second one's overlay, when its mask is written
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(atomic.tempfile, "mkstemp", mkstemp)
    assert predict.main([run, *names, "-o", "out", "-q"]) == 1
    check_one_failed(capsys, "out", "out/bad.png cannot be written: the disk is full")


def test_scores_that_are_no_numbers(run, work, capsys, monkeypatch):
    names, calls, real = around("bad.png"), [], Segmenter._forward
    photograph("bad.png", 2)

    def forward(self, squares):
        calls.append(1)
        return real(self, squares) * (np.nan if len(calls) == 2 else 1)

    monkeypatch.setattr(Segmenter, "_forward", forward)
    assert predict.main([run, *names, "-o", "out", "-q"]) == 1
    check_one_failed(capsys, "out", "in/bad.png: the network's scores are NaN or infinite")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("program", ["predict", "evaluate"])
def test_a_weight_that_is_no_number_is_refused_by_name(run, work, capsys, value, program):
    from minideconv import evaluate

    photograph("a.png")
    checkpoint = load_checkpoint(f"{run}/checkpoints/last.npz")
    name = next(name for name in checkpoint.model_state if name.endswith("weight"))
    array = checkpoint.model_state[name] = checkpoint.model_state[name].copy()
    array.reshape(-1)[0] = value
    save_checkpoint("bad.npz", checkpoint)
    if program == "predict":
        assert predict.main(["bad.npz", "in/a.png", "-o", "out", "-q"]) == 1
    else:
        assert evaluate.main(["bad.npz", "-q"]) == 1
    assert capsys.readouterr().err == (
        f"minideconv.{program}: checkpoint bad.npz: {name} has values that are NaN or infinite\n"
    )
    assert not os.path.exists("out")


def program(run, *arguments, stdout=subprocess.PIPE, **environment):
    command = [sys.executable, "-m", "minideconv.predict", run, *arguments]
    return subprocess.run(
        # Without compiled kernels nothing is said about their being compiled.
        command, env={**os.environ, "MINIDECONV_COMPILED": "0", **environment},
        stdout=stdout, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "ascii"}],
)
def test_names_that_the_terminal_cannot_show(run, work, environment):
    odd = "in/\N{GRINNING FACE} \u00e9.png"
    photograph("first.png")
    os.rename("in/first.png", odd)
    photograph("last.png", 1)
    ended = program(run, odd, "in/last.png", "in/\u00fc.jpg", "-o", "out", **environment)
    assert ended.returncode == 1
    assert len(os.listdir("out")) == 4
    assert ended.stdout.isascii()
    assert ended.stdout.count(b" -> ") == 2
    assert b"Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text")
def test_names_that_are_no_text(run, work):
    name = os.fsdecode(b"in/\xff\xfe.png")
    photograph("first.png")
    os.rename("in/first.png", name)
    ended = program(run, name, "-o", "out")
    assert ended.returncode == 0
    assert ended.stderr == b""
    assert len(os.listdir(b"out")) == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_an_output_that_cannot_be_printed(run, work):
    names = around("bad.png")
    photograph("bad.png", 2)
    with open("/dev/full", "wb") as full:
        ended = program(run, *names, "-o", "out", stdout=full)
    assert len(os.listdir("out")) == 6
    assert ended.returncode == 0
    assert b"nothing more could be printed: the disk is full" in ended.stderr
    assert b"Traceback" not in ended.stderr
    assert b"Exception ignored" not in ended.stderr
