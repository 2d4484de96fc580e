"""Pooling to a given size, channels that become pixels, labels that become channels.

adaptive_avg_pool2d    (N, C, H, W) -> (N, C, H', W')
pixel_shuffle          (N, C r r, H, W) -> (N, C, H r, W r)
one_hot                (...) -> (..., classes)
"""

from __future__ import annotations

from minideconv.autograd import Tensor
from minideconv.autograd.broadcasting import as_tensor
from minideconv.autograd.tensor import wrap
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_integer
from minideconv.backend.dispatch import device_guard
from minideconv.functional.arguments import no_tensor
from minideconv.ops.geometry import IntPair, Pair, check_at_least, pair

__all__ = ["adaptive_avg_pool2d", "check_output_size", "one_hot", "pixel_shuffle"]


@device_guard
def adaptive_avg_pool2d(x: Tensor, output_size: IntPair) -> Tensor:
    """Average so many windows, evenly spread, that the result has `output_size`.

    Along an axis of n pixels, window o of n' reaches from ``floor(o n / n')`` to ``ceil((o + 1) n /
    n')``, as in PyTorch; windows may overlap. As in `ops.interpolate` the map is ``A_h x A_wᵀ``.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
    output_size : int or (H', W')
        1 is the mean over all pixels.
    """
    if not isinstance(x, Tensor):
        raise no_tensor("adaptive_avg_pool2d", x=x)
    op = "adaptive_avg_pool2d"
    size = check_output_size(op, output_size)
    if x.ndim not in (3, 4):
        raise ValueError(
            f"{op}: x has shape {x.shape}; it must have 4 axes (N, C, H, W), or 3 of one image"
        )
    if size == (1, 1):
        return x.mean((-2, -1), keepdims=True)
    rows, columns = (_averages(n, new, x.data) for n, new in zip(x.shape[-2:], size, strict=True))
    return Tensor(rows) @ (x @ Tensor(columns.T))


def check_output_size(op: str, output_size: IntPair) -> Pair:
    """Return `output_size` as (height, width), or raise unless both are at least 1."""
    return check_at_least(pair(output_size, "output_size", op), 1, "output_size", op)


def _averages(n: int, new: int, like: Array) -> Array:
    """Return the (new, n) matrix whose rows average the windows."""
    xp = get_xp(like)
    o, pixels = xp.arange(new)[:, None], xp.arange(n)
    inside = (pixels >= o * n // new) & (pixels < -(-(o + 1) * n // new))
    averages: Array = (inside / inside.sum(1, keepdims=True)).astype(like.dtype)
    return averages


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """Give each pixel's r r channels the places of r x r pixels: the rows first.

    Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network" (2016), equation 4.

    Parameters
    ----------
    x : Tensor, shape (N, C r r, H, W)
    upscale_factor : int
        r, at least 1.
    """
    if not isinstance(x, Tensor):
        raise no_tensor("pixel_shuffle", x=x)
    r = check_integer("pixel_shuffle", "upscale_factor", upscale_factor, 1)
    if x.ndim != 4 or x.shape[1] % (r * r):
        raise ValueError(
            f"pixel_shuffle: x has shape {x.shape} and upscale_factor is {r}; x must be (N, C, H, "
            "W), and C divisible by the factor's square"
        )
    n, c, h, w = x.shape
    x = x.reshape(n, c // (r * r), r, r, h, w)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(n, c // (r * r), h * r, w * r)


@device_guard
def one_hot(tensor: Tensor | Array, num_classes: int = -1) -> Tensor:
    """Return 1 at each label's place among the classes, and 0 elsewhere: int64, one axis more.

    Parameters
    ----------
    tensor : Tensor or array of integers, any shape
        Labels from 0 to ``num_classes - 1``; no label is ignored.
    num_classes : int
        -1 is one more than the largest label.
    """
    num_classes = check_integer("one_hot", "num_classes", num_classes)
    labels = as_tensor(tensor).data
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: the labels have dtype {labels.dtype}; they must be integers")
    largest = int(labels.max()) if labels.size else -1
    classes = largest + 1 if num_classes == -1 else num_classes
    if classes < 1 or largest >= classes or (labels.size and labels.min() < 0):
        raise ValueError(
            f"one_hot: num_classes is {num_classes} and the labels are up to {largest}; they must "
            "be from 0 to num_classes - 1"
        )
    return wrap((labels[..., None] == get_xp(labels).arange(classes)).astype("int64"))
