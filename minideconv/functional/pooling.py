"""Max pooling, unpooling and average pooling as functions of Tensors."""

from __future__ import annotations

from typing import Any, Literal

from minideconv import ops
from minideconv.autograd import Tensor, is_grad_enabled, record
from minideconv.autograd.linear_map import linear_map
from minideconv.autograd.tensor import wrap
from minideconv.backend import Array
from minideconv.backend.checks import check_flag, shown
from minideconv.functional.arguments import Grads, Needs, no_tensor
from minideconv.ops.geometry import IntPair, pairs
from minideconv.ops.switches import Switches

__all__ = ["avg_pool2d", "max_pool2d", "max_pool2d_transpose", "max_unpool2d", "pool_options"]


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

    See `ops.max_pool2d`. Switches are of batches: one image (C, H, W) has none.
    """
    if not isinstance(x, Tensor):
        raise no_tensor("max_pool2d", x=x)
    check_flag("max_pool2d", "return_switches", return_switches)
    check_flag("max_pool2d", "ceil_mode", ceil_mode)
    if x.data.ndim == 3 and not return_switches:  # one image (C, H, W)
        images = x.unsqueeze(0)
        return max_pool2d(images, kernel_size, stride, padding, dilation, ceil_mode).squeeze(0)
    options = pool_options("max_pool2d", kernel_size, stride, padding=padding, dilation=dilation)
    options["ceil_mode"] = ceil_mode
    if not return_switches and not (is_grad_enabled() and x.requires_grad):
        return wrap(ops.max_pool2d(x.data, **options))
    y, switches = ops.max_pool2d(x.data, **options, return_switches=True)

    def backward(dy: Array, needs: Needs, switches: Switches) -> Grads:
        return (ops.max_pool2d_backward(dy, switches),)

    saved = (switches,)
    pooled = record("max_pool2d", y, (x,), backward, saved, options, True, max_pool2d_transpose)
    return (pooled, switches) if return_switches else pooled


def max_pool2d_transpose(dy: Tensor, needs: Needs, switches: Switches) -> tuple[Tensor]:
    """Send gradients to the switches; with the switches given, pooling gathers: a linear map."""
    return (
        linear_map(
            "max_pool2d_backward",
            dy,
            lambda values: ops.max_pool2d_backward(values, switches),
            lambda planes: ops.max_unpool2d_backward(planes, switches, "add"),
        ),
    )


def check_switches(op: str, switches: Any) -> None:
    """Raise TypeError unless these are switches, which PyTorch's indices are not."""
    if not isinstance(switches, Switches):
        raise TypeError(
            f"{op}: switches is {shown(switches)}; it must be the Switches that"
            " max_pool2d(..., return_switches=True) returns beside its result"
        )


def pool_options(op: str, kernel_size: Any, stride: Any, **others: Any) -> dict[str, Any]:
    """Return the options of a pooling by name, in full."""
    stride = kernel_size if stride is None else stride
    return dict(pairs(op, kernel_size=kernel_size, stride=stride, **others))


def max_unpool2d(
    x: Tensor, switches: Switches, duplicates: Literal["assign", "add"] = "assign"
) -> Tensor:
    """Put each value back where its maximum was, zeros elsewhere; see `ops.max_unpool2d`."""
    if not isinstance(x, Tensor):
        raise no_tensor("max_unpool2d", x=x)
    check_switches("max_unpool2d", switches)
    y = ops.max_unpool2d(x.data, switches, duplicates)

    def transpose(dy: Array) -> Array:
        return ops.max_unpool2d_backward(dy, switches, duplicates)

    def backward(dy: Array, needs: Needs) -> Grads:
        return (transpose(dy),)

    def differentiable(dy: Tensor, needs: Needs) -> tuple[Tensor]:
        def forward(x: Array) -> Array:
            return ops.max_unpool2d(x, switches, duplicates)

        return (linear_map("max_unpool2d_backward", dy, transpose, forward),)

    options = {"switches": switches, "duplicates": duplicates}
    return record("max_unpool2d", y, (x,), backward, (), options, True, differentiable)


def avg_pool2d(
    x: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Average each window; see `ops.avg_pool2d`."""
    if not isinstance(x, Tensor):
        raise no_tensor("avg_pool2d", x=x)
    check_flag("avg_pool2d", "ceil_mode", ceil_mode)
    check_flag("avg_pool2d", "count_include_pad", count_include_pad)
    if x.data.ndim == 3:  # one image (C, H, W)
        rest = (kernel_size, stride, padding, ceil_mode, count_include_pad)
        return avg_pool2d(x.unsqueeze(0), *rest).squeeze(0)
    options = pool_options("avg_pool2d", kernel_size, stride, padding=padding)
    options |= {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    y = ops.avg_pool2d(x.data, **options)
    size = (x.shape[-2], x.shape[-1])

    def transpose(dy: Array) -> Array:
        return ops.avg_pool2d_backward(dy, size, **options)

    def backward(dy: Array, needs: Needs) -> Grads:
        return (transpose(dy),)

    def differentiable(dy: Tensor, needs: Needs) -> tuple[Tensor]:
        def forward(x: Array) -> Array:
            return ops.avg_pool2d(x, **options)

        return (linear_map("avg_pool2d_backward", dy, transpose, forward),)

    return record("avg_pool2d", y, (x,), backward, (), options, True, differentiable)
