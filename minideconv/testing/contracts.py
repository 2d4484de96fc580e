"""What every array function promises, whatever it computes.

It leaves its inputs alone, keeps their dtype, gives the same answer twice, and takes arrays of any
strides (transposed, strided, reversed) for what they contain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.testing.arrays import as_numpy, integer_valued

__all__ = ["ContractError", "check_contract", "noncontiguous"]

_Array = npt.NDArray[Any]


class ContractError(AssertionError):
    """A function broke one of the promises of `check_contract`."""


def noncontiguous(array: _Array) -> Iterator[tuple[str, _Array]]:
    """Yield (name, view) pairs: views equal to `array` whose memory is laid out differently."""
    yield "Fortran-ordered", np.asfortranarray(array)
    if array.ndim:
        spaced = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        spaced[..., ::2] = array
        yield "every second column of a wider array", spaced[..., ::2]
        yield "reversed twice", array[::-1].copy()[::-1]
    if array.ndim == 4:
        last = array.transpose(0, 2, 3, 1).copy()
        yield "channels-last", last.transpose(0, 3, 1, 2)


def check_contract(
    function: Callable[..., Any],
    arrays: Sequence[_Array],
    *,
    shape: tuple[int, ...] | None = None,
    dtypes: Sequence[npt.DTypeLike] = (np.float32, np.float64),
    deterministic: bool = True,
    views: bool = True,
    finite: bool = True,
    safety: float = 64,
) -> None:
    """Check that ``function(*arrays)`` keeps the promises of an op.

    Parameters
    ----------
    function : callable
        Takes arrays, returns an array or a tuple; parts that are not arrays are ignored.
    arrays : sequence of ndarray
        Inputs. Floating ones are cast to each of `dtypes` in turn, others are left as they are.
    shape : tuple of int, optional
        The shape that the (first) result must have.
    dtypes : sequence of dtype
        Floating types to try; the floating results must have the same one.
    deterministic, views, finite : bool
        Which promises to check beside shape, dtype and untouched inputs.
    safety : float
        Results of other memory layouts may differ by ``safety * eps`` of the norm, not at all if
        they are integer-valued. Where terms cancel and leave a result that is small beside them,
        by ``safety`` times what rounding errors in the arguments change.

    Raises
    ------
    ContractError
        One sentence naming the promise and the argument.
    """
    for dtype in dtypes:
        given = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
        kept = [a.copy() for a in given]
        results = _arrays(function(*given))
        for position, (before, after) in enumerate(zip(kept, given, strict=True)):
            if not np.array_equal(before, after, equal_nan=before.dtype.kind == "f"):
                raise ContractError(f"the function changed its argument {position} {before.shape}")
        if not results:
            raise ContractError("the function returned no array")
        if shape is not None and results[0].shape != tuple(shape):
            raise ContractError(f"the result has shape {results[0].shape}, not {tuple(shape)}")
        for result in results:
            if result.dtype.kind == "f" and result.dtype != np.dtype(dtype):
                raise ContractError(f"{np.dtype(dtype)} inputs gave a {result.dtype} result")
            if finite and result.dtype.kind == "f" and not np.isfinite(result).all():
                raise ContractError("the result is not finite although the inputs are")
        results = [result.copy() for result in results]
        if deterministic:
            again = _arrays(function(*given))
            if not all(np.array_equal(r, s, equal_nan=True) for r, s in _both(results, again)):
                raise ContractError("two calls with equal arguments gave different results")
        if views:
            for position, array in enumerate(given):
                for name, view in noncontiguous(array):
                    changed = [*given[:position], view, *given[position + 1 :]]
                    what = f"argument {position} given as {name}"
                    for number, (want, got) in enumerate(
                        _both(results, _arrays(function(*changed)))
                    ):
                        if not _same(want, got, what, safety * _eps(want) * _norm(want)):
                            rounding = safety * _rounding(function, given, results, number)
                            if not _same(want, got, what, rounding):
                                raise ContractError(
                                    f"{what} changed the result: strides must not matter"
                                )


def _arrays(result: Any) -> list[_Array]:
    parts = result if isinstance(result, (tuple, list)) else (result,)
    return [as_numpy(part) for part in parts if hasattr(part, "dtype") and hasattr(part, "shape")]


def _both(first: list[_Array], second: list[_Array]) -> Iterator[tuple[_Array, _Array]]:
    if len(first) != len(second):
        raise ContractError(f"one call returned {len(first)} arrays, another {len(second)}")
    yield from zip(first, second, strict=True)


def _eps(array: _Array) -> float:
    return float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 0.0


def _norm(array: _Array) -> float:
    return float(np.linalg.norm(array.ravel())) if array.dtype.kind == "f" else 0.0


def _rounding(
    function: Callable[..., Any], given: list[_Array], results: list[_Array], number: int
) -> float:
    """Return how far a result moves when its arguments change by rounding errors."""
    rng = np.random.default_rng(0x57)
    moved = 0.0
    for _ in range(4):
        nudged = [
            (a * (1 + 2 * _eps(a) * rng.integers(-2, 3, a.shape))).astype(a.dtype)
            if a.dtype.kind == "f"
            else a
            for a in given
        ]
        changed = _arrays(function(*nudged))[number]
        if changed.dtype.kind == "f" and changed.shape == results[number].shape:
            moved = max(moved, _norm(changed - results[number]))
    return moved


def _same(want: _Array, got: _Array, what: str, allowed: float) -> bool:
    if want.shape != got.shape:
        raise ContractError(f"{what} changed the result's shape from {want.shape} to {got.shape}")
    if want.dtype != got.dtype:
        raise ContractError(f"{what} changed the result's dtype from {want.dtype} to {got.dtype}")
    if want.dtype.kind != "f" or integer_valued(want, got):
        return bool(np.array_equal(want, got))
    return _norm(want - got) <= allowed
