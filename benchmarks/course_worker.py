"""What a student's own process costs: ``python -m benchmarks.course_worker [--file FILE]``.

Seconds from nothing to the first result, milliseconds of one call of the smallest case of conv2d,
and seconds of all its checks, in a worker and, taking turns, in this process. Medians.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import describe
from minideconv.course.worker import Worker
from minideconv.testing.checking.calls import Call, local_call
from minideconv.testing.checking.run import Checker
from minideconv.testing.operations import OPERATIONS

CONV2D = OPERATIONS["conv2d"]
CASE = CONV2D.call_arguments(CONV2D.case(CONV2D.draw(lambda low, _high: low), seed=1))
STUDENT = """
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
        for i in range(rows):
            for j in range(columns):
                part = x[:, first : first + cg, i * sh :, j * sw :]
                part = part[:, :, : dh * (kh - 1) + 1 : dh, : dw * (kw - 1) + 1 : dw]
                y[:, o, i, j] = (part * w[o]).sum(axis=(1, 2, 3))
    return y if b is None else y + b[:, None, None]
"""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def first_result(file: Path) -> None:
    with Worker(file) as worker:
        worker.call(CONV2D)(*CASE)


def checks(call: Call) -> None:
    if not all(outcome.passed for outcome in Checker(CONV2D, call).run()):
        raise SystemExit("the file is not right")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.course_worker", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--file", type=Path, help="a right conv2d; default: one of plain loops")
    file = parser.parse_args().file
    with tempfile.TemporaryDirectory() as folder:
        if file is None:
            file = Path(folder, "conv.py")
            file.write_text(STUDENT)
        start = statistics.median(seconds(lambda: first_result(file)) for _ in range(9))
        names: dict[str, Callable[..., object]] = {}
        exec(file.read_text(), names)
        here = local_call(CONV2D, names)
        with Worker(file) as worker:
            there = worker.call(CONV2D)
            there(*CASE)
            single = [(seconds(lambda: here(*CASE)), seconds(lambda: there(*CASE)))
                      for _ in range(1000)]  # fmt: skip
            whole = [(seconds(lambda: checks(here)), seconds(lambda: checks(there)))
                     for _ in range(7)]  # fmt: skip
    own, other = (1e3 * statistics.median(column) for column in zip(*single, strict=True))
    all_own, all_other = (statistics.median(column) for column in zip(*whole, strict=True))
    print(f"{datetime.date.today()}, {describe()['cpu']}\n")
    print(f"a fresh process to its first result and its end  {start:6.3f} s")
    print(f"one call, in this process                        {own:6.3f} ms")
    print(f"one call, in a worker                            {other:6.3f} ms")
    print(f"all checks of conv2d, in this process            {all_own:6.3f} s")
    print(f"all checks of conv2d, in a worker                {all_other:6.3f} s")


if __name__ == "__main__":
    main()
