"""Gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable

from minideconv.autograd import Tensor
from minideconv.backend import get_xp

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients to a common L2 norm of at most `max_norm`; return the norm before.

    The norm is taken over all parameters together, as if they were one vector.
    Source: Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks"
    (ICML 2013), algorithm 1.

    Raises
    ------
    ValueError
        If `max_norm` is not positive.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm_: max_norm is {max_norm}; it must be positive")
    gradients = [p.grad.data for p in parameters if p.grad is not None]
    flat = [g.ravel(order="K") for g in gradients]  # as they lie: a view wherever that is dense
    squares = [float(get_xp(g).vdot(g, g)) for g in flat]
    norm = math.sqrt(math.fsum(squares)) if all(map(math.isfinite, squares)) else math.nan
    if norm > max_norm:
        for gradient in gradients:
            gradient *= max_norm / (norm + 1e-6)
    return norm


def clip_grad_value_(parameters: Iterable[Tensor], clip_value: float) -> None:
    """Limit every value of every gradient to [-clip_value, clip_value].

    Raises
    ------
    ValueError
        If `clip_value` is not positive.
    """
    if not clip_value > 0:
        raise ValueError(f"clip_grad_value_: clip_value is {clip_value}; it must be positive")
    for parameter in parameters:
        if parameter.grad is not None:
            gradient = parameter.grad.data
            get_xp(gradient).clip(gradient, -clip_value, clip_value, out=gradient)
