"""Batch normalisation, alone and with what follows it, as functions of Tensors."""

from __future__ import annotations

from typing import Any

from minideconv import ops
from minideconv.autograd import Tensor, record
from minideconv.autograd.grad_mode import is_replaying
from minideconv.backend import Array
from minideconv.backend.checks import check_flag
from minideconv.backend.dispatch import device_guard
from minideconv.functional.arguments import OPTIONAL, Grads, Needs, data_of, no_tensor
from minideconv.functional.batch_norm_gradients import batch_norm_gradients
from minideconv.functional.pooling import max_pool2d_transpose, pool_options
from minideconv.ops.batch_norm import BatchNormSaved, normalize
from minideconv.ops.geometry import IntPair
from minideconv.ops.switches import Switches

__all__ = ["batch_norm", "batch_norm_relu", "batch_norm_relu_pool", "sync_batch_norm"]


def _options(
    running_mean: Array | Tensor | None, running_var: Array | Tensor | None, **others: Any
) -> dict[str, Any]:
    """Return the options of an op; its forward updates the running averages among them.

    Where a forward is carried out once more, these are copies.
    """
    running_mean, running_var = data_of(running_mean), data_of(running_var)
    if is_replaying():
        running_mean, running_var = _copy(running_mean), _copy(running_var)
    return {"running_mean": running_mean, "running_var": running_var, **others}


@device_guard
def _copy(array: Any) -> Any:
    return None if array is None else array.copy()


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
    if not (isinstance(x, Tensor) and isinstance(weight, OPTIONAL) and isinstance(bias, OPTIONAL)):
        raise no_tensor("batch_norm", x=x, weight=weight, bias=bias)
    options = _options(running_mean, running_var, training=training, momentum=momentum, eps=eps)
    arrays = {"weight": data_of(weight), "bias": data_of(bias)}
    y, saved = ops.batch_norm(x.data, **arrays, **options, return_saved=True)
    from_batch = training or running_mean is None  # mean and variance depend on x

    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Array | None) -> Grads:
        return ops.batch_norm_backward(dy, x_data, saved, weight_data, from_batch)

    def differentiable(
        dy: Tensor, needs: Needs, x: Tensor, weight: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        return batch_norm_gradients(dy, x, weight, saved, from_batch, eps)

    inputs = (x, weight, bias)
    return record("batch_norm", y, inputs, backward, (x, weight), options, True, differentiable)


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
    if not (isinstance(x, Tensor) and isinstance(weight, OPTIONAL) and isinstance(bias, OPTIONAL)):
        raise no_tensor("batch_norm_relu", x=x, weight=weight, bias=bias)
    options = _options(running_mean, running_var, training=training, momentum=momentum, eps=eps)
    arrays = {"weight": data_of(weight), "bias": data_of(bias)}
    y, saved = ops.batch_norm_relu(x.data, **arrays, **options, return_saved=True)
    from_batch = training or running_mean is None

    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Any, bias_data: Any) -> Grads:
        return ops.batch_norm_relu_backward(dy, x_data, saved, weight_data, bias_data, from_batch)

    def differentiable(
        dy: Tensor, needs: Needs, x: Tensor, weight: Tensor | None, bias: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        dy = dy * _passed(x, saved, weight, bias)
        return batch_norm_gradients(dy, x, weight, saved, from_batch, eps)

    inputs = (x, weight, bias)
    return record("batch_norm_relu", y, inputs, backward, inputs, options, True, differentiable)


def _passed(x: Tensor, saved: BatchNormSaved, weight: Any, bias: Any) -> Array:
    """Return where the ReLU behind batch normalisation lets gradients pass: bool, x's shape."""
    passed: Array = normalize(x.data, saved, data_of(weight), data_of(bias)) > 0
    return passed


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
    if not (isinstance(x, Tensor) and isinstance(weight, OPTIONAL) and isinstance(bias, OPTIONAL)):
        raise no_tensor("batch_norm_relu_pool", x=x, weight=weight, bias=bias)
    op = "batch_norm_relu_pool"
    options = _options(running_mean, running_var, training=training, momentum=momentum, eps=eps)
    options |= pool_options(op, kernel_size, stride, padding=padding, dilation=dilation)
    options["ceil_mode"] = check_flag(op, "ceil_mode", ceil_mode)
    arrays = {"weight": data_of(weight), "bias": data_of(bias)}
    y, switches, saved = ops.batch_norm_relu_pool(x.data, **arrays, **options)
    from_batch = training or running_mean is None

    def backward(
        dy: Array, needs: Needs, switches: Switches, x_data: Array, weight_data: Any, bias_data: Any
    ) -> Grads:
        return ops.batch_norm_relu_pool_backward(
            dy, switches, x_data, saved, weight_data, bias_data, from_batch
        )

    def differentiable(
        dy: Tensor,
        needs: Needs,
        switches: Switches,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        (dy,) = max_pool2d_transpose(dy, needs, switches)
        dy = dy * _passed(x, saved, weight, bias)
        return batch_norm_gradients(dy, x, weight, saved, from_batch, eps)

    inputs = (x, weight, bias)
    kept = (switches, *inputs)
    return record(op, y, inputs, backward, kept, options, True, differentiable), switches


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
    if not (isinstance(x, Tensor) and isinstance(weight, OPTIONAL) and isinstance(bias, OPTIONAL)):
        raise no_tensor("sync_batch_norm", x=x, weight=weight, bias=bias)
    averages = {"momentum": momentum, "eps": eps}
    options = _options(running_mean, running_var, **averages, comm=comm, relu=relu)
    y, saved = ops.sync_batch_norm(x.data, weight=data_of(weight), bias=data_of(bias), **options)

    def backward(dy: Array, needs: Needs, x_data: Array, weight_data: Any, bias_data: Any) -> Grads:
        return ops.sync_batch_norm_backward(dy, x_data, saved, weight_data, bias_data, comm, relu)

    inputs = (x, weight, bias)
    return record("sync_batch_norm", y, inputs, backward, inputs, options)
