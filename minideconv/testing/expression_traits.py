"""What tells two expressions apart, in words: operations, options, how backward is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from minideconv.testing.expressions import SEVERAL, Expression
from minideconv.testing.nodes import BINARY, UNARY

__all__ = ["traits"]

WORDS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "matmul": "@",
         "neg": "negation"}  # fmt: skip
TWICE = ("relu", "exp", "log", "div", "matmul", "pow")


def traits(e: Expression) -> Iterator[tuple[str, str, bool]]:
    """Yield (words where it holds, words where it does not, whether it holds)."""
    shapes = e.shapes()
    count = Counter(node.op for node in e.nodes)
    for op in (*BINARY, *UNARY):
        word = WORDS.get(op, op)
        yield f"{word} is used", f"{word} is not used", op in count
    for op in TWICE:
        word = WORDS.get(op, op)
        yield f"{word} is used twice", f"{word} is used once at most", count[op] > 1
    calls = e.calls
    yield "backward is called twice", "backward is called once", calls in SEVERAL
    yield "a gradient is given to backward", "no gradient is given to backward", calls == "given"
    yield "the result is one number", "the result has several numbers", shapes[-1] == ()
    yield "backward takes ones", "backward does not take ones", calls == "ones"
    yield "there is a newer result", "there is no newer result", calls == "older"
    yield "a leaf requires no gradient", "all leaves require a gradient", bool(e.constants)
    yield "an array has three axes", "no array has three axes", any(len(s) > 2 for s in shapes)
    order = any(n.op == "transpose" and n.option for n in e.nodes)
    yield "transpose has an order", "transpose has no order", order
    turned = any(n.op == "transpose" and not n.option for n in e.nodes)
    yield "a matrix is transposed", "no matrix is transposed", turned
    sums = {len(e.leaves) + k for k, n in enumerate(e.nodes) if n.op in ("add", "sub")}
    zeros = any(node.op == "relu" and node.inputs[0] in sums for node in e.nodes)
    yield "relu is of a sum or difference", "relu is of no sum or difference", zeros
    cubes = any(node.op == "pow" and node.option[0] > 2 for node in e.nodes)
    yield "a power is above 2", "no power is above 2", cubes
    for op in ("sum", "mean"):
        yield from _axes(e, op)
    yield from _broadcast(e)


def _axes(e: Expression, op: str) -> Iterator[tuple[str, str, bool]]:
    """Say over which axes sums or means are."""
    shapes = e.shapes()
    found = [
        (node.option[0], len(shapes[node.inputs[0]]), node.option[1], shapes[node.inputs[0]])
        for node in e.nodes
        if node.op == op and node.option
    ]
    several = [f for f in found if f[1] > 1]
    yield f"a {op} is over an axis", f"no {op} is over an axis", bool(found)
    first = any(axis % n == 0 for axis, n, _, _ in several)
    last = any(axis % n == n - 1 for axis, n, _, _ in several)
    yield f"a {op} is over the first axis", f"no {op} is over the first axis", first
    yield f"a {op} is over the last axis", f"no {op} is over the last axis", last
    below = any(axis < 0 for axis, *_ in found)
    yield f"the axis of a {op} is below 0", f"the axis of no {op} is below 0", below
    kept = any(keepdims for *_, keepdims, _ in found)
    yield f"a {op} keeps its axis", f"no {op} keeps its axis", kept
    uneven = any(len(set(shape)) > 1 for *_, shape in several)
    yield f"a {op} is over an axis of a rectangle", f"no {op} is over one of a rectangle", uneven


def _broadcast(e: Expression) -> Iterator[tuple[str, str, bool]]:
    """Say which operands are broadcast, and how."""
    shapes = e.shapes()
    added, ones = set(), set()
    for node in e.nodes:
        if node.op in BINARY and node.op != "matmul":
            whole = node.shape(tuple(shapes[i] for i in node.inputs))
            for place, i in enumerate(node.inputs):
                if len(shapes[i]) < len(whole):
                    added.add((node.op, place))
                elif shapes[i] != whole:
                    ones.add((node.op, place))
    yield "an operand gets an axis", "no operand gets an axis", bool(added)
    yield "an axis of length 1 is repeated", "no axis of length 1 is repeated", bool(ones)
    products = any(op in ("mul", "div") for op, _ in added | ones)
    yield "an operand of a product is broadcast", "no operand of a product is broadcast", products
    first = any(place == 0 for _, place in added | ones)
    yield "a first operand is broadcast", "no first operand is broadcast", first
