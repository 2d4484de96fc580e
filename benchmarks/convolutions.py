"""Section `conv`: every convolution of a network alone, forward and both gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.layers import Layer, distinct, layers_of
from benchmarks.modes import BenchmarkError, ours, the_torch
from benchmarks.plans import Plan
from benchmarks.timing import Timed, alternate, summary
from minideconv import ops
from minideconv.engine.cpu.table import choose
from minideconv.engine.layout import from_channels_last, with_taps_first
from minideconv.ops.im2col import conv_window

__all__ = ["PASSES", "arrays_of", "check_equal", "our_calls", "rows", "torch_calls"]

PASSES = ("forward", "input gradient", "weight gradient")
COMPARED = 4_000_000  # numbers, at most about
Calls = dict[str, Callable[[], Any]]


def rows(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Measure every distinct layer of the plan's networks."""
    for net in plan.layer_nets:
        layers = distinct(layers_of(net))
        wanted = [(layer, names) for layer, names in layers if not plan.layers or _in(plan, names)]
        for layer, names in wanted:
            passes = [p for p in PASSES if p != "input gradient" or layer.name != "conv1_1"]
            calls = _calls(layer)
            for which in passes:
                contenders = {name: call[which] for name, call in calls.items()}
                yield {
                    "group": f"{net.name}, {net.input_size} px, batch {net.batch}",
                    "name": ", ".join(names),
                    "pass": which,
                    "shape": str(layer),
                    "kernel": layer.kernel,
                    "channels": min(layer.c_in, layer.c_out),
                    "map": min(layer.size, layer.out_size),
                    "flop": layer.flop,
                    **_traffic(layer, which),
                    "algorithms": _algorithms(layer, which),
                    "times": _times(contenders, f"{layer.name}, {which}", plan.rounds, threads),
                }


def _in(plan: Plan, names: list[str]) -> bool:
    return any(name in plan.layers for name in names)


def _traffic(layer: Layer, which: str) -> dict[str, int]:
    """Bytes that have to be read and written at least."""
    x, y, w = (4 * int(np.prod(s)) for s in (layer.x_shape, layer.y_shape, layer.w_shape))
    written = {"forward": y, "input gradient": x, "weight gradient": w}[which]
    return {"read": x + y + w - written, "written": written}


def _algorithms(layer: Layer, which: str) -> dict[str, str]:
    """What the engine's table chooses in each of our modes.

    A transposed convolution is the input gradient of the convolution that goes the other way.
    """
    operation = {"forward": "forward", "input gradient": "input_grad"}.get(which, "weight_grad")
    size, c, k = layer.size, layer.c_in, layer.c_out
    if layer.transposed:
        size, c, k = layer.out_size, layer.c_out, layer.c_in
        operation = {"forward": "input_grad", "input_grad": "forward"}.get(operation, operation)
    window = conv_window("conv2d", (size, size), layer.kernel, 1, layer.padding, 1)
    found = {}
    for mode, prepare in ours().items():
        prepare()
        chosen = choose(operation, window, layer.batch, c, k, np.dtype(np.float32))
        found[mode] = "reference" if chosen is None else chosen.name
    return found


def arrays_of(layer: Layer) -> dict[str, np.ndarray]:
    """Return random x, dy, w and b, x and dy as (N, C, H, W) views of channels-last memory."""
    rng = np.random.default_rng(0)

    def images(shape: tuple[int, int, int, int]) -> np.ndarray:
        n, c, h, w = shape
        return from_channels_last(rng.standard_normal((n, h, w, c), np.float32))

    w = rng.standard_normal(layer.w_shape, np.float32) / np.float32(layer.c_in**0.5 * layer.kernel)
    return {
        "x": images(layer.x_shape),
        "dy": images(layer.y_shape),
        "w": w,
        "b": rng.standard_normal(layer.c_out, np.float32),
    }


def _times(calls: Calls, what: str, rounds: int, threads: int) -> dict[str, Any]:
    prepare = ours()
    with the_torch().no_grad():
        contenders = {
            name: Timed(call, prepare.get(name, lambda: None)) for name, call in calls.items()
        }
        expected = contenders["nchw"].first.numpy()
        for name, contender in contenders.items():
            check_equal(f"{what}, {name}", contender.first, expected)
            del contender.first
        samples = alternate(contenders, rounds, threads)
    return {name: summary(s, threads) for name, s in samples.items()}


def check_equal(
    what: str, found: Any, expected: np.ndarray, tolerance: float = 1e-3, may_differ: float = 0
) -> None:
    """Raise BenchmarkError where two results differ: a fast wrong answer is no result.

    `may_differ` is the share of the numbers that are let off. Of a very large array some entries of
    the first axis are compared.
    """
    some = slice(None, None, max(1, min(len(expected), expected.size // COMPARED)))
    expected = expected[some]
    found = np.asarray(found)[some].reshape(expected.shape)
    scale = float(np.linalg.norm(expected.ravel())) / expected.size**0.5 or 1.0
    far = ~(np.abs(found - expected) <= tolerance * scale)  # NaN is far as well
    if np.count_nonzero(far) > may_differ * expected.size:
        error = np.abs(found - expected).max() / scale
        raise BenchmarkError(f"{what}: differs from PyTorch by {error:.1e} of the result's size")


# ---------------------------------------------------------------------------------------------
# The contenders: for each name, a function for each pass


def _calls(layer: Layer) -> dict[str, Calls]:
    """Ours in every mode, PyTorch in both layouts, and its linear layer where that is the same."""
    torch, arrays = the_torch(), arrays_of(layer)
    calls = dict.fromkeys(ours(), our_calls(layer, arrays))
    layouts = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
    tensors = {key: torch.from_numpy(np.ascontiguousarray(a)) for key, a in arrays.items()}
    for name, layout in layouts.items():
        x, dy, w = (tensors[key].contiguous(memory_format=layout) for key in ("x", "dy", "w"))
        calls[name] = torch_calls(layer, x, dy, w, tensors["b"])
    if layer.is_dense:
        calls["linear"] = _linear_calls(layer, **tensors)
    return calls


def our_calls(layer: Layer, arrays: dict[str, np.ndarray]) -> Calls:
    """Return our three passes: of a transposed convolution, each is another one's."""
    x, dy, b = arrays["x"], arrays["dy"], arrays["b"]
    w, p, kernel = with_taps_first(arrays["w"]), layer.padding, layer.kernel
    if layer.transposed:
        return {
            "forward": lambda: ops.conv_transpose2d(x, w, b, padding=p),
            "input gradient": lambda: ops.conv2d(dy, w, padding=p),
            "weight gradient": lambda: ops.conv2d_weight_grad(dy, x, kernel, padding=p),
        }
    return {
        "forward": lambda: ops.conv2d(x, w, b, padding=p),
        "input gradient": lambda: ops.conv_transpose2d(dy, w, padding=p),
        "weight gradient": lambda: ops.conv2d_weight_grad(x, dy, kernel, padding=p),
    }


def torch_calls(layer: Layer, x: Any, dy: Any, w: Any, b: Any) -> Calls:
    """PyTorch's three: what autograd calls, for one gradient at a time."""
    torch, p = the_torch(), layer.padding
    functional = torch.nn.functional
    forward = functional.conv_transpose2d if layer.transposed else functional.conv2d
    one, pad, none = [1, 1], [p, p], [0, 0]

    def backward(mask: list[bool]) -> Any:
        return torch.ops.aten.convolution_backward(
            dy, x, w, None, one, pad, one, layer.transposed, none, 1, mask
        )

    return {
        "forward": lambda: forward(x, w, b, padding=p),
        "input gradient": lambda: backward([True, False, False])[0],
        "weight gradient": lambda: backward([False, True, False])[1],
    }


def _linear_calls(layer: Layer, x: Any, dy: Any, w: Any, b: Any) -> Calls:
    """As ``nn.Linear`` computes them, with a weight (outputs, inputs)."""
    linear, n = the_torch().nn.functional.linear, layer.batch
    x, dy, w = x.reshape(n, -1), dy.reshape(n, -1), w.reshape(len(w), -1)
    if layer.transposed:
        w, area = w.t().contiguous(), layer.out_size**2
        return {
            "forward": lambda: linear(x, w).view(n, -1, area) + b[:, None],
            "input gradient": lambda: dy @ w,
            "weight gradient": lambda: (dy.t() @ x).t(),  # back to (inputs, outputs), a view
        }
    return {
        "forward": lambda: linear(x, w, b),
        "input gradient": lambda: dy @ w,
        "weight gradient": lambda: dy.t() @ x,
    }
