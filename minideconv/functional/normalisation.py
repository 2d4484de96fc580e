"""Normalisation over groups of channels, single maps, or the last axes: batch norm, regrouped.

    group_norm       the C/G channels of a group and all pixels, of each image by itself
    instance_norm    one channel of one image: as many groups as channels
    layer_norm       the last axes, for each place on the first ones

What is normalised together becomes one "channel" of a batch of one: a reshape, `batch_norm` by the
batch's own statistics, and the reshape back. So the sums, their precision and their backward are
those of `ops.batch_norm`. A scale and a shift, one number for each channel or for each place on the
last axes, follow.

Source: Wu and He, "Group normalization" (2018), section 3; Ulyanov, Vedaldi, Lempitsky, "Instance
normalization" (2016); Ba, Kiros, Hinton, "Layer normalization" (2016), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from minideconv.autograd import Tensor
from minideconv.functional.arguments import no_tensor
from minideconv.functional.batch_norm import batch_norm

__all__ = ["group_norm", "instance_norm", "layer_norm"]


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each group of ``C / num_groups`` channels of each image.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
    num_groups : int
        Divides C.
    weight, bias : Tensor, shape (C,), optional
        Scale and shift of each channel afterwards.
    eps : float
        Added to the variance.

    Raises
    ------
    ValueError
        If `num_groups` does not divide C, a group has one value only, or shapes disagree.
    """
    if not isinstance(x, Tensor):
        raise no_tensor("group_norm", x=x)
    if x.ndim < 2 or num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(
            f"group_norm: x has shape {x.shape} and num_groups is {num_groups}; x must be (N, C, "
            "...) and num_groups a positive divisor of C"
        )
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.shape != x.shape[1:2]:
            raise ValueError(
                f"group_norm: {name} has shape {tensor.shape}; x {x.shape} needs {x.shape[1:2]}, "
                "one number for each channel"
            )
    y = _normalised("group_norm", x, (x.shape[0], num_groups), eps)
    channels = (-1,) + (1,) * (x.ndim - 2)  # (C,) broadcasts over the rest
    y = y if weight is None else y * weight.reshape(channels)
    return y if bias is None else y + bias.reshape(channels)


def instance_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalise each channel of each image: `group_norm` with a group for each channel."""
    if not isinstance(x, Tensor):
        raise no_tensor("instance_norm", x=x)
    return group_norm(x, x.shape[1] if x.ndim > 1 else 1, weight, bias, eps)


def layer_norm(
    x: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise over the last axes, which have the lengths `normalized_shape`.

    Parameters
    ----------
    x : Tensor, whose shape ends in `normalized_shape`
    normalized_shape : int or sequence of int
    weight, bias : Tensor of that shape, optional
        Scale and shift of each place afterwards.
    eps : float

    Raises
    ------
    ValueError
        If `x` does not end in `normalized_shape`, that is one value only, or shapes disagree.
    """
    if not isinstance(x, Tensor):
        raise no_tensor("layer_norm", x=x)
    last = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not last or x.shape[-len(last) :] != last:
        raise ValueError(
            f"layer_norm: x has shape {x.shape}; its last axes must be normalized_shape = {last}"
        )
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.shape != last:
            raise ValueError(f"layer_norm: {name} has shape {tensor.shape}; it must be {last}")
    y = _normalised("layer_norm", x, x.shape[: x.ndim - len(last)], eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _normalised(op: str, x: Tensor, parts: tuple[int, ...], eps: float) -> Tensor:
    """Normalise equal, consecutive parts of `x`, as many as the product of `parts`."""
    if x.size <= math.prod(parts):
        raise ValueError(
            f"{op}: x has shape {x.shape}, so one value is normalised by itself; its variance is 0 "
            "whatever the value"
        )
    # By way of (*parts, n), from whose lengths a trace sees what follows the image's size.
    each = x.reshape(*parts, -1)
    planes = each.reshape(1, -1, each.shape[-1], 1)
    return batch_norm(planes, None, None, training=True, eps=eps).reshape(x.shape)
