"""Expressions to differentiate, as small values: leaves, nodes, and how backward is called.

An `Expression` is to a tape what a `ConvGeometry` is to a convolution: everything but the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from minideconv.testing.nodes import BINARY, UNARY, Node, Shape

__all__ = ["LEAVES", "Expression", "Node", "Shape"]

LEAVES = "abcdefgh"
"""Names of the leaves, in order."""

CALLS = ("once", "rebuilt", "twice", "older", "ones", "given")
SEVERAL = ("rebuilt", "twice")
"""Those that call backward twice, so that all gradients double."""


class Parts(NamedTuple):
    """What an expression is made of."""

    leaves: tuple[Shape, ...]
    nodes: tuple[Node, ...]
    constants: tuple[int, ...] = ()
    calls: str = "once"
    repeat: int = 1


@dataclass(frozen=True)
class Expression:
    """A number computed from leaves, and how often it is differentiated.

    Attributes
    ----------
    text : str
        All of it on one line, without a space: the shapes of the leaves, which are called a, b,
        c, ..., ``2x3,3`` (``-``: a single number); the nodes, of which the last is the result, a
        single number; then what is unusual: ``constants=0,2`` (leaves that require no gradient),
        ``calls=rebuilt`` (computed twice from the same leaves, with a backward each),
        ``calls=twice`` (backward twice on one graph, which a tape may refuse), ``calls=older``
        (y + y is made before backward is called on y), ``calls=given`` (the result has
        any shape, and the last leaf is no Tensor but the gradient that backward is given),
        ``calls=ones`` (the same, and backward is given none: it takes ones), ``repeat=9`` (the
        first node is applied so often: each further time its result takes the place of its first
        operand).

    Examples
    --------
    >>> e = Expression.of(((2,),), (Node("add", (0, 0)), Node("sum", (1,))))
    >>> e.text
    '2:add(0,0);sum(1)'
    >>> e.code({"a": "[1, 2]"})
    'a = Tensor([1, 2], requires_grad=True); y = (a + a).sum(); y.backward()'
    """

    text: str

    def __post_init__(self) -> None:
        self.parts  # noqa: B018  # what cannot be, raises

    @classmethod
    def of(
        cls,
        leaves: Sequence[Shape],
        nodes: Sequence[Node],
        constants: Sequence[int] = (),
        calls: str = "once",
        repeat: int = 1,
    ) -> Expression:
        """Return the expression of these parts; ValueError if it cannot be computed."""
        words = [
            ",".join("x".join(map(str, s)) or "-" for s in leaves),
            ";".join(map(str, nodes)),
        ]
        if constants:
            words.append(f"constants={','.join(map(str, constants))}")
        if calls != "once":
            words.append(f"calls={calls}")
        if repeat > 1:
            words.append(f"repeat={repeat}")
        return cls(":".join(words))

    @property
    def parts(self) -> Parts:
        """Leaves, nodes, constants, calls and repeat."""
        return _parts(self.text)

    @property
    def leaves(self) -> tuple[Shape, ...]:
        """Shapes of the leaves."""
        return self.parts.leaves

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The operations in order."""
        return self.parts.nodes

    @property
    def constants(self) -> tuple[int, ...]:
        """Numbers of the leaves that require no gradient."""
        return self.parts.constants

    @property
    def calls(self) -> str:
        """How backward is called: ``"once"``, ``"rebuilt"``, ``"twice"``, ..."""
        return self.parts.calls

    @property
    def tensors(self) -> tuple[Shape, ...]:
        """Shapes of the leaves that are Tensors: all but a gradient that is given."""
        return self.leaves[:-1] if self.calls == "given" else self.leaves

    @property
    def times(self) -> int:
        """How often each gradient is added."""
        return 2 if self.calls in SEVERAL else 1

    @property
    def repeat(self) -> int:
        """How often the first node is applied."""
        return self.parts.repeat

    def shapes(self) -> list[Shape]:
        """Return the shapes of leaves and nodes."""
        return list(_shapes(self.text))

    def uses(self, index: int) -> int:
        """Return how often a leaf or node is an operand."""
        return sum(node.inputs.count(index) for node in self.nodes)

    def code(self, arrays: Mapping[str, str]) -> str:
        """Return the Python code, as a student would write it; `arrays` are the leaves' as text."""
        lines = [
            f"{LEAVES[i]} = Tensor({arrays[LEAVES[i]]}"
            f"{'' if i in self.constants else ', requires_grad=True'})"
            for i in range(len(self.tensors))
        ]
        terms: list[str] = [LEAVES[i] for i in range(len(self.leaves))]
        body, names = [], iter("uvwstpqr")
        for number, node in enumerate(self.nodes):
            index = len(self.leaves) + number
            operands = [terms[i] for i in node.inputs]
            if number == 0 and self.repeat > 1:
                lines.append(f"x = {operands[0]}")
                looped = _term(
                    node, ["x" if i == node.inputs[0] else terms[i] for i in node.inputs]
                )
                lines.append(f"\nfor _ in range({self.repeat}): x = {_bare(looped)}\n")
                terms.append("x")
                continue
            term = _term(node, operands)
            if self.uses(index) > 1:
                name = next(names)
                body.append(f"{name} = {_bare(term)}")
                term = name
            terms.append(term)
        body.append(f"y = {_bare(terms[-1])}")
        calls = {
            "rebuilt": [*body, "y.backward()", *body, "y.backward()"],
            "twice": [*body, "y.backward()", "y.backward()"],
            "older": [*body, "z = y + y", "y.backward()"],
            "given": [*body, f"y.backward(np.array({arrays[LEAVES[len(self.leaves) - 1]]}))"],
        }.get(self.calls, [*body, "y.backward()"])
        return re.sub(r"(; )?\n(; )?", "\n", "; ".join([*lines, *calls]))

    # Smaller --------------------------------------------------------------------------------

    def simpler(self) -> Iterator[Expression]:
        """Yield expressions with less in them; those that cannot be are left out."""
        for build in (self._without_nodes, self._plainer, self._smaller_leaves):
            yield from (smaller for smaller in build() if smaller != self)

    def _try(self, **changes: Any) -> Iterator[Expression]:
        try:
            yield _without_the_unused(self.parts._replace(**changes))
        except ValueError:
            return

    def _without_nodes(self) -> Iterator[Expression]:
        """Put one of its operands, or a leaf, in the place of each node but the last."""
        for number, node in enumerate(self.nodes[:-1]):
            for stand_in in dict.fromkeys((*node.inputs, *range(len(self.tensors)))):
                index = len(self.leaves) + number
                nodes = tuple(
                    replace(n, inputs=tuple(stand_in if i == index else i for i in n.inputs))
                    for n in self.nodes
                )
                yield from self._try(nodes=nodes)
        if len(self.nodes) > 1 and self.calls in ("ones", "given"):
            yield from self._try(nodes=self.nodes[:-1])
        if self.nodes[-1].op == "mean":
            yield from self._try(nodes=(*self.nodes[:-1], replace(self.nodes[-1], op="sum")))

    def _plainer(self) -> Iterator[Expression]:
        if self.calls == "given":
            yield from self._try(calls="ones", leaves=self.tensors)
        elif self.calls != "once":
            yield from self._try(calls="once")
        for constant in self.constants:
            yield from self._try(constants=tuple(c for c in self.constants if c != constant))
        r = self.repeat
        for fewer in sorted({1, r // 2, r * 3 // 4, r * 7 // 8, r - 1}):
            if 1 <= fewer < r:
                yield from self._try(repeat=fewer)
        for number, node in enumerate(self.nodes):
            if node.op in ("sum", "mean") and node.option and node.option[0] < 0:
                axis = node.option[0] % len(self.shapes()[node.inputs[0]])
                counted = replace(node, option=(axis, node.option[1]))
                yield from self._try(
                    nodes=(*self.nodes[:number], counted, *self.nodes[number + 1 :])
                )
            for place, operand in enumerate(node.inputs):
                for leaf in range(min(operand, len(self.tensors))):
                    inputs = (*node.inputs[:place], leaf, *node.inputs[place + 1 :])
                    changed = replace(node, inputs=inputs)
                    yield from self._try(
                        nodes=(*self.nodes[:number], changed, *self.nodes[number + 1 :])
                    )

    def _smaller_leaves(self) -> Iterator[Expression]:
        sizes = sorted({n for shape in self.leaves for n in shape if n > 1}, reverse=True)
        for old in sizes:  # everywhere at once: operands of equal shape stay so
            for new in range(1, old):
                yield from self._with_sizes({old: new})
                # What a reshape has made of it, together with another axis, goes along.
                products = {n: n // old * new for n in sizes if n > old and n % old == 0}
                if products:
                    yield from self._with_sizes({old: new, **products})
        if max(map(len, self.leaves)) > 1:
            yield from self._try(leaves=tuple(s[-1:] for s in self.leaves))
        for leaf, shape in enumerate(self.leaves):
            for axis, n in enumerate(shape):
                if n > 1:
                    smaller = (*shape[:axis], 1, *shape[axis + 1 :])
                    yield from self._try(
                        leaves=(*self.leaves[:leaf], smaller, *self.leaves[leaf + 1 :])
                    )

    def _with_sizes(self, new: dict[int, int]) -> Iterator[Expression]:
        """Replace lengths of axes, in the leaves and where a reshape names them."""
        yield from self._try(
            leaves=tuple(tuple(new.get(n, n) for n in shape) for shape in self.leaves),
            nodes=tuple(
                replace(n, option=tuple(new.get(k, k) for k in n.option))
                if n.op == "reshape"
                else n
                for n in self.nodes
            ),
        )


def _without_the_unused(e: Parts) -> Expression:
    """Return the expression without leaves and nodes that the result does not need."""
    count = len(e.leaves)
    needed = {count + len(e.nodes) - 1}
    if e.calls == "given":
        needed.add(count - 1)
        e = e._replace(leaves=(*e.leaves[:-1], _result(e)))
    for number in range(len(e.nodes) - 1, -1, -1):
        if count + number in needed:
            needed.update(e.nodes[number].inputs)
    kept = sorted(needed)
    place = {old: new for new, old in enumerate(kept)}
    return Expression.of(
        tuple(e.leaves[i] for i in kept if i < count),
        tuple(
            replace(e.nodes[i - count], inputs=tuple(place[k] for k in e.nodes[i - count].inputs))
            for i in kept
            if i >= count
        ),
        tuple(place[i] for i in e.constants if i in needed),
        e.calls,
        e.repeat if count in needed else 1,
    )


@lru_cache(maxsize=8192)
def _parts(text: str) -> Parts:
    """Read the text of an expression; ValueError if it is none, or cannot be computed."""
    first, second, *rest = (*text.split(":"), "")
    words = dict(word.split("=", 1) for word in rest if word)
    if re.fullmatch(r"(-|\d+(x\d+)*)(,(-|\d+(x\d+)*))*", first) is None:
        raise ValueError(f"Expression: {first!r} is no list of shapes")
    leaves = tuple(
        () if word == "-" else tuple(int(n) for n in word.split("x")) for word in first.split(",")
    )
    nodes = []
    for word in second.split(";"):
        match = re.fullmatch(r"(\w+)\(([\d,]+)(?:\|([-\d,]+))?\)", word)
        if match is None or match[1] not in (*BINARY, *UNARY):
            raise ValueError(f"Expression: {word!r} is no operation")
        nodes.append(Node(match[1], _integers(match[2]), _integers(match[3])))
    parts = Parts(
        leaves,
        tuple(nodes),
        _integers(words.get("constants")),
        words.get("calls", "once"),
        int(words.get("repeat", "1")),
    )
    result = _result(parts)
    if parts.calls not in CALLS or len(leaves) > len(LEAVES):
        raise ValueError(f"Expression: calls={parts.calls}, {len(leaves)} leaves")
    if parts.calls == "given":
        last = len(leaves) - 1
        if leaves[-1] != result or last == 0 or any(last in node.inputs for node in nodes):
            raise ValueError(f"Expression: the last leaf is no gradient of shape {result}")
    elif parts.calls != "ones" and result != ():
        raise ValueError("Expression: the last node must be a single number")
    if len(parts.constants) >= len(leaves) - (parts.calls == "given"):
        raise ValueError("Expression: nothing to differentiate")
    return parts


@lru_cache(maxsize=8192)
def _shapes(text: str) -> tuple[Shape, ...]:
    """Return the shapes of an expression's leaves and nodes; worked out once."""
    return tuple(_computed(_parts(text)))


def _result(e: Parts) -> Shape:
    """Return the shape of the last node; ValueError if it cannot be computed."""
    return _computed(e)[-1]


def _computed(e: Parts) -> list[Shape]:
    """Return the shapes of leaves and nodes; ValueError if one cannot be computed."""
    shapes = list(e.leaves)
    for number, node in enumerate(e.nodes):
        if max(node.inputs) >= len(shapes):
            raise ValueError(f"Expression: {node} uses what is not computed yet")
        shapes.append(node.shape(tuple(shapes[i] for i in node.inputs)))
        if number == 0 and e.repeat > 1 and shapes[-1] != shapes[node.inputs[0]]:
            raise ValueError("Expression: the first node cannot be repeated")
    return shapes


def _integers(word: str | None) -> tuple[int, ...]:
    return tuple(int(n) for n in word.split(",")) if word else ()


def _bare(term: str) -> str:
    """Return a term without brackets around all of it."""
    if not (term.startswith("(") and term.endswith(")")):
        return term
    depths = [sum(1 if c == "(" else -1 if c == ")" else 0 for c in term[:i])
              for i in range(1, len(term))]  # fmt: skip
    return term[1:-1] if all(depth > 0 for depth in depths) else term


def _term(node: Node, operands: list[str]) -> str:
    if node.op in BINARY:
        return f"({operands[0]} {BINARY[node.op]} {operands[1]})"
    x = operands[0]
    if node.op == "neg":
        return f"(-{x})"
    if node.op == "pow":
        return f"({x} ** {node.option[0]})"
    if node.op == "transpose" and not node.option:
        return f"{x}.T"
    inside = ", ".join(map(str, node.option))
    if node.op in ("sum", "mean") and node.option:
        inside = f"axis={node.option[0]}" + (", keepdims=True" if node.option[1] else "")
    return f"{x}.{node.op}({inside})"
