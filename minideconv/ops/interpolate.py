"""Resizing an image: nearest, bilinear, bicubic, as two small matrices, and their transposes.

    (N, C, H, W) -> (N, C, H', W')        y = A_h x A_wᵀ        A_h (H', H), A_w (W', W)

Row o of A has the weights of the old pixels in the new pixel o. Pixel centres are at half-integers,
so output position o meets the input at

    nearest                     floor(o n / n')                       one pixel
    bilinear                    (o + 1/2) n / n' - 1/2, at least 0    two, weighted 1 - t and t
    bilinear, align_corners     o (n - 1) / (n' - 1)                  two; corner centres stay put
    bicubic                     (o + 1/2) n / n' - 1/2                four, weighted by a cubic; or
                                                                      with align_corners as above

The cubic of a distance t is ``(a + 2) t³ - (a + 3) t² + 1`` up to 1 and ``a (t³ - 5 t² + 8 t - 4)``
up to 2, with a = -3/4; pixels outside the image are those of its edge.

With ``scale_factor=s``, n' is floor(n s) (`scaled_size`), and 1/s takes the place of n / n', as
PyTorch does: where n s is not an integer the two differ, so the backward needs the factor as well.

Height and width separate, and the map is linear: `interpolate_backward` multiplies by the
transposes. There is no anti-aliasing; downsampling by more than 2 skips pixels.

Source: Wolberg, "Digital image warping" (1990), section 5.4; Keys, "Cubic convolution interpolation
for digital image processing" (1981), section II; coordinates and a as in PyTorch's
``interpolate``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_choice
from minideconv.backend.dispatch import accelerated, device_guard
from minideconv.ops.geometry import Pair, check_at_least, pair

__all__ = [
    "check_target",
    "interpolate",
    "interpolate_backward",
    "interpolation_matrix",
    "resample",
    "scaled_size",
    "target_size",
]

_MODES = ("nearest", "bilinear", "bicubic")
_CUBIC = -0.75  # Keys's a
Factors = tuple[float, float] | tuple[None, None]


@device_guard
def interpolation_matrix(
    size: int,
    new_size: int,
    mode: str = "bilinear",
    align_corners: bool = False,
    scale_factor: float | None = None,
    like: Any = None,
) -> Array:
    """Return the (new_size, size) matrix A that resizes one axis: ``y = A @ x``.

    Parameters
    ----------
    size, new_size : int >= 1
        Pixels before and after.
    mode : {"nearest", "bilinear", "bicubic"}
    align_corners : bool
        See the module; not for "nearest".
    scale_factor : float, optional
        Take positions from this factor rather than from the ratio of the two sizes.
    like : array, optional
        Whose dtype and device the matrix gets; float64 on the CPU by default.

    Examples
    --------
    >>> interpolation_matrix(2, 4)
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    >>> interpolation_matrix(2, 4, mode="nearest")
    array([[1., 0.],
           [1., 0.],
           [0., 1.],
           [0., 1.]])
    """
    xp, dtype = get_xp(like), "float64" if like is None else like.dtype
    pixels = xp.arange(size)
    if mode == "nearest":
        index = _nearest_index(xp, size, new_size, scale_factor)
        return (index[:, None] == pixels).astype(dtype)
    o = xp.arange(new_size, dtype="float64")
    if size == new_size and mode == "bilinear":  # as PyTorch, which shifts by a factor elsewhere
        source = o
    elif align_corners:
        source = o * ((size - 1) / (new_size - 1) if new_size > 1 else 0.0)
    else:
        ratio = size / new_size if scale_factor is None else 1 / scale_factor
        source = (o + 0.5) * ratio - 0.5
    if mode == "bicubic":
        return _cubic_matrix(xp, source, size).astype(dtype)
    source = xp.maximum(source, 0.0)
    source = xp.minimum(source, size - 1)
    # A hat of width 2 around the source: 1 - t on its left neighbour, t on its right one.
    return xp.maximum(1 - abs(source[:, None] - pixels), 0.0).astype(dtype)


def _cubic_matrix(xp: Any, source: Array, size: int) -> Array:
    """Return the rows with the weights of the four pixels around each position."""
    first, pixels = xp.floor(source) - 1, xp.arange(size)
    rows = xp.zeros((len(source), size))
    for pixel in (first, first + 1, first + 2, first + 3):
        t = abs(source - pixel)
        near = ((_CUBIC + 2) * t - (_CUBIC + 3)) * t * t + 1
        weight = xp.where(t <= 1, near, _CUBIC * (((t - 5) * t + 8) * t - 4))
        rows += weight[:, None] * (xp.clip(pixel, 0, size - 1)[:, None] == pixels)
    return rows


def _nearest_index(xp: Any, size: int, new_size: int, scale_factor: float | None) -> Array:
    # All as PyTorch's kernels: exactly 1 and 2 times are integer arithmetic, whatever the factor;
    # elsewhere float32 for every dtype, and its rounding decides.
    if new_size in (size, 2 * size):
        return xp.arange(new_size) // (new_size // size)
    if scale_factor is None:
        ratio = xp.float32(size) / xp.float32(new_size)
    else:
        ratio = xp.float32(1 / scale_factor)
    index = xp.floor(xp.arange(new_size, dtype="float32") * ratio).astype("int64")
    return xp.minimum(index, size - 1)


def interpolate(
    x: Array,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Array:
    """Return `x` resized to `size`, or by `scale_factor`.

    Parameters
    ----------
    x : array (N, C, H, W)
        Any dtype for "nearest", otherwise floating point.
    size : int or (H', W'), pixels
    scale_factor : float or (factor of H, factor of W)
        Exactly one of `size` and `scale_factor` is given; H' = floor(H * factor), see
        `scaled_size`.
    mode : {"nearest", "bilinear", "bicubic"}
    align_corners : bool
        Not for "nearest": whether the corner pixels' centres, rather than the image's borders,
        stay in place.

    Returns
    -------
    array (N, C, H', W')

    Raises
    ------
    ValueError, TypeError
        If both or none of `size` and `scale_factor` are given, a size is below 1, the mode is
        unknown, or `align_corners` is asked of "nearest".

    Notes
    -----
    All but "nearest" is a matrix product: a pixel that is infinite or NaN may spoil its whole
    channel.

    Examples
    --------
    >>> import numpy as np
    >>> interpolate(np.array([[[[0.0, 4.0]]]]), size=(1, 4), mode="bilinear")
    array([[[[0., 1., 3., 4.]]]])
    """
    new, factors = _geometry(x, size, scale_factor)
    _check_mode(mode, align_corners)
    if mode != "nearest" and x.dtype.kind != "f":
        raise TypeError(f"interpolate: x has dtype {x.dtype}; {mode!r} needs floating point")
    if mode == "bicubic":
        return resample(x, *_matrices(x, x.shape[2:], new, mode, align_corners, factors))
    return interpolate_core(x, new, mode, align_corners, factors)


@accelerated
def resample(x: Array, a_h: Array, a_w: Array) -> Array:
    """Return A_h x A_wᵀ: (H', H) @ (N, C, H, W) @ (W, W') -> (N, C, H', W').

    Parameters
    ----------
    x : floating-point array (N, C, H, W)
    a_h, a_w : arrays (H', H) and (W', W)
        Of few numbers that are not 0, such as `interpolation_matrix` or some of its rows.
    """
    result: Array = a_h @ (x @ a_w.T)
    return result


@accelerated
def interpolate_core(
    x: Array, new: Pair, mode: str, align_corners: bool, factors: Factors
) -> Array:
    """`interpolate` to `new` pixels; a factor takes the place of the ratio of two sizes."""
    if mode == "nearest":  # a matrix with a single 1 in each row only selects
        xp, (height, width) = get_xp(x), x.shape[2:]
        rows = _nearest_index(xp, height, new[0], factors[0])
        columns = _nearest_index(xp, width, new[1], factors[1])
        return xp.take(xp.take(x, rows, axis=2), columns, axis=3)
    return resample(x, *_matrices(x, x.shape[2:], new, mode, align_corners, factors))


def _matrices(
    like: Array,
    size: Sequence[int],
    new: Sequence[int],
    mode: str,
    align_corners: bool,
    factors: Factors,
) -> tuple[Array, Array]:
    """Return A_h and A_w, from `size` to `new` pixels."""
    height, width = (
        interpolation_matrix(n, m, mode, align_corners, factor, like)
        for n, m, factor in zip(size, new, factors, strict=True)
    )
    return height, width


def interpolate_backward(
    dy: Array,
    input_size: Sequence[int],
    mode: str = "nearest",
    align_corners: bool = False,
    scale_factor: float | Sequence[float] | None = None,
) -> Array:
    """Return dL/dx of `interpolate`, shape `input_size`, from dL/dy: A_hᵀ dy A_w.

    Parameters
    ----------
    dy : array (N, C, H', W')
    input_size : (N, C, H, W) or (H, W)
        The shape of `x`.
    mode, align_corners, scale_factor
        What forward was given; `scale_factor` stays None where forward was given `size`.
    """
    _check_mode(mode, align_corners)
    height, width = input_size[-2:]
    factors = _factors(scale_factor)
    if mode == "bicubic":
        return _pull(dy, (height, width), mode, align_corners, factors)
    return interpolate_backward_core(dy, (height, width), mode, align_corners, factors)


@accelerated
def interpolate_backward_core(
    dy: Array, size: Pair, mode: str, align_corners: bool, factors: Factors
) -> Array:
    """`interpolate_backward` to an image of `size`."""
    return _pull(dy, size, mode, align_corners, factors)


@device_guard
def _pull(dy: Array, size: Pair, mode: str, align_corners: bool, factors: Factors) -> Array:
    a_h, a_w = _matrices(dy, size, dy.shape[2:], mode, align_corners, factors)
    return resample(dy, a_h.T, a_w.T)


def scaled_size(size: int, factor: float) -> int:
    """Return ``floor(size * factor)``, of the product that the factor stands for.

    A factor such as 120 / 88 is rounded, and 88 times it is 119.99999999999999. A product as near
    to an integer as two roundings can bring it is that integer.

    >>> scaled_size(88, 120 / 88), scaled_size(3, 1.5)
    (120, 4)
    """
    product = size * factor
    nearest = round(product)
    return nearest if abs(product - nearest) <= 2**-51 * nearest else math.floor(product)


def check_target(
    op: str,
    size: int | Sequence[int] | None,
    scale_factor: float | Sequence[float] | None,
    mode: str,
    align_corners: bool,
) -> None:
    """Raise what `interpolate` would whatever the image, in the name of `op`."""
    if not (isinstance(mode, str) and mode == "area"):
        _check_mode(mode, align_corners, op)
    elif align_corners:
        raise ValueError(f"{op}: align_corners is True; it has no meaning for 'area'")
    _check_one(op, size, scale_factor)
    _factors(scale_factor, op)
    if size is not None:
        check_at_least(pair(size, "size", op), 1, "size", op)


def target_size(
    x: Array, size: int | Sequence[int] | None, scale_factor: float | Sequence[float] | None
) -> Pair:
    """Return the (H', W') that `interpolate` makes of an image, or raise what it would."""
    return _geometry(x, size, scale_factor)[0]


def _check_one(op: str, size: Any, scale_factor: Any) -> None:
    if (size is None) == (scale_factor is None):
        both = "both" if size is not None else "neither"
        raise ValueError(f"{op}: {both} of size and scale_factor given; give exactly one")


def _check_mode(mode: str, align_corners: bool, op: str = "interpolate") -> None:
    check_choice(op, "mode", mode, _MODES)
    if align_corners and mode == "nearest":
        raise ValueError(
            f"{op}: align_corners is True; it only has a meaning for 'bilinear' and 'bicubic'"
        )


def _geometry(
    x: Array, size: int | Sequence[int] | None, scale_factor: float | Sequence[float] | None
) -> tuple[Pair, Factors]:
    if x.ndim != 4:
        raise ValueError(f"interpolate: x has shape {x.shape}; it must have 4 axes (N, C, H, W)")
    _check_one("interpolate", size, scale_factor)
    factors = _factors(scale_factor)
    if size is None:
        pairs = zip(x.shape[2:], factors, strict=True)
        size = [scaled_size(n, f) for n, f in pairs if f is not None]
    new = pair(size, "size", "interpolate")
    if min(*new, *x.shape[2:]) < 1:
        raise ValueError(
            f"interpolate: an image of {x.shape[2]} x {x.shape[3]} pixels cannot become "
            f"{new[0]} x {new[1]}; all four numbers must be at least 1"
        )
    return new, factors


def _factors(scale_factor: float | Sequence[float] | None, op: str = "interpolate") -> Factors:
    if scale_factor is None:
        return None, None
    try:
        both = scale_factor if isinstance(scale_factor, Sequence) else (scale_factor, scale_factor)
        height, width = (float(factor) for factor in both)
    except (TypeError, ValueError):
        raise TypeError(
            f"{op}: scale_factor is {scale_factor!r}; it must be a number or a pair of them"
        ) from None
    if not (0 < height < math.inf and 0 < width < math.inf):
        raise ValueError(f"{op}: scale_factor is {scale_factor!r}; it must be positive and finite")
    return height, width
