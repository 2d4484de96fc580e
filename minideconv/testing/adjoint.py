"""The dot test: whether ``adjoint`` really is the transpose of ``forward``.

    <forward(x), y>  ==  <x, adjoint(y)>      for all x, y

With integer-valued data both sides are computed without rounding and compared by ``==``. With other
data the difference is measured against the *norms*, eps (|Ax| |y| + |x| |A*y|): relative to the
inner products themselves, correct float32 code fails whenever a sum happens to cancel. Where A x
and A* y are small because their terms cancel (differences of data with a large mean), their
rounding is that of the terms, |A| |x| |y|: the norm of A is then measured on random data.

The identity alone cannot see a mistake made on both sides (a kernel flipped in both, the pair of
zero maps): pair it with an anchor such as a delta kernel or a naive loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.testing.arrays import as_numpy, integer_valued, values
from minideconv.testing.differences import basis

__all__ = ["AdjointError", "LinearityError", "as_matrix", "check_adjoint", "check_linear"]

_Array = npt.NDArray[Any]
_Map = Callable[[Any], Any]


class AdjointError(AssertionError):
    """Two maps that should be adjoint are not, or the data could not have shown it."""


class LinearityError(AssertionError):
    """A map that should be linear is not."""


def check_adjoint(
    forward: _Map,
    adjoint: _Map,
    x: Any,
    y: Any,
    *,
    exact: bool | None = None,
    safety: float = 8,
) -> None:
    """Check ``<forward(x), y> == <x, adjoint(y)>``.

    Parameters
    ----------
    forward, adjoint : callable
        Linear maps from arrays shaped like `x` to arrays shaped like `y`, and back.
    x, y : array
        Data; NumPy or CuPy. Inner products are taken in float64 whatever their dtype.
    exact : bool, optional
        True compares by ``==``; False by the tolerance; None (default) is True if all of x, y,
        forward(x), adjoint(y) are integer-valued and the sums stay below 2**53.
    safety : float
        The tolerance is ``safety * eps * (|Ax| |y| + |x| |A*y|)`` with eps of the least precise
        of the four dtypes; where that fails, with the size of the terms, ``|A| |x| |y|``, on top.

    Raises
    ------
    AdjointError
        If the sides differ (the message gives both, and the factor between them), if a shape is
        wrong, if a value is not finite, or if both sides vanish so that nothing was tested. Sums
        that happen to cancel are first tried again with the signs of the data changed.

    Notes
    -----
    Also known as the dot-product test. The fitted factor reveals a forgotten scale at a glance.

    Examples
    --------
    >>> A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> check_adjoint(lambda x: A @ x, lambda y: A.T @ y, np.ones(3), np.ones(2))
    >>> wrong = lambda y: 2 * A.T @ y
    >>> check_adjoint(lambda x: A @ x, wrong, np.ones(3), np.ones(2))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    minideconv.testing.adjoint.AdjointError: not adjoint: <A x, y> = 21 but <x, A* y> = 42 ...
    """
    if _informative(forward, adjoint, x, y, exact, safety):
        return
    # Both sides vanish. With signs aligned to A x (or to A* y) nothing can cancel any more.
    for x2, y2 in _retries(forward, adjoint, x, y):
        if _informative(forward, adjoint, x2, y2, exact, safety):
            return
    raise AdjointError(
        f"vacuous: <A x, y> = <x, A* y> = 0 for x {_shape(x)} and y {_shape(y)}, also after other "
        "data were tried; a pair of zero maps would pass too, so this proves nothing"
    )


def _like(array: Any, data: _Array) -> Any:
    """Return `data` with the dtype of `array`, on its device."""
    if isinstance(array, np.ndarray):
        return data.astype(array.dtype)
    from minideconv.backend import get_xp

    return get_xp(array).asarray(data.astype(array.dtype))


def _size(function: _Map, x: Any) -> float:
    """Return the size of the terms of a linear map's sums, |A| |x|, by its norm on random signs."""
    host = as_numpy(x)
    most = 0.0
    for seed in (1, 2):
        signs = np.sign(values(host.shape, 104_729 * seed, "integer"))
        most = max(most, float(np.linalg.norm(as_numpy(function(_like(x, signs))).ravel())))
    return most / max(host.size, 1) ** 0.5 * float(np.linalg.norm(host.ravel().astype(np.float64)))


def _rounded(function: _Map, x: Any) -> bool:
    """Return whether the terms may be too large to be summed exactly in the dtype of x."""
    host = as_numpy(x)
    limit = 2.0 ** np.finfo(host.dtype).nmant if host.dtype.kind == "f" else 2.0**52
    return _size(function, x) * max(host.size, 1) ** 0.5 >= limit


def _retries(forward: _Map, adjoint: _Map, x: Any, y: Any) -> Any:
    """Yield other data on which the two sides vanish only if the maps do."""
    host_x, host_y = as_numpy(x), as_numpy(y)
    for attempt in range(4):
        if attempt:
            host_x = values(host_x.shape, 7919 * attempt, "integer")
            host_y = values(host_y.shape, 7919 * attempt + 1, "integer")
        a_x = as_numpy(forward(_like(x, host_x)))
        at_y = as_numpy(adjoint(_like(y, host_y)))
        if a_x.any():
            yield _like(x, host_x), _like(y, np.where(a_x < 0, -1, 1) * np.abs(host_y))
        if at_y.any():
            yield _like(x, np.where(at_y < 0, -1, 1) * np.abs(host_x)), _like(y, host_y)


def _informative(
    forward: _Map, adjoint: _Map, x: Any, y: Any, exact: bool | None, safety: float
) -> bool:
    """Compare the two sides; return whether they were large enough to mean anything."""
    a_x, at_y = as_numpy(forward(x)), as_numpy(adjoint(y))
    given_x, given_y, x, y = x, y, as_numpy(x), as_numpy(y)
    for name, got, want in (("forward(x)", a_x, y), ("adjoint(y)", at_y, x)):
        if got.shape != want.shape:
            raise AdjointError(
                f"{name} has shape {got.shape} but must have shape {want.shape}, "
                f"for x {x.shape} and y {y.shape}"
            )
        if not np.isfinite(got).all():
            raise AdjointError(f"{name} is not finite, for x {x.shape} and y {y.shape}")

    four = [a.astype(np.float64).ravel() for a in (a_x, y, x, at_y)]
    left, right = float(four[0] @ four[1]), float(four[2] @ four[3])
    norm_ax, norm_y, norm_x, norm_aty = (float(np.linalg.norm(a)) for a in four)
    scale = norm_ax * norm_y + norm_x * norm_aty
    floats = [a.dtype for a in (a_x, y, x, at_y) if a.dtype.kind == "f"]
    eps = max((float(np.finfo(dtype).eps) for dtype in floats), default=0.0)
    integers = integer_valued(a_x, y, x, at_y) and scale < 2.0**52
    tolerance = 0.0 if exact or (exact is None and integers) else safety * eps * scale
    if not abs(left - right) <= tolerance and exact is not True:
        # Before anything is blamed: the sums inside may have had larger terms than their results.
        terms = _size(forward, given_x) * norm_y + norm_x * _size(adjoint, given_y)
        if not integers or _rounded(forward, given_x) or _rounded(adjoint, given_y):
            tolerance = safety * eps * (scale + terms)
    if not abs(left - right) <= tolerance:
        why = (
            "integer-valued data must agree exactly"
            if tolerance == 0
            else f"they differ by {abs(left - right):.3g}, allowed is {tolerance:.3g} "
            f"= {safety:g} eps (|Ax||y| + |x||A*y|)"
        )
        raise AdjointError(
            f"not adjoint: <A x, y> = {left:.12g} but <x, A* y> = {right:.12g} for "
            f"x {x.shape} and y {y.shape}; {why}; {_factor(left, right)}"
        )
    return max(abs(left), abs(right)) > tolerance


def _factor(left: float, right: float) -> str:
    if right == 0:
        return "the right side is 0: the adjoint misses these entries"
    if left == 0:
        return "the left side is 0: forward misses these entries"
    return f"the factor <A x, y> / <x, A* y> is {left / right:.6g}"


def _shape(array: Any) -> tuple[int, ...]:
    return tuple(as_numpy(array).shape)


def check_linear(
    function: _Map,
    x1: Any,
    x2: Any,
    *,
    scales: tuple[float, float] = (2.0, -3.0),
    safety: float = 64,
) -> None:
    """Check ``f(a x1 + b x2) == a f(x1) + b f(x2)`` with ``a, b = scales``.

    Exact on integer-valued data; otherwise within ``safety * eps`` of the norms of f(x1) and f(x2),
    or, where their terms cancel, of those of the terms.

    Raises
    ------
    LinearityError
        With the place and size of the worst difference.
    """
    a, b = scales
    f1, f2, got = (as_numpy(function(x)) for x in (x1, x2, a * x1 + b * x2))
    want = a * f1 + b * f2
    if got.shape != want.shape:
        raise LinearityError(f"f(a x1 + b x2) has shape {got.shape}, f(x1) has {want.shape}")
    integers = integer_valued(f1, f2, got, as_numpy(x1), as_numpy(x2))
    eps = float(np.finfo(got.dtype).eps) if got.dtype.kind == "f" else 0.0
    tolerance = 0.0
    if not integers:
        norm = abs(a) * float(np.linalg.norm(f1)) + abs(b) * float(np.linalg.norm(f2))
        tolerance = safety * eps * norm
    difference = np.abs(got.astype(np.float64) - want.astype(np.float64))
    worst = float(np.max(difference, initial=0.0))
    if not worst <= tolerance and (
        not integers or _rounded(function, x1) or _rounded(function, x2)
    ):
        # The sums inside may have had larger terms than their results.
        terms = abs(a) * _size(function, x1) + abs(b) * _size(function, x2)
        tolerance = max(tolerance, safety * eps * terms)
    if not worst <= tolerance:
        where = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), got.shape))
        raise LinearityError(
            f"not linear: at {list(where)} f({a:g} x1 + {b:g} x2) = {got[where]:.12g} "
            f"but {a:g} f(x1) + {b:g} f(x2) = {want[where]:.12g}, for x {as_numpy(x1).shape}"
        )


def as_matrix(
    function: _Map, in_shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64
) -> _Array:
    """Return the matrix of a linear map by feeding it the basis vectors, one column each.

    Examples
    --------
    >>> as_matrix(lambda x: x[1:] - x[:-1], (3,))
    array([[-1.,  1.,  0.],
           [ 0., -1.,  1.]])
    """
    columns = [
        as_numpy(function(basis(in_shape, i).astype(dtype))).ravel().copy()
        for i in range(int(np.prod(in_shape)))
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((0, 0), dtype)
