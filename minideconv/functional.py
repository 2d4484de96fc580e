"""Functions of Tensors: each binds a pair of array functions from `ops` to the tape.

Read one and you have read them all: the forward is called on the arrays, and `record` is told which
arrays the backward will want and which function computes it. Names and argument order follow
``torch.nn.functional``; where libraries differ, the table "semantics" in the documentation says
what happens here. The maths of a function, its shapes and its sources are in the file of its op.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, overload

import numpy as np

from minideconv import ops
from minideconv.autograd import Tensor, is_grad_enabled, record
from minideconv.autograd.grad_mode import is_replaying
from minideconv.autograd.tensor import wrap
from minideconv.backend import Array, get_xp
from minideconv.backend.algorithms import algorithm, get_algorithm
from minideconv.backend.device_guard import device_guard
from minideconv.backend.precisions import get_precision, precision
from minideconv.ops.cross_entropy import CrossEntropySaved, Saved
from minideconv.ops.im2col import IntPair
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


def _data(tensor: Tensor | None) -> Array | None:
    return None if tensor is None else tensor.data


def _way_back() -> Callable[[], AbstractContextManager[None]]:
    """Remember how products are computed now: a layer goes back the way it came.

    What is returned opens a ``with`` block in which algorithm and precision are those of this call.
    """
    then = get_algorithm(), get_precision()

    @contextmanager
    def same_way() -> Iterator[None]:
        with algorithm(then[0]), precision(then[1]):
            yield

    return same_way


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
    y = ops.conv2d(x.data, weight.data, _data(bias), stride, padding, dilation, groups)
    same_way = _way_back()

    def backward(dy: Array, needs: Needs, x: Array, weight: Array) -> Grads:
        with same_way():
            return ops.conv2d_backward(dy, x, weight, stride, padding, dilation, groups, needs)

    return record("conv2d", y, (x, weight, bias), backward, saved=(x, weight))


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
    y = ops.conv_transpose2d(
        x.data, weight.data, _data(bias), stride, padding, output_padding, groups, dilation
    )
    same_way = _way_back()

    def backward(dy: Array, needs: Needs, x: Array, weight: Array) -> Grads:
        with same_way():
            return ops.conv_transpose2d_backward(
                dy, x, weight, stride, padding, groups, dilation, needs
            )

    return record("conv_transpose2d", y, (x, weight, bias), backward, saved=(x, weight))


@overload
def max_pool2d(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = ...,
    padding: IntPair = ...,
    dilation: IntPair = ...,
    ceil_mode: bool = ...,
    return_switches: Literal[False] = ...,
) -> Tensor: ...
@overload
def max_pool2d(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = ...,
    padding: IntPair = ...,
    dilation: IntPair = ...,
    ceil_mode: bool = ...,
    *,
    return_switches: Literal[True],
) -> tuple[Tensor, Switches]: ...
def max_pool2d(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_switches: bool = False,
) -> Tensor | tuple[Tensor, Switches]:
    """Keep each window's maximum, and with `return_switches` where it was; see `ops.max_pool2d`."""
    if not return_switches and not (is_grad_enabled() and x.requires_grad):
        return wrap(ops.max_pool2d(x.data, kernel_size, stride, padding, dilation, ceil_mode))
    y, switches = ops.max_pool2d(
        x.data, kernel_size, stride, padding, dilation, ceil_mode, return_switches=True
    )

    def backward(dy: Array, needs: Needs) -> Grads:
        return (ops.max_pool2d_backward(dy, switches),)

    pooled = record("max_pool2d", y, (x,), backward)
    return (pooled, switches) if return_switches else pooled


def max_unpool2d(
    x: Tensor, switches: Switches, duplicates: Literal["assign", "add"] = "assign"
) -> Tensor:
    """Put each value back where its maximum was, zeros elsewhere; see `ops.max_unpool2d`."""
    y = ops.max_unpool2d(x.data, switches, duplicates)

    def backward(dy: Array, needs: Needs) -> Grads:
        return (ops.max_unpool2d_backward(dy, switches, duplicates),)

    return record("max_unpool2d", y, (x,), backward)


def avg_pool2d(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Average each window; see `ops.avg_pool2d`."""
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad)
    size = (x.shape[-2], x.shape[-1])
    y = ops.avg_pool2d(x.data, *options)

    def backward(dy: Array, needs: Needs) -> Grads:
        return (ops.avg_pool2d_backward(dy, size, *options),)

    return record("avg_pool2d", y, (x,), backward)


@device_guard
def _running(statistics: Array | Tensor | None) -> Array | None:
    """Return the array to update: where a forward is carried out once more, a copy."""
    array = statistics.data if isinstance(statistics, Tensor) else statistics
    return array.copy() if array is not None and is_replaying() else array


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
    mean, var = _running(running_mean), _running(running_var)
    from_batch = training or mean is None or var is None
    y, saved = ops.batch_norm(
        x.data,
        mean,
        var,
        _data(weight),
        _data(bias),
        training,
        momentum,
        eps,
        return_saved=True,
    )

    def backward(dy: Array, needs: Needs, x: Array, weight: Array | None) -> Grads:
        return ops.batch_norm_backward(dy, x, saved, weight, from_batch)

    return record("batch_norm", y, (x, weight, bias), backward, saved=(x, weight))


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
    mean, var = _running(running_mean), _running(running_var)
    from_batch = training or mean is None or var is None
    y, saved = ops.batch_norm_relu(
        x.data,
        mean,
        var,
        _data(weight),
        _data(bias),
        training,
        momentum,
        eps,
        return_saved=True,
    )

    def backward(
        dy: Array, needs: Needs, x: Array, weight: Array | None, bias: Array | None
    ) -> Grads:
        return ops.batch_norm_relu_backward(dy, x, saved, weight, bias, from_batch)

    return record("batch_norm_relu", y, (x, weight, bias), backward, saved=(x, weight, bias))


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
    mean, var = _running(running_mean), _running(running_var)
    from_batch = training or mean is None or var is None
    window = (kernel_size, stride, padding, dilation, ceil_mode)
    y, switches, saved = ops.batch_norm_relu_pool(
        x.data, mean, var, _data(weight), _data(bias), training, momentum, eps, *window
    )

    def backward(
        dy: Array, needs: Needs, x: Array, weight: Array | None, bias: Array | None
    ) -> Grads:
        return ops.batch_norm_relu_pool_backward(dy, switches, x, saved, weight, bias, from_batch)

    inputs = (x, weight, bias)
    return record("batch_norm_relu_pool", y, inputs, backward, saved=inputs), switches


def sync_batch_norm(
    x: Tensor,
    running_mean: Array | Tensor | None,
    running_var: Array | Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    together: ops.Together,
    momentum: float = 0.1,
    eps: float = 1e-5,
    relu: bool = False,
) -> Tensor:
    """Normalise each channel, in training, over the images of all processes `together`.

    See `ops.sync_batch_norm`. With `relu` the result is rectified.
    """
    mean, var = _running(running_mean), _running(running_var)
    y, saved = ops.sync_batch_norm(
        x.data, mean, var, _data(weight), _data(bias), momentum, eps, together, relu
    )

    def backward(
        dy: Array, needs: Needs, x: Array, weight: Array | None, bias: Array | None
    ) -> Grads:
        return ops.sync_batch_norm_backward(dy, x, saved, weight, bias, together, relu)

    return record("sync_batch_norm", y, (x, weight, bias), backward, saved=(x, weight, bias))


def relu(x: Tensor) -> Tensor:
    """Return ``max(x, 0)``."""
    y = ops.relu(x.data)

    def backward(dy: Array, needs: Needs, y: Array) -> Grads:
        return (ops.relu_backward(dy, y),)

    return record("relu", y, (x,), backward, saved=(y,))


def softmax(x: Tensor, dim: int) -> Tensor:
    """Return ``exp(x) / sum(exp(x))`` along `dim`; see `ops.softmax`."""
    y = ops.softmax(x.data, dim)

    def backward(dy: Array, needs: Needs, y: Array) -> Grads:
        return (ops.softmax_backward(dy, y, dim),)

    return record("softmax", y, (x,), backward, saved=(y,))


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """Return ``x - log(sum(exp(x)))`` along `dim`; see `ops.log_softmax`."""
    y = ops.log_softmax(x.data, dim)

    def backward(dy: Array, needs: Needs, y: Array) -> Grads:
        return (ops.log_softmax_backward(dy, y, dim),)

    return record("log_softmax", y, (x,), backward, saved=(y,))


def dropout(
    x: Tensor, p: float = 0.5, training: bool = True, rng: np.random.Generator | None = None
) -> Tensor:
    """Zero each value with probability `p`, scale the rest by ``1 / (1 - p)``: `ops.dropout`."""
    y, mask = ops.dropout(x.data, p, training, rng, return_mask=True)

    def backward(dy: Array, needs: Needs, mask: Array | None) -> Grads:
        return (ops.dropout_backward(dy, mask),)

    return record("dropout", y, (x,), backward, saved=(mask,))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``: ``(..., C) * (K, C) -> (..., K)``; see `ops.linear`."""
    y = ops.linear(x.data, weight.data, _data(bias))
    same_way = _way_back()

    def backward(dy: Array, needs: Needs, x: Array, weight: Array) -> Grads:
        with same_way():
            return ops.linear_backward(dy, x, weight, (needs[0], needs[1], needs[2]))

    return record("linear", y, (x, weight, bias), backward, saved=(x, weight))


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Pad the last axes by (left, right, top, bottom); see `ops.pad`."""
    size = x.shape
    y = ops.pad(x.data, pad, mode, value)

    def backward(dy: Array, needs: Needs) -> Grads:
        return (ops.pad_backward(dy, size, pad, mode),)

    return record("pad", y, (x,), backward)


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

    return record("interpolate", y, (x,), backward)


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
    labels = target.data if isinstance(target, Tensor) else target
    labels = np.asarray(labels) if get_xp(labels) is np else labels
    class_weight = weight.data if isinstance(weight, Tensor) else weight
    options = (ignore_index, reduction, label_smoothing)
    loss, saved = ops.cross_entropy(logits.data, labels, class_weight, *options, return_saved=True)

    def backward(dloss: Array, needs: Needs, saved: Saved, *logits: Array) -> Grads:
        return (ops.cross_entropy_backward(dloss, saved, labels, class_weight, *options),)

    # Where the scores themselves are saved, nobody may change them meanwhile.
    kept = (saved, logits) if isinstance(saved, CrossEntropySaved) else (saved,)
    return record("cross_entropy", loss, (logits,), backward, saved=kept)
