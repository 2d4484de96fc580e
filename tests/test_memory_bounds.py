"""What programs have in memory at most, as the system counts it, each in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tiny_run import TINY

from minideconv import train

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss as Linux has it")

MIB = 2**20


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    return str(folder)


# A process begins with the peak of the one that started it: not this one's, which runs all tests.
STARTER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stderr=subprocess.STDOUT)
_, status, used = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss)
"""


def peak_of(*arguments):
    """Run a program of minideconv; return the bytes that it had at most, and its output."""
    command = [sys.executable, "-c", STARTER, sys.executable, "-m", *arguments]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    code, peak = map(int, output.splitlines()[-1].split())
    assert code == 0, output
    return peak * 1024, output


def photograph(path, height, width):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (max(1, height // 50), max(1, width // 50), 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height)).save(path, quality=80)
    return str(path)


@pytest.fixture(scope="module")
def usual(run, tmp_path_factory):
    """What a prediction of a small photograph takes: the program and the network."""
    folder = tmp_path_factory.mktemp("usual")
    name = photograph(folder / "small.jpg", 60, 80)
    return peak_of("minideconv.predict", run, name, "-o", str(folder / "out"), "-q")[0]


@pytest.mark.parametrize(
    ("height", "width", "options", "most"),
    [
        (3000, 4000, [], 160),  # 12 million pixels: 36 MB as bytes, 290 MB of scores
        (3000, 4000, ["--flip", "--scales", "16,32"], 160),
        (1500, 2000, ["--proposals", "30"], 400),
        (3000, 4000, ["--crf", "default"], 700),
        (10, 60000, [], 100),
        (20000, 10, [], 100),
    ],
)
def test_a_prediction_is_bounded(run, usual, tmp_path, height, width, options, most):
    name = photograph(tmp_path / "large.jpg", height, width)
    out = tmp_path / "out"
    peak, _ = peak_of("minideconv.predict", run, name, "-o", str(out), "-q", *options)
    with Image.open(out / "large.png") as mask:
        assert mask.size == (width, height)
    assert peak - usual < most * MIB, f"{(peak - usual) / MIB:.0f} MiB above the usual"


def large_folder(root, height, width):
    """A folder in VOC's layout: two photographs to train on and three to validate."""
    lists, names = root / "ImageSets" / "Segmentation", [f"p{number}" for number in range(5)]
    for folder in (root / "JPEGImages", root / "SegmentationClass", lists):
        folder.mkdir(parents=True)
    for number, name in enumerate(names):
        photograph(root / "JPEGImages" / f"{name}.jpg", height, width)
        labels = np.zeros((height, width), np.uint8)
        labels[height // 4 : height // 2, width // 4 : width // 2] = 1 + number % 3
        mask = Image.fromarray(labels)
        mask.putpalette([value % 256 for value in range(768)])
        mask.save(root / "SegmentationClass" / f"{name}.png")
    (lists / "train.txt").write_text("\n".join(names[:2]) + "\n")
    (lists / "val.txt").write_text("\n".join(names[2:]) + "\n")


def test_a_memory_budget_holds_for_validation_too(tmp_path):
    """The scores of one of these images, 21 classes at 4 million pixels, take 320 MiB."""
    large_folder(tmp_path / "data", 1800, 2300)
    out = tmp_path / "run"
    settings = ["--input-size", "32", "--width", "4", "--fc", "16", "--fc-kernel", "0"]
    settings += ["--depth", "2", "-b", "2", "--recalibrate", "1", "--stage", "whole", "-q"]
    peak, _ = peak_of(
        "minideconv.train", "--data", "voc", "--data-root", str(tmp_path / "data"), "--epochs", "1",
        "--images", "1", "--device", "cpu", "--memory-budget", "500MiB",
        "--output-dir", str(out), *settings,
    )  # fmt: skip
    assert peak < 500 * MIB, f"{peak / MIB:.0f} MiB"
    log = (out / "log.txt").read_text()
    said = re.search(r"a step takes at most (\d+) MiB.*; validation at most (\d+)", log)
    assert said is not None, log
    assert max(map(int, said.groups())) * MIB > 0.9 * peak
    assert "more than the memory budget" not in log
