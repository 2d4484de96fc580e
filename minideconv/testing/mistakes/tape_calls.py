"""Wrong classes ``Tensor``: how backward begins, who gets gradients, what earlier calls left."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from minideconv.testing.mistakes.tensor import Right
from minideconv.testing.mistakes.tensor_styles import Composed, Dictionary, Zeros
from minideconv.testing.mistakes.wrong_tensors import another_way, derived, wrong_tensor

__all__: list[str] = []  # they are reached through the bank

# The gradient that backward begins with ----------------------------------------------------------


@wrong_tensor("all gradients 0", "backward begins with a gradient of 0; dy/dy is 1.")
class _ZeroSeed(Right):
    def seed(self, grad: Any = None) -> Any:
        return np.zeros_like(self.data)


@wrong_tensor(
    "seed of the result is its value", "backward begins with the value of the result; dy/dy is 1."
)
class _SeedIsValue(Right):
    def seed(self, grad: Any = None) -> Any:
        return np.array(self.data)


@wrong_tensor(
    "gradient given to backward ignored",
    "backward(grad) begins with ones whatever it is given; it must begin with grad.",
)
class _SeedIgnored(Right):
    def seed(self, grad: Any = None) -> Any:
        return np.ones_like(self.data)


@wrong_tensor(
    "backward begins with ones divided by their number",
    "Without a gradient backward begins as for the mean of the result; it begins with ones.",
)
class _SeedAveraged(Right):
    def seed(self, grad: Any = None) -> Any:
        return np.ones_like(self.data) / self.data.size if grad is None else grad


@wrong_tensor(
    "gradient given to backward multiplied by the result",
    "backward(grad) begins with grad times the value of the result; it must begin with grad.",
)
class _SeedTimesValue(Right):
    def seed(self, grad: Any = None) -> Any:
        return np.ones_like(self.data) if grad is None else grad * self.data


@wrong_tensor(
    "backward begins at the Tensor that was made last",
    "The gradient is put at the end of a list of all Tensors; it belongs to the one whose backward "
    "is called.",
)
class _FromTheLast(Dictionary):
    last: ClassVar[Any] = None

    def made(self, op: str, data: Any, *operands: Any, option: Any = ()) -> Any:
        """Return the result of an operation."""
        _FromTheLast.last = super().made(op, data, *operands, option=option)
        return _FromTheLast.last

    def backward(self, grad: Any = None) -> None:
        last = _FromTheLast.last
        Dictionary.backward(self if last is None else last, grad)


# Who gets a gradient -----------------------------------------------------------------------------


@wrong_tensor(
    "gradient of a leaf that requires none",
    "A leaf made with requires_grad=False gets a gradient; it must stay None.",
)
class _Required(Right):
    def receive(self, grad: Any) -> None:
        self.grad = grad.copy() if self.grad is None else self.grad + grad


ALL = (
    "no gradient through an operation with a constant",
    "A result requires a gradient only if all operands do; it does if any does.",
)
AFTER = (
    "operands after a constant without gradient",
    "A result requires a gradient only if its first operand does, or the loop over its operands "
    "ends at the first that requires none (break); all that require one get theirs.",
)
LAST = (
    "requires_grad of the last operand only",
    "A result requires a gradient if its last operand does; it does if any does.",
)


def _requires(words: tuple[str, str], chosen: Any) -> None:
    class _Requires(Right):
        def made(self, op: str, data: Any, *operands: Any, option: Any = ()) -> Any:
            y = super().made(op, data, *operands, option=option)
            y.requires_grad = chosen([x.requires_grad for x in operands])
            return y

    wrong_tensor(*words)(_Requires)
    for styles in ((Composed,), (Zeros,), (Composed, Zeros)):
        another_way(words[0])(derived(_Requires, *styles))


_requires(ALL, all)
_requires(AFTER, lambda flags: flags[0])
_requires(LAST, lambda flags: flags[-1])


ONCE = (
    "one gradient for two operands that are one tensor",
    "Of x * x and x + x, x gets the gradient of one operand; it gets both.",
)


def _once(kept: int, styles: tuple[type[Right], ...]) -> type[Right]:
    class _Once(Right):
        def handed(self, g: Any) -> list[Any]:
            grads = super().handed(g)
            if len(self.operands) == 2 and self.operands[0] is self.operands[1]:
                grads[1 - kept] = None
            return grads

    both: type[Right] = derived(_Once, *styles)
    return both


wrong_tensor(*ONCE)(_once(0, ()))
for _place, _styles in ((1, ()), (0, (Composed,)), (1, (Composed,))):
    another_way(ONCE[0])(_once(_place, _styles))

# Earlier calls -----------------------------------------------------------------------------------


@wrong_tensor(
    "gradients of earlier calls lost",
    "backward begins by resetting the gradients of the leaves; they add up over calls "
    "until the user resets them.",
)
class _LeavesReset(Right):
    def begin(self) -> None:
        for node in self.order():
            node.grad = None


KEPT = (
    "gradients of intermediate results kept between calls",
    "A second backward begins with what the first left in the intermediate results, and "
    "hands it back again; only leaves keep their gradients.",
)


@wrong_tensor(*KEPT)
class _InnerKept(Right):
    def begin(self) -> None:
        pass


@another_way(KEPT[0])
class _InnerKeptButTheResult(_InnerKept):
    def begin(self) -> None:
        self.grad = None


another_way(KEPT[0])(derived(_InnerKept, Composed))
another_way(KEPT[0])(derived(_InnerKeptButTheResult, Composed))


@wrong_tensor(
    "dictionary of gradients kept between calls",
    "The gradients of a call are in a dictionary that the next call goes on with (a default "
    "argument, or an attribute of the class), which hands them back again; make a new one in "
    "each call.",
)
class _DictionaryKept(Dictionary):
    grads: ClassVar[dict[int, Any]] = {}
    held: ClassVar[deque[Any]] = deque()  # the latest, so that none of them gets another one's id

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        super().__init__(data, requires_grad)
        self.held.append(self)
        if len(self.held) > 5000:
            self.grads.pop(id(self.held.popleft()), None)

    def backward(self, grad: Any = None) -> None:
        if self.requires_grad:
            self.grads[id(self)] = np.asarray(self.seed(grad))
            for node in self.order():
                if id(node) in self.grads:
                    node.visit(self.grads)

    def visit(self, grads: dict[int, Any]) -> None:
        g = grads[id(self)]
        super().visit(grads)
        grads[id(self)] = g


another_way("dictionary of gradients kept between calls")(derived(_DictionaryKept, Composed))


@wrong_tensor(
    "a second backward goes nowhere",
    "Nodes are marked as visited and never unmarked, or the graph is taken apart, so that a second "
    "call of backward finds none; it adds the gradients once more.",
)
class _Marked(Right):
    visited = False

    def backward(self, grad: Any = None) -> None:
        nodes = [x for x in self.order() if not x.visited]
        self.begin()
        self.receive(self.seed(grad))
        for node in nodes:
            node.visited = True
            if node.operands and node.grad is not None:
                node.send()


# Which gradients and which nodes are taken for others --------------------------------------------

ZERO = (
    "gradient of zeros taken for none",
    "A gradient whose numbers are all 0 is not stored and not passed on, so that grad stays None; "
    "ask whether it is None.",
)


def _none_of_zeros(is_none: Any) -> type[Right]:
    class _NoneOfZeros(Dictionary):
        def visit(self, grads: dict[int, Any]) -> None:
            if is_none(grads[id(self)]):
                grads.pop(id(self))
            else:
                super().visit(grads)

    return _NoneOfZeros


wrong_tensor(*ZERO)(_none_of_zeros(lambda g: not g.any()))
another_way(ZERO[0])(_none_of_zeros(lambda g: not g.sum()))
another_way(ZERO[0])(_none_of_zeros(lambda g: not g.all()))

EQUAL = (
    "Tensors of equal numbers taken for one",
    "Whether a Tensor was visited is asked by its numbers (in a list, with ==); two Tensors may "
    "hold the same. Ask by id(), or by `is`.",
)


def _by_value(reverse: bool, style: type[Right]) -> type[Right]:
    def same(x: Any, seen: list[Any]) -> bool:
        return any(np.array_equal(x.data, other.data) for other in seen)

    class _ByValue(style):  # type: ignore[misc, valid-type]
        def order(self) -> Iterator[Any]:
            seen: list[Any] = []
            found: list[Any] = []
            stack: list[tuple[Any, bool]] = [(self, False)]
            while stack:
                node, finished = stack.pop()
                if finished:
                    found.append(node)
                elif not same(node, seen):
                    seen.append(node)
                    stack.append((node, True))
                    operands = reversed(node.operands) if reverse else node.operands
                    stack += [(x, False) for x in operands]
            return reversed(found)

    return _ByValue


wrong_tensor(*EQUAL)(_by_value(False, Dictionary))
for _reverse in (False, True):
    for _style in (Dictionary, Right):
        if _reverse or _style is not Dictionary:
            another_way(EQUAL[0])(_by_value(_reverse, _style))
    another_way(EQUAL[0])(derived(_by_value(_reverse, Dictionary), Composed))
