"""Section `strided`: convolutions with strides, dilation, groups, and kernels other than 3x3.

Each geometry of the plan forward, and forward with both gradients. Beside the times stands how far
the results are from sums in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.convolutions import check_equal
from benchmarks.geometries import POOLED, POOLING_GOAL, Geometry
from benchmarks.memory_bound import CPU, pooling
from benchmarks.modes import ours, the_torch
from benchmarks.plans import Plan
from benchmarks.timing import Timed, alternate, summary
from minideconv import Tensor, ops
from minideconv import functional as F
from minideconv.engine.cpu.table import choose
from minideconv.engine.layout import from_channels_last, with_taps_first
from minideconv.ops.im2col import conv_window

__all__ = ["PASSES", "errors", "rows"]

PASSES = ("forward", "forward + backward")
MODES = ("fast", "numpy")
Calls = dict[str, Callable[[], tuple[Any, ...]]]  # by pass: y; or y, dx and dW


def rows(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Measure every geometry, and pooling with switches."""
    for geometry in plan.geometries:
        calls, reference = _calls(geometry), _reference(geometry)
        for which in PASSES:
            if geometry.plain and which == "forward":
                continue  # its row is about a step: what the tape does to layouts shows there
            yield {
                "name": geometry.name,
                "pass": which,
                "shape": str(geometry),
                "goal": geometry.goal,
                **_work(geometry, which),
                "algorithms": _algorithms(geometry, which),
                **_measured(
                    {name: call[which] for name, call in calls.items()},
                    reference[which],
                    f"{geometry.name}, {which}",
                    plan.rounds,
                    threads,
                ),
            }
    for shape in plan.pooled:
        yield _pooling(shape, plan.rounds, threads)


def _work(geometry: Geometry, which: str) -> dict[str, int]:
    """Operations, and bytes that have to be read and written at least."""
    x, y, w = (4 * int(np.prod(s)) for s in (geometry.x_shape, geometry.y_shape, geometry.w_shape))
    if which == "forward":
        return {"flop": geometry.flop, "read": x + w, "written": y}
    # Each gradient is a sum of as many products; dy stands where y was written.
    return {"flop": 3 * geometry.flop, "read": 2 * (x + w) + y, "written": x + w + y}


def _algorithms(geometry: Geometry, which: str) -> dict[str, str]:
    """What the engine's table chooses: for the forward pass, and for the gradients behind it."""
    g, size, c, k = geometry, geometry.size, geometry.c_in, geometry.c_out
    operations = ["forward", "input_grad", "weight_grad"]
    if g.transposed:  # it is the input gradient of the convolution that goes the other way
        size, c, k = g.out_size, k, c
        operations[:2] = operations[1::-1]
    window = conv_window("conv2d", (size, size), g.kernel, g.stride, g.padding, g.dilation)
    found = {}
    for mode, prepare in ours(MODES).items():
        prepare()
        names = [_name(o, window, g, c, k) for o in operations[: 1 if which == "forward" else 3]]
        found[mode] = ", ".join(dict.fromkeys(names))
    return found


def _name(operation: str, window: Any, g: Geometry, c: int, k: int) -> str:
    if c == k == g.groups:
        return "depthwise"
    chosen = choose(operation, window, g.batch, c // g.groups, k // g.groups, np.dtype(np.float32))
    return "reference" if chosen is None else chosen.name


def _measured(
    calls: dict[str, Callable[[], tuple[Any, ...]]],
    reference: list[np.ndarray],
    what: str,
    rounds: int,
    threads: int,
) -> dict[str, Any]:
    """Compare the contenders' results with each other and with float64, then let them take turns.

    Ours are in `ours(MODES)`; PyTorch's plain layout is called "nchw".
    """
    prepare = ours(MODES)
    contenders = {
        name: Timed(call, prepare.get(name, lambda: None)) for name, call in calls.items()
    }
    found = {name: contender.first for name, contender in contenders.items()}
    expected = [array.detach().numpy() for array in found["nchw"]]
    for name, arrays in found.items():
        for number, (array, wanted) in enumerate(zip(arrays, expected, strict=True)):
            check_equal(f"{what}, result {number} of {name}", _array(array), wanted)
    apart = {name: errors(arrays, reference) for name, arrays in found.items()}
    for contender in contenders.values():
        del contender.first
    samples = alternate(contenders, rounds, threads)
    return {
        "errors": apart,
        "times": {name: summary(got, threads) for name, got in samples.items()},
    }


def errors(arrays: tuple[Any, ...], reference: list[np.ndarray]) -> float:
    """Return the largest difference to the sums in float64, over the sums' root mean square."""
    found = [
        np.abs(_array(array) - exact).max() / (np.linalg.norm(exact.ravel()) / exact.size**0.5)
        for array, exact in zip(arrays, reference, strict=True)
    ]
    return float(f"{np.max(found):.2g}")


def _array(found: Any) -> np.ndarray:
    if isinstance(found, Tensor):
        found = found.data
    return found if isinstance(found, np.ndarray) else found.detach().numpy()


# ---------------------------------------------------------------------------------------------
# The contenders: for each name, a function for each pass


def _arrays(geometry: Geometry) -> dict[str, np.ndarray]:
    """Return random x, dy and w in C order."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal(geometry.w_shape, np.float32) / np.float32(geometry.terms**0.5)
    return {
        "x": rng.standard_normal(geometry.x_shape, np.float32),
        "dy": rng.standard_normal(geometry.y_shape, np.float32),
        "w": w,
    }


def _calls(geometry: Geometry) -> dict[str, Calls]:
    """Ours in every mode, and PyTorch's in both layouts."""
    torch, arrays = the_torch(), _arrays(geometry)
    mine = _plain_calls(geometry, **arrays) if geometry.plain else _our_calls(geometry, **arrays)
    calls = dict.fromkeys(ours(MODES), mine)
    for name, layout in (("nchw", torch.contiguous_format), ("channels_last", torch.channels_last)):
        tensors = {
            key: torch.from_numpy(array).contiguous(memory_format=layout)
            for key, array in arrays.items()
        }
        calls[name] = _torch_calls(geometry, **tensors)
    return calls


def _options(geometry: Geometry) -> dict[str, int]:
    names = ("stride", "padding", "dilation", "groups")
    return {name: getattr(geometry, name) for name in names}


def _our_calls(geometry: Geometry, x: np.ndarray, dy: np.ndarray, w: np.ndarray) -> Calls:
    """As layers compute: images channels last, weights taps first."""
    x, dy = (from_channels_last(np.ascontiguousarray(a.transpose(0, 2, 3, 1))) for a in (x, dy))
    w, options = with_taps_first(w), _options(geometry)
    needs = (True, True, False)

    def forward() -> np.ndarray:
        if geometry.transposed:
            extra = geometry.output_padding
            return ops.conv_transpose2d(x, w, None, output_padding=extra, **options)
        return ops.conv2d(x, w, None, **options)

    def both() -> tuple[Any, ...]:
        backward = ops.conv_transpose2d_backward if geometry.transposed else ops.conv2d_backward
        return (forward(), *backward(dy, x, w, **options, needs=needs)[:2])

    return {"forward": lambda: (forward(),), "forward + backward": both}


def _plain_calls(geometry: Geometry, x: np.ndarray, dy: np.ndarray, w: np.ndarray) -> Calls:
    """As a user of `functional` computes who has arrays of NumPy's own order."""
    options = _options(geometry)

    def forward() -> tuple[Tensor, ...]:
        return (F.conv2d(Tensor(x), Tensor(w), None, **options),)

    def both() -> tuple[Tensor, ...]:
        a, b = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
        y = F.conv2d(a, b, None, **options)
        y.backward(Tensor(dy))
        assert a.grad is not None
        assert b.grad is not None
        return y, a.grad, b.grad

    return {"forward": forward, "forward + backward": both}


def _torch_calls(geometry: Geometry, x: Any, dy: Any, w: Any) -> Calls:
    torch, options = the_torch(), _options(geometry)
    functional = torch.nn.functional
    a, b = (tensor.detach().requires_grad_() for tensor in (x, w))

    def forward() -> Any:
        if geometry.transposed:
            extra = geometry.output_padding
            return functional.conv_transpose2d(a, b, output_padding=extra, **options)
        return functional.conv2d(a, b, **options)

    def alone() -> tuple[Any, ...]:
        with torch.no_grad():
            return (forward(),)

    def both() -> tuple[Any, ...]:
        y = forward()
        return (y, *torch.autograd.grad(y, (a, b), dy))

    return {"forward": alone, "forward + backward": both}


def _reference(geometry: Geometry) -> dict[str, list[np.ndarray]]:
    """Both passes in float64."""
    torch, arrays = the_torch(), _arrays(geometry)
    tensors = {key: torch.from_numpy(a.astype(np.float64)) for key, a in arrays.items()}
    calls = _torch_calls(geometry, **tensors)
    return {which: [_array(array) for array in call()] for which, call in calls.items()}


# ---------------------------------------------------------------------------------------------
# Pooling


def _pooling(shape: tuple[int, int, int, int], rounds: int, threads: int) -> dict[str, Any]:
    """Max pooling 2x2 with switches and the way back: the two cases of section `memory` in one."""
    torch = the_torch()
    by_name = {case.name: case for case in pooling(shape, CPU)}
    forward, backward = by_name["pool"], by_name["pool backward"]
    calls: dict[str, Callable[[], tuple[Any, ...]]] = dict.fromkeys(
        ours(MODES), lambda: (forward.ours(), backward.ours())
    )
    for name, layout in (("nchw", torch.contiguous_format), ("channels_last", torch.channels_last)):
        there, back = forward.torch(layout), backward.torch(layout)
        calls[name] = lambda there=there, back=back: (there(), back())
    exact = [_array(array).astype(np.float64) for array in calls["nchw"]()]
    return {
        "name": POOLED,
        "pass": "forward + backward",
        "shape": "x".join(map(str, shape)),
        "goal": POOLING_GOAL,
        "read": forward.read + backward.read,
        "written": forward.written + backward.written,
        "algorithms": {},
        **_measured(calls, exact, f"pooling {shape}", rounds, threads),
    }
