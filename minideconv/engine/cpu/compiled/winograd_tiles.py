"""The transforms of Winograd's F(4x4, 3x3), on sixteen channels at a time.

`engine.cpu.winograd` writes a transform as one product with a 36 x 36 matrix. Here it is done in
two steps, along the columns of a tile and then along its rows, with the zeros and the pairs of the
matrices used: points come as p, -p, so two rows of a matrix are ``even + odd`` and ``even - odd``.
That is 12 or 14 operations for six numbers instead of 36, and a number is a vector of 16 channels.

================  ==============================  ====================================
a line            from -> to                      a tile
================  ==============================  ====================================
`_data`           6 pixels -> 6        (B)        V = B d B.T         6 x 6 -> 36 planes
`_kernel`         3 taps -> 6          (G)        U = G w G.T         3 x 3 -> 36 planes
`_gradient`       4 of dy -> 6         (A)        Z = A dy A.T        4 x 4 -> 36 planes
`_output`         6 -> 4 outputs       (A.T)      y = A.T M A         36 planes -> 4 x 4
`_kernel_grad`    6 -> 3 taps          (G.T)      dw = G.T dU G       36 planes -> 3 x 3
================  ==============================  ====================================

Every function reads ``a[i + k * s : ... + 16]`` and writes ``b[j + k * t : ... + 16]``: a line runs
along whatever lies s apart. The names of the matrices are those of `engine.cpu.winograd_matrices`.
"""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.vectors import fma, load, maximum, splat, store
from minideconv.engine.cpu.winograd_matrices import matrices

__all__ = [
    "SCRATCH",
    "data_to_planes",
    "gradient_to_planes",
    "kernel_to_planes",
    "planes_to_kernel_grad",
    "planes_to_output",
    "planes_to_shifted_output",
]

SCRATCH = 36 * 16  # numbers: a tile between its two steps

_f = matrices(4)
# Rows 0 and 5 (the points 0 and infinity) and, of the pairs 1, 2 and 3, 4, the first.
_B02, _B53 = np.float32(_f.b[0, 2]), np.float32(_f.b[5, 3])
_B11, _B12, _B13 = (np.float32(x) for x in _f.b[1, 1:4])
_B31, _B32, _B33 = (np.float32(x) for x in _f.b[3, 1:4])
_A11, _A12, _A13 = (np.float32(x) for x in _f.a[1, 1:])
_A31, _A32, _A33 = (np.float32(x) for x in _f.a[3, 1:])
_G10, _G11, _G12 = (np.float32(x) for x in _f.g[1])
_G30, _G31, _G32 = (np.float32(x) for x in _f.g[3])


@kernel(writes="b")
def _data(a, i, s, b, j, t):
    x0, x1, x2 = load(a, i), load(a, i + s), load(a, i + 2 * s)
    x3, x4, x5 = load(a, i + 3 * s), load(a, i + 4 * s), load(a, i + 5 * s)
    store(b, j, fma(splat(_B02), x2, x0 + x4))
    even, odd = fma(splat(_B12), x2, x4), fma(splat(_B13), x3, splat(_B11) * x1)
    store(b, j + t, even + odd)
    store(b, j + 2 * t, even - odd)
    even, odd = fma(splat(_B32), x2, x4), fma(splat(_B33), x3, splat(_B31) * x1)
    store(b, j + 3 * t, even + odd)
    store(b, j + 4 * t, even - odd)
    store(b, j + 5 * t, fma(splat(_B53), x3, x1 + x5))


@kernel(writes="b")
def _kernel(a, i, s, b, j, t):
    w0, w1, w2 = load(a, i), load(a, i + s), load(a, i + 2 * s)
    store(b, j, w0)
    even, odd = fma(splat(_G12), w2, splat(_G10) * w0), splat(_G11) * w1
    store(b, j + t, even + odd)
    store(b, j + 2 * t, even - odd)
    even, odd = fma(splat(_G32), w2, splat(_G30) * w0), splat(_G31) * w1
    store(b, j + 3 * t, even + odd)
    store(b, j + 4 * t, even - odd)
    store(b, j + 5 * t, w2)


@kernel(writes="b")
def _gradient(a, i, s, b, j, t):
    y0, y1, y2, y3 = load(a, i), load(a, i + s), load(a, i + 2 * s), load(a, i + 3 * s)
    store(b, j, y0)
    even, odd = fma(splat(_A12), y2, y0), fma(splat(_A13), y3, splat(_A11) * y1)
    store(b, j + t, even + odd)
    store(b, j + 2 * t, even - odd)
    even, odd = fma(splat(_A32), y2, y0), fma(splat(_A33), y3, splat(_A31) * y1)
    store(b, j + 3 * t, even + odd)
    store(b, j + 4 * t, even - odd)
    store(b, j + 5 * t, y3)


# The same four sums twice: a function that returns them as a tuple makes both slower by up to 7 %.
@kernel(writes="b")
def _output(a, i, s, b, j, t):
    m1, m2, m3, m4 = load(a, i + s), load(a, i + 2 * s), load(a, i + 3 * s), load(a, i + 4 * s)
    even, odd, even2, odd2 = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    store(b, j, load(a, i) + even + even2)
    store(b, j + t, fma(splat(_A11), odd, splat(_A31) * odd2))
    store(b, j + 2 * t, fma(splat(_A12), even, splat(_A32) * even2))
    last = fma(splat(_A33), odd2, load(a, i + 5 * s))
    store(b, j + 3 * t, fma(splat(_A13), odd, last))


@kernel(writes="b")
def _shifted_output(a, i, s, b, j, t, added, least):
    m1, m2, m3, m4 = load(a, i + s), load(a, i + 2 * s), load(a, i + 3 * s), load(a, i + 4 * s)
    even, odd, even2, odd2 = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    store(b, j, maximum(load(a, i) + even + even2 + added, least))
    second = fma(splat(_A11), odd, splat(_A31) * odd2)
    store(b, j + t, maximum(second + added, least))
    third = fma(splat(_A12), even, splat(_A32) * even2)
    store(b, j + 2 * t, maximum(third + added, least))
    last = fma(splat(_A33), odd2, load(a, i + 5 * s))
    store(b, j + 3 * t, maximum(fma(splat(_A13), odd, last) + added, least))


@kernel(writes="b")
def _kernel_grad(a, i, s, b, j, t):
    u1, u2, u3, u4 = load(a, i + s), load(a, i + 2 * s), load(a, i + 3 * s), load(a, i + 4 * s)
    even, odd, even2, odd2 = u1 + u2, u1 - u2, u3 + u4, u3 - u4
    store(b, j, fma(splat(_G10), even, fma(splat(_G30), even2, load(a, i))))
    store(b, j + t, fma(splat(_G11), odd, splat(_G31) * odd2))
    last = fma(splat(_G32), even2, load(a, i + 5 * s))
    store(b, j + 2 * t, fma(splat(_G12), even, last))


# ---------------------------------------------------------------------------------------------
# Tiles: columns to `scratch`, then rows


@kernel(writes="scratch v")
def data_to_planes(x, i, row, column, scratch, v, j, plane):
    """6 x 6 pixels at x[i + r * row + s * column] -> v[j + p * plane]."""
    for s in range(6):
        _data(x, i + s * column, row, scratch, 16 * s, 96)
    for r in range(6):
        _data(scratch, 96 * r, 16, v, j + 6 * r * plane, plane)


@kernel(writes="scratch u")
def kernel_to_planes(w, i, row, column, scratch, u, j, plane):
    """3 x 3 taps at w[i + r * row + s * column] -> u[j + p * plane]."""
    for s in range(3):
        _kernel(w, i + s * column, row, scratch, 16 * s, 48)
    for r in range(6):
        _kernel(scratch, 48 * r, 16, u, j + 6 * r * plane, plane)


@kernel(writes="scratch z")
def gradient_to_planes(dy, i, row, column, scratch, z, j, plane):
    """4 x 4 pixels at dy[i + r * row + s * column] -> z[j + p * plane]."""
    for s in range(4):
        _gradient(dy, i + s * column, row, scratch, 16 * s, 64)
    for r in range(6):
        _gradient(scratch, 64 * r, 16, z, j + 6 * r * plane, plane)


@kernel(writes="scratch y")
def planes_to_output(m, i, plane, scratch, y, j, row, column):
    """m[i + p * plane] -> 4 x 4 pixels at y[j + r * row + s * column]."""
    for s in range(6):
        _output(m, i + s * plane, 6 * plane, scratch, 16 * s, 96)
    for r in range(4):
        _output(scratch, 96 * r, 16, y, j + r * row, column)


@kernel(writes="scratch y")
def planes_to_shifted_output(m, i, plane, scratch, y, j, row, column, added, least):
    """Do as `planes_to_output`, but each pixel becomes ``maximum(pixel + added, least)``."""
    for s in range(6):
        _output(m, i + s * plane, 6 * plane, scratch, 16 * s, 96)
    for r in range(4):
        _shifted_output(scratch, 96 * r, 16, y, j + r * row, column, added, least)


@kernel(writes="scratch dw")
def planes_to_kernel_grad(du, i, plane, scratch, dw, j, row, column):
    """du[i + p * plane] -> 3 x 3 taps at dw[j + r * row + s * column]."""
    for s in range(6):
        _kernel_grad(du, i + s * plane, 6 * plane, scratch, 16 * s, 96)
    for r in range(3):
        _kernel_grad(scratch, 96 * r, 16, dw, j + r * row, column)
