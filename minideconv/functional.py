"""Functions of Tensors: each binds a pair of array functions from `ops` to the tape.

Read one and you have read them all: the forward is called on the arrays, and `record` gets which
arrays the backward will want, which function computes it, and with which options. In a backward,
``x_data`` is the array of the tensor ``x``, as the tape saved it. Names and argument order follow
``torch.nn.functional``; where libraries differ, the table "semantics" in the documentation states
what happens here. The maths of a function, its shapes and its sources are in the file of its op.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from minideconv import ops
from minideconv.autograd import Tensor, is_grad_enabled, record
from minideconv.autograd.grad_mode import is_replaying
from minideconv.autograd.tensor import wrap
from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import device_guard, keep_choices
from minideconv.ops.cross_entropy import CrossEntropySaved, Saved
from minideconv.ops.geometry import IntPair, pair, pairs
from minideconv.ops.switches import Switches

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "batch_norm_relu",
    "batch_norm_relu_pool",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "interpolate",
    "linear",
    "log_softmax",
    "max_pool2d",
    "max_unpool2d",
    "pad",
    "relu",
    "softmax",
    "sync_batch_norm",
]

Needs = tuple[bool, ...]
Grads = tuple[Array | None, ...]


def _data(tensor: Tensor | Array | None) -> Any:
    return tensor.data if isinstance(tensor, Tensor) else tensor


# ---- convolutions --------------------------------------------------------------------------------


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve: ``(N, C, H, W) * (K, C/groups, kh, kw) -> (N, K, H', W')``; see `ops.conv2d`."""
    options: dict[str, Any] = pairs("conv2d", stride=stride, padding=padding, dilation=dilation)
    options["groups"] = groups
    y = ops.conv2d(x.data, weight.data, _data(bias), **options)

    @keep_choices
    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Array) -> Grads:
        return ops.conv2d_backward(dy, x_data, weight_data, needs=needs, **options)

    return record("conv2d", y, (x, weight, bias), backward, (x, weight), options, fresh=True)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Tensor:
    """Apply a convolution's transpose: ``(N, K, H, W) * (K, C/groups, kh, kw) -> (N, C, H', W')``.

    See `ops.conv_transpose2d`.
    """
    window: dict[str, Any] = pairs(
        "conv_transpose2d", stride=stride, padding=padding, dilation=dilation
    )
    window["groups"] = groups
    options = window | pairs("conv_transpose2d", output_padding=output_padding)
    y = ops.conv_transpose2d(x.data, weight.data, _data(bias), **options)

    @keep_choices
    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Array) -> Grads:
        return ops.conv_transpose2d_backward(dy, x_data, weight_data, needs=needs, **window)

    inputs = (x, weight, bias)
    return record("conv_transpose2d", y, inputs, backward, (x, weight), options, fresh=True)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``: ``(..., C) * (K, C) -> (..., K)``; see `ops.linear`."""
    y = ops.linear(x.data, weight.data, _data(bias))

    @keep_choices
    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Array) -> Grads:
        return ops.linear_backward(dy, x_data, weight_data, (needs[0], needs[1], needs[2]))

    return record("linear", y, (x, weight, bias), backward, saved=(x, weight), fresh=True)


# ---- pooling and resizing ------------------------------------------------------------------------


def max_pool2d(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_switches: bool = False,
) -> Any:
    """Return each window's maximum, a Tensor; with `return_switches` (Tensor, Switches).

    See `ops.max_pool2d`.
    """
    options = _pool_options("max_pool2d", kernel_size, stride, padding=padding, dilation=dilation)
    options["ceil_mode"] = ceil_mode
    if not return_switches and not (is_grad_enabled() and x.requires_grad):
        return wrap(ops.max_pool2d(x.data, **options))
    y, switches = ops.max_pool2d(x.data, **options, return_switches=True)

    def backward(dy: Array, needs: Needs, switches: Switches) -> Grads:
        return (ops.max_pool2d_backward(dy, switches),)

    pooled = record("max_pool2d", y, (x,), backward, (switches,), options, fresh=True)
    return (pooled, switches) if return_switches else pooled


def _pool_options(op: str, kernel_size: Any, stride: Any, **others: Any) -> dict[str, Any]:
    stride = kernel_size if stride is None else stride
    return dict(pairs(op, kernel_size=kernel_size, stride=stride, **others))


def max_unpool2d(
    x: Tensor, switches: Switches, duplicates: Literal["assign", "add"] = "assign"
) -> Tensor:
    """Put each value back where its maximum was, zeros elsewhere; see `ops.max_unpool2d`."""
    y = ops.max_unpool2d(x.data, switches, duplicates)

    def backward(dy: Array, needs: Needs) -> Grads:
        return (ops.max_unpool2d_backward(dy, switches, duplicates),)

    options = {"switches": switches, "duplicates": duplicates}
    return record("max_unpool2d", y, (x,), backward, (), options, fresh=True)


def avg_pool2d(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Average each window; see `ops.avg_pool2d`."""
    options = _pool_options("avg_pool2d", kernel_size, stride, padding=padding)
    options |= {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    size = (x.shape[-2], x.shape[-1])
    y = ops.avg_pool2d(x.data, **options)

    def backward(dy: Array, needs: Needs) -> Grads:
        return (ops.avg_pool2d_backward(dy, size, **options),)

    return record("avg_pool2d", y, (x,), backward, (), options, fresh=True)


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Pad the last axes by (left, right, top, bottom); see `ops.pad`."""
    size = x.shape
    y = ops.pad(x.data, pad, mode, value)

    def backward(dy: Array, needs: Needs) -> Grads:
        return (ops.pad_backward(dy, size, pad, mode),)

    options = {"pad": tuple(pad), "mode": mode, "value": value}
    return record("pad", y, (x,), backward, (), options)


def interpolate(
    x: Tensor,
    size: IntPair | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """Resize to `size` by nearest neighbour or bilinearly; see `ops.interpolate`."""
    before = (x.shape[-2], x.shape[-1])
    y = ops.interpolate(x.data, size, scale_factor, mode, align_corners)

    def backward(dy: Array, needs: Needs) -> Grads:
        return (ops.interpolate_backward(dy, before, mode, align_corners, scale_factor),)

    options = {
        "size": None if size is None else pair(size, "size", "interpolate"),
        "scale_factor": scale_factor,
        "mode": mode,
        "align_corners": align_corners,
    }
    return record("interpolate", y, (x,), backward, (), options)


# ---- batch normalisation -------------------------------------------------------------------------


@device_guard
def _statistics(
    running_mean: Array | Tensor | None, running_var: Array | Tensor | None
) -> dict[str, Any]:
    """Return the arrays to update: where a forward is carried out once more, copies."""
    arrays = {"running_mean": _data(running_mean), "running_var": _data(running_var)}
    if is_replaying():
        arrays = {name: None if a is None else a.copy() for name, a in arrays.items()}
    return arrays


def batch_norm(
    x: Tensor,
    running_mean: Array | Tensor | None,
    running_var: Array | Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel over images and pixels, then scale and shift; see `ops.batch_norm`.

    In training the running statistics, arrays or Tensors, are updated in place.
    """
    options = _statistics(running_mean, running_var)
    options |= {"training": training, "momentum": momentum, "eps": eps}
    arrays = {"weight": _data(weight), "bias": _data(bias)}
    y, saved = ops.batch_norm(x.data, **arrays, **options, return_saved=True)
    from_batch = training or running_mean is None  # mean and variance depend on x

    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Array | None) -> Grads:
        return ops.batch_norm_backward(dy, x_data, saved, weight_data, from_batch)

    return record("batch_norm", y, (x, weight, bias), backward, (x, weight), options, fresh=True)


def batch_norm_relu(
    x: Tensor,
    running_mean: Array | Tensor | None,
    running_var: Array | Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return ``relu(batch_norm(x, ...))`` in fewer walks over memory; see `ops.batch_norm_relu`."""
    options = _statistics(running_mean, running_var)
    options |= {"training": training, "momentum": momentum, "eps": eps}
    arrays = {"weight": _data(weight), "bias": _data(bias)}
    y, saved = ops.batch_norm_relu(x.data, **arrays, **options, return_saved=True)
    from_batch = training or running_mean is None

    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Any, bias_data: Any) -> Grads:
        return ops.batch_norm_relu_backward(dy, x_data, saved, weight_data, bias_data, from_batch)

    inputs = (x, weight, bias)
    return record("batch_norm_relu", y, inputs, backward, inputs, options, fresh=True)


def batch_norm_relu_pool(
    x: Tensor,
    running_mean: Array | Tensor | None,
    running_var: Array | Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    kernel_size: IntPair = 2,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, Switches]:
    """Return ``max_pool2d(relu(batch_norm(x, ...)), ...)`` and the switches.

    The map in between is not kept; see `ops.batch_norm_relu_pool`.
    """
    op = "batch_norm_relu_pool"
    options = _statistics(running_mean, running_var)
    options |= {"training": training, "momentum": momentum, "eps": eps}
    options |= _pool_options(op, kernel_size, stride, padding=padding, dilation=dilation)
    options["ceil_mode"] = ceil_mode
    arrays = {"weight": _data(weight), "bias": _data(bias)}
    y, switches, saved = ops.batch_norm_relu_pool(x.data, **arrays, **options)
    from_batch = training or running_mean is None

    def backward(
        dy: Array, needs: Needs, switches: Switches, x_data: Array, weight_data: Any, bias_data: Any
    ) -> Grads:
        return ops.batch_norm_relu_pool_backward(
            dy, switches, x_data, saved, weight_data, bias_data, from_batch
        )

    inputs = (x, weight, bias)
    return record(op, y, inputs, backward, (switches, *inputs), options, fresh=True), switches


def sync_batch_norm(
    x: Tensor,
    running_mean: Array | Tensor | None,
    running_var: Array | Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    comm: ops.Collectives,
    momentum: float = 0.1,
    eps: float = 1e-5,
    relu: bool = False,
) -> Tensor:
    """Normalise each channel, in training, over the images of all processes `comm`.

    See `ops.sync_batch_norm`. With `relu` the result is rectified.
    """
    options = _statistics(running_mean, running_var)
    options |= {"momentum": momentum, "eps": eps, "comm": comm, "relu": relu}
    y, saved = ops.sync_batch_norm(x.data, weight=_data(weight), bias=_data(bias), **options)

    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Any, bias_data: Any) -> Grads:
        return ops.sync_batch_norm_backward(dy, x_data, saved, weight_data, bias_data, comm, relu)

    inputs = (x, weight, bias)
    return record("sync_batch_norm", y, inputs, backward, inputs, options)


# ---- pointwise functions -------------------------------------------------------------------------


def relu(x: Tensor) -> Tensor:
    """Return ``max(x, 0)``."""
    y = ops.relu(x.data)

    def backward(dy: Array, needs: Needs, y: Array) -> Grads:
        return (ops.relu_backward(dy, y),)

    return record("relu", y, (x,), backward, saved=(y,), fresh=True)


def softmax(x: Tensor, dim: int) -> Tensor:
    """Return ``exp(x) / sum(exp(x))`` along `dim`; see `ops.softmax`."""
    y = ops.softmax(x.data, dim)

    def backward(dy: Array, needs: Needs, y: Array) -> Grads:
        return (ops.softmax_backward(dy, y, dim),)

    return record("softmax", y, (x,), backward, (y,), {"dim": dim}, fresh=True)


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """Return ``x - log(sum(exp(x)))`` along `dim`; see `ops.log_softmax`."""
    y = ops.log_softmax(x.data, dim)

    def backward(dy: Array, needs: Needs, y: Array) -> Grads:
        return (ops.log_softmax_backward(dy, y, dim),)

    return record("log_softmax", y, (x,), backward, (y,), {"dim": dim}, fresh=True)


def dropout(
    x: Tensor, p: float = 0.5, training: bool = True, rng: np.random.Generator | None = None
) -> Tensor:
    """Zero each value with probability `p`, scale the rest by ``1 / (1 - p)``: `ops.dropout`."""
    y, mask = ops.dropout(x.data, p, training, rng, return_mask=True)

    def backward(dy: Array, needs: Needs, mask: Array | None) -> Grads:
        return (ops.dropout_backward(dy, mask),)

    return record("dropout", y, (x,), backward, (mask,), {"p": p, "training": training})


def _unchanging(given: Array | Tensor, recorded: bool) -> Array:
    """Return an array as a backward needs it: a copy, since the program may change what it gave.

    The array of a tensor is not copied, since the tape notices when the tensor is changed.
    """
    if isinstance(given, Tensor):
        return given.data
    if get_xp(given) is not np:
        return given
    return np.array(given) if recorded else np.asarray(given)


# ---- losses --------------------------------------------------------------------------------------


def cross_entropy(
    logits: Tensor,
    target: Array | Tensor,
    weight: Array | Tensor | None = None,
    ignore_index: int = 255,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return ``-log softmax(logits)[target]``, averaged over the labels that count.

    See `ops.cross_entropy`. Neither the target nor the class weights receive a gradient.
    """
    recorded = is_grad_enabled() and logits.requires_grad
    options: dict[str, Any] = {
        "target": _unchanging(target, recorded),
        "weight": None if weight is None else _unchanging(weight, recorded),
        "ignore_index": ignore_index,
        "reduction": reduction,
        "label_smoothing": label_smoothing,
    }
    loss, saved = ops.cross_entropy(logits.data, **options, return_saved=True)

    def backward(dloss: Array, needs: Needs, saved: Saved, *watched: Array) -> Grads:
        return (ops.cross_entropy_backward(dloss, saved, **options),)

    # None of these must change meanwhile; the scores only where they are saved themselves.
    watched = [each for each in (target, weight) if isinstance(each, Tensor)]
    kept: tuple[Any, ...] = (saved, *watched)
    if isinstance(saved, CrossEntropySaved):
        kept = (*kept, logits)
    return record("cross_entropy", loss, (logits,), backward, kept, options, fresh=True)
