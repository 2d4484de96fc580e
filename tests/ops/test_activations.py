"""relu, softmax and log_softmax against loops over scalars, by differences, and their messages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv.ops import (
    log_softmax,
    log_softmax_backward,
    relu,
    relu_backward,
    softmax,
    softmax_backward,
)
from minideconv.testing import GradientError, check_contract, check_gradients, seeds, values

FAMILY = {
    "softmax": (softmax, softmax_backward, F.softmax),
    "log_softmax": (log_softmax, log_softmax_backward, F.log_softmax),
}


@st.composite
def shapes_and_axes(draw):
    """A shape of 1 to 4 axes and one of them, of at least 2 elements, counted from either end."""
    others = draw(st.lists(st.integers(1, 4), max_size=3))
    axis = draw(st.integers(0, len(others)))
    shape = (*others[:axis], draw(st.integers(2, 6)), *others[axis:])
    return shape, axis - (len(shape) if draw(st.booleans()) else 0)


def loop_softmax(x, dim, log):
    y = np.empty_like(x)
    lines_in, lines_out = np.moveaxis(x, dim, -1), np.moveaxis(y, dim, -1)
    for at in np.ndindex(lines_in.shape[:-1]):
        total = math.fsum(math.exp(v) for v in lines_in[at])
        for i, v in enumerate(lines_in[at]):
            lines_out[(*at, i)] = v - math.log(total) if log else math.exp(v) / total
    return y


@given(shapes_and_axes(), seeds())
def test_relu_keeps_what_is_positive(case, seed):
    x = values(case[0], seed)
    want = np.array([v if v > 0 else 0.0 for v in x.flat]).reshape(x.shape)
    assert (relu(x) == want).all()
    check_contract(relu, [x], shape=x.shape)


@given(shapes_and_axes(), seeds())
def test_relu_gradient(case, seed):
    x = values(case[0], seed, "distinct")
    x[(0,) * x.ndim] = 7.5  # one element at least passes
    check_gradients(relu, [x], lambda dy: (relu_backward(dy, relu(x)),), seed=seed)
    check_gradients(F.relu, [x], seed=seed)


def test_relu_at_zero_and_at_nan():
    x = np.array([0.0, -0.0, np.nan])
    assert np.array_equal(relu(x), [0.0, 0.0, np.nan], equal_nan=True)
    assert relu_backward(np.array([5.0, 5.0]), relu(x[:2])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", FAMILY)
@given(shapes_and_axes(), seeds())
def test_softmax_equals_the_formula(name, case, seed):
    (shape, dim), (forward, _, _) = case, FAMILY[name]
    x = values(shape, seed, "normal")
    np.testing.assert_allclose(
        forward(x, dim), loop_softmax(x, dim, name == "log_softmax"), rtol=1e-13, atol=1e-13
    )
    check_contract(lambda x: forward(x, dim), [x], shape=shape)


@pytest.mark.parametrize("name", FAMILY)
@given(shapes_and_axes(), seeds())
def test_softmax_gradient(name, case, seed):
    (shape, dim), (forward, backward, tensor_function) = case, FAMILY[name]
    x = values(shape, seed, "normal")
    y = forward(x, dim)
    check_gradients(lambda x: forward(x, dim), [x], lambda dy: (backward(dy, y, dim),), seed=seed)
    check_gradients(lambda x: tensor_function(x, dim), [x], seed=seed)
    check_contract(lambda dy, y: backward(dy, y, dim), [values(shape, seed), y], shape=shape)


@pytest.mark.parametrize("name", FAMILY)
@given(shapes_and_axes(), seeds(), st.integers(-50, 50))
def test_softmax_does_not_see_what_is_added_to_all_scores(name, case, seed, shift):
    (shape, dim), (forward, _, _) = case, FAMILY[name]
    x = values(shape, seed)  # integers: the shift is exact
    assert (forward(x, dim) == forward(x + shift, dim)).all()


def test_softmax_of_huge_scores_and_of_minus_infinity():
    x = np.array([[1e4, 0.0, -1e4], [3.0, -np.inf, 3.0]], np.float32)
    assert softmax(x, 1).tolist() == [[1.0, 0.0, 0.0], [0.5, 0.0, 0.5]]
    assert log_softmax(x, 1)[0].tolist() == [0.0, -1e4, -2e4]
    assert log_softmax(x, 1)[1, 1] == -np.inf


MUTANTS = {
    "relu: everything passes": ("relu", lambda dy, y: dy),
    "relu: the blocked half passes": ("relu", lambda dy, y: dy * (y <= 0)),
    "relu: the cotangent is forgotten": ("relu", lambda dy, y: (y > 0) * 1.0),
    "softmax: zeros": ("softmax", lambda dy, y: 0 * y),
    "softmax: only the diagonal": ("softmax", lambda dy, y: dy * y * (1 - y)),
    "softmax: sum of dy instead of dy y": ("softmax", lambda dy, y: y * (dy - dy.sum(1)[:, None])),
    "softmax: the other axis": (
        "softmax",
        lambda dy, y: y * (dy - (dy * y).sum(0)[None]),
    ),
    "log_softmax: identity": ("log_softmax", lambda dy, y: dy),
    "log_softmax: y for exp(y)": ("log_softmax", lambda dy, y: dy - y * dy.sum(1)[:, None]),
    "log_softmax: one cotangent": ("log_softmax", lambda dy, y: dy - np.exp(y) * dy),
    "log_softmax: mean for sum": (
        "log_softmax",
        lambda dy, y: dy - np.exp(y) * dy.mean(1)[:, None],
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_gradient_check_rejects(mutant):
    name, wrong = MUTANTS[mutant]
    x = values((4, 5), 3, "distinct") / 4
    forward = {"relu": relu, **{k: (lambda x, f=v[0]: f(x, 1)) for k, v in FAMILY.items()}}[name]
    with pytest.raises(GradientError):
        check_gradients(forward, [x], lambda dy: (wrong(dy, forward(x)),))


@example(dim=2, shape=(3, 4))
@example(dim=-3, shape=(3, 4))
@example(dim=1, shape=(3,))
@given(st.integers(4, 9), st.lists(st.integers(1, 3), max_size=4).map(tuple))
def test_an_axis_that_is_not_there(dim, shape):
    for name, (forward, _, _) in FAMILY.items():
        message = f"{name}: dim is {dim}; x has {len(shape)} axes"
        with pytest.raises(ValueError, match=message):
            forward(np.zeros(shape), dim)


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="softmax: x has dtype int64; it must be floating point"):
        softmax(np.arange(3), 0)
    with pytest.raises(TypeError, match="log_softmax: dim is None; it must be an integer"):
        log_softmax(np.zeros(3), None)
