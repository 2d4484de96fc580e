"""Data sets whose items hold the GIL, in a module that a process which makes items can import."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np

from minideconv.errors import DataError


class Numbers:
    """Item i is a 6x5 image full of i % 251; its mask holds the number of the process that made it.

    Parameters
    ----------
    length : int
    bad, broken : int, optional
        The items that fail, as code does and as a file does.
    deadly : int, optional
        The item of which every process dies but the one that made the data set.
    loud : bool
        Whether items print, and read, where they are not made by the process of the data set.
    """

    classes = ("background", "thing")
    holds_gil = True

    def __init__(self, length=600, bad=None, broken=None, deadly=None, loud=False):
        self.length, self.bad, self.broken, self.deadly = length, bad, broken, deadly
        self.loud, self.home = loud, os.getpid()

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index == self.bad:
            raise ZeroDivisionError("made to fail")
        if index == self.broken:
            raise DataError("picture.jpg is broken.")
        if index == self.deadly and os.getpid() != self.home:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.loud and os.getpid() != self.home:
            print("printed")
            os.write(1, b"written")
            assert sys.stdin.read() == ""
        image = np.full((6, 5, 3), index % 251, np.uint8)
        return image, np.full((6, 5), os.getpid(), np.int64)

    def name(self, index):
        return f"number-{index}"


class Stuck(Numbers):
    """A process that comes to item 400 waits for data that is never written to a named pipe."""

    def __init__(self, pipe):
        super().__init__()
        self.pipe = pipe

    def __getitem__(self, index):
        if index == 400 and os.getpid() != self.home:
            with open(self.pipe, "rb") as pipe:
                pipe.read()
        return super().__getitem__(index)


class Surroundings(Numbers):
    """The mask of an item holds whether CuPy is imported, and whether GPUs are hidden."""

    def __getitem__(self, index):
        seen = ["cupy" in sys.modules, os.environ.get("CUDA_VISIBLE_DEVICES") == ""]
        return np.zeros((1, 2, 3), np.uint8), np.array([seen])
