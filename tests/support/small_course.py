"""A course of one small unit: conv2d and its backward, with solutions in NumPy and PyTorch."""

from __future__ import annotations

from pathlib import Path

from minideconv.course.grading import outcome_names
from minideconv.course.results import number

NUMPY = '''\
"""Unit 1: convolution."""

import numpy as np


def taps(x, w, stride, padding, dilation, groups):
    """Yield each tap with the pixels under it; this function is given."""
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    kh, kw = w.shape[2:]
    h = (x.shape[2] + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    v = (x.shape[3] + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    for a in range(kh):
        for b in range(kw):
            yield a, b, slice(a * dh, a * dh + sh * (h - 1) + 1, sh), slice(
                b * dw, b * dw + sw * (v - 1) + 1, sw
            )


def padded(x, padding):
    ph, pw = padding
    p = np.zeros((*x.shape[:2], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw), x.dtype)
    p[:, :, ph : ph + x.shape[2], pw : pw + x.shape[3]] = x
    return p


def conv2d(x, w, b=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Write this: y (N, K, H', W')."""
    # BEGIN SOLUTION
    p = padded(x, padding)
    n, k, c = len(x), len(w), w.shape[1]
    y = 0
    for i, j, rows, columns in taps(x, w, stride, padding, dilation, groups):
        pixels = p[:, :, rows, columns]
        pixels = pixels.reshape(n, groups, c, *pixels.shape[2:])
        y = y + np.einsum("ngchv,gkc->ngkhv", pixels, w[:, :, i, j].reshape(groups, -1, c))
    y = y.reshape(n, k, *y.shape[3:])
    return y if b is None else y + b[:, None, None]
    # END SOLUTION


def conv2d_backward(dy, x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Write this: (dx, dw, db)."""
    # BEGIN SOLUTION
    p = padded(x, padding)
    n, k, c = len(x), len(w), w.shape[1]
    dp, dw = np.zeros_like(p), np.zeros_like(w)
    d = dy.reshape(n, groups, k // groups, *dy.shape[2:])
    for i, j, rows, columns in taps(x, w, stride, padding, dilation, groups):
        pixels = p[:, :, rows, columns]
        shape = pixels.shape
        pixels = pixels.reshape(n, groups, c, *shape[2:])
        tap = w[:, :, i, j].reshape(groups, -1, c)
        dp[:, :, rows, columns] += np.einsum("ngkhv,gkc->ngchv", d, tap).reshape(shape)
        dw[:, :, i, j] = np.einsum("ngkhv,ngchv->gkc", d, pixels).reshape(k, c)
    (ph, pw), (h, v) = padding, x.shape[2:]
    return dp[:, :, ph : ph + h, pw : pw + v], dw, dy.sum((0, 2, 3))
    # END SOLUTION


# BEGIN HIDDEN
SECRET_NOTE = "for teachers"
# END HIDDEN
'''

TORCH = (
    NUMPY.replace("import numpy as np", "import torch")
    .replace(
        "np.zeros((*x.shape[:2], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw), x.dtype)",
        "x.new_zeros((*x.shape[:2], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw))",
    )
    .replace("np.", "torch.")
)

UNIT = """\
title = "Convolution"
operations = ["conv2d", "conv2d_backward"]
file = "conv.py"

[weights]
"conv2d/unit-stride" = 3
"conv2d/*" = 1
"conv2d_backward/*" = 0.5
"""

COURSE = """\
title = "A small course"
term = "2026"
examples = 6

[hidden]
share = 0.25
examples = 4

[secret]
hidden = "nobody knows that"
"""

FLIPPED = NUMPY.replace(
    "# BEGIN SOLUTION\n    p = padded", "w = w[:, :, ::-1, ::-1]\n    p = padded", 1
)


def total(operation: str = "") -> float | int:
    """Return the points of an operation, or of both; the kit may get more checks."""
    names = [name for each in ("conv2d", "conv2d_backward") for name in outcome_names(each)]
    points = {"conv2d/unit-stride": 3.0}
    return number(sum(
        points.get(name, 1.0 if name.startswith("conv2d/") else 0.5)
        for name in names
        if name.partition("/")[0] in (operation or "conv2d", operation or "conv2d_backward")
    ))  # fmt: skip


def write_course(folder: Path) -> Path:
    """Write the course into a folder; return its course.toml."""
    unit = folder / "units" / "01_conv"
    unit.mkdir(parents=True)
    (unit / "unit.toml").write_text(UNIT)
    (unit / "handout.md").write_text("# Convolution\n\nWrite `conv2d`.\n")
    (unit / "solution_numpy.py").write_text(NUMPY)
    (unit / "solution_torch.py").write_text(TORCH)
    (folder / "course.toml").write_text(COURSE)
    return folder / "course.toml"
