"""``python -m benchmarks.winograd_errors``: what Winograd's convolution is wrong by, as a table.

Random images and kernels, standard normal; the error of one float32 result against float64, divided
by the root mean square (rms) of the result. First for points of several kinds, each tile worked out
with plain NumPy; then for what the engine does, beside the direct sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import sqrt

import numpy as np

from minideconv.backend.algorithms import compiled
from minideconv.engine.cpu import winograd
from minideconv.ops.im2col import conv_window

POINTS: dict[str, dict[str, tuple[float, ...]]] = {
    "F(2x2)": {"0, ±1, ∞": (0, 1, -1)},
    "F(4x4)": {
        "0, ±1, ±2, ∞": (0, 1, -1, 2, -2),
        "0, ±1, ±1/2, ∞": (0, 1, -1, 0.5, -0.5),
        "0, ±1/2, ±2, ∞": (0, 0.5, -0.5, 2, -2),
        "0, ±2/3, ±3/2, ∞": (0, 2 / 3, -2 / 3, 1.5, -1.5),
        "0, ±1/√2, ±√2, ∞": (0, sqrt(0.5), -sqrt(0.5), sqrt(2), -sqrt(2)),
    },
    "F(6x6)": {"0, ±1, ±2, ±1/2, ∞": (0, 1, -1, 2, -2, 0.5, -0.5)},
}


def powers(points: Sequence[float], count: int) -> np.ndarray:
    """Return 1, p, p^2, ... for each point, and infinity's row: the last coefficient."""
    rows = [[p**i for i in range(count)] for p in points]
    return np.array([*rows, [0.0] * (count - 1) + [1.0]])


def error(found: np.ndarray, want: np.ndarray) -> str:
    """Return the rms of the error and its largest value as two cells of a table."""
    difference, scale = found - want, np.sqrt(np.mean(want**2))
    rms = np.sqrt(np.mean(difference**2)) / scale
    return f"{rms:.1e} | {np.abs(difference).max() / scale:.1e}"


def tiles_with(points: Sequence[float], c: int, k: int, count: int) -> str:
    """Return the error of `count` tiles of c channels, in float32 with these points."""
    n = len(points) + 1
    m = n - 2
    rng = np.random.default_rng(0)
    d = rng.standard_normal((n, n, count, c), np.float32)
    w = rng.standard_normal((3, 3, c, k), np.float32)
    want = sum(
        d[i : i + m, j : j + m].astype(np.float64) @ w[i, j].astype(np.float64)
        for i in range(3)
        for j in range(3)
    )
    b = np.linalg.inv(powers(points, n)).T
    scale = np.abs(b).max(axis=1, keepdims=True)  # what is taken from b goes to g
    a, g, b = powers(points, m), powers(points, 3) * scale, b / scale

    def both(matrix: np.ndarray, array: np.ndarray) -> np.ndarray:
        matrix = matrix.astype(np.float32)
        return np.tensordot(matrix, np.tensordot(matrix, array, (1, 1)), (1, 1))

    return error(both(a.T, both(b, d) @ both(g, w)), want)


def layer_with(forward: Callable[..., np.ndarray], c: int, size: int) -> str:
    """Return the error of a layer of c to c channels on one image."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, size, size, c), np.float32)
    w = rng.standard_normal((3, 3, c, c), np.float32)
    window = conv_window("benchmark", (size, size), 3, 1, 1, 1)
    want = direct_sum(x.astype(np.float64), w.astype(np.float64), None, window)
    return error(forward(x, w, None, window), want)


def direct_sum(x: np.ndarray, w: np.ndarray, bias: None, window: object) -> np.ndarray:
    """Return the convolution with padding 1 as nine products of matrices."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h, w_ = x.shape[1:3]
    taps = [(i, j) for i in range(3) for j in range(3)]
    return sum((padded[:, i : i + h, j : j + w_] @ w[i, j] for i, j in taps), np.zeros(()))


def main() -> None:
    """Print both tables."""
    print("| | points | rms | max |\n|---|---|---|---|")
    for name, choices in POINTS.items():
        for points, numbers in choices.items():
            print(f"| {name} | {points} | {tiles_with(numbers, 64, 32, 1500)} |")
    print("\n| layer | algorithm | rms | max |\n|---|---|---|---|")
    contenders: dict[str, Callable[..., np.ndarray]] = {
        "direct sum": lambda *args: direct_sum(*args).astype(np.float32),
        "F(2x2), NumPy": partial(winograd.forward, m=2),
        "F(4x4), NumPy": winograd.forward,
    }
    if compiled():
        from minideconv.engine.cpu.compiled import winograd as kernels

        contenders["F(4x4), compiled"] = kernels.forward
    for c, size in ((64, 112), (256, 56), (512, 28)):
        for name, forward in contenders.items():
            print(f"| {c} channels, {size}x{size} | {name} | {layer_with(forward, c, size)} |")


if __name__ == "__main__":
    main()
