"""Expressions drawn from any source of integers, one feature at a time; every one is legal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from minideconv.testing.drawing import Integer
from minideconv.testing.expressions import Expression
from minideconv.testing.nodes import Node, Shape

__all__ = ["FAMILIES", "expression", "family", "features"]

FAMILIES = (
    "operations",  # + - * negation and relu, each leaf and node used once
    "functions",  # / ** exp log
    "reductions",  # sum and mean over an axis
    "shapes",  # reshape and transpose
    "matmul",
    "broadcasting",
    "fan-out",  # a leaf used several times
    "shared",  # an intermediate result used several times
    "constants",  # leaves that require no gradient
    "repeated",  # several calls of backward, or results
    "results",  # of several numbers, with the gradient that backward is given, or none
    "mixed",
)

_OPS = {
    "operations": ("add", "sub", "mul", "neg", "relu"),
    "functions": ("div", "pow", "exp", "log"),
    "reductions": ("sum", "mean"),
    "shapes": ("reshape", "transpose"),
    "matmul": ("matmul",),
}
AGAIN = ("relu", "exp", "log", "div", "matmul")
"""Operations that are now and then used twice, since each use may keep something."""
_FEATURE = {op: name for name, ops in _OPS.items() for op in ops}

_T = TypeVar("_T")


def features(e: Expression) -> set[str]:
    """Return which families the parts of an expression belong to, "operations" left out."""
    shapes, found = e.shapes(), set()
    for node in e.nodes:
        reduces_all = node.op == "sum" and not node.option
        found.add("operations" if reduces_all else _FEATURE[node.op])
        if len(node.inputs) == 2 and node.op != "matmul":
            first, second = (shapes[i] for i in node.inputs)
            if first != second:
                found.add("broadcasting")
    count = len(e.leaves)
    if any(e.uses(i) > 1 for i in range(count, count + len(e.nodes))):
        found.add("shared")
    elif any(e.uses(i) > 1 for i in range(count)):
        found.add("fan-out")
    return found - {"operations"}


def family(e: Expression) -> str:
    """Return the family of an expression: its only feature, or the hardest."""
    if e.calls in ("ones", "given"):
        return "results"
    if e.calls != "once":
        return "repeated"
    if e.constants:
        return "constants"
    found = features(e)
    return found.pop() if len(found) == 1 else "mixed" if found else "operations"


def expression(integer: Integer, name: str | None = None) -> Expression:
    """Draw an expression of a family, of any if none is given; it may come out simpler."""
    name = name or FAMILIES[integer(0, len(FAMILIES) - 1)]
    draw = _Draw(integer)
    if name == "repeated":
        return draw.tree("shared" if integer(0, 1) else "fan-out",
                         calls=("rebuilt", "twice", "twice", "older")[integer(0, 3)])  # fmt: skip
    if name == "results":
        of = ("operations", "broadcasting", "fan-out", "shared")[integer(0, 3)]
        return draw.tree(of, calls=("given", "given", "ones")[integer(0, 2)])
    if name == "constants":
        return draw.tree("fan-out" if integer(0, 1) else "operations", constants=True)
    return draw.tree(name)


class _Draw:
    """An expression that grows: leaves are the numbers -1, -2, ... until their count is known."""

    def __init__(self, integer: Integer) -> None:
        self.integer = integer
        self.leaves: list[Shape] = []
        self.nodes: list[Node] = []
        self.shape: dict[int, Shape] = {}
        self.exponents = [2]  # of what is multiplied later, too: numbers stay small

    def pick(self, options: Sequence[_T]) -> _T:
        return options[self.integer(0, len(options) - 1)]

    def some(self, options: Sequence[_T]) -> list[_T]:
        """Draw at least one of the options, each once, in any order; often all of them."""
        left, found = list(options), []
        count = len(left) if self.integer(0, 1) else self.integer(1, len(left))
        for _ in range(count):
            found.append(left.pop(self.integer(0, len(left) - 1)))
        return found

    def leaf(self, shape: Shape) -> int:
        self.leaves.append(shape)
        self.shape[-len(self.leaves)] = shape
        return -len(self.leaves)

    def node(self, op: str, *inputs: int, option: tuple[int, ...] = ()) -> int:
        index = len(self.nodes)
        self.nodes.append(Node(op, inputs, option))
        self.shape[index] = self.nodes[-1].shape(tuple(self.shape[i] for i in inputs))
        return index

    def join(self, op: str, x: int, other: int) -> int:
        """Combine two operands in either order."""
        return self.node(op, *((x, other) if self.integer(0, 1) else (other, x)))

    def finish(self, x: int, last: str = "sum", calls: str = "once", **fields: Any) -> Expression:
        if not self.nodes or (self.shape[x] != () and calls not in ("ones", "given")):
            self.node(last, x)
        if calls == "given":
            self.leaf(self.shape[len(self.nodes) - 1])
        count = len(self.leaves)
        nodes = tuple(
            Node(n.op, tuple(count + i if i >= 0 else -1 - i for i in n.inputs), n.option)
            for n in self.nodes
        )
        return Expression.of(self.leaves, nodes, calls=calls, **fields)

    def tree(self, name: str, *, constants: bool = False, calls: str = "once") -> Expression:
        size = self.pick([2, 3])
        shape = self.pick([(size,), (2, 3), (3, 2), (size, size), (size, size)])
        if name in ("shapes", "mixed"):
            shape = self.pick([(2, 3), (3, 2), (2, 2), (3, 3)])
            if name == "shapes" and shape[0] == 3 and self.integer(0, 2):
                shape = (2, size, 2)  # an order of three axes is not undone by itself
        elif name in ("matmul", "reductions"):
            # Where sizes are equal, what is wrong gives wrong numbers and no error.
            shape = self.pick([(2, 3), (3, 2), (2, 2), (2, 2), (2, 2), (3, 3), (3, 3)])
        self.exponents = [2, 3] if name == "functions" else [2]
        x = self.leaf(shape)
        if name in _OPS:
            for op in self.some(_OPS[name])[: self.pick([1, 2, 2])]:
                x = self.step(op, x)
                if op in AGAIN and not self.integer(0, 2):
                    x = self.again(op, x)
        elif name == "broadcasting":
            x = self.node(self.pick(["relu", "neg"]), x) if self.integer(0, 1) else x
            for _ in range(self.integer(1, 2)):
                x = self.broadcast(x)
        elif name in ("fan-out", "shared"):
            x = self.reuse(x, name)
        else:
            for part in self.some(["functions", "reductions", "shapes", "matmul", "broadcasting",
                                   "shared", "operations"])[:3]:  # fmt: skip
                if part == "broadcasting":
                    x = self.broadcast(x)
                elif part == "shared":
                    x = self.reuse(x, part)
                elif part == "functions":  # bounded: no exp of what may be large
                    x = self.step(self.pick(["div", "pow"]), x)
                else:
                    x = self.step(self.pick(_OPS[part]), x)
        # A weight for each entry: a sum alone sends back ones, which hide much.
        if len(self.leaves) < 5 and self.integer(0, 3):
            x = self.join("mul", x, self.leaf(self.shape[x]))
        fixed = (self.integer(0, len(self.leaves) - 1),) if constants else ()
        if len(fixed) == len(self.leaves):
            x = self.join("mul", x, self.leaf(self.shape[x]))
        last = "mean" if name == "reductions" and self.integer(0, 1) else "sum"
        return self.finish(x, last, constants=fixed, calls=calls)

    def step(self, op: str, x: int) -> int:
        """Apply one operation; the other operand of a binary one is a new leaf."""
        shape = self.shape[x]
        if op in ("add", "sub", "mul"):
            return self.join(op, x, self.leaf(shape))
        if op == "div":
            return self.node("div", x, self.leaf(shape))
        if op == "pow":
            return self.node("pow", x, option=(self.pick(self.exponents),))
        if op == "exp":  # of a leaf, so that it stays small
            return self.join("mul", x, self.node("exp", self.leaf(shape)))
        if op == "log":  # of a square, or of a leaf, whose numbers are positive then
            positive = self.leaf(shape)
            if self.integer(0, 1):
                positive = self.node("pow", positive, option=(2,))
            return self.join("mul", x, self.node("log", positive))
        if op in ("sum", "mean"):
            if not shape:
                return self.node("neg", x)
            axis = self.pick([*range(len(shape)), len(shape) - 1, -1])
            option = (axis, self.pick([0, 0, 1]))
            return self.node(op, x, option=option)
        if op == "matmul" and len(shape) == 2:
            other = self.pick([shape[0], shape[0], shape[1], 1])
            if self.integer(0, 1):
                return self.node("matmul", x, self.leaf((shape[1], other)))
            return self.node("matmul", self.leaf((other, shape[0])), x)
        if op == "transpose" and len(shape) == 2:
            return self.node("transpose", x)
        if op in ("transpose", "reshape") and len(shape) == 3:
            if op == "reshape" and self.integer(0, 1):
                return self.node("reshape", x, option=(shape[0] * shape[1], shape[2]))
            return self.node("transpose", x, option=(2, 0, 1) if 3 in shape else (1, 2, 0))
        if op == "reshape" and len(shape) == 2:
            flat = (shape[0] * shape[1],)
            return self.node("reshape", x, option=self.pick([shape[::-1], flat]))
        return self.node("relu" if op == "relu" else "neg", x)

    def again(self, op: str, x: int) -> int:
        """Apply an operation once more, a relu to another operand: of relu(relu) one is idle."""
        if op == "relu":
            other = self.node("relu", self.leaf(self.shape[x]))
            return self.join(self.pick(["add", "sub", "mul"]), x, other)
        return self.step(op, x)

    def broadcast(self, x: int) -> int:
        """Combine with a leaf of another shape that broadcasts with it."""
        shape, op = self.shape[x], self.pick(["add", "sub", "mul"])
        other: Shape = self.pick([
            shape[1:],
            shape[1:],
            shape[1:],
            (1, *shape[1:]) if shape else (2,),
            (*shape[:-1], 1) if shape else (1,),
            (2, *shape) if len(shape) < 2 else (1,) * len(shape),
            (),
        ])  # fmt: skip
        return self.join(op, x, self.leaf(other))

    def reuse(self, x: int, name: str) -> int:
        """Use a leaf, or an intermediate result, more than once, over paths of different length."""
        if name == "shared":
            x = self.node("mul", x, self.leaf(self.shape[x]))
        first = x
        for _ in range(self.integer(0, 2)):
            x = self.node(self.pick(["neg", "relu"]), x) if self.integer(0, 1) else (
                self.join(self.pick(["add", "add", "mul"]), x, self.leaf(self.shape[x]))
            )  # fmt: skip
        x = self.join(self.pick(["add", "add", "sub", "mul"]), x, first)
        if self.integer(0, 1):
            x = self.join(self.pick(["add", "add", "sub", "mul"]), x, first)
        if name == "shared" and self.integer(0, 1):
            x = self.node("mul", x, x)
        return x
