"""Dropout: set each element to 0 with probability p, and divide the others by 1 - p.

    any shape -> same shape

The scaling ("inverted" dropout) keeps the expected value of every element, so that nothing is left
to do at test time. For a given mask, dropout is a diagonal matrix: its own adjoint.

The mask is drawn on the CPU, so that a seed means the same on every device. On a GPU it is sent
there at every call, a byte for each element, which a recorded CUDA graph cannot do: a network with
dropout takes its training steps without one.

Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting"
(2014), section 4, and section 10 for the scaling.
"""

from __future__ import annotations

from typing import Any

from minideconv import random
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_flag, check_generator, check_number
from minideconv.backend.dispatch import accelerated, device_guard

__all__ = ["check_probability", "dropout", "dropout_backward", "masked"]


@device_guard
def dropout(
    x: Array, p: float = 0.5, training: bool = True, rng: Any = None, return_mask: bool = False
) -> Any:
    """Return `x` with random elements set to 0 and the others divided by ``1 - p``.

    Parameters
    ----------
    x : floating-point array, any shape
    p : float in [0, 1]
        The probability of an element to be dropped; 1 drops all of them.
    training : bool
        If False, `x` itself comes back.
    rng : numpy.random.Generator, optional
        Where the mask comes from; the library's own generator (`minideconv.random`) by default. It
        draws on the CPU whatever the device of `x`, so that one seed gives one mask everywhere.
    return_mask : bool
        Also return what `dropout_backward` needs.

    Returns
    -------
    y : array, the shape of `x`
    mask : array, the shape of `x`, or None; only with ``return_mask=True``
        0 where dropped, ``1 / (1 - p)`` where kept; None where dropout did nothing.

    Raises
    ------
    ValueError, TypeError
        If `p` is not in [0, 1], or `x` is not floating point.

    Examples
    --------
    >>> import numpy as np
    >>> dropout(np.ones(6), p=0.5, rng=np.random.default_rng(0))
    array([2., 2., 2., 0., 0., 0.])
    """
    check_probability("dropout", p)
    check_flag("dropout", "training", training)
    check_generator("dropout", rng, "nothing here works in place")
    if x.dtype.kind != "f":
        raise TypeError(f"dropout: x has dtype {x.dtype}; it must be floating point")
    if not training or p == 0:
        return (x, None) if return_mask else x
    xp = get_xp(x)
    generator = rng or random.default_rng()
    mask = xp.empty_like(x)  # in memory like x, whatever that is; drawn in the same order
    mask[...] = xp.asarray(generator.random(x.shape, dtype="float32") >= p)
    mask *= 1 / (1 - p) if p < 1 else 0.0
    y = masked(x, mask)
    return (y, mask) if return_mask else y


def check_probability(op: str, p: Any) -> None:
    """Raise unless `p` is a number in [0, 1]."""
    check_number(op, "p", p, 0, 1, legal="a probability in [0, 1]")


def dropout_backward(dy: Array, mask: Array | None) -> Array:
    """Return dL/dx of `dropout` from dL/dy and the mask that forward drew."""
    return dy if mask is None else masked(dy, mask)


@accelerated
def masked(x: Array, mask: Array) -> Array:
    """Return ``x * mask``: what both ways through dropout do."""
    return x * mask
