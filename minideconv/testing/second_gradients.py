"""Is a gradient of a gradient right? `check_gradients` of the function that returns gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.testing.arrays import as_numpy
from minideconv.testing.gradients import check_gradients

__all__ = ["check_second_gradients"]

_Array = npt.NDArray[Any]


def check_second_gradients(
    function: Callable[..., Any],
    arrays: Sequence[_Array | None],
    *,
    seed: int = 0,
    directions: int = 2,
    rtol: float = 1e-6,
) -> float:
    """Compare gradients of gradients with central differences of gradients.

    For a random cotangent dy, the gradients of ``<function(*arrays), dy>`` by each of `arrays` are
    themselves a function, of `arrays` and of dy. What ``create_graph=True`` makes of it is compared
    with differences of it, by `check_gradients`. A linear function's gradients change with dy only.

    Parameters
    ----------
    function : callable
        Takes `minideconv.Tensor`s and returns one.
    arrays : sequence of float64 ndarray or None
        The point; None is handed through (an absent bias).
    seed, directions, rtol
        See `check_gradients`.

    Returns
    -------
    float
        The largest relative difference met.

    Raises
    ------
    GradientError
        If a second gradient is wrong, see `check_gradients`. The arguments count on: the last is
        the cotangent.
    RuntimeError
        If an operation states no differentiable backward.

    Examples
    --------
    >>> check_second_gradients(lambda x: x**3, [np.array([1.0, 2.0])]) < 1e-9
    True
    """
    from minideconv.autograd import Tensor, grad

    given = [None if a is None else np.asarray(a) for a in arrays]

    def gradients(
        point: Sequence[_Array | None], create_graph: bool
    ) -> tuple[list[Any], list[tuple[Any, Any]]]:
        """Return the Tensors, and each of the function's arguments with its gradient."""
        *parts, dy = [None if a is None else Tensor(a.copy(), requires_grad=True) for a in point]
        inputs = [part for part in parts if part is not None]
        found = grad(function(*parts), inputs, dy, create_graph=create_graph, allow_unused=True)
        return [*parts, dy], list(zip(inputs, found, strict=True))

    def forward(*point: _Array | None) -> _Array:
        _, pairs = gradients(point, create_graph=False)
        return np.concatenate(
            [np.zeros(x.size) if dx is None else as_numpy(dx).ravel() for x, dx in pairs]
        )

    # Gradients are wanted, so that `function` may ask for some itself; then third ones are checked.
    once = function(*(None if a is None else Tensor(a.copy(), requires_grad=True) for a in given))
    dy = np.random.default_rng([seed, 0xD2]).standard_normal(once.shape)
    point = [*given, dy]

    def backward(cotangent: _Array) -> list[_Array | None]:
        tensors, pairs = gradients(point, create_graph=True)
        ends = np.cumsum([x.size for x, _ in pairs])[:-1]
        parts = np.split(cotangent, ends)
        outputs = [
            (dx, Tensor(part.reshape(x.shape).copy()))
            for (x, dx), part in zip(pairs, parts, strict=True)
            if dx is not None and dx.requires_grad
        ]
        inputs = [tensor for tensor in tensors if tensor is not None]
        starts, sent = [dx for dx, _ in outputs], [part for _, part in outputs]
        found = iter(grad(starts, inputs, sent, allow_unused=True))
        return [
            None if tensor is None
            else np.zeros(tensor.shape) if (second := next(found)) is None else as_numpy(second)
            for tensor in tensors
        ]  # fmt: skip

    return check_gradients(forward, point, backward, seed=seed, directions=directions, rtol=rtol)
