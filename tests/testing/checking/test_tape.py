"""``check_op(Tensor, "tape")`` accepts right tapes of any style and names the mistake of others."""

from __future__ import annotations

import numpy as np
import pytest
import right_tensors as tensors
from hypothesis import given, settings

from minideconv import Tensor
from minideconv.testing import OperationError, check_gradients, check_op, expression_graphs, replay
from minideconv.testing import seeds as seed_strategy
from minideconv.testing.checking.calls import StudentFault, local_call
from minideconv.testing.checking.diagnosis import name_mistakes
from minideconv.testing.checking.probing import probes
from minideconv.testing.checking.replay import case_from_text, case_text
from minideconv.testing.checking.run import Checker
from minideconv.testing.checking.shrink import largest_axis
from minideconv.testing.drawing_expressions import FAMILIES
from minideconv.testing.expressions import Expression
from minideconv.testing.mistakes import mistakes
from minideconv.testing.mistakes.tensor import Right
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.differentiate import differentiate
from minideconv.testing.operations.forward_mode import evaluate

pytestmark = pytest.mark.cpu

TAPE = OPERATIONS["tape"]
BANK = mistakes("tape")
RIGHT = {
    "closures": tensors.Closures,
    "a list": tensors.Listed,
    "the kit's own": Right,
    "ours": Tensor,
    "PyTorch's": None,
}


def right(name):
    if name == "PyTorch's":
        pytest.importorskip("torch")
        return tensors.torch_tensor()
    return RIGHT[name]


@pytest.mark.parametrize("name", RIGHT)
def test_right_tapes_pass(name):
    report = check_op(right(name), "tape", examples=10)
    assert report.passed
    assert all(outcome.tried for outcome in report.outcomes)


class Once(Right):
    """A graph is freed as backward goes along, and a second call stops in the middle of it."""

    def send(self):
        if self.op == "mul" and not self.option:
            self.option = "freed"
        elif self.op == "mul":
            raise RuntimeError("backward a second time")
        super().send()


def test_a_graph_may_be_freed():
    assert check_op(Once, "tape", examples=20).passed


def test_what_is_optional_may_be_absent():
    report = check_op(tensors.Small, "tape", examples=10)
    tried = {o.name.removeprefix("tape/"): o.tried for o in report.outcomes}
    absent = {name for name, count in tried.items() if not count}
    assert absent - {"mixed"} == {"functions", "reductions", "shapes", "constants", "results"}
    assert "absent tape/functions" in report.text()


def test_what_is_required_may_not():
    class NoProduct(tensors.Small):
        __matmul__ = None

    with pytest.raises(OperationError, match="tape raised TypeError"):
        check_op(NoProduct, "tape")


@pytest.mark.parametrize("number", range(len(BANK)), ids=[m.name for m in BANK])
def test_every_mistake_is_caught_named_and_small(number):
    mistake = BANK[number]
    call = local_call(TAPE, {"Tensor": mistake.implementation()})
    with np.errstate(all="ignore"):
        failure = next(o.failure for o in Checker(TAPE, call).run() if o.failure)
        assert failure.mistakes == (mistake.name,)
        text = failure.text()
        assert mistake.name in text[:500]
        assert "y.backward(" in text[:500]
        _, case = case_from_text(failure.replay)
        assert largest_axis(case) <= 4
        assert len(case.geometry.nodes) <= 6
        again = replay(mistake.implementation(), failure.replay)
    assert "must be" in again or "raised" in again or "not summed" in again


def test_there_are_many_mistakes():
    assert len({m.name for m in BANK}) >= 40


def test_no_right_tape_has_a_mistake():
    for tensor in (tensors.Closures, tensors.Listed, Right, Tensor):
        assert name_mistakes(TAPE, local_call(TAPE, {"Tensor": tensor})) == []


def test_two_mistakes_are_both_named():
    class Both(Right):
        def d_relu(self, g, y, option, x):
            return (g,)

        def d_pow(self, g, y, n, x):
            return (g * x.data ** (n - 1),)

    named = name_mistakes(TAPE, local_call(TAPE, {"Tensor": Both}))
    names = {m.name for n in named for m in n.mistakes}
    assert names == {"relu passes every gradient", "exponent left out as a factor"}


def test_an_unknown_mistake_has_no_name():
    class Odd(Right):
        def d_exp(self, g, y, option, x):
            return (g * y.data + 0.25 * g,)

    with pytest.raises(OperationError, match=r"tape: \w.grad is wrong") as caught:
        check_op(Odd, "tape")
    failures = [o.failure for o in caught.value.report.outcomes if o.failure]
    assert all(f.mistakes == () for f in failures)
    assert ".exp()" in failures[0].call


class Recursive(Right):
    """The order is found by a function that calls itself for each operand."""

    def order(self):
        found, seen = [], set()

        def visit(node):
            if id(node) not in seen:
                seen.add(id(node))
                for x in node.operands:
                    visit(x)
                found.append(node)

        visit(self)
        return reversed(found)


class EveryPath(Right):
    """Each node hands back what it received just now, once for every path: right, but slow."""

    def backward(self, grad=None):
        self.hand_back(self.seed(grad))

    def hand_back(self, grad):
        if not self.operands:
            self.receive(grad)
            return
        for x, g in zip(self.operands, self.handed(grad), strict=True):
            x.hand_back(g)


@pytest.mark.parametrize(
    ("tensor", "name", "message"),
    [
        (Recursive, "a chain of 2000 sums", "keep a list of the nodes"),
        (EveryPath, "a million paths", "once for each path"),
    ],
)
def test_long_expressions(tensor, name, message):
    with pytest.raises(OperationError) as caught:
        check_op(tensor, "tape", examples=5)
    failed = [o for o in caught.value.report.outcomes if not o.passed]
    assert f"tape/{name}" in [o.name for o in failed]
    failure = next(o.failure for o in failed if o.name == f"tape/{name}")
    assert message in failure.text()
    assert "for _ in range(" in failure.call
    assert len(failure.text()) < 700


class Exchanges(Right):
    """transpose exchanges two axes, as PyTorch's does."""

    def transpose(self, first=0, second=1):
        assert first in (0, 1)
        return self.made("transpose", self.data.swapaxes(first, second), self)


class InATuple(Right):
    def transpose(self, order):
        return super().transpose(*order)


def test_an_order_of_axes_is_asked_for_where_transpose_takes_one():
    text = "2x3x2,2x2x3:transpose(0|2,0,1);mul(2,1);sum(3)"
    e = Expression(text)
    assert ".transpose(2, 0, 1)" in e.code({"a": "A", "b": "B"})
    call = local_call(TAPE, {"Tensor": Exchanges})
    with pytest.raises(StudentFault, match="takes no order of axes") as caught:
        call(*TAPE.call_arguments(TAPE.case(e, 1)))
    assert caught.value.kind == "absent"
    assert check_op(Exchanges, "tape", examples=5).passed
    assert check_op(InATuple, "tape", examples=5).passed


def test_relu_passes_nothing_at_0_where_no_rounding_can_move_the_0():
    exact, rounded = (
        Expression("1,1:sub(0,1);relu(2);sum(3)"),
        Expression("1:log(0);relu(1);sum(2)"),
    )
    one = np.ones(1)
    assert not evaluate(exact, [one, one])[1]
    assert evaluate(exact, [one, one], corners=True)[1]
    assert not evaluate(exact, [0.1 * one, 0.1 * one], corners=True)[1]
    assert not evaluate(rounded, [one], corners=True)[1]


class AddsInPlace(Right):
    """Every gradient is an array of zeros, to which numbers are added."""

    def receive(self, grad):
        if self.requires_grad:
            total = np.zeros(self.data.shape) if self.grad is None else self.grad
            total += grad
            self.grad = total

    def fit(self, grad, shape):
        return grad


def test_an_addition_that_does_not_broadcast_is_explained():
    with pytest.raises(OperationError, match="broadcast operand not summed") as caught:
        check_op(AddsInPlace, "tape", examples=5)
    assert "sum it over the repeated axes first" in str(caught.value)[:300]


class Forgetful(tensors.Small):
    def backward(self):
        pass


class OfText(Forgetful):
    grad = property(lambda self: "no", lambda self, value: None)


def test_results_of_several_numbers():
    given = Expression("2x3,3,2x3:mul(0,1):calls=given")
    text = "a = Tensor(A, requires_grad=True); b = Tensor(B, requires_grad=True); y = a * b; "
    assert given.code({"a": "A", "b": "B", "c": "C"}) == text + "y.backward(np.array(C))"
    arrays = leaves(given, 5)
    y, grads = differentiate(Right, arrays, given)
    np.testing.assert_array_equal(y, arrays["a"] * arrays["b"])
    np.testing.assert_array_equal(grads[4:10], (arrays["c"] * arrays["b"]).ravel())
    np.testing.assert_array_equal(grads[14:], (arrays["c"] * arrays["a"]).sum(0))
    ones = Expression("2x3,3:mul(0,1):calls=ones")
    _, grads = differentiate(Right, {r: arrays[r] for r in "ab"}, ones)
    np.testing.assert_array_equal(grads[4:10], np.tile(arrays["b"], 2))
    assert all(smaller != given for smaller in given.simpler())
    with pytest.raises(StudentFault, match="takes no gradient") as caught:
        differentiate(tensors.Small, arrays, given)
    assert caught.value.kind == "absent"


def test_an_axis_below_0_counts_from_the_last():
    below, above = (Expression(f"2x3,2:sum(0|{axis},0);mul(2,1);sum(3)") for axis in (-1, 1))
    arrays = leaves(below, 3)
    for e in (below, above):
        assert (
            differentiate(Right, arrays, e)[1]
            == TAPE.oracle(arrays, {"expression": e.text})["grads"].value
        ).all()
    assert above in below.simpler()


class OfOwnRules(tensors.Closures):
    """Another class than the bank's: micrograd's closures, each gradient added at once."""


class Guided(OfOwnRules):
    """A relu whose mask is asked of the result's gradient and its value."""

    def relu(self):
        return self.one(np.maximum(self.data, 0), lambda g: g * (g > 0) * (self.data > 0))


class GlobalMask(OfOwnRules):
    """Every relu writes its mask to one place."""

    def relu(self):
        OfOwnRules.mask = self.data > 0
        return self.one(np.maximum(self.data, 0), lambda g: g * OfOwnRules.mask)


class NoDy(OfOwnRules):
    def exp(self):
        y = np.exp(self.data)
        return self.one(y, lambda g: y)


class Slope(OfOwnRules):
    def __pow__(self, n):
        return self.one(self.data**n, lambda g: g * n * self.data**n)


class OnesAlways(OfOwnRules):
    def backward(self, gradient=None):
        super().backward(None)


class ColumnsFirst(OfOwnRules):
    def reshape(self, *shape):
        return self.one(
            self.data.reshape(*shape), lambda g: g.ravel(order="F").reshape(self.data.shape[::-1]).T
        )


class RowsCounted(OfOwnRules):
    def mean(self, axis=None, keepdims=False):
        return self.sum(axis, keepdims) * type(self)(1 / len(self.data) if self.data.ndim else 1)


@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        (Guided, "relu drops negative gradients"),
        (GlobalMask, "what one relu keeps overwritten by the next"),
        (NoDy, "incoming gradient left out of exp"),
        (Slope, "exponent not reduced"),
        (OnesAlways, "gradient given to backward ignored"),
        (ColumnsFirst, "gradient of reshape in column-major order"),
        (RowsCounted, "mean divided by the length of the first axis"),
    ],
)
def test_held_out_classes_are_named(tensor, name):
    with np.errstate(all="ignore"):
        named = name_mistakes(TAPE, local_call(TAPE, {"Tensor": tensor}))
    assert {n.title for n in named} == {name}


@pytest.mark.parametrize(
    ("tensor", "message"),
    [(Forgetful, r"a\.grad is None"), (OfText, "grad holds str; it must be an array")],
)
def test_gradients_that_are_none(tensor, message):
    with pytest.raises(OperationError, match=message):
        check_op(tensor, "tape", examples=5)


def test_a_case_is_the_same_after_it_was_text():
    for case in probes(TAPE):
        text = case_text(TAPE, case)
        operation, again = case_from_text(text)
        assert operation is TAPE
        assert case_text(TAPE, again) == text
        assert again.geometry == case.geometry


def test_the_probes_hold_every_family():
    assert {TAPE.family(case.geometry) for case in probes(TAPE)} == set(FAMILIES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no list of shapes"),
        ("2,x:sum(0)", "no list of shapes"),
        ("2", "no operation"),
        ("2:sum(0)x", "no operation"),
        ("2:cos(0);sum(1)", "'cos.0.' is no operation"),
        ("2:add(0,1);sum(2)", "not computed yet"),  # there is no leaf 1
        ("2,3:add(0,1);sum(2)", "shape mismatch"),
        ("2:neg(0)", "a single number"),
        ("2x2,3x2:matmul(0,1);sum(2)", "no product of matrices"),
        ("2:sum(0):constants=0", "nothing to differentiate"),
        ("2:sum(0):calls=thrice", "calls=thrice"),
        ("2,3:neg(0):calls=given", "no gradient of shape"),
        ("2,2:add(0,1):calls=given", "no gradient of shape"),
        ("2x3:transpose(0);sum(1):repeat=2", "cannot be repeated"),
        ("2:sum(0|1,0);sum(1)", "over axis 1 of"),
        ("2x3x2:transpose(0);sum(1)", "the transpose of .2, 3, 2. in the order .1, 0."),
        ("2x3x2:transpose(0|0,0,1);sum(1)", "in the order .0, 0, 1."),
        ("2x3:reshape(0|5);sum(1)", "does not reshape"),
    ],
)
def test_what_is_no_expression_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Expression(text)


def leaves(e, seed):
    case = TAPE.case(e, seed)
    return {role: a for role, a in case.arrays.items() if a is not None}


@given(expression_graphs(), seed_strategy())
@settings(max_examples=200)
def test_the_oracle_is_our_tape_and_no_smaller_case_is_illegal(e, seed):
    arrays = leaves(e, seed)
    dual, defined = evaluate(e, list(arrays.values()))
    if not defined or (e.calls == "ones" and dual.value.size > 1):  # ours takes none there
        return
    y, grads = differentiate(Tensor, arrays, e)
    want = TAPE.oracle(arrays, {"expression": e.text})
    assert (np.abs(y - dual.value) <= 1e-6 * (np.abs(dual.value) + dual.size)).all()
    bound = 1e-6 * want["grads"].terms
    assert (np.abs(grads - want["grads"].value) <= bound).all()
    for smaller in e.simpler():
        assert smaller != e
        assert Expression(smaller.text) == smaller


@given(expression_graphs(family="mixed"), seed_strategy())
@settings(max_examples=50)
def test_the_oracle_is_the_derivative(e, seed):
    """Differences know nothing of rules."""
    if e.constants or e.calls != "once":
        return
    arrays = leaves(e, seed)
    if not evaluate(e, list(arrays.values()))[1]:
        return

    def function(*values):
        return evaluate(e, list(values))[0].value

    def backward(dy):
        slope = evaluate(e, list(arrays.values()))[0].slope
        ends = np.cumsum([a.size for a in arrays.values()])[:-1]
        return [
            dy * part.reshape(a.shape)
            for part, a in zip(np.split(slope, ends), arrays.values(), strict=True)
        ]

    check_gradients(function, list(arrays.values()), backward, seed=seed, allow_zero=True)
