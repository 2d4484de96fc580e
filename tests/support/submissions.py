"""A student's submission in tests: its file, a worker of it, one small call, and its faults."""

from __future__ import annotations

import os
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from minideconv.course.worker import Limits, StudentFault, Worker
from minideconv.testing.operations import OPERATIONS, Case

CONV2D = OPERATIONS["conv2d"]
SMALLEST = CONV2D.case(CONV2D.draw(lambda low, _high: low), seed=1)
RIGHT = """
import numpy as np

def conv2d(x, w, b=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    (n, c, _, _), (k, cg, kh, kw) = x.shape, w.shape
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    rows = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    columns = (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((n, k, rows, columns), x.dtype)
    for o in range(k):
        first = o // (k // groups) * cg
        for a in range(kh):
            for e in range(kw):
                part = x[:, first : first + cg, a * dh :, e * dw :]
                part = part[:, :, : (rows - 1) * sh + 1 : sh, : (columns - 1) * sw + 1 : sw]
                y[:, o] += np.einsum("nchw,c->nhw", part, w[o, :, a, e])
    return y if b is None else y + b[:, None, None]
"""


def numbered(n, operation=CONV2D):
    """Return a small case that no other number gives: x is n."""
    case = operation.case(SMALLEST.geometry, seed=1)
    return Case(case.geometry, {**case.arrays, "x": np.full(case.arrays["x"].shape, float(n))})


class Submission:
    """A student's file in a folder of its own, and a worker of it."""

    def __init__(self, folder, source, name, limits, options):
        folder.mkdir()
        self.folder = folder
        self.file = folder / name
        self.file.write_bytes(
            source if isinstance(source, bytes) else textwrap.dedent(source).encode()
        )
        self.worker = Worker(self.file, limits=Limits(**limits), **options)

    def call(self, case=SMALLEST, operation=CONV2D, **options):
        return self.worker.call(operation)(*operation.call_arguments(case), **options)

    def fault(self, case=SMALLEST, operation=CONV2D, *, kind):
        """Return the sentence of a call that must fail in this way."""
        with pytest.raises(StudentFault) as caught:
            self.call(case, operation)
        text = str(caught.value)
        assert caught.value.kind == kind, text
        assert len(text) < 500
        assert "\n" not in text
        assert "Traceback" not in text
        assert str(self.file.parent) not in text, "a folder that the student does not know"
        return text


def environment(pid):
    """Return the environment that a process was started with, if it can be read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def processes_of(folder):
    """Return the processes whose environment names a folder."""
    return {
        int(pid)
        for pid in filter(str.isdigit, os.listdir("/proc"))
        if any(str(folder).encode() in entry for entry in environment(pid))
    }


def within(seconds, true):
    """Return whether something becomes true in time."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def gone(pid):
    """Return whether a process has ended, though its parent may not know yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"
