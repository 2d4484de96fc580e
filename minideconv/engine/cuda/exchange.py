"""The weight of a convolution with its input and output channels exchanged, rounded to factors.

(kh, kw, C/groups, K) -> (kh, kw, K/groups, C)
"""

from __future__ import annotations

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.module import launch
from minideconv.engine.cuda.products import Factors, bits

__all__ = ["exchanged"]

_TILE = 32
_BLOCK = (_TILE, 8)
_MOST = 65535  # blocks along a grid's second and third axis


def exchanged(w: Array, groups: int, kind: Factors) -> Array:
    """Return `w`, contiguous, with its input and output channels in each other's place.

    Within their groups, and rounded to factors of the `kind`.
    """
    kh, kw, c, k = w.shape
    columns = k // groups
    result: Array = get_xp(w).empty((kh, kw, columns, groups * c), kind.dtype)
    tiles = (-(-columns // _TILE), min(-(-c // _TILE), _MOST))
    launch(
        *("exchange.cu", "exchange", w.size),
        (w, bits(result), kh * kw, c, groups, columns),
        w.dtype,
        defines=kind.macros,
        block=_BLOCK,
        grid=(*tiles, min(kh * kw * groups, _MOST)),
    )
    return result
