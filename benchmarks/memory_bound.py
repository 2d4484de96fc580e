"""Section `memory`: ops that compute little and move much, at the shapes of the networks.

The floor of each is the least number of bytes that it has to move, at the highest rate that the
machine was seen to move bytes at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.convolutions import check_equal
from benchmarks.modes import ours, the_torch
from benchmarks.plans import Plan
from benchmarks.timing import Timed, alternate, summary
from minideconv import ops
from minideconv.backend import get_xp
from minideconv.engine.layout import from_channels_last

__all__ = ["CPU", "Case", "Place", "Shape", "cases", "pooling", "rows"]

Shape = tuple[int, int, int, int]
MODES = ("fast", "numpy")  # "exact" is the same here


@dataclass(frozen=True)
class Place:
    """Where the arrays are: how ours get there, and what PyTorch calls it."""

    put: Callable[[np.ndarray], Any]
    torch: str

    def tensor(self, array: np.ndarray, layout: Any = None) -> Any:
        """Return a PyTorch tensor with a copy of `array`, there and in that layout."""
        found = the_torch().from_numpy(np.array(array, order="C")).to(self.torch)
        return found if layout is None else found.contiguous(memory_format=layout)


CPU = Place(lambda array: array, "cpu")


@dataclass(frozen=True)
class Case:
    """One op: ours, PyTorch's for a memory layout, and the bytes that it moves at least."""

    name: str
    ours: Callable[[], Any]
    torch: Callable[[Any], Callable[[], Any]]
    read: int
    written: int
    may_differ: float = 0  # share of the numbers


def rows(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Measure every op at every shape."""
    for shape, case in cases(plan.maps, plan.scores, CPU):
        yield _row(case, shape, plan.rounds, threads)


def cases(
    maps: Sequence[Shape], scores: Sequence[Shape], place: Place
) -> Iterator[tuple[Shape, Case]]:
    """Yield every op with the shape of its array, one after the other."""
    for shape in maps:
        for case in (*_batch_norm(shape, place), *pooling(shape, place)):
            yield shape, case
    for shape in scores:
        yield shape, _cross_entropy(shape, place)


def _row(case: Case, shape: Shape, rounds: int, threads: int) -> dict[str, Any]:
    torch = the_torch()
    contenders = {name: Timed(case.ours, prepare) for name, prepare in ours(MODES).items()}
    layouts = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
    contenders |= {name: Timed(case.torch(layout)) for name, layout in layouts.items()}
    expected = contenders["nchw"].first.detach().numpy()
    for name in (*ours(MODES), "channels_last"):
        found, what = contenders[name].first, f"{case.name} {shape}, {name}"
        check_equal(what, found, expected, may_differ=case.may_differ)
        del contenders[name].first
    samples = alternate(contenders, rounds, threads)
    return {
        "name": case.name,
        "shape": "x".join(map(str, shape)),
        "read": case.read,
        "written": case.written,
        "times": {name: summary(got, threads) for name, got in samples.items()},
    }


def _images(shape: Shape, seed: int) -> np.ndarray:
    n, c, h, w = shape
    rng = np.random.default_rng(seed)
    return from_channels_last(rng.standard_normal((n, h, w, c), np.float32))


def _bytes(shape: Shape) -> int:
    return 4 * int(np.prod(shape))


def _batch_norm(shape: Shape, place: Place) -> Iterator[Case]:
    """Batch normalisation in training and ReLU: PyTorch's ReLU works in place, as in most nets."""
    torch = the_torch()
    functional = torch.nn.functional
    c, size = shape[1], _bytes(shape)
    x, dy = _images(shape, 0), _images(shape, 1)
    weight, bias = (np.random.default_rng(s).standard_normal(c, np.float32) for s in (2, 3))
    mean, var = np.zeros(c, np.float32), np.ones(c, np.float32)

    def on(layout: Any, gradient: bool) -> list[Any]:
        tensors = [place.tensor(*pair) for pair in ((x, layout), (weight,), (bias,))]
        return [tensor.requires_grad_(gradient) for tensor in tensors]

    def torch_forward(layout: Any) -> Callable[[], Any]:
        tx, tw, tb = on(layout, False)
        tm, tv = place.tensor(mean), place.tensor(var)
        norm = functional.batch_norm
        return lambda: functional.relu_(norm(tx, tm, tv, tw, tb, training=True))

    def torch_backward(layout: Any) -> Callable[[], Any]:
        inputs = on(layout, True)
        tx, tw, tb = inputs
        y = functional.relu_(functional.batch_norm(tx, None, None, tw, tb, training=True))
        tdy = place.tensor(dy, layout)
        return lambda: torch.autograd.grad(y, inputs, tdy, retain_graph=True)[0]

    ours, grad = [place.put(array) for array in (x, mean, var, weight, bias)], place.put(dy)
    _, saved = ops.batch_norm_relu(*ours, training=True, return_saved=True)
    yield Case(
        "BN + ReLU forward",
        lambda: ops.batch_norm_relu(*ours, training=True),
        torch_forward,
        2 * size,  # once for the statistics, once to normalise
        size,
    )
    yield Case(
        "BN + ReLU backward",
        lambda: ops.batch_norm_relu_backward(grad, ours[0], saved, *ours[3:])[0],
        torch_backward,
        4 * size,  # x and dy for two sums, and again for the gradient
        size,
        may_differ=1e-5,  # a pixel within a rounding error of 0 may fall on either side of the ReLU
    )


def pooling(shape: Shape, place: Place) -> Iterator[Case]:
    """Max pooling 2x2 with switches and unpooling, and both backwards, of images behind a ReLU."""
    torch = the_torch()
    functional, size = torch.nn.functional, _bytes(shape)
    n, c, h, w = shape
    small = (n, c, h // 2, w // 2)
    x, dy = np.maximum(_images(shape, 0), 0), _images(shape, 1)
    values = _images(small, 2)
    ours, our_values, our_dy = place.put(x), place.put(values), place.put(dy)
    _, switches = ops.max_pool2d(ours, 2, return_switches=True)
    quarter = _bytes(small)
    switch_bytes = quarter // 4

    def pooled(layout: Any, gradient: bool = False) -> tuple[Any, Any, Any]:
        tx = place.tensor(x, layout).requires_grad_(gradient)
        return (tx, *functional.max_pool2d(tx, 2, 2, return_indices=True))

    def pool(layout: Any) -> Callable[[], Any]:
        tx = place.tensor(x, layout)
        return lambda: functional.max_pool2d(tx, 2, 2, return_indices=True)[0]

    def pool_backward(layout: Any) -> Callable[[], Any]:
        tx, y, _ = pooled(layout, gradient=True)
        grad = place.tensor(values, layout)
        return lambda: torch.autograd.grad(y, tx, grad, retain_graph=True)[0]

    def unpool(layout: Any) -> Callable[[], Any]:
        indices, tvalues = pooled(layout)[2], place.tensor(values, layout)
        return lambda: functional.max_unpool2d(tvalues, indices, 2, 2, output_size=(h, w))

    def unpool_backward(layout: Any) -> Callable[[], Any]:
        indices, tvalues = pooled(layout)[2], place.tensor(values, layout).requires_grad_(True)
        y = functional.max_unpool2d(tvalues, indices, 2, 2, output_size=(h, w))
        grad = place.tensor(dy, layout)
        return lambda: torch.autograd.grad(y, tvalues, grad, retain_graph=True)[0]

    small_read, large_read = quarter + switch_bytes, size + switch_bytes
    yield Case(
        "pool", lambda: ops.max_pool2d(ours, 2, return_switches=True)[0], pool, size, small_read
    )
    yield Case(
        "pool backward",
        lambda: ops.max_pool2d_backward(our_values, switches),
        pool_backward,
        small_read,
        size,
    )
    yield Case("unpool", lambda: ops.max_unpool2d(our_values, switches), unpool, small_read, size)
    yield Case(
        "unpool backward",
        lambda: ops.max_unpool2d_backward(our_dy, switches),
        unpool_backward,
        large_read,
        quarter,
    )


def _cross_entropy(shape: Shape, place: Place) -> Case:
    """Softmax, cross entropy and the gradient of the scores; 5 % of the labels are void."""
    torch = the_torch()
    logits = _images(shape, 0)
    rng = np.random.default_rng(1)
    labels = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    labels[rng.random(labels.shape) < 0.05] = 255

    ours, our_labels = place.put(logits), place.put(labels)

    def both() -> Any:
        loss, saved = ops.cross_entropy(ours, our_labels, return_saved=True)
        return ops.cross_entropy_backward(get_xp(loss).ones_like(loss), saved, our_labels)

    def torch_both(layout: Any) -> Callable[[], Any]:
        scores = place.tensor(logits, layout).requires_grad_(True)
        target = place.tensor(labels)

        def run() -> Any:
            loss = torch.nn.functional.cross_entropy(scores, target, ignore_index=255)
            return torch.autograd.grad(loss, scores)[0]

        return run

    size = _bytes(shape)
    return Case("softmax + CE, both ways", both, torch_both, size + labels.size, size)
