"""Borders and resizing as functions of Tensors."""

from __future__ import annotations

from collections.abc import Sequence

from minideconv import ops
from minideconv.autograd import Tensor, record
from minideconv.autograd.linear_map import linear_map
from minideconv.backend import Array
from minideconv.backend.checks import check_flag
from minideconv.functional.arguments import Grads, Needs, no_tensor
from minideconv.functional.rearranging import adaptive_avg_pool2d
from minideconv.ops.geometry import IntPair, pair
from minideconv.ops.interpolate import target_size

__all__ = ["interpolate", "pad"]


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Pad the last axes by (left, right, top, bottom); see `ops.pad`."""
    if not isinstance(x, Tensor):
        raise no_tensor("pad", x=x)
    size = x.shape
    y = ops.pad(x.data, pad, mode, value)

    def transpose(dy: Array) -> Array:
        return ops.pad_backward(dy, size, pad, mode)

    def backward(dy: Array, needs: Needs) -> Grads:
        return (transpose(dy),)

    def differentiable(dy: Tensor, needs: Needs) -> tuple[Tensor]:
        def forward(x: Array) -> Array:  # the border's value is no part of the linear map
            return ops.pad(x, pad, mode)

        return (linear_map("pad_backward", dy, transpose, forward),)

    options = {"pad": tuple(pad), "mode": mode, "value": value}
    return record("pad", y, (x,), backward, (), options, False, differentiable)


def interpolate(
    x: Tensor,
    size: IntPair | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """Resize to `size` by nearest neighbour, bilinearly or bicubically; see `ops.interpolate`.

    The mode "area" averages: it is `adaptive_avg_pool2d` to that size.
    """
    if not isinstance(x, Tensor):
        raise no_tensor("interpolate", x=x)
    check_flag("interpolate", "align_corners", align_corners)
    if isinstance(mode, str) and mode == "area":
        if align_corners:
            raise ValueError("interpolate: align_corners is True; it has no meaning for 'area'")
        return adaptive_avg_pool2d(x, target_size(x.data, size, scale_factor))
    y = ops.interpolate(x.data, size, scale_factor, mode, align_corners)
    before = (x.shape[-2], x.shape[-1])

    def transpose(dy: Array) -> Array:
        return ops.interpolate_backward(dy, before, mode, align_corners, scale_factor)

    def backward(dy: Array, needs: Needs) -> Grads:
        return (transpose(dy),)

    def differentiable(dy: Tensor, needs: Needs) -> tuple[Tensor]:
        def forward(x: Array) -> Array:
            return ops.interpolate(x, size, scale_factor, mode, align_corners)

        return (linear_map("interpolate_backward", dy, transpose, forward),)

    options = {
        "size": None if size is None else pair(size, "size", "interpolate"),
        "scale_factor": scale_factor,
        "mode": mode,
        "align_corners": align_corners,
    }
    return record("interpolate", y, (x,), backward, (), options, False, differentiable)
