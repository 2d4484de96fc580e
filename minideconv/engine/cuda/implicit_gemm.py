"""Convolution on tensor cores without a patch matrix: the product reads the image itself.

    y[pixel, k]     = b[k] + sum over tap, c of   x[pixel moved by tap, c] w[tap, c, k]
    dx[pixel, c]    = sum over tap, k of          dy[pixel moved back, k] w[tap, c, k]
    dw[tap, c, k]   = sum over pixels of          x[pixel moved by tap, c] dy[pixel, k]

im2col writes kh kw numbers for every number of the image, and cuBLAS reads them again; on tensor
cores that takes longer than the product, where there are few channels. Here a block of threads
gathers its piece of the patch matrix into shared memory, multiplies it there and forgets it.
`kernels/implicit_gemm.cu` makes the first two sums, `kernels/implicit_weight_grad.cu` the third.

Only the precisions of tensor cores: tf32, bf16 and fp16. float32 images are read as they are for
tf32, and rounded in registers. For 16 bits a copy of the image is made first: 6 bytes of memory
traffic for every number. Reading float32 in the kernel would save those, and read 4 bytes in place
of 2 at every one of the nine taps, through the second cache, which is what limits such a kernel.

Source: Chetlur et al., "cuDNN: efficient primitives for deep learning" (2014), section 3; CUTLASS,
"Implicit GEMM convolution" (its documentation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.capability import capability
from minideconv.engine.cuda.exchange import exchanged
from minideconv.engine.cuda.module import address, launch
from minideconv.engine.cuda.problem import ConvProblem
from minideconv.engine.cuda.products import Factors, factors, rounded
from minideconv.ops.im2col import Window

__all__ = ["TILES", "Tile", "fits", "forward", "input_grad", "tiles_for", "weight_grad"]

STAGES = 4
"""Buffers of each block: three steps are on their way from memory while one is multiplied."""

_FILE, _GRAD_FILE = "implicit_gemm.cu", "implicit_weight_grad.cu"
_VECTOR = 16  # bytes that are moved at once
_STEP = 64  # bytes of a row of a tile, in one step of the sum
_BLOCKS = 2 * 132  # that run at the same time: two on each of a large GPU's processors
_PARTS = 4 * _BLOCKS  # so many are never far from a whole number of rounds
_STEPS = 16  # a part of a sum is at least so long: filling the buffers takes three
_MOST = 1 << 30  # pixels, and positions along one axis with padding: positions are 32-bit numbers


@dataclass(frozen=True, slots=True)
class Tile:
    """The piece of the result that a block makes, m x n, and each of its warps.

    A warp reads (m + n) numbers from shared memory for m n products: the larger, the better. But
    its sums are in registers, 128 a thread for 64 x 64, and a small result has too few large pieces
    to keep all processors busy.
    """

    m: int
    n: int
    warp_m: int
    warp_n: int

    def launch(
        self, file: str, kernel: str, arguments: Sequence[Any], kind: Factors, grid: tuple[int, int]
    ) -> None:
        """Launch a kernel whose blocks make a tile each."""
        launch(
            *(file, kernel, prod(grid), arguments),
            defines=self.macros(kind),
            block=self.m // self.warp_m * (self.n // self.warp_n) * 32,
            grid=grid,
            shared=STAGES * (self.m + self.n) * _STEP,
        )

    def macros(self, kind: Factors) -> tuple[str, ...]:
        """Return the macros with which a kernel is compiled for factors of the `kind`."""
        numbers = 2 if kind.tf32 else {"uint16": 0, "float16": 1}[kind.dtype.name]
        blocks = f"BLOCK_M={self.m}", f"BLOCK_N={self.n}"
        warps = f"WARP_M={self.warp_m}", f"WARP_N={self.warp_n}"
        return (f"NUMBERS={numbers}", *blocks, *warps, f"STAGES={STAGES}")


TILES = {
    "256x64": Tile(256, 64, 64, 64),
    "128x128": Tile(128, 128, 64, 64),
    "128x64": Tile(128, 64, 64, 32),
    "64x64": Tile(64, 64, 32, 32),
}
"""What the kernels are compiled for; the first makes no gradients by weights."""


def fits(problem: ConvProblem) -> bool:
    """Return whether this file can compute it.

    float32 in a precision of tensor cores, on a GPU that copies asynchronously (compute capability
    8.0), one group, and channels that fill vectors of 16 bytes: 4 in tf32, else 8. They count where
    the sum runs along them: c in forward, k in input_grad, both in weight_grad. Any geometry.
    """
    operation, window, n, c, k, groups, dtype, precision = problem
    if dtype != np.float32 or precision == "fp32" or groups != 1 or not n * c * k:
        return False
    sums = {"forward": (c,), "input_grad": (k,), "weight_grad": (c, k)}[operation]
    vector = 4 if precision == "tf32" else 8
    if any(channels % vector for channels in sums):
        return False
    (h, w), (ho, wo) = window.size, window.out
    sides = zip(window.size, window.padding, window.dilation, window.kernel, strict=True)
    reach = (size + 2 * padding + dilation * kernel for size, padding, dilation, kernel in sides)
    phases = window.stride[0] * window.stride[1]
    small = max(n * h * w, n * ho * wo, *reach) < _MOST and phases < 1 << 16
    return min(h, w, ho, wo) > 0 and small and capability() >= 80


# ---------------------------------------------------------------------------------------------
# The three sums; images are float32, or factors already where a caller needs them twice


def forward(
    x: Array, w: Array, bias: Array | None, window: Window, groups: int, *, tile: str
) -> Array:
    """(N, H, W, C) * (kh, kw, C, K) -> (N, H', W', K); for `tile` see `TILES`."""
    kind = factors(np.float32)
    y = get_xp(x).empty((len(x), *window.out, w.shape[3]), np.float32)
    turned = exchanged(w, 1, kind)  # (kh, kw, K, C)
    _multiply(rounded(x, kind), turned, bias, y, window, kind, TILES[tile], False)
    return y


def input_grad(
    dy: Array, w: Array, bias: Array | None, window: Window, groups: int, *, tile: str
) -> Array:
    """(N, H', W', K) * (kh, kw, C, K) -> (N, H, W, C), for any stride."""
    kind = factors(np.float32)
    dx = get_xp(dy).empty((len(dy), *window.size, w.shape[2]), np.float32)
    _multiply(rounded(dy, kind), rounded(w, kind), bias, dx, window, kind, TILES[tile], True)
    return dx


def weight_grad(x: Array, dy: Array, window: Window, groups: int, *, tile: str) -> Array:
    """(N, H, W, C), (N, H', W', K) -> (kh, kw, C, K)."""
    xp, kind, c, k = get_xp(x), factors(np.float32), x.shape[3], dy.shape[3]
    rows, pixels = prod(window.kernel) * c, dy.size // k
    shape = TILES[tile]
    tiles = -(-rows // shape.m) * -(-k // shape.n)
    parts = _parts(tiles, pixels * kind.dtype.itemsize, (x.size + dy.size) // (rows * k))
    dw = xp.empty((*window.kernel, c, k), np.float32)
    sums = dw if parts == 1 else xp.empty((parts, *dw.shape), np.float32)
    arguments = (
        *(_words(rounded(array, kind)) for array in (x, dy)),
        *(sums, len(x), *window.size, c * kind.dtype.itemsize // _VECTOR, k),
        *(*_geometry(window), *_grid(*window.out)),
    )
    shape.launch(_GRAD_FILE, "implicit_weight_grad", arguments, kind, (tiles, parts))
    if parts > 1:
        arguments = (sums, dw, parts, dw.size)
        launch(_GRAD_FILE, "sum_parts", dw.size, arguments, defines=shape.macros(kind))
    return dw


def _multiply(
    image: Array,
    w: Array,
    bias: Array | None,
    result: Array,
    window: Window,
    kind: Factors,
    tile: Tile,
    is_backward: bool,
) -> None:
    """`image` and `w` (kh, kw, outputs, channels) are factors; `result` is written."""
    n, *size, outputs = result.shape
    strides = window.stride if is_backward else (1, 1)
    grid = [-(-s // step) for s, step in zip(size, strides, strict=True)]
    pixels = n * grid[0] * grid[1]
    arguments = (
        *(_words(image), _words(w), result if bias is None else bias, result, n),
        *(*image.shape[1:3], image.shape[3] * kind.dtype.itemsize // _VECTOR, *size, outputs),
        *(*_geometry(window), is_backward, bias is not None, *_grid(*grid)),
    )
    tiles = -(-pixels // tile.m) * -(-outputs // tile.n)
    tile.launch(_FILE, "implicit_gemm", arguments, kind, (tiles, prod(strides)))


def tiles_for(problem: ConvProblem) -> list[str]:
    """Return the tiles that may be used, best guess first, for a problem that `fits`.

    That is the largest that is no wider than the result and leaves two blocks to each of a large
    GPU's processors. `weight_grad` cuts its sum into parts to keep them busy; there a large tile
    only must not be empty.
    """
    operation, window, n, c, k, *_ = problem
    if operation == "weight_grad":
        names, rows, columns, enough = list(TILES)[1:], prod(window.kernel) * c, k, 1
    else:
        pixels, columns = (window.out, k) if operation == "forward" else (window.size, c)
        names, rows, enough = list(TILES), n * prod(pixels), _BLOCKS
    sizes = ((name, TILES[name]) for name in names)
    fitting = [
        name
        for name, tile in sizes
        if columns > tile.n - 64
        and (columns <= 64 or tile.m <= 128)
        and rows >= tile.m
        and -(-rows // tile.m) * -(-columns // tile.n) >= enough
    ]
    best = (fitting or names[-1:])[0]
    return [best, *(name for name in names if name != best)]


def _parts(tiles: int, bytes_of_pixels: int, most: int) -> int:
    """Return into how many parts `weight_grad` cuts its sum.

    Enough to keep a GPU busy, none shorter than `_STEPS`, and no more than `most`, so that to write
    and add the parts is never more work than to read x and dy once. The GPU at hand is not asked:
    the order of a sum, and with it its last bit, is the same on all.
    """
    longest = bytes_of_pixels // (_STEP * _STEPS)
    return max(1, min(-(-_PARTS // tiles), longest, most))


# ---------------------------------------------------------------------------------------------
# What the kernels are handed


def _words(array: Array) -> Array:
    """Return factors as the 32-bit words that the kernels move, beginning where vectors may.

    A parameter that is in a buffer with others need not begin there.
    """
    if address(array) % _VECTOR:
        array = array.copy()
    return array.view(np.uint32)


def _geometry(window: Window) -> tuple[int, ...]:
    return (*window.kernel, *window.stride, *window.padding, *window.dilation)


def _grid(rows: int, columns: int) -> tuple[int, ...]:
    """Return a grid of pixels, and what divides by its size and by its columns."""
    return (rows, columns, *_divisor(rows * columns), *_divisor(columns))


@cache
def _divisor(number: int) -> tuple[int, int]:
    """Return (multiplier, shift) with which the kernels divide by `number`."""
    shift = (number - 1).bit_length()
    return ((1 << 32) * ((1 << shift) - number)) // number + 1, shift
