"""Identities of linear operators: three that are one trilinear form, and a map that is a matrix.

    <f(x, w), y>  ==  <x, f_x(y, w)>  ==  <w, f_w(x, y)>
    f(x).ravel()  ==  A @ x.ravel(),     g(y).ravel()  ==  A.T @ y.ravel()

Results for integers are compared by ``==``; others relative to the terms that are added up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.testing.adjoint import AdjointError, LinearityError, check_adjoint, check_linear
from minideconv.testing.arrays import as_numpy, integer_valued, values
from minideconv.testing.differences import basis

__all__ = ["MatrixError", "check_matrix", "check_trilinear"]

_Array = npt.NDArray[Any]
_Two = Callable[[Any, Any], Any]


class MatrixError(AssertionError):
    """A map is not the matrix that it should be."""


def check_trilinear(
    form: _Two,
    adjoint_x: _Two,
    adjoint_w: _Two,
    x: Any,
    w: Any,
    y: Any,
    *,
    safety: float = 8,
) -> None:
    """Check ``<form(x, w), y> == <x, adjoint_x(y, w)> == <w, adjoint_w(x, y)>``.

    Parameters
    ----------
    form : callable
        ``form(x, w)`` returns an array shaped like `y`, linear in x and in w.
    adjoint_x, adjoint_w : callable
        ``adjoint_x(y, w)`` returns an array shaped like `x`, ``adjoint_w(x, y)`` one like `w`.
    x, w, y : array
        Data; NumPy or CuPy.
    safety : float
        See `check_adjoint`.

    Raises
    ------
    AdjointError, LinearityError
        Which of the three is off, and by which factor; or that nothing was tested.

    Notes
    -----
    A mistake made in all three the same way (a kernel flipped everywhere) keeps the identity: pair
    it with an anchor, `check_delta`.

    Examples
    --------
    >>> x, w, y = np.array([1.0, 2.0]), np.array([3.0]), np.array([4.0, 5.0])
    >>> check_trilinear(
    ...     lambda x, w: x * w, lambda y, w: y * w, lambda x, y: (x * y).sum(keepdims=True), x, w, y
    ... )
    >>> check_trilinear(
    ...     lambda x, w: x * w, lambda y, w: y * w, lambda x, y: x[:1] * y[:1], x, w, y
    ... )  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    minideconv.testing.adjoint.AdjointError: adjoint_w: not adjoint: ...
    """
    pairs = (
        ("adjoint_x", lambda x: form(x, w), lambda y: adjoint_x(y, w), x),
        ("adjoint_w", lambda w: form(x, w), lambda y: adjoint_w(x, y), w),
    )
    for name, forward, adjoint, point in pairs:
        try:
            check_adjoint(forward, adjoint, point, y, safety=safety)
        except AdjointError as error:
            raise AdjointError(f"{name}: {error}") from None
    for name, function, point in (
        ("form in x", lambda x: form(x, w), x),
        ("form in w", lambda w: form(x, w), w),
        ("adjoint_x in w", lambda w: adjoint_x(y, w), w),
        ("adjoint_w in x", lambda x: adjoint_w(x, y), x),
    ):
        try:
            check_linear(function, point, _other(point))
        except LinearityError as error:
            raise LinearityError(f"{name}: {error}") from None


def _other(array: Any) -> Any:
    """Return other data of the same shape, dtype and device."""
    return array[tuple(slice(None, None, -1) for _ in array.shape)] + array


def check_matrix(
    function: Callable[[Any], Any],
    matrix: Any,
    in_shape: tuple[int, ...],
    *,
    transpose: Callable[[Any], Any] | None = None,
    out_shape: tuple[int, ...] | None = None,
    dtype: npt.DTypeLike = np.float64,
    safety: float = 64,
) -> None:
    """Check that a map is a matrix: ``function(x).ravel() == matrix @ x.ravel()``.

    Parameters
    ----------
    function : callable
        Takes an array of `in_shape`.
    matrix : array or scipy.sparse matrix, shape (M, N)
        N is the number of entries of the input, M that of the result.
    in_shape : tuple of int
        Shape of the input.
    transpose : callable, optional
        ``transpose(y)`` must be ``matrix.T @ y.ravel()``; needs `out_shape`.
    out_shape : tuple of int, optional
        Shape that the result must have.
    dtype : dtype
        Of the arrays that the functions are given.
    safety : float
        Entries may differ by ``safety * eps`` times the sum of the sizes of their terms; not at
        all if they are integers.

    Raises
    ------
    MatrixError
        The first wrong entry: which input reaches which output, with which factor, and which it
        must be.
    ValueError
        If the matrix has another number of columns than the input has entries.

    Examples
    --------
    >>> A = np.array([[-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]])
    >>> check_matrix(lambda x: x[1:] - x[:-1], A, (3,))
    >>> check_matrix(lambda x: x[:-1] - x[1:], A, (3,))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    minideconv.testing.identities.MatrixError: function: x[0] reaches y[0] times 1, must be ...
    """
    dense = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else as_numpy(matrix))
    if dense.ndim != 2 or dense.shape[1] != int(np.prod(in_shape, dtype=int)):
        raise ValueError(
            f"check_matrix: the matrix has shape {dense.shape}; for an input of shape {in_shape} "
            f"it must have {int(np.prod(in_shape, dtype=int))} columns"
        )
    _is_matrix("function", function, dense, in_shape, out_shape, dtype, safety, ("x", "y"))
    if transpose is not None:
        if out_shape is None:
            raise ValueError("check_matrix: transpose needs out_shape, the shape of its argument")
        _is_matrix("transpose", transpose, dense.T, out_shape, in_shape, dtype, safety, ("y", "x"))


def _is_matrix(
    what: str,
    function: Callable[[Any], Any],
    dense: _Array,
    in_shape: tuple[int, ...],
    out_shape: tuple[int, ...] | None,
    dtype: npt.DTypeLike,
    safety: float,
    names: tuple[str, str],
) -> None:
    def result(x: _Array) -> _Array:
        y = as_numpy(function(x.astype(dtype)))
        if y.size != dense.shape[0] or (out_shape is not None and y.shape != tuple(out_shape)):
            wanted = out_shape if out_shape is not None else f"{dense.shape[0]} entries"
            raise MatrixError(f"{what}: the result has shape {y.shape}, must have {wanted}")
        return y

    def wrong(y: _Array, want: _Array, terms: _Array) -> _Array:
        flat = y.ravel().astype(np.float64)
        eps = float(np.finfo(y.dtype).eps) if y.dtype.kind == "f" else 0.0
        exact = integer_valued(y, want)
        with np.errstate(invalid="ignore"):
            return ~(np.abs(flat - want) <= (0.0 if exact else safety * eps * terms))

    zero = result(np.zeros(in_shape))
    if zero.any():
        raise MatrixError(f"{what}: it is not 0 for zeros, so it is no linear map (a bias?)")
    count = 0
    first = ""
    for column in range(dense.shape[1]):
        y, want = result(basis(in_shape, column)), dense[:, column]
        # An implementation by a transform rounds relative to the whole column.
        bad = wrong(y, want, np.full(want.shape, float(np.linalg.norm(want))))
        count += int(bad.sum())
        if bad.any() and not first:
            row = int(bad.argmax())
            source = _place(names[0], column, in_shape)
            target = _place(names[1], row, y.shape)
            first = (
                f"{source} reaches {target} times {y.ravel()[row]:.9g}, "
                f"must be times {want[row]:.9g}"
            )
    if first:
        raise MatrixError(f"{what}: {first}; {count} of {dense.size} entries are wrong")
    for seed in (0, 1):
        x = values(in_shape, seed)
        y, want = result(x), dense @ x.ravel()
        bad = wrong(y, want, np.abs(dense) @ np.abs(x.ravel()))
        if bad.any():
            row = int(bad.argmax())
            raise MatrixError(
                f"{what}: right for each entry by itself, but not for several at once: "
                f"{_place(names[1], row, y.shape)} is {y.ravel()[row]:.9g}, must be "
                f"{want[row]:.9g}; it is not linear"
            )


def _place(name: str, index: int, shape: tuple[int, ...]) -> str:
    place = ", ".join(str(int(i)) for i in np.unravel_index(index, shape))
    return f"{name}[{place}]" if shape else name
