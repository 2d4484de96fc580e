"""Operations that reach every compiled kernel, and arrays that are stored as no kernel expects.

`stored_otherwise` lets every kernel that Python calls have its operands in another memory: each
array that it reads and each that it writes. Run as a program, it does so with memory that the
system protects, in which a kernel that writes where it must not ends the process:

    python tests/support/kernel_operands.py
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minideconv import ops
from minideconv.backend.algorithms import algorithm
from minideconv.ops import mean_field, permutohedral, shrinkage
from minideconv.ops.im2col import conv_window
from minideconv.optim import adam, sgd
from minideconv.segmentation import edge_boxes
from minideconv.testing import values

# ---- arrays ----------------------------------------------------------------------------------


def with_gaps(a: np.ndarray) -> np.ndarray:
    strided = np.full([2 * size for size in a.shape], 77, a.dtype)
    view = strided[(slice(None, None, 2),) * a.ndim]
    view[...] = a
    return view


def backwards(a: np.ndarray) -> np.ndarray:
    turned = (slice(None, None, -1),) * a.ndim
    return a[turned].copy()[turned]


def between_words(a: np.ndarray) -> np.ndarray:
    view = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def swapped_bytes(a: np.ndarray) -> np.ndarray:
    return a.astype(a.dtype.newbyteorder("S"))


def fortran_order(a: np.ndarray) -> np.ndarray:
    return a if a.ndim < 2 else np.array(a, order="F")


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def protected(a: np.ndarray) -> np.ndarray:
    """Return a copy on pages that the system lets nobody write to."""
    if a.size == 0:
        return read_only(a)
    with tempfile.TemporaryFile() as file:
        file.write(np.ascontiguousarray(a).tobytes())
        file.flush()
        return np.memmap(file, a.dtype, "r", shape=a.shape)


WRITABLE = (with_gaps, backwards, fortran_order)
"""Layouts of arrays that may be changed."""

Layout = Callable[[np.ndarray], np.ndarray]


@contextmanager
def stored_otherwise(layout: Layout | None) -> Iterator[set[str]]:
    """Call all kernels with operands in another memory; collect the names of those called.

    One that cannot be written to is for what a kernel only reads.
    """
    from minideconv.engine.cpu.compiled.kernel import Kernel

    called = set()

    def call(self: Any, *operands: Any) -> Any:
        called.add(f"{self.__module__}.{self.__name__}")
        assert all(each.dtype.isnative for each in operands if isinstance(each, np.ndarray))
        given = [moved(self, place, operand) for place, operand in enumerate(operands)]
        result = super(Kernel, self).__call__(*given)
        for place in self.writes:
            operands[place][...] = given[place]
        return result

    def moved(kernel: Any, place: int, operand: Any) -> Any:
        if layout is None:
            return operand
        if isinstance(operand, tuple):
            return tuple(moved(kernel, place, each) for each in operand)
        if not isinstance(operand, np.ndarray):
            return operand
        other = layout(operand)
        return other if other.flags.writeable or place not in kernel.writes else operand

    Kernel.__call__ = call
    try:
        yield called
    finally:
        del Kernel.__call__


# ---- operations ------------------------------------------------------------------------------


_layout: list[Layout] = []


@contextmanager
def inputs(layout: Layout) -> Iterator[None]:
    """Let the operations below be called with arrays of this layout."""
    _layout.append(layout)
    try:
        yield
    finally:
        _layout.pop()


def f32(*shape: int, seed: int = 0) -> np.ndarray:
    array = values(shape, seed + sum(shape), "normal", np.float32)
    return _layout[-1](array) if _layout else array


def channels_last(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def both_convolutions(x: np.ndarray, w: np.ndarray, **options: Any) -> tuple[Any, ...]:
    y = ops.conv2d(x, w, f32(len(w)), **options)
    gradients = ops.conv2d_backward(y, x, w, **options)
    channels = w.shape[1] * options.get("groups", 1)
    return y, *gradients, ops.conv_transpose2d(y, w, f32(channels), **options)


def direct() -> tuple[Any, ...]:
    with algorithm("exact"):
        few = both_convolutions(f32(1, 3, 9, 8), f32(20, 3, 3, 3), padding=1)
        return few + both_convolutions(f32(2, 16, 9, 8), f32(16, 16, 2, 3))


def winograd() -> tuple[Any, ...]:
    with algorithm("fast"):
        return both_convolutions(f32(2, 16, 9, 8), f32(40, 16, 3, 3), padding=1)


def frozen() -> tuple[Any, ...]:
    from minideconv.engine.cpu.compiled import direct, winograd

    window = conv_window("test", (9, 8), 3, 1, 1, 1)
    # The plan asks the table for native float32 alone.
    x, w, b = (
        f32(*shape).astype(np.float32, copy=False)
        for shape in ((2, 9, 8, 16), (3, 3, 16, 40), (40,))
    )
    found = []
    for kernels in (direct, winograd):
        made = kernels.frozen(w, b, window, len(x), low=0.0)
        y = np.empty((2, 9, 8, 40), np.float32)
        made.bind(x.reshape(-1), y.reshape(-1), np.empty(made.scratch, np.float32))()
        found.append(y)
    return tuple(found)


def strided() -> tuple[Any, ...]:
    return both_convolutions(f32(2, 20, 9, 8), f32(33, 20, 4, 3), padding=1, stride=(2, 3))


def depthwise() -> tuple[Any, ...]:
    sliding = both_convolutions(f32(2, 20, 9, 8), f32(20, 1, 3, 3), padding=1, groups=20)
    options = {"stride": 2, "padding": 1, "groups": 20}
    return sliding + both_convolutions(f32(2, 20, 9, 8), f32(20, 1, 3, 2), **options)


def few_rows() -> tuple[Any, ...]:
    return both_convolutions(f32(3, 64, 8, 8), f32(64, 64, 8, 8))


def batch_norm() -> tuple[Any, ...]:
    x, dy = channels_last(f32(2, 20, 20, 16)), channels_last(f32(2, 20, 20, 16, seed=1))
    mean, var, weight, bias = f32(20), np.abs(f32(20, seed=1)), f32(20, seed=2), f32(20, seed=3)
    y, saved = ops.batch_norm_relu(x, mean, var, weight, bias, True, return_saved=True)
    return y, mean, var, *ops.batch_norm_relu_backward(dy, x, saved, weight, bias, True)


def cross_entropy() -> tuple[Any, ...]:
    logits = channels_last(f32(2, 21, 5, 7))
    labels = np.random.default_rng(0).integers(0, 21, (2, 5, 7))
    labels = _layout[-1](labels) if _layout else labels
    loss, saved = ops.cross_entropy(logits, labels, label_smoothing=0.1, return_saved=True)
    options = {"label_smoothing": 0.1}
    return loss, ops.cross_entropy_backward(np.float32(2), saved, labels, **options)


def pooling() -> tuple[Any, ...]:
    x, dy = channels_last(f32(2, 20, 6, 8)), channels_last(f32(2, 20, 3, 4))
    y, switches = ops.max_pool2d(x, 2, return_switches=True)
    back = ops.max_pool2d_backward(dy, switches)
    return y, switches.indices, back, ops.max_unpool2d_backward(x, switches)


def shrinking() -> tuple[Any, ...]:
    y, x, state, correction = f32(300), f32(300, seed=1), f32(300, seed=2), f32(300, seed=3)
    shrinkage.fista_update(y, x, f32(300, seed=4), 0.5, 0.1, 0.7)
    shrinkage.admm_update(state, correction, 0.1, 1.5)
    return y, x, state, correction


def steps() -> tuple[Any, ...]:
    w, g, v, m = f32(300), f32(300, seed=1), f32(300, seed=2), np.abs(f32(300, seed=3))
    sgd.sgd(w, g, None, (0.1, 1.0), 0.0, 0.01, False)
    sgd.sgd(w, g, v, (0.1, 1.0), 0.9, 0.01, True)
    adam.adam(w, g, v, m, (0.1, 3.0), (0.9, 0.99), 1e-8, 0.01, True)
    return w, v, m


def dense_crf() -> tuple[Any, ...]:
    lattice = permutohedral.lattice(f32(60, 3))
    filtered = permutohedral.lattice_filter(f32(60, 20), lattice)
    few = permutohedral.lattice_filter(f32(60, 2), lattice, transposed=True)
    return filtered, few, mean_field.mean_field_update(f32(60, 20), [filtered, f32(60, 20, seed=1)])


def proposals() -> tuple[Any, ...]:
    image = np.zeros((48, 56, 3), np.uint8)
    image[12:33, 15:41] = 200
    found = edge_boxes(image, 20, alpha=0.5)
    return found.boxes, found.scores


OPERATIONS = (
    direct, winograd, frozen, strided, depthwise, few_rows, batch_norm, cross_entropy, pooling,
    shrinking, steps, dense_crf, proposals,
)  # fmt: skip


def same(found: tuple[Any, ...], want: tuple[Any, ...]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(found, want, strict=True))


if __name__ == "__main__":
    for operation in OPERATIONS:
        expected = operation()
        with stored_otherwise(protected):
            if not same(operation(), expected):
                sys.exit(f"{operation.__name__}: other numbers")
