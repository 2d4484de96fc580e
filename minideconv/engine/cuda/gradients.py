"""All gradients at once on a GPU: their norm, clipping to it, and loss scaling.

The host reads nothing: the norm, and whether all numbers are finite, stay on the device, where
the next kernel reads them. The kernels are in `kernels/gradients.cu`.
"""

from __future__ import annotations

from collections.abc import Sequence

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.module import launch
from minideconv.engine.cuda.optimizers import blocks_for, flat_arrays

__all__ = ["clip_norm", "unscale", "update_scale"]

PARTS = 1 << 10
"""Sums of squares at most that are added up in the end; as many blocks make them."""

_FILE = "gradients.cu"


def clip_norm(grad: Array, max_norm: float, views: Sequence[Array] = ()) -> Array | None:
    """Scale a flat gradient to a norm of at most `max_norm`; return the norm before, as double.

    None if the array is not for this. The `views` of its parts, `nn.utils` has them, change too.
    """
    if not flat_arrays(grad) or grad.size == 0:
        return None
    xp = get_xp(grad)
    parts, norm = xp.empty(blocks_for(grad, PARTS)), xp.empty(())
    launch(_FILE, "squares", grad.size, (grad, grad.size, parts), grad.dtype, grid=parts.size)
    arguments = (grad, grad.size, parts, parts.size, float(max_norm), norm)
    launch(_FILE, "clip", grad.size, arguments, grad.dtype, grid=blocks_for(grad))
    return norm


def unscale(grad: Array, scale: Array, skip: Array) -> bool | None:
    """Divide a flat gradient by ``scale[0]``; set ``skip[0]`` if a number of it is not finite.

    Return True, or None if the array is not for this.
    """
    if not flat_arrays(grad):
        return None
    arguments = (grad, grad.size, scale, skip)
    launch(_FILE, "unscale", grad.size, arguments, grad.dtype, grid=blocks_for(grad))
    return True


def update_scale(
    state: Array, steps: Sequence[tuple[Array, bool]], growth: float, backoff: float, interval: int
) -> bool | None:
    """Change the scale after a step, as `optim.grad_scaler.update_scale` does; return True.

    None if more than one optimiser took a step.
    """
    if len(steps) != 1:
        return None
    skip, counts = steps[0]
    launch(_FILE, "update_scale", 1, (state, skip, int(counts), growth, backoff, interval))
    return True
