"""The fully connected layer against loops, by its two adjoints, and its messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv.ops import linear, linear_backward
from minideconv.testing import (
    GradientError,
    check_adjoint,
    check_contract,
    check_gradients,
    seeds,
    values,
)

leading_axes = st.lists(st.integers(1, 4), max_size=3).map(tuple)
cases = st.tuples(leading_axes, st.integers(1, 6), st.integers(1, 6), st.booleans())


def arrays(case, seed, kind="integer"):
    lead, c_in, c_out, has_bias = case
    x, w = values((*lead, c_in), seed, kind), values((c_out, c_in), seed + 1, kind)
    return x, w, values((c_out,), seed + 2, kind) if has_bias else None


def loop_linear(x, w, b):
    y = np.zeros((*x.shape[:-1], len(w)))
    for at in np.ndindex(y.shape):
        *n, o = at
        y[at] = 0 if b is None else b[o]
        for i in range(w.shape[1]):
            y[at] += x[(*n, i)] * w[o, i]
    return y


@given(cases, seeds())
def test_it_equals_the_loops_exactly(case, seed):
    x, w, b = arrays(case, seed)
    assert (linear(x, w, b) == loop_linear(x, w, b)).all()
    given_arrays = [x, w] if b is None else [x, w, b]
    check_contract(linear, given_arrays, shape=(*x.shape[:-1], len(w)))


@given(cases, seeds())
def test_x_and_weight_gradients_are_adjoints(case, seed):
    x, w, _ = arrays(case, seed)
    dy = values((*x.shape[:-1], len(w)), seed + 3)
    check_adjoint(lambda x: linear(x, w), lambda dy: linear_backward(dy, x, w)[0], x, dy)
    check_adjoint(lambda w: linear(x, w), lambda dy: linear_backward(dy, x, w)[1], w, dy)
    assert (linear_backward(dy, x, w)[2] == dy.reshape(-1, len(w)).sum(0)).all()


@given(cases, seeds())
def test_gradients(case, seed):
    x, w, b = arrays(case, seed, "normal")

    def backward(dy):
        dx, dw, db = linear_backward(dy, x, w)
        return dx, dw, None if b is None else db

    check_gradients(linear, [x, w, b], backward, seed=seed)
    check_gradients(F.linear, [x, w, b], seed=seed)


@given(cases, seeds(), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_only_the_gradients_that_are_needed(case, seed, needs):
    x, w, _ = arrays(case, seed)
    dy = values((*x.shape[:-1], len(w)), seed + 3)
    everything = linear_backward(dy, x, w)
    for want, got, needed in zip(everything, linear_backward(dy, x, w, needs), needs, strict=True):
        assert (got is None) == (not needed)
        assert got is None or (got == want).all()


MUTANTS = {
    "dx: the weight not transposed back": lambda dy, x, w: (dy @ w.T, dy.T @ x, dy.sum(0)),
    "dw: transposed": lambda dy, x, w: (dy @ w, x.T @ dy, dy.sum(0)),
    "dw: mean over the batch": lambda dy, x, w: (dy @ w, dy.T @ x / len(x), dy.sum(0)),
    "db: mean": lambda dy, x, w: (dy @ w, dy.T @ x, dy.mean(0)),
    "db: from the inputs": lambda dy, x, w: (dy @ w, dy.T @ x, x.sum(0)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_gradient_check_rejects(mutant):
    # A square weight and as many rows: no shape gives the mutants away.
    x, w, b = arrays(((4,), 4, 4, True), 0, "normal")
    with pytest.raises(GradientError):
        check_gradients(linear, [x, w, b], lambda dy: MUTANTS[mutant](dy, x, w))


@pytest.mark.parametrize(
    ("x", "w", "b", "message"),
    [
        (
            (2, 3),
            (4, 5),
            None,
            r"x has shape \(2, 3\) but weight has shape \(4, 5\); .* 5 elements",
        ),
        ((), (4, 5), None, r"x has shape \(\) but weight"),
        ((2, 3), (4,), None, r"weight has shape \(4,\); it must be \(C_out, C_in\)"),
        ((2, 3), (4, 3), (3,), r"bias has shape \(3,\); with weight \(4, 3\) it must be \(4,\)"),
    ],
)
def test_wrong_shapes_are_named(x, w, b, message):
    with pytest.raises(ValueError, match="linear: " + message):
        linear(np.zeros(x), np.zeros(w), None if b is None else np.zeros(b))


def test_integers_are_refused():
    with pytest.raises(TypeError, match="linear: weight has dtype int64"):
        linear(np.zeros((2, 3)), np.zeros((4, 3), np.int64))
