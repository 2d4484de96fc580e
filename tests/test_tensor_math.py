"""Elementary maths, reductions and matrix products: values, types, gradients, and wrong gradients.

`CASES` lists every differentiable operation with arguments that show its whole derivative. The same
list serves three tests: its gradients are right; each of several ways to spoil any one of them is
noticed; nothing of it changes its arguments.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv.autograd import Tensor
from minideconv.autograd import broadcasting as tc
from minideconv.autograd import elementwise as tm
from minideconv.autograd import reductions as tr
from minideconv.autograd import shapes as ts
from minideconv.backend import Array, to_cpu
from minideconv.testing import GradientError, check_gradients, values

Function = Callable[..., Tensor]
Shape = tuple[int, ...]


def drawn(shape: Shape, kind: str, seed: int) -> Array:
    """Return float64 values: "positive" in (0.5, ...), "apart" distinct and half a unit apart."""
    if kind == "positive":
        return np.abs(values(shape, seed, "normal")) + 0.5
    if kind == "apart":
        return values(shape, seed, "distinct") / 2
    return values(shape, seed, kind)


PICK = np.array([2, 0, 2, 1, 2])
MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, True]])

# name: (function, shapes of its arguments, kind of values)
CASES: dict[str, tuple[Function, list[Shape], str]] = {
    "add": (tm.add, [(2, 3), (3,)], "normal"),
    "sub": (tm.sub, [(2, 1), (4, 1, 3)], "normal"),
    "mul": (tm.mul, [(2, 3), (2, 3)], "normal"),
    "mul broadcast": (tm.mul, [(2, 1, 3), (4, 1)], "normal"),
    "div": (tm.div, [(3,), (2, 3)], "positive"),
    "pow": (tm.pow, [(2, 3), (3,)], "positive"),
    "pow scalar exponent": (lambda x: x**3, [(2, 3)], "normal"),
    "pow negative exponent": (lambda x: x**-1.5, [(2, 3)], "positive"),
    "pow scalar base": (lambda x: 2**x, [(2, 3)], "normal"),
    "maximum": (lambda x: tm.maximum(x[:, :3], x[:1, 3:]), [(2, 6)], "apart"),
    "minimum": (lambda x: tm.minimum(x[:1, :3], x[:, 3:]), [(2, 6)], "apart"),
    "neg": (tm.neg, [(2, 3)], "normal"),
    "exp": (tm.exp, [(2, 3)], "normal"),
    "log": (tm.log, [(2, 3)], "positive"),
    "sqrt": (tm.sqrt, [(2, 3)], "positive"),
    "abs": (tm.abs, [(2, 3)], "apart"),
    "tanh": (tm.tanh, [(2, 3)], "normal"),
    "sigmoid": (tm.sigmoid, [(2, 3)], "normal"),
    "clip": (lambda x: x.clip(-1.25, 1.75), [(4, 3)], "apart"),
    "clip below": (lambda x: x.clip(minimum=0.25), [(4, 3)], "apart"),
    "where": (lambda a, b: tm.where(MASK, a, b), [(3, 4), (4,)], "normal"),
    "sum": (lambda x: x.sum(), [(2, 3)], "normal"),
    "sum axis": (lambda x: x.sum(1), [(2, 3, 4)], "normal"),
    "sum axes": (lambda x: x.sum((0, -1), keepdims=True), [(2, 3, 4)], "normal"),
    "mean": (lambda x: x.mean((0, 2)), [(2, 3, 4)], "normal"),
    "var": (lambda x: x.var(), [(2, 3)], "normal"),
    "var axes": (lambda x: x.var((0, 2), keepdims=True), [(2, 3, 4)], "normal"),
    "var unbiased": (lambda x: x.var(1, ddof=1), [(2, 3, 4)], "normal"),
    "max": (lambda x: x.max(), [(2, 3)], "apart"),
    "max axis": (lambda x: x.max(axis=1), [(2, 3, 4)], "apart"),
    "max axes": (lambda x: x.max((2, 0), keepdims=True), [(2, 3, 4)], "apart"),
    "min axis": (lambda x: x.min(axis=-1), [(2, 3, 4)], "apart"),
    "matmul": (tr.matmul, [(2, 3), (3, 4)], "normal"),
    "matmul square": (tr.matmul, [(3, 3), (3, 3)], "normal"),
    "matmul batched": (tr.matmul, [(5, 2, 3), (5, 3, 4)], "normal"),
    "matmul broadcast": (tr.matmul, [(5, 1, 2, 3), (6, 3, 4)], "normal"),
    "matmul vectors": (tr.matmul, [(3,), (3,)], "normal"),
    "matmul vector left": (tr.matmul, [(3,), (5, 3, 4)], "normal"),
    "matmul vector right": (tr.matmul, [(5, 2, 3), (3,)], "normal"),
    "reshape": (lambda x: x.reshape(4, -1), [(2, 3, 4)], "normal"),
    "flatten": (lambda x: x.flatten(1), [(2, 3, 4)], "normal"),
    "permute": (lambda x: x.permute(2, 0, 1), [(2, 3, 4)], "normal"),
    "swapaxes": (lambda x: x.swapaxes(0, -1), [(2, 3, 4)], "normal"),
    "T": (lambda x: x.T, [(2, 3, 4)], "normal"),
    "broadcast_to": (lambda x: x.broadcast_to(5, 2, 3), [(2, 1)], "normal"),
    "squeeze": (lambda x: x.squeeze(), [(1, 3, 1, 2)], "normal"),
    "unsqueeze": (lambda x: x.unsqueeze(-1), [(3, 2)], "normal"),
    "getitem": (lambda x: x[1:, ..., None, ::-2], [(3, 2, 5)], "normal"),
    "getitem number": (lambda x: x[1, -2], [(3, 4)], "normal"),
    "getitem repeated": (lambda x: x[PICK], [(3, 4)], "normal"),
    "getitem arrays": (lambda x: x[PICK[:, None], :, PICK], [(3, 2, 4)], "normal"),
    "getitem mask": (lambda x: x[MASK], [(3, 4)], "normal"),
    "concatenate": (lambda a, b: ts.concatenate([a, b, a], -1), [(2, 3), (2, 4)], "normal"),
    "stack": (lambda a, b: ts.stack([a, b, a], 1), [(2, 3), (2, 3)], "normal"),
}
NAMES = sorted(CASES)


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32 - 1))
def test_gradients(name: str, seed: int) -> None:
    function, shapes, kind = CASES[name]
    check_gradients(function, [drawn(s, kind, seed + i) for i, s in enumerate(shapes)], seed=seed)


# ---- the test of the test: every gradient, spoilt in every way, is noticed -----------------------


Spoiler = Callable[[Callable[[Array], Array], Array], Array]


def scaled(right: Callable[[Array], Array], g: Array) -> Array:
    return right(g) * 1.0005


def negated(right: Callable[[Array], Array], g: Array) -> Array:
    return -right(g)


def forgotten(right: Callable[[Array], Array], g: Array) -> Array:
    return right(g) * 0


def deaf_to_the_cotangent(right: Callable[[Array], Array], g: Array) -> Array:
    return right(np.ones_like(g))


def misplaced(right: Callable[[Array], Array], g: Array) -> Array:
    return np.roll(right(g).ravel(), 1).reshape(right(g).shape)


def averaged(right: Callable[[Array], Array], g: Array) -> Array:
    return np.full_like(right(g), right(g).mean())


SPOILERS = [scaled, negated, forgotten, deaf_to_the_cotangent, misplaced, averaged]


def spoilt(function: Function, spoiler: Spoiler, place: int) -> Function:
    """Return `function` with the gradient of argument `place` of its last operation spoilt."""

    def wrapper(*tensors: Tensor) -> Tensor:
        result = function(*tensors)
        if result._node is not None:
            right = result._node.backward

            def wrong(g: Array, needs: Any, *saved: Any) -> tuple[Array, ...]:
                parts = list(right(g, needs, *saved))
                parts[place] = spoiler(lambda g: right(g, needs, *saved)[place], g)
                return tuple(parts)

            result._node.backward = wrong
        return result

    return wrapper


# A sum sends equal gradients everywhere, so that rolling or averaging them changes nothing.
NO_CHANGE = {
    ("sum", misplaced),
    ("sum", averaged),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spoiler", SPOILERS)
def test_spoilt_gradients_are_noticed(name: str, spoiler: Spoiler) -> None:
    if (name, spoiler) in NO_CHANGE:
        return
    function, shapes, kind = CASES[name]
    arrays = [drawn(s, kind, i) for i, s in enumerate(shapes)]
    result = function(*[Tensor(a, requires_grad=True) for a in arrays])
    for place, edge in enumerate(result._node.edges):
        if edge is None:
            continue
        with pytest.raises(GradientError):
            check_gradients(spoilt(function, spoiler, place), arrays)


MUTANTS: dict[str, Function] = {
    "cube with slope 2.001 x**2": tc.unary(
        "cube: wrong", lambda xp, x: x**3, lambda xp, g, x: g * 2.001 * x**2, "x"
    ),
    "exp that ignores its cotangent": tc.unary(
        "exp: wrong", lambda xp, x: xp.exp(x), lambda xp, g, y: y, "y"
    ),
    "mul with its arguments exchanged": tc.binary(
        "mul: wrong",
        lambda xp, a, b: a * b,
        lambda xp, g, a, b, y: g * a,
        lambda xp, g, a, b, y: g * b,
        ("a", "b"),
    ),
    "sub without the minus": tc.binary(
        "sub: wrong", lambda xp, a, b: a - b, lambda xp, g, *_: g, lambda xp, g, *_: g
    ),
}


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_mutants_made_by_the_table_are_noticed(name: str) -> None:
    function = MUTANTS[name]
    count = 2 if function.__name__ in ("mul", "sub") else 1
    with pytest.raises(GradientError):
        check_gradients(function, [values((2, 3), i, "normal") for i in range(count)])


@pytest.mark.parametrize("axes", ["summed too little", "first instead of sum", "mean"])
def test_wrong_unbroadcast_is_noticed(axes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(g: Array, shape: Shape) -> Array:
        if g.shape == shape or axes == "summed too little":
            return g
        while g.ndim > len(shape):
            g = g[0] if axes.startswith("first") else g.mean(0)
        return g

    monkeypatch.setattr(tc, "unbroadcast", wrong)
    with pytest.raises((GradientError, RuntimeError), match=r"mul: its backward|argument 1"):
        check_gradients(tm.mul, [values((4, 2, 3), 0, "normal"), values((3,), 1, "normal")])


# ---- values --------------------------------------------------------------------------------------


def elementwise(function: Callable[..., float], *arrays: Array) -> Array:
    """Apply a function of Python numbers to each element: the naive loop."""
    spread = np.broadcast_arrays(*arrays)
    out = np.empty(spread[0].shape)
    for index in np.ndindex(*out.shape):
        out[index] = function(*(float(array[index]) for array in spread))
    return out


BINARY: dict[str, tuple[Function, Callable[[float, float], float]]] = {
    "add": (tm.add, operator.add),
    "sub": (tm.sub, operator.sub),
    "mul": (tm.mul, operator.mul),
    "div": (tm.div, operator.truediv),
    "pow": (tm.pow, math.pow),
    "maximum": (tm.maximum, max),
    "minimum": (tm.minimum, min),
}
UNARY: dict[str, tuple[Function, Callable[[float], float]]] = {
    "neg": (tm.neg, operator.neg),
    "exp": (tm.exp, math.exp),
    "log": (tm.log, math.log),
    "sqrt": (tm.sqrt, math.sqrt),
    "abs": (tm.abs, abs),
    "tanh": (tm.tanh, math.tanh),
    "sigmoid": (tm.sigmoid, lambda x: 1 / (1 + math.exp(-x))),
    "clip": (lambda x: tm.clip(x, 0.75, 1.25), lambda x: min(max(x, 0.75), 1.25)),
}


@st.composite
def broadcasting_shapes(draw: st.DrawFn, count: int = 2) -> list[Shape]:
    """Draw shapes that broadcast: axes of one result, left out in front or shrunk to 1."""
    result = draw(st.lists(st.integers(1, 4), max_size=4))
    shapes = []
    for _ in range(count):
        first = draw(st.integers(0, len(result)))
        shapes.append(tuple(draw(st.sampled_from((1, n))) for n in result[first:]))
    return shapes


@pytest.mark.parametrize("name", sorted(BINARY))
@given(shapes=broadcasting_shapes(), seed=st.integers(0, 2**32 - 1))
@example(shapes=[(0, 3), (3,)], seed=0)
@example(shapes=[(2, 0, 3), (1, 1)], seed=0)
@example(shapes=[(), ()], seed=0)
def test_binary_values_and_gradients(name: str, shapes: list[Shape], seed: int) -> None:
    ours, naive = BINARY[name]
    sizes = [math.prod(shape) for shape in shapes]
    pool = drawn((sum(sizes),), "apart", seed)
    pool = np.abs(pool) + (pool > 0) / 4 if name in ("div", "pow") else pool
    a, b = pool[: sizes[0]].reshape(shapes[0]), pool[sizes[0] :].reshape(shapes[1])
    if name == "pow":
        a, b = a / len(pool) + 0.5, b / len(pool) * 3
    result = ours(Tensor(a), Tensor(b))
    np.testing.assert_allclose(result.numpy(), elementwise(naive, a, b), rtol=1e-14)
    if result.size:
        check_gradients(ours, [a, b], seed=seed, allow_zero=name in ("maximum", "minimum"))


@pytest.mark.parametrize("name", sorted(UNARY))
def test_unary_values(name: str) -> None:
    ours, naive = UNARY[name]
    x = drawn((2, 3, 4), "positive" if name in ("log", "sqrt", "clip") else "normal", 1)
    np.testing.assert_allclose(
        ours(Tensor(x)).numpy(), elementwise(naive, x), rtol=1e-14, atol=1e-16
    )
    assert ours(Tensor(x.astype(np.float32))).dtype == np.float32


def test_sigmoid_far_out_neither_overflows_nor_warns() -> None:
    x = Tensor(np.array([-1e4, -800.0, 800.0, 1e4], np.float32), requires_grad=True)
    y = x.sigmoid()
    y.backward(np.ones(4))
    assert y.numpy().tolist() == [0, 0, 1, 1]
    assert x.grad.numpy().tolist() == [0, 0, 0, 0]


REDUCTIONS: dict[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "mean": lambda v: sum(v) / len(v),
    "var": lambda v: sum((x - sum(v) / len(v)) ** 2 for x in v) / len(v),
    "max": max,
    "min": min,
}


@pytest.mark.parametrize("name", sorted(REDUCTIONS))
@given(
    shape=st.lists(st.integers(1, 4), max_size=4).map(tuple), data=st.data(), keepdims=st.booleans()
)
def test_reductions(name: str, shape: Shape, data: st.DataObject, keepdims: bool) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    axes = axes[: data.draw(st.integers(0, len(shape)))]
    axis = tuple(i - len(shape) if data.draw(st.booleans()) else i for i in axes)
    x = drawn(shape, "apart", seed)

    result = getattr(Tensor(x), name)(axis, keepdims=keepdims)
    expected = np.empty([1 if i in axes else n for i, n in enumerate(shape)])
    for index in np.ndindex(*expected.shape):
        places = product(*(range(shape[i]) if i in axes else [index[i]] for i in range(len(shape))))
        expected[index] = REDUCTIONS[name]([float(x[place]) for place in places])
    if not keepdims:
        expected = expected.reshape([n for i, n in enumerate(shape) if i not in axes])
    assert result.shape == expected.shape
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-13, atol=1e-13)
    check_gradients(
        lambda t: getattr(t, name)(axis, keepdims=keepdims),
        [x],
        seed=seed,
        allow_zero=name == "var",
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (6, 3, 4)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3,)),
        ((2, 0), (0, 4)),
    ],
)
def test_matmul_values(a: Shape, b: Shape) -> None:
    x, y = values(a, 1), values(b, 2)
    rows = x.reshape(1, -1) if x.ndim == 1 else x
    columns = y.reshape(-1, 1) if y.ndim == 1 else y
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    rows = np.broadcast_to(rows, batch + rows.shape[-2:])
    columns = np.broadcast_to(columns, batch + columns.shape[-2:])
    out = np.zeros((*batch, rows.shape[-2], columns.shape[-1]))
    for index in np.ndindex(*out.shape):
        *lead, i, j = index
        for k in range(rows.shape[-1]):
            out[index] += rows[(*lead, i, k)] * columns[(*lead, k, j)]
    out = out.reshape(batch + out.shape[-2 + (x.ndim == 1) :][: 2 - (x.ndim == 1) - (y.ndim == 1)])
    result = Tensor(x) @ Tensor(y)
    np.testing.assert_array_equal(result.numpy(), out)


# ---- ties and edges ------------------------------------------------------------------------------


def test_the_first_maximum_has_the_gradient() -> None:
    x = Tensor([[1.0, 3.0, 3.0], [3.0, 0.0, 3.0]], requires_grad=True)
    x.max().backward(np.float32(5))
    assert x.grad.numpy().tolist() == [[0, 5, 0], [0, 0, 0]]
    x.grad = None
    x.max(0).values.backward(np.array([1.0, 2.0, 4.0]))
    assert x.grad.numpy().tolist() == [[0, 2, 4], [1, 0, 0]]
    x.grad = None
    x.min(1).values.backward(np.array([7.0, 8.0]))
    assert x.grad.numpy().tolist() == [[7, 0, 0], [0, 8, 0]]


def test_maximum_and_minimum_give_a_tie_to_the_first_argument() -> None:
    for function in (tm.maximum, tm.minimum):
        a = Tensor([1.0, 2.0], requires_grad=True)
        b = Tensor([1.0, 2.0], requires_grad=True)
        function(a, b).backward(np.array([3.0, 4.0]))
        assert a.grad.numpy().tolist() == [3, 4]
        assert b.grad.numpy().tolist() == [0, 0]


def test_nan_is_the_extreme_and_has_the_gradient() -> None:
    x = Tensor([1.0, np.nan, 3.0], requires_grad=True)
    y = x.max()
    assert math.isnan(y.item())
    y.backward()
    assert x.grad.numpy().tolist() == [0, 1, 0]
    assert np.isnan(tm.maximum(Tensor([np.nan, 1.0]), Tensor([1.0, np.nan])).numpy()).all()


def test_clip_passes_the_gradient_at_its_limits() -> None:
    x = Tensor([-2.0, -1.0, 0.0, 1.0, 2.0], requires_grad=True)
    x.clip(-1, 1).backward(c := np.arange(1.0, 6.0))
    assert x.grad.numpy().tolist() == (c * [0, 1, 1, 1, 0]).tolist()


def test_powers_at_zero() -> None:
    x = Tensor([0.0, 2.0], requires_grad=True)
    (x**0).backward(np.ones(2))
    (x**1).backward(np.ones(2))
    (x**2).backward(np.ones(2))
    assert x.grad.numpy().tolist() == [1, 5]
    p = Tensor([0.0, 1.0, 2.0], requires_grad=True)
    base = Tensor([0.0, 0.0, 0.0], requires_grad=True)
    tm.pow(base, p).backward(np.ones(3))
    assert base.grad.numpy().tolist() == [0, 1, 0]
    assert p.grad.numpy().tolist() == [0, 0, 0]
    p.grad = None
    (0.0**p).backward(np.ones(3))
    assert p.grad.numpy().tolist() == [0, 0, 0]


def test_where_needs_no_finite_value_where_it_does_not_look() -> None:
    x = Tensor([1.0, 4.0], requires_grad=True)
    y = tm.where(np.array([True, False]), x, np.inf)
    assert y.numpy().tolist() == [1, np.inf]
    y.backward(np.array([2.0, 3.0]))
    assert x.grad.numpy().tolist() == [2, 0]


# ---- types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("scalar", [2, 2.5, True, np.float64(2.5), np.int64(2), np.float32(2)])
def test_scalars_take_the_type_of_the_tensor(dtype: type, scalar: Any) -> None:
    x = Tensor(np.array([1, 2], dtype), requires_grad=True)
    for function in (tm.add, tm.sub, tm.mul, tm.div, tm.pow, tm.maximum, tm.minimum):
        for result in (function(x, scalar), function(scalar, x)):
            assert result.dtype == dtype
            x.grad = None
            result.backward(np.ones(2))
            assert x.grad.dtype == dtype
    assert tm.where(np.array([True, False]), x, scalar).dtype == dtype
    assert tm.where(np.array([True, False]), scalar, x).dtype == dtype
    for result in (x + scalar, scalar + x, x - scalar, scalar - x, x * scalar, scalar * x):
        assert result.dtype == dtype
    for result in (x / scalar, scalar / x, x**scalar, scalar**x):
        assert result.dtype == dtype


def test_integers_beside_floats_keep_the_float_type() -> None:
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    for other in (np.arange(3), np.array([True, False, True]), Tensor([1, 2, 3]), [1, 2, 3]):
        assert (x * other).dtype == np.float32
        assert (other * x).dtype == np.float32
    assert (x * np.ones(3)).dtype == np.float64
    assert (Tensor([1, 2]) + Tensor([3, 4])).dtype == np.int64


def test_operators_are_the_functions() -> None:
    a, b = drawn((2, 3), "positive", 1), drawn((2, 3), "positive", 2)
    x, y = Tensor(a), Tensor(b)
    for op in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow):
        for left, right in ((x, y), (x, b), (a, y), (x, 1.5), (1.5, y)):
            result = op(left, right)
            assert isinstance(result, Tensor)
            np.testing.assert_allclose(result.numpy(), op(np.asarray(left), np.asarray(right)))
    np.testing.assert_array_equal((-x).numpy(), -a)
    np.testing.assert_array_equal(abs(-x).numpy(), a)
    np.testing.assert_array_equal((x @ b.T).numpy(), (a @ y.T).numpy())


def test_comparisons_are_plain_bool_arrays() -> None:
    a, b = values((2, 3), 1, "ties"), values((3,), 2, "ties")
    x = Tensor(a, requires_grad=True)
    for op in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        for other in (Tensor(b), b, 0, 0.0, b.tolist()):
            result = op(x, other)
            plain = other.numpy() if isinstance(other, Tensor) else other
            assert type(result) is type(x.data)
            assert result.dtype == bool
            expected = [
                [op(u, v) for u, v in zip(r, np.broadcast_to(plain, 3), strict=True)] for r in a
            ]
            np.testing.assert_array_equal(to_cpu(result), expected)
    assert (x > 0).tolist() == (x > 0).tolist()


# ---- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: x + np.zeros(4),
            ValueError,
            r"add: shapes \(2, 3\) and \(4,\) do not broadcast; ",
        ),
        (
            lambda x: np.zeros(4) - x,
            ValueError,
            r"sub: shapes \(4,\) and \(2, 3\) do not broadcast",
        ),
        (lambda x: x < np.zeros(4), ValueError, r"<: shapes \(2, 3\) and \(4,\) do not broadcast"),
        (
            lambda x: x == Tensor(np.zeros(4)),
            ValueError,
            r"==: shapes \(2, 3\) and \(4,\) do not br",
        ),
        (
            lambda x: x * "2",
            TypeError,
            "mul: cannot combine a Tensor with str; it must be a Tensor",
        ),
        (lambda x: None / x, TypeError, "div: cannot combine a Tensor with NoneType"),
        (
            lambda x: tm.where(np.ones(5, bool), x, 0),
            ValueError,
            r"where: shapes \(5,\) \(condition",
        ),
        (
            lambda x: x @ x,
            ValueError,
            r"matmul: shapes \(2, 3\) and \(2, 3\) do not fit \(\.\.\., n, k",
        ),
        (lambda x: x @ 2.0, ValueError, r"matmul: shapes \(2, 3\) and \(\) do not fit"),
        (lambda x: x.clip(), ValueError, "clip: minimum and maximum are both None"),
        (lambda x: x.clip(2, 1), ValueError, "clip: minimum 2 must not exceed maximum 1"),
        (
            lambda x: x.sum(2),
            ValueError,
            r"sum: axis 2 must name axes of shape \(2, 3\), each once",
        ),
        (
            lambda x: x.mean((0, -2)),
            ValueError,
            r"mean: axis \(0, -2\) must name axes .* each once",
        ),
        (lambda x: x[:0].mean(), ValueError, "mean: there is nothing to reduce"),
        (lambda x: x[:0].max(0), ValueError, "max: there is nothing to reduce"),
        (lambda x: x.var(0, ddof=2), ValueError, "var: 2 values and ddof=2 leave 0 to divide by"),
    ],
)
def test_messages(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(Tensor(np.ones((2, 3)), requires_grad=True))


def test_sum_of_nothing_is_zero() -> None:
    x = Tensor(np.zeros((0, 3)), requires_grad=True)
    y = x.sum(0)
    assert y.numpy().tolist() == [0, 0, 0]
    y.backward(np.ones(3))
    assert x.grad.shape == (0, 3)


# ---- what is kept --------------------------------------------------------------------------------


def saved_arrays(result: Tensor) -> list[Array]:
    return [item for item in result._node.saved if isinstance(item, type(result.data))]


def test_only_what_backward_needs_is_kept() -> None:
    a = Tensor(np.ones((2, 3)), requires_grad=True)
    b = Tensor(np.ones((2, 3)))
    assert saved_arrays(a + b) == []
    assert saved_arrays(-a) == []
    assert saved_arrays(a.sum(1)) == []
    (only,) = saved_arrays(a * b)
    assert only is b.data
    (only,) = saved_arrays(a @ b.T.data)
    assert only.shape == (3, 2)
    y = a.exp()
    (only,) = saved_arrays(y)
    assert only is y.data
