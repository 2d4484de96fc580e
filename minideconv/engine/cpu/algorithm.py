"""`Algorithm`: one way to compute a convolution and its two gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Algorithm"]


@dataclass(frozen=True)
class Algorithm:
    """One way to compute a convolution and its two gradients; arrays are channels last.

    What an algorithm has not is None: the table does not name it for that.

    ``forward(x, w, bias, window)``, ``input_grad(dy, w, bias, window)`` and ``weight_grad(x, dy,
    window)``, with w as (kh, kw, C, K). ``frozen(w, bias, window, n, transposed, low)`` is for
    weights that do not change; see `compiled.frozen`.
    """

    name: str
    forward: Any
    input_grad: Any
    weight_grad: Any
    frozen: Any = None
