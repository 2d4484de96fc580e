"""Wrong classes ``Tensor``: how gradients add up, in which order, and over broadcast axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minideconv.testing.mistakes.tensor import Right, wrong_tensor

__all__: list[str] = []  # they are reached through the bank

# Adding up ---------------------------------------------------------------------------------------

OVERWRITTEN = (
    "gradient overwritten where a tensor is used twice",
    "Each use of a tensor sets its gradient (grad = ...); the gradients of all uses add up (+=).",
)


@wrong_tensor(*OVERWRITTEN)
class _Overwritten(Right):
    def receive(self, grad: Any) -> None:
        if self.requires_grad:
            self.grad = grad.copy()


class _OtherOrder(Right):
    """Another right order: operands are visited from the first to the last."""

    def order(self) -> Iterator[Any]:
        found: list[Any] = []
        seen: set[int] = set()
        stack = [(self, False)]
        while stack:
            node, finished = stack.pop()
            if finished:
                found.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                stack += [(x, False) for x in reversed(node.operands)]
        return reversed(found)


@wrong_tensor(*OVERWRITTEN)
class _OverwrittenInOtherOrder(_OtherOrder, _Overwritten):
    pass


class _Apart(Right):
    """The gradients of one call are kept apart, and added to those of the leaves at its end."""

    def backward(self, grad: Any = None) -> None:
        before = {id(x): (x, x.grad) for x in self.order() if not x.operands}
        for x, _ in before.values():
            x.grad = None
        super().backward(grad)
        for x, kept in before.values():
            if kept is not None:
                x.grad = kept if x.grad is None else kept + x.grad


@wrong_tensor(*OVERWRITTEN)
class _OverwrittenInACall(_Apart, _Overwritten):
    pass


@wrong_tensor(*OVERWRITTEN)
class _OverwrittenInACallInOtherOrder(_OtherOrder, _Apart, _Overwritten):
    pass


@wrong_tensor(
    "gradients of earlier calls lost",
    "backward begins by resetting the gradients of the leaves; they add up over calls "
    "until the user resets them.",
)
class _LeavesReset(Right):
    def begin(self) -> None:
        for node in self.order():
            node.grad = None


@wrong_tensor(
    "gradients of intermediate results kept between calls",
    "A second backward begins with what the first left in the intermediate results, and "
    "hands it back again; only leaves keep their gradients.",
)
class _InnerKept(Right):
    def begin(self) -> None:
        pass


@wrong_tensor(
    "one array shared by two gradients",
    "A gradient is stored without a copy and then changed in place (+=), which changes "
    "that of another tensor, too.",
)
class _Shared(Right):
    def receive(self, grad: Any) -> None:
        if not self.requires_grad:
            return
        if self.grad is None:
            self.grad = grad
        elif self.grad.shape == np.shape(grad) and self.grad.flags.writeable and self.grad.ndim:
            self.grad += grad
        else:
            self.grad = self.grad + grad

    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        return grad if grad.shape == shape else super().fit(grad, shape)


@wrong_tensor(
    "gradient of a leaf that requires none",
    "A leaf made with requires_grad=False gets a gradient; it must stay None.",
)
class _Required(Right):
    def receive(self, grad: Any) -> None:
        self.grad = grad.copy() if self.grad is None else self.grad + grad


# Order -------------------------------------------------------------------------------------------

TOO_EARLY = (
    "gradient passed on too early",
    "A node hands its gradient back before all that use it have added to it; a node must come "
    "after everything that uses it (topological order).",
)


class _Visited(Right):
    """Nodes in an order in which they are met, each once."""

    last = True  # which of the nodes waiting comes next
    reverse = False  # from which operand on they wait

    def order(self) -> Iterator[Any]:
        waiting, seen = [self], {id(self)}
        found: list[Any] = []
        while waiting:
            node: Any = waiting.pop(-1 if self.last else 0)
            found.append(node)
            for x in reversed(node.operands) if self.reverse else node.operands:
                if id(x) not in seen:
                    seen.add(id(x))
                    waiting.append(x)
        return iter(found)


@wrong_tensor(*TOO_EARLY)
class _Depth(_Visited):
    pass


@wrong_tensor(*TOO_EARLY)
class _DepthReversed(_Visited):
    reverse = True


@wrong_tensor(*TOO_EARLY)
class _Breadth(_Visited):
    last = False


@wrong_tensor(*TOO_EARLY)
class _BreadthReversed(_Visited):
    last, reverse = False, True


class _Preorder(Right):
    """Nodes in the order of a recursion that marks a node when it enters it."""

    first_operand_first = True

    def order(self) -> Iterator[Any]:
        stack, seen, found = [self], set(), []
        while stack:
            node: Any = stack.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            found.append(node)
            stack += reversed(node.operands) if self.first_operand_first else node.operands
        return iter(found)


@wrong_tensor(*TOO_EARLY)
class _Recursion(_Preorder):
    pass


@wrong_tensor(*TOO_EARLY)
class _RecursionReversed(_Preorder):
    first_operand_first = False


COUNTED_AGAIN = (
    "gradient handed back again on every path",
    "A node is visited once for each use, and hands back all of its gradient each time; it must "
    "be visited once, after all that use it.",
)


class _EveryPath(Right):
    """A recursion without a memory of the nodes it has been to."""

    first_operand_first = True

    def backward(self, grad: Any = None) -> None:
        self.begin()
        self.receive(self.seed(grad))
        self.go_back()

    def go_back(self) -> None:
        """Hand the gradient back, and go on from each operand."""
        if self.operands and self.grad is not None:
            self.send()
            for x in self.operands if self.first_operand_first else reversed(self.operands):
                x.go_back()


@wrong_tensor(*COUNTED_AGAIN)
class _CountedAgain(_EveryPath):
    pass


@wrong_tensor(*COUNTED_AGAIN)
class _CountedAgainReversed(_EveryPath):
    first_operand_first = False


@wrong_tensor(*COUNTED_AGAIN)
class _CountedAgainAtOnce(Right):
    """Each operand goes on as soon as it has received."""

    def backward(self, grad: Any = None) -> None:
        self.begin()
        self.receive(self.seed(grad))
        self.go_back()

    def go_back(self) -> None:
        """Hand the gradient back operand by operand."""
        if not self.operands or self.grad is None:
            return
        for x, grad in zip(self.operands, self.handed(self.grad), strict=True):
            if grad is not None:
                x.receive(grad)
                x.go_back()


@wrong_tensor(
    "seed of the result is its value", "backward begins with the value of the result; dy/dy is 1."
)
class _SeedIsValue(Right):
    def seed(self, grad: Any = None) -> Any:
        return np.array(self.data)


# Broadcasting ------------------------------------------------------------------------------------

NOT_SUMMED = (
    "gradient of a broadcast operand not summed",
    "An operand that was broadcast gets a gradient of the result's shape; it must be summed over "
    "the axes along which the operand was repeated.",
)


@wrong_tensor(*NOT_SUMMED)
class _NotFitted(Right):
    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        return grad


def _not_fitted_by(op: str) -> None:
    @wrong_tensor(*NOT_SUMMED)
    class _NotFittedByOne(Right):
        def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
            return grad if self.op == op else super().fit(grad, shape)


for _op in ("add", "mul"):
    _not_fitted_by(_op)


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
