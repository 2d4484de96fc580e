"""Wrong classes ``Tensor``: the gradients of operands that were broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.mistakes.tensor import Grads, Right
from minideconv.testing.mistakes.wrong_tensors import another_way, wrong_tensor

__all__: list[str] = []  # they are reached through the bank

NOT_SUMMED = (
    "gradient of a broadcast operand not summed",
    "An operand that was broadcast gets a gradient of the result's shape; it must be summed over "
    "the axes along which the operand was repeated.",
)


@wrong_tensor(*NOT_SUMMED)
class _NotFitted(Right):
    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        return grad


def _not_fitted_by(op: str, places: tuple[int, ...]) -> None:
    @another_way(NOT_SUMMED[0])
    class _NotFittedByOne(Right):
        ops = (op,)

        def fitted(self, place: int, grad: Any) -> Any:
            alone = self.op == op and place in places
            return np.asarray(grad) if alone else super().fitted(place, grad)


for _op in ("add", "sub", "mul", "div"):
    for _places in ((0, 1), (0,), (1,)):
        _not_fitted_by(_op, _places)


@wrong_tensor(
    "axes of length 1 not summed",
    "Added axes are summed, but not those of length 1 along which an operand was repeated.",
)
class _OnesNotSummed(Right):
    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        return grad.sum(axis=tuple(range(grad.ndim - len(shape))))


@wrong_tensor(
    "added axes not summed",
    "Axes of length 1 are summed, but not those that broadcasting puts in front.",
)
class _AddedNotSummed(Right):
    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        added = grad.ndim - len(shape)
        ones = tuple(added + i for i, n in enumerate(shape) if n == 1)
        return grad.sum(axis=ones, keepdims=True)


@wrong_tensor(
    "broadcast gradient averaged",
    "The gradient of a broadcast operand is averaged over the repeated axes; it must be summed.",
)
class _Averaged(Right):
    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        right = super().fit(grad, shape)
        return right * (right.size / grad.size)


@wrong_tensor(
    "broadcast gradient summed over the wrong axis",
    "Added axes stand in front, but the gradient is summed over the last ones.",
)
class _WrongAxis(Right):
    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        added = grad.ndim - len(shape)
        grad = grad.sum(axis=tuple(range(grad.ndim - added, grad.ndim)))
        repeated = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] > 1)
        return grad.sum(axis=repeated, keepdims=True)


@wrong_tensor(
    "first of the broadcast numbers taken",
    "The gradient of a broadcast operand is cut to its shape; it must be summed.",
)
class _FirstTaken(Right):
    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        while grad.ndim > len(shape):
            grad = grad[0]
        return grad[tuple(slice(0, n) for n in shape)]


def _dropped(op: str) -> type[Right]:
    class _Dropped(Right):
        def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
            if op and self.op != op:
                return super().fit(grad, shape)
            grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
            return grad.sum(axis=tuple(i for i, n in enumerate(shape) if grad.shape[i] != n))

    if op:
        _Dropped.ops = (op,)  # type: ignore[attr-defined]
    return _Dropped


DROPPED = (
    "axis of length 1 lost where the gradient is summed",
    "The gradient of an operand with an axis of length 1 is summed over it without keepdims; its "
    "shape must be the operand's.",
)
wrong_tensor(*DROPPED)(_dropped(""))
for _op in ("add", "mul"):
    another_way(DROPPED[0])(_dropped(_op))


@another_way(DROPPED[0])
class _AllOnesDropped(Right):
    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        return super().fit(grad, shape).squeeze()


@wrong_tensor(
    "broadcast gradient summed over everything",
    "The gradient of a broadcast operand is summed to a single number; it must be summed over the "
    "repeated axes alone.",
)
class _AllSummed(Right):
    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        return grad if grad.shape == shape else np.asarray(grad.sum())


@wrong_tensor(
    "only one of the broadcast axes summed",
    "The gradient of a broadcast operand is summed over one axis; it must be summed over all along "
    "which the operand was repeated.",
)
class _OneSummed(Right):
    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        if grad.ndim > len(shape):
            grad = grad.sum(axis=0)
        ones = [i for i, n in enumerate(shape[-grad.ndim :]) if n == 1 and grad.shape[i] > 1]
        return grad.sum(axis=ones[0], keepdims=True) if ones else grad


EARLY = (
    "gradient summed before it is multiplied",
    "The incoming gradient is summed to the operand's shape before it is multiplied by the other "
    "operand; it must be multiplied first.",
)


def _fitted_first(op: str) -> None:
    rule = getattr(Right, f"d_{op}")

    class _FittedFirst(Right):
        ops = (op,)

        def rule(self, g: Any) -> Grads:
            if self.op != op:
                return super().rule(g)
            operands = self.operands
            parts = [self.fit(g, x.data.shape) for x in operands]
            return tuple(
                rule(self, part, self, self.option, *operands)[k] for k, part in enumerate(parts)
            )

    if op == "mul":
        wrong_tensor(*EARLY)(_FittedFirst)
    else:
        another_way(EARLY[0])(_FittedFirst)

    @another_way(EARLY[0])
    class _FittedFirstOnly(_FittedFirst):
        ops = (op,)

        def fitted(self, place: int, grad: Any) -> Any:
            return np.asarray(grad) if self.op == op else super().fitted(place, grad)


for _op in ("mul", "div"):
    _fitted_first(_op)
