"""The backward of batch normalisation by recorded operations, so that it has a backward too.

The formulas are those of `ops.batch_norm_backward`. What is different: in training the mean and the
variance are computed once more, from ``x`` as a Tensor, because the gradients depend on ``x``
through them as well. In evaluation they are constants.
"""

from __future__ import annotations

from minideconv.autograd import Tensor
from minideconv.ops.batch_norm import BatchNormSaved

__all__ = ["batch_norm_gradients"]


def batch_norm_gradients(
    dy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    saved: BatchNormSaved,
    from_batch: bool,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients ``(dx, dweight, dbias)`` of `ops.batch_norm` as Tensors.

    Parameters
    ----------
    dy, x : Tensor, shape (N, C, H, W) or (N, C)
    weight : Tensor, shape (C,), optional
    saved : BatchNormSaved
        The statistics that forward used.
    from_batch : bool
        Whether they are those of `x`.
    eps : float
    """
    axes = (0, *range(2, x.ndim))
    channels = (1, -1) + (1,) * (x.ndim - 2)  # (C,) broadcasts over (N, C, H, W)
    if from_batch:
        centred = x - x.mean(axes, keepdims=True)
        inv_std = ((centred * centred).mean(axes, keepdims=True) + eps) ** -0.5
    else:
        centred = x - saved.mean.astype(x.dtype).reshape(channels)
        inv_std = Tensor(saved.inv_std.astype(x.dtype).reshape(channels))
    xh = centred * inv_std
    dbias, dweight = dy.sum(axes), (dy * xh).sum(axes)
    scale = inv_std if weight is None else inv_std * weight.reshape(channels)
    if not from_batch:
        return scale * dy, dweight, dbias
    count = x.size // x.shape[1]
    means = dbias.reshape(channels) / count, dweight.reshape(channels) / count
    return scale * (dy - means[0] - xh * means[1]), dweight, dbias
