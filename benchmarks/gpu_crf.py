"""Section `crf`: the dense CRF of a photograph's size on the GPU, and whether it is the CPU's.

First a smaller image is refined on the CPU, by the readable functions, and twice on the GPU: the
probabilities must agree, and the GPU's two must have the same bits. Then the GPU is timed. Without
Pillow, which `minideconv.segmentation` imports, the section is left out, with a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.crf_picture import CLASSES, picture
from benchmarks.gpu_device import Row, take_turns
from benchmarks.modes import BenchmarkError
from minideconv.backend import to_cpu, to_device
from minideconv.backend.algorithms import algorithm
from minideconv.ops.mean_field import mean_field_update
from minideconv.ops.permutohedral import lattice, lattice_filter

if TYPE_CHECKING:
    from minideconv.segmentation.crf import DenseCRF

__all__ = ["dense_crf"]

TOLERANCE = 1e-3
"""Of a probability: float32 sums in two orders, through all iterations."""


def dense_crf(
    size: tuple[int, int], small: tuple[int, int], iterations: int, rounds: int, least: float
) -> Iterator[Row]:
    """Compare at the `small` size, then measure the whole and its parts at `size`."""
    try:
        from minideconv.segmentation.crf import DenseCRF
    except ModuleNotFoundError as error:
        if error.name != "PIL":
            raise
        yield {"name": "left out", "because": "Pillow, which segmentation needs, is missing"}
        return
    crf = DenseCRF(method="lattice", iterations=iterations)
    apart = _apart(crf, *picture(*small))
    p, image = picture(*size)
    p, image = to_device(p, "gpu"), to_device(image, "gpu")
    yield _row(size, f"whole, {iterations} iterations", {"ours": partial(crf.refine, p, image)},
               rounds, least, apart)  # fmt: skip
    y, x = np.indices(size, np.float32)
    bilateral = np.dstack([x / 80, y / 80, to_cpu(image) / np.float32(13)]).reshape(-1, 5)
    q = to_device(np.ascontiguousarray(to_cpu(p).reshape(CLASSES, -1).T), "gpu")
    for name, features in (("bilateral", bilateral), ("spatial", np.dstack([x, y]) / 3)):
        points = to_device(np.ascontiguousarray(features.reshape(-1, features.shape[-1])), "gpu")
        built = lattice(points)
        yield _row(size, f"{name} lattice", {"ours": partial(lattice, points)}, rounds, least)
        once = {"ours": partial(lattice_filter, q, built)}
        yield _row(size, f"{name} filter", once, rounds, least)
    update = {"ours": partial(mean_field_update, q, [q, q])}
    yield _row(size, "update", update, rounds, least)


def _row(
    size: tuple[int, int],
    part: str,
    calls: dict[str, Any],
    rounds: int,
    least: float,
    apart: float | None = None,
) -> Row:
    shape = f"{CLASSES}x{size[0]}x{size[1]}"
    times = take_turns(calls, rounds, least)
    return {"name": "dense CRF", "part": part, "shape": shape, "from_cpu": apart, "ms": times}


def _apart(crf: DenseCRF, p: np.ndarray, image: np.ndarray) -> float:
    """Return the largest difference between the CPU's probabilities and the GPU's."""
    with algorithm("reference"):
        expected = crf.refine(p, image)
    first, second = (to_cpu(crf.refine(to_device(p, "gpu"), image)) for _ in range(2))
    if first.tobytes() != second.tobytes():
        raise BenchmarkError("dense CRF: two runs on the GPU differ")
    apart = float(np.abs(first - expected).max())
    if not apart <= TOLERANCE:
        raise BenchmarkError(f"dense CRF: a probability is {apart:.1e} from the CPU's")
    return apart
