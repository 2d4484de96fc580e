"""Wrong classes ``Tensor``: how gradients add up, in which order, and over broadcast axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minideconv.testing.mistakes.tensor import Right
from minideconv.testing.mistakes.tensor_styles import (
    Apart,
    Composed,
    Dictionary,
    OtherOrder,
    Zeros,
)
from minideconv.testing.mistakes.wrong_tensors import another_way, derived, wrong_tensor

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


@wrong_tensor(*OVERWRITTEN)
class _OverwrittenInOtherOrder(OtherOrder, _Overwritten):
    pass


@wrong_tensor(*OVERWRITTEN)
class _OverwrittenInACall(Apart, _Overwritten):
    pass


@wrong_tensor(*OVERWRITTEN)
class _OverwrittenInACallInOtherOrder(OtherOrder, Apart, _Overwritten):
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


class _SharedInACall(Dictionary):
    """The same with the dictionary of a call; what was handed on is changed later."""

    def enter(self, grads: dict[int, Any], part: Any) -> None:
        known = grads.get(id(self))
        if known is not None and known.shape == part.shape and known.flags.writeable and known.ndim:
            known += part
        else:
            super().enter(grads, part)

    def fit(self, grad: Any, shape: tuple[int, ...]) -> Any:
        return grad if grad.shape == shape else super().fit(grad, shape)


class _Copied(Right):
    """The gradient of a sum can be written to."""

    def spread(self, g: Any, option: Any, x: Any) -> Any:
        return super().spread(g, option, x).copy()


another_way("one array shared by two gradients")(derived(_Copied, _Shared))
another_way("one array shared by two gradients")(derived(_Copied, _SharedInACall))
another_way("one array shared by two gradients")(derived(_Copied, _SharedInACall, Composed))
another_way("one array shared by two gradients")(_SharedInACall)
another_way("one array shared by two gradients")(derived(_SharedInACall, Composed))
another_way("one array shared by two gradients")(derived(_Shared, Composed))


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


for _order in (_Depth, _DepthReversed, _Breadth, _BreadthReversed, _Recursion, _RecursionReversed):
    another_way(TOO_EARLY[0])(derived(_order, Dictionary))

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


NOT_REVERSED = (
    "nodes visited from the first to the last",
    "The order of the nodes is not reversed: a node hands its gradient back before it has any.",
)


@wrong_tensor(*NOT_REVERSED)
class _NotReversed(Right):
    def order(self) -> Iterator[Any]:
        return reversed(list(super().order()))


for _styles in ((Dictionary,), (Zeros,)):
    another_way(NOT_REVERSED[0])(derived(_NotReversed, *_styles))


class _DictionarySet(Dictionary):
    """Each use sets the gradient of the call."""

    def enter(self, grads: dict[int, Any], part: Any) -> None:
        grads[id(self)] = part


another_way(OVERWRITTEN[0])(_DictionarySet)
another_way(OVERWRITTEN[0])(derived(OtherOrder, _DictionarySet))
