"""Winograd's convolution for 3x3 kernels, in NumPy: a quarter of the products, and four matrices.

The image is cut into tiles of m x m outputs, m = 4 or 2, each with the patch of (m + 2) x (m + 2)
pixels that it depends on. `winograd_matrices` makes m outputs of a row with m + 2 products; applied
along both axes,

    Y = A.T ((G w G.T) * (B d B.T)) A          d a patch, w a kernel, * element by element

that is 36 products for 16 outputs (m = 4), 2.25 each, where the definition has 9. Laid out as a
vector, a patch is transformed by one matrix, ``np.kron(B, B)``, and all patches by one product:

    V = kron(B, B) @ patches          (36, T C)        T tiles, C channels
    U = kron(G, G) @ w                (36, C K)
    M[i] = V[i] @ U[i]                (T, C) (C, K)    for each of the 36 *planes* i
    y = kron(A, A).T @ M              (16, T K)

The sum over channels has become 36 ordinary matrix products: that is where the time should go. The
two gradients are the same four lines once more:

    dx    the convolution of dy with the kernels rotated by 180 degrees, C and K exchanged
    dw    kron(G, G).T @ dU,  dU[i] = V[i].T @ Z[i],  Z = kron(A, A) @ tiles of dy

Tiles are worked on in blocks, large enough for the matrix product (T of 100 and more) and else as
small as possible, because V is 2.25 times as large as the image.

Source: A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks" (CVPR 2016),
section 4; `docs/engine/winograd.md` derives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.crop import crop
from minideconv.engine.cpu.memory import empty, workspace
from minideconv.engine.cpu.parts import slices
from minideconv.engine.cpu.winograd_matrices import Matrices, matrices
from minideconv.ops.geometry import Pair
from minideconv.ops.im2col import Window

__all__ = ["fits", "forward", "input_grad", "weight_grad"]

_SUM = 96  # channels added up in one go, at most
_PARTS = 4  # of a product that is not inside one of several blocks


def fits(window: Window, c: int, k: int, dtype: np.dtype) -> bool:
    """Return whether this is a convolution that the functions here can do."""
    plain = window.kernel == (3, 3) and window.stride == (1, 1) and window.dilation == (1, 1)
    return plain and dtype in (np.float32, np.float64)


def forward(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window, m: int = 4
) -> np.ndarray:
    """(N, H, W, C) x (3, 3, C, K) -> (N, H', W', K), in tiles of m x m outputs."""
    return _convolve(x, w, bias, window.out, window.padding, m)


def input_grad(
    dy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, window: Window, m: int = 4
) -> np.ndarray:
    """(N, H', W', K) x (3, 3, C, K) -> (N, H, W, C): the transposed convolution."""
    rotated = np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))
    ph, pw = window.padding
    rest = (2 - ph, 2 - pw)  # a pixel is seen by windows that begin up to 2 before it
    return _convolve(dy, rotated, bias, window.size, rest, m)


def _convolve(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, out: Pair, padding: Pair, m: int
) -> np.ndarray:
    n, (c, k), f = len(x), w.shape[2:], _of_tiles(m, x.dtype)
    y = empty((n, *out, k), x.dtype)
    blocks = Blocks.of(n, out, m)
    u = _product("U", f.g, w.reshape(9, c * k), _PARTS).reshape(-1, c, k)
    parts = _PARTS if len(blocks.blocks) == 1 else 1  # what keeps the workers busy: parts or blocks

    def compute(block: Block) -> None:
        d = blocks.gather(x, block, m + 2, padding)  # (36, T C)
        v = _product("V", f.b, d, parts).reshape(len(u), block.tiles, c)
        products = _sum_of_products(v, u, parts).reshape(len(u), -1)
        tiles = _product("Y", f.a.T, products, parts)  # (16, T K)
        blocks.scatter(tiles, y, block, bias)

    map_ordered(compute, blocks.blocks)
    return y


def weight_grad(x: np.ndarray, dy: np.ndarray, window: Window, m: int = 4) -> np.ndarray:
    """(N, H, W, C), (N, H', W', K) -> (3, 3, C, K)."""
    (n, *_, c), k, f = x.shape, dy.shape[3], _of_tiles(m, x.dtype)
    blocks = Blocks.of(n, window.out, m, least=384)  # each block costs one small sum
    parts = _PARTS if len(blocks.blocks) == 1 else 1

    def compute(block: Block) -> np.ndarray:
        d = blocks.gather(x, block, m + 2, window.padding)
        v = _product("V", f.b, d, parts).reshape(-1, block.tiles, c)
        d = blocks.gather(dy, block, m, (0, 0))
        z = _product("Z", f.a, d, parts).reshape(-1, block.tiles, k)
        du = workspace("dU", (len(v), c, k), x.dtype)

        def multiply(planes: slice) -> None:
            np.matmul(v[planes].transpose(0, 2, 1), z[planes], out=du[planes])

        map_ordered(multiply, slices(len(v), parts))
        return _product("dw", f.g.T, du.reshape(len(v), c * k), parts).copy()

    dw = np.zeros((9, c * k), x.dtype)
    for part in map_ordered(compute, blocks.blocks):
        dw += part
    return dw.reshape(3, 3, c, k)


def _sum_of_products(v: np.ndarray, u: np.ndarray, parts: int) -> np.ndarray:
    """(planes, T, C) @ (planes, C, K), as a sum of shorter sums, which round less."""
    shape = (len(v), v.shape[1], u.shape[2])
    total, more = workspace("M", shape, v.dtype), workspace("M more", shape, v.dtype)
    c = v.shape[2]
    # 2 at least: of few terms, the worst sum is further from the mean one
    first, *others = slices(c, max(2, -(-c // _SUM)))

    def multiply(planes: slice) -> None:
        np.matmul(v[planes, :, first], u[planes, first], out=total[planes])
        for channels in others:
            np.matmul(v[planes, :, channels], u[planes, channels], out=more[planes])
            total[planes] += more[planes]

    map_ordered(multiply, slices(len(v), parts))
    return total


@cache
def _of_tiles(m: int, dtype: np.dtype) -> Matrices:
    """Return the matrices that transform rows and columns at once."""
    f = matrices(m)
    return Matrices(*(np.kron(matrix, matrix).astype(dtype) for matrix in (f.a, f.g, f.b)))


def _product(name: str, matrix: np.ndarray, columns: np.ndarray, parts: int) -> np.ndarray:
    """Return matrix @ columns in this thread's memory of that name."""
    result = workspace(name, (len(matrix), columns.shape[1]), columns.dtype)

    def multiply(part: slice) -> None:
        np.matmul(matrix, columns[:, part], out=result[:, part])

    map_ordered(multiply, slices(columns.shape[1], parts))
    return result


# ---------------------------------------------------------------------------------------------
# Tiles


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of tiles of some images; where it holds several images, it holds all their rows."""

    images: slice
    rows: slice
    tiles: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """The m x m tiles that cover an output of some size, and the blocks they are worked on in."""

    m: int
    out: Pair
    grid: Pair
    blocks: list[Block]

    @classmethod
    def of(cls, n: int, out: Pair, m: int, least: int = 112) -> Blocks:
        """Cut n outputs into blocks of at least `least` tiles, where there are as many."""
        rows, columns = -(-out[0] // m), -(-out[1] // m)
        blocks = []
        if rows * columns <= least:
            step = -(-least // (rows * columns))
            for first in range(0, n, step):
                images = slice(first, min(first + step, n))
                count = (images.stop - first) * rows * columns
                blocks.append(Block(images, slice(0, rows), count))
        else:
            step = -(-least // columns)
            for image in range(n):
                for first in range(0, rows, step):
                    last = min(first + step, rows)
                    here = slice(image, image + 1)
                    blocks.append(Block(here, slice(first, last), (last - first) * columns))
        return cls(m, out, (rows, columns), blocks)

    def gather(self, x: np.ndarray, block: Block, size: int, padding: Pair) -> np.ndarray:
        """Copy the size x size pixels of every tile: (N, H, W, C) -> (size^2, T C)."""
        m, columns, c = self.m, self.grid[1], x.shape[3]
        rows = block.rows.stop - block.rows.start
        first = (m * block.rows.start - padding[0], -padding[1])
        extent = (m * (rows - 1) + size, m * (columns - 1) + size)
        image = crop(x[block.images], first, extent)
        patches = workspace("patches", (size * size, block.tiles * c), x.dtype)
        shape = (size, size, len(image), rows, columns, c)
        sn, sh, sw, sc = image.strides
        windows = np.lib.stride_tricks.as_strided(image, shape, (sh, sw, sn, m * sh, m * sw, sc))
        np.copyto(patches.reshape(shape), windows)
        return patches

    def scatter(
        self, tiles: np.ndarray, y: np.ndarray, block: Block, bias: np.ndarray | None
    ) -> None:
        """Put (m^2, T K) where it belongs in (N, H, W, K), plus bias; leave out what sticks out."""
        m, k = self.m, y.shape[3]
        y = y[block.images, m * block.rows.start : m * block.rows.stop]
        rows = block.rows.stop - block.rows.start
        pixels = tiles.reshape(m, m, len(y), rows, self.grid[1], k)
        for i in range(m):
            for j in range(m):
                target = y[:, i::m, j::m]
                source = pixels[i, j, :, : target.shape[1], : target.shape[2]]
                if bias is None:
                    target[...] = source
                else:
                    np.add(source, bias, out=target)
