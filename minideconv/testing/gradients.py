"""Is ``backward`` the derivative of ``function``? Central differences against a random cotangent.

For a random cotangent dy and a random direction v, one number checks a whole array:

    d/dt <function(a + t v), dy>  at t = 0      ==      <backward(dy), v>

The cotangent is never ones: a batch norm whose backward returns zeros passes with ones, because the
sum of its output is constant. The differences are taken in float64 only, with two step sizes at a
time (Richardson's extrapolation), and once more with smaller steps if they disagree: a step that
jumps over a kink of max or ReLU recovers, and a point on the kink is distinguished from a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minideconv.testing.arrays import as_numpy
from minideconv.testing.differences import Inputs, Measured, Slope, basis

__all__ = ["GradientError", "KinkError", "check_gradients"]

_Array = npt.NDArray[Any]
_Grads = tuple[_Array | None, ...]

_MOST_COORDINATES = 20_000  # full differences on failure stop here


class GradientError(AssertionError):
    """A backward does not belong to its function."""


class KinkError(GradientError):
    """The function has no derivative at this point, so differences cannot check one."""


def check_gradients(
    function: Callable[..., Any],
    arrays: Sequence[_Array | None],
    backward: Callable[[_Array], Sequence[_Array | None]] | None = None,
    *,
    seed: int = 0,
    directions: int = 2,
    rtol: float = 1e-6,
    mode: Literal["directional", "full"] = "directional",
    allow_zero: bool = False,
) -> float:
    """Compare ``backward`` (or the tape) with central differences of ``function``.

    Parameters
    ----------
    function : callable
        ``function(*arrays)`` returns one array. Without `backward` it is given `minideconv.Tensor`s
        and must return one: then the tape is checked.
    arrays : sequence of float64 ndarray or None
        The point. None is handed through (an absent bias).
    backward : callable, optional
        ``backward(dy)`` returns a gradient for each of `arrays`; None = not checked.
    seed : int
        Seed of cotangent and directions.
    directions : int
        Random directions tried for each array (``mode="directional"``).
    rtol : float
        Largest difference, relative to the derivative. Rounding of the differences themselves is
        allowed for on top.
    mode : str
        "directional": 4 calls per array and direction. "full": every coordinate, 4 calls each.
    allow_zero : bool
        Accept a function whose derivative is zero everywhere; by default that is an error, because
        a backward that returns zeros would pass.

    Returns
    -------
    float
        The largest relative difference met.

    Raises
    ------
    TypeError
        If an array, the result or a gradient is not float64: in float32 a difference quotient
        keeps about three digits, and a bug hides in the rest.
    KinkError
        If the point is on a kink (a tie of max, ReLU at 0).
    GradientError
        If the gradients are wrong; the message names the argument, its worst coordinate and the
        factor if there is one. Also if a backward ignores its cotangent, is not linear in it,
        cannot be called twice, or changes what it is given.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> error = check_gradients(np.square, [x], lambda dy: (2 * x * dy,))
    >>> error < 1e-9
    True
    >>> check_gradients(np.square, [x], lambda dy: (2.001 * x * dy,))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    minideconv.testing.gradients.GradientError: argument 0 ... 1.0005 times ...
    """
    kept = [None if a is None else _float64(a, f"argument {i}") for i, a in enumerate(arrays)]
    forward: Callable[[Inputs], _Array]
    if backward is None:
        forward, pullback = _on_tape(function, kept)
    else:
        forward, pullback = (lambda inputs: as_numpy(function(*inputs))), backward
    inputs: Inputs = [None if a is None else a.copy() for a in kept]
    output = _float64(forward(inputs), "the result").copy()
    _unchanged(kept, inputs, "function")
    if not np.isfinite(output).all():
        raise GradientError("the function's result is not finite at this point")
    if not np.array_equal(output, forward(inputs)):
        raise GradientError(
            "the function gives different results for equal arguments: if it draws random numbers, "
            "make a generator with a fixed seed inside it"
        )
    rng = np.random.default_rng([seed, 0xD1FF])
    dy = np.asarray(rng.standard_normal(output.shape))
    grads = _gradients(pullback, dy, kept)
    _cotangent_rules(pullback, dy, grads, kept)

    worst, moved = 0.0, False
    for position, (array, grad) in enumerate(zip(kept, grads, strict=True)):
        if array is None or grad is None or array.size == 0:
            continue
        slope = Slope(forward, kept, position, dy)
        for v in _directions(array.shape, rng, directions, mode):
            claimed = float(np.vdot(grad, v))
            measured = slope.measure(v, claimed, rtol)
            if not measured.agrees:  # before anything is blamed: what did rounding do?
                slope.measure_rounding(rng)
                rounding = _rounding(pullback, dy, kept, position, v, claimed)
                measured = slope.measure(v, claimed, rtol, rounding)
            moved = moved or measured.significant
            if not measured.agrees:
                raise _failure(slope, v, measured, claimed, grad, rtol)
            worst = max(worst, measured.relative)
    if not moved and not allow_zero and any(g is not None and g.size for g in grads):
        raise GradientError(
            "vacuous: the function does not change in any direction tried, so a backward that "
            "returns zeros passes; choose other data, or allow_zero=True if this is meant"
        )
    return worst


def _float64(array: Any, what: str) -> _Array:
    host = as_numpy(array)
    if host.dtype != np.float64:
        raise TypeError(
            f"check_gradients: {what} is {host.dtype}, it must be float64; a difference quotient "
            f"loses half of the digits, of which {host.dtype} has too few to distinguish a bug "
            "from rounding"
        )
    return host


def _unchanged(before: Inputs, after: Inputs, caller: str) -> None:
    for position, (a, b) in enumerate(zip(before, after, strict=True)):
        if a is not None and not np.array_equal(a, b):  # type: ignore[arg-type]
            raise GradientError(f"{caller} changed its argument {position} {a.shape}")


def _on_tape(
    function: Callable[..., Any], kept: Inputs
) -> tuple[Callable[[Inputs], _Array], Callable[[_Array], Sequence[_Array | None]]]:
    """Turn a function of Tensors into a function of arrays and its backward (a fresh tape each)."""
    from minideconv.autograd import Tensor, no_grad

    def forward(inputs: Inputs) -> _Array:
        with no_grad():
            result = function(*(None if a is None else Tensor(a.copy()) for a in inputs))
        if not isinstance(result, Tensor):
            raise TypeError(
                f"check_gradients: function returned {type(result).__name__}; without `backward` "
                "it takes and returns Tensors"
            )
        return as_numpy(result.data)

    def pullback(dy: _Array) -> Sequence[_Array | None]:
        tensors = [None if a is None else Tensor(a.copy(), requires_grad=True) for a in kept]
        result = function(*tensors)
        if not result.requires_grad:
            raise GradientError("the function's result is not connected to any of its arguments")
        result.backward(Tensor(dy))
        _unchanged(kept, [None if t is None else as_numpy(t.data) for t in tensors], "the tape")
        # No gradient on the tape claims "does not depend on it", which can be checked: zeros.
        return [
            None
            if t is None or a is None
            else (np.zeros_like(a) if t.grad is None else as_numpy(t.grad))
            for t, a in zip(tensors, kept, strict=True)
        ]

    return forward, pullback


def _gradients(pullback: Callable[[_Array], Sequence[Any]], dy: _Array, kept: Inputs) -> _Grads:
    """Call backward once and check what it returned against its arguments."""
    given = dy.copy()
    result = pullback(given)
    if not np.array_equal(given, dy):
        raise GradientError("backward changed the cotangent it was given")
    got = len(result) if isinstance(result, (tuple, list)) else type(result).__name__
    if got != len(kept):
        raise GradientError(
            f"backward must return a tuple of {len(kept)} gradients, one for each argument (None = "
            f"not checked); it returned {got}"
        )
    grads: list[_Array | None] = [None] * len(kept)
    for position, (grad, array) in enumerate(zip(result, kept, strict=True)):
        if grad is None or array is None:
            continue
        host = _float64(grad, f"the gradient of argument {position}")
        if host.shape != array.shape:
            raise GradientError(
                f"the gradient of argument {position} has shape {host.shape}, the argument has "
                f"{array.shape}"
            )
        if not np.isfinite(host).all():
            raise GradientError(f"the gradient of argument {position} is not finite")
        grads[position] = host.copy()
    if all(grad is None for grad in grads):
        raise GradientError("backward returned no gradient at all: nothing to check")
    return tuple(grads)


def _cotangent_rules(
    pullback: Callable[[_Array], Sequence[Any]], dy: _Array, grads: _Grads, kept: Inputs
) -> None:
    """Check that backward is a linear map of its cotangent, and that a call leaves no trace.

    The factor is a power of two: floating point numbers are multiplied by it without rounding, so a
    linear backward returns the multiple exactly, also where large terms cancel and leave little but
    their rounding, which with any other factor is another.
    """
    for scale, what in (
        (1.0, "a second call of backward gives another gradient of argument {}: it keeps state"),
        (0.0, "a zero cotangent gives a non-zero gradient of argument {}: backward does not "
              "multiply by its cotangent"),
        (-4.0, "-4 times the cotangent does not give -4 times the gradient of argument {}: "
               "backward is not linear in its cotangent"),
    ):  # fmt: skip
        again = _gradients(pullback, scale * dy, kept)
        for position, (grad, other) in enumerate(zip(grads, again, strict=True)):
            if (grad is None) != (other is None):
                raise GradientError(what.format(position))
            if grad is None or other is None:
                continue
            allowed = 1e-12 * abs(scale) * float(np.linalg.norm(grad.ravel()))
            if not float(np.linalg.norm((other - scale * grad).ravel())) <= allowed:
                raise GradientError(what.format(position))


def _rounding(
    pullback: Callable[[_Array], Sequence[Any]],
    dy: _Array,
    kept: Inputs,
    position: int,
    v: _Array,
    claimed: float,
) -> float:
    """Return the rounding of a claimed derivative: what a rounding error in the cotangent changes.

    Where the terms of a gradient cancel, that is far more than a rounding error of what is left.
    Three times the cotangent is rounded elsewhere than the cotangent, at every step inside.
    """
    changes = []
    for scale in (3.0, 5.0, 7.0):
        grad = _gradients(pullback, scale * dy, kept)[position]
        assert grad is not None
        changes.append(abs(float(np.vdot(grad, v)) / scale - claimed))
    return 8 * max(changes)


def _directions(
    shape: tuple[int, ...], rng: np.random.Generator, count: int, mode: str
) -> list[_Array]:
    if mode == "directional":
        return [np.asarray(rng.standard_normal(shape)) for _ in range(count)]
    if mode != "full":
        raise ValueError(f"check_gradients: mode is {mode!r}; it must be 'directional' or 'full'")
    return [basis(shape, i) for i in range(int(np.prod(shape)))]


def _failure(
    slope: Slope, v: _Array, measured: Measured, claimed: float, grad: _Array, rtol: float
) -> GradientError:
    """Return the error: a kink if there is one, else which coordinate is wrong, and by a factor."""
    where = f"argument {slope.position} {slope.array.shape}"
    if slope.has_kink(v, abs(measured.value - claimed)):
        return KinkError(
            f"{where}: the function has a kink at or near this point (left and right derivatives "
            "differ), so differences cannot check it; use values(..., kind='distinct'), which has "
            "neither ties nor zeros"
        )
    count = slope.array.size
    lines = [
        f"{where}: along a random direction the derivative is {measured.value:.9g}, "
        f"backward returned {claimed:.9g}"
    ]
    if count <= _MOST_COORDINATES:
        shape, h = slope.array.shape, measured.step
        numeric = np.array([slope.central(basis(shape, i), h).value for i in range(count)])
        numeric = numeric.reshape(shape)
        worst = np.unravel_index(int(np.abs(numeric - grad).argmax()), grad.shape)
        wrong = int((np.abs(numeric - grad) > 1e-4 * np.abs(numeric).max()).sum())
        index = [int(i) for i in worst]
        lines.append(
            f"worst coordinate {index}: numeric {numeric[worst]:.9g}, backward {grad[worst]:.9g}; "
            f"{wrong} of {count} coordinates are off"
        )
        norm = float(np.vdot(numeric, numeric))
        factor = float(np.vdot(numeric, grad)) / norm if norm else 0.0
        rest = float(np.linalg.norm((grad - factor * numeric).ravel()))
        if factor and rest <= 1e-5 * float(np.linalg.norm(grad.ravel())):
            lines.append(f"the whole gradient is {factor:.6g} times what it should be")
        elif not grad.any():
            lines.append("backward returned zeros")
    return GradientError("; ".join(lines) + f" (rtol {rtol:g})")
