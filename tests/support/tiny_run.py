"""The options of a run that takes about a second, for tests of what is done with a run."""

from __future__ import annotations

TINY = [
    *("--train-images", "4", "--val-images", "2", "--image-size", "32", "--input-size", "16"),
    *("--width", "2", "--fc", "4", "--depth", "2", "--device", "cpu", "-b", "2", "--epochs", "1"),
    *("--recalibrate", "1", "--images", "0", "--fc-kernel", "0", "-q"),
]
