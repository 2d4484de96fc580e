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
from typing import Any

from minideconv.autograd import Tensor
from minideconv.autograd.sizes import indices_of
from minideconv.backend.checks import check_flag, check_integer, shown
from minideconv.functional.arguments import OPTIONAL, no_tensor
from minideconv.functional.batch_norm import batch_norm
from minideconv.ops.batch_norm_checks import check_eps, check_options

__all__ = ["check_lengths", "group_norm", "instance_norm", "layer_norm"]


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
    check_integer("group_norm", "num_groups", num_groups, 1)
    return _group_norm("group_norm", x, num_groups, weight, bias, eps)


def _group_norm(op: str, x: Tensor, num_groups: int, weight: Any, bias: Any, eps: float) -> Tensor:
    if not (isinstance(weight, OPTIONAL) and isinstance(bias, OPTIONAL)):
        raise no_tensor(op, weight=weight, bias=bias)
    if x.ndim < 2 or x.shape[1] % num_groups:
        what = "x" if op == "instance_norm" else f"num_groups is {num_groups}; x"
        raise ValueError(
            f"{op}: x has shape {x.shape} and {what} must be (N, C, ...) and num_groups a positive"
            " divisor of C"
        )
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.shape != x.shape[1:2]:
            raise ValueError(
                f"{op}: {name} has shape {tensor.shape}; x {x.shape} needs {x.shape[1:2]}, "
                "one number for each channel"
            )
    y = _normalised(op, x, (x.shape[0], num_groups), eps)
    channels = (-1,) + (1,) * (x.ndim - 2)  # (C,) broadcasts over the rest
    y = y if weight is None else y * weight.reshape(channels)
    return y if bias is None else y + bias.reshape(channels)


def instance_norm(
    x: Tensor,
    running_mean: None = None,
    running_var: None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each image: `group_norm` with a group for each channel.

    The arguments stand in PyTorch's order. There are no running statistics: `running_mean` and
    `running_var` must be None, `use_input_stats` True, and `momentum` changes nothing.
    """
    op = "instance_norm"
    if not isinstance(x, Tensor):
        raise no_tensor(op, x=x)
    for name, array in (("running_mean", running_mean), ("running_var", running_var)):
        if array is not None:
            raise TypeError(
                f"{op}: {name} is {shown(array)}; it must be None, as there are no running"
                " statistics here; a scale and a shift are weight= and bias="
            )
    if not check_flag(op, "use_input_stats", use_input_stats):
        raise ValueError(f"{op}: use_input_stats is False; it must be True, as there are no others")
    check_options(op, momentum, eps)
    return _group_norm(op, x, x.shape[1] if x.ndim > 1 else 1, weight, bias, eps)


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
    if not (isinstance(weight, OPTIONAL) and isinstance(bias, OPTIONAL)):
        raise no_tensor("layer_norm", weight=weight, bias=bias)
    last = check_lengths("layer_norm", normalized_shape)
    if x.shape[-len(last) :] != last:
        raise ValueError(
            f"layer_norm: x has shape {x.shape}; its last axes must be normalized_shape = {last}"
        )
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.shape != last:
            raise ValueError(f"layer_norm: {name} has shape {tensor.shape}; it must be {last}")
    y = _normalised("layer_norm", x, x.shape[: x.ndim - len(last)], eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def check_lengths(op: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return `normalized_shape` as a tuple, or raise unless it is lengths of at least 1."""
    try:
        lengths = indices_of(normalized_shape)
    except TypeError:
        raise TypeError(
            f"{op}: normalized_shape is {shown(normalized_shape)}; it must be an integer or several"
        ) from None
    lengths = lengths if isinstance(lengths, tuple) else (lengths,)
    if min(lengths, default=0) < 1:
        raise ValueError(
            f"{op}: normalized_shape is {lengths}; it must have at least one length, each at least"
            " 1"
        )
    return lengths


def _normalised(op: str, x: Tensor, parts: tuple[int, ...], eps: float) -> Tensor:
    """Normalise equal, consecutive parts of `x`, as many as the product of `parts`."""
    check_eps(op, eps)
    if x.size == 0:
        raise ValueError(f"{op}: x has shape {x.shape}, so there is nothing to normalise")
    if x.size <= math.prod(parts):
        raise ValueError(
            f"{op}: x has shape {x.shape}, so one value is normalised by itself; its variance is 0 "
            "whatever the value"
        )
    # By way of (*parts, n), from whose lengths a trace sees what follows the image's size.
    each = x.reshape(*parts, -1)
    planes = each.reshape(1, -1, each.shape[-1], 1)
    return batch_norm(planes, None, None, training=True, eps=eps).reshape(x.shape)
