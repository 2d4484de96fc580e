"""Dropout: what it keeps, how often, from which generator, and its gradient."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv import random
from minideconv.ops import dropout, dropout_backward
from minideconv.testing import GradientError, check_contract, check_gradients, seeds, values

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)
probabilities = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])


def draw(seed):
    return np.random.default_rng(seed)


@given(shapes, probabilities, seeds())
def test_every_element_is_dropped_or_scaled(shape, p, seed):
    x = values(shape, seed, "distinct")
    y, mask = dropout(x, p, rng=draw(seed), return_mask=True)
    for a, b in zip(x.flat, y.flat, strict=True):
        assert b == 0 or (p < 1 and b == a * (1 / (1 - p)))
    if p == 0:
        assert (y == x).all()
        assert mask is None
    elif p == 1:
        assert not y.any()
    else:
        assert (y == x * mask).all()


@given(shapes, st.floats(0.1, 0.9), seeds())
def test_it_keeps_the_promises_of_an_op(shape, p, seed):
    x = values(shape, seed)
    check_contract(lambda x: dropout(x, p, rng=draw(seed)), [x], shape=shape)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_how_often_and_that_the_mean_stays(p):
    x = np.ones((4, 5, 100, 110))
    y = dropout(x, p, rng=draw(5))
    sigma = np.sqrt(p * (1 - p) / x.size)
    assert abs((y == 0).mean() - p) < 4 * sigma
    assert abs(y.mean() - 1) < 4 * sigma / (1 - p)
    # Each place is decided for itself: no image, channel, row or column repeats another.
    dropped = y == 0
    for axis in range(4):
        first, second = np.take(dropped, 0, axis), np.take(dropped, 1, axis)
        agree = (first == second).mean()
        assert abs(agree - (p * p + (1 - p) ** 2)) < 5 * 0.5 / np.sqrt(first.size)


def test_outside_training_nothing_happens_and_nothing_is_drawn():
    x = values((3, 4), 0)
    before = random.get_state()
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.5, training=False, return_mask=True) == (x, None)
    assert dropout_backward(x, None) is x
    assert random.get_state() == before


def test_the_library_generator_is_used_unless_another_is_given():
    x = np.ones((8, 9))
    random.manual_seed(11)
    first, second = dropout(x), dropout(x)
    random.manual_seed(11)
    state = random.get_state()
    own = dropout(x, rng=draw(4))
    assert random.get_state() == state
    assert (dropout(x) == first).all()
    assert (first != second).any()
    assert (own == dropout(x, rng=draw(4))).all()


def test_float32_and_float64_drop_the_same_elements():
    x = np.ones((30, 40))
    small, large = dropout(x.astype("f4"), 0.3, rng=draw(1)), dropout(x, 0.3, rng=draw(1))
    assert small.dtype == np.float32
    assert ((small == 0) == (large == 0)).all()


def test_the_order_in_memory_is_kept_and_does_not_change_what_is_dropped():
    x = values((2, 3, 4, 5), 0, "normal")
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    y, mask = dropout(last, 0.4, rng=draw(0), return_mask=True)
    assert np.array_equal(y, dropout(x, 0.4, rng=draw(0)))
    assert y.strides == mask.strides == dropout_backward(last, mask).strides == last.strides


@given(shapes, st.floats(0.1, 0.9), seeds())
def test_gradient(shape, p, seed):
    x = values((2, *shape), seed, "normal")
    _, mask = dropout(x, p, rng=draw(seed), return_mask=True)
    nothing_left = not mask.any()
    check_gradients(
        lambda x: dropout(x, p, rng=draw(seed)),
        [x],
        lambda dy: (dropout_backward(dy, mask),),
        seed=seed,
        allow_zero=nothing_left,
    )
    check_gradients(
        lambda x: F.dropout(x, p, rng=draw(seed)), [x], seed=seed, allow_zero=nothing_left
    )


MUTANTS = {
    "not scaled": lambda dy, mask: dy * (mask > 0),
    "not masked": lambda dy, mask: dy * mask.max(),
    "scaled twice": lambda dy, mask: dy * mask * mask,
    "the dropped half": lambda dy, mask: dy * (mask.max() - mask),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_gradient_check_rejects(mutant):
    x = values((5, 6), 1, "normal")
    _, mask = dropout(x, 0.4, rng=draw(2), return_mask=True)
    with pytest.raises(GradientError):
        check_gradients(
            lambda x: dropout(x, 0.4, rng=draw(2)), [x], lambda dy: (MUTANTS[mutant](dy, mask),)
        )


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_p_must_be_a_probability(p):
    with pytest.raises(
        ValueError, match=rf"dropout: p is {p}; it must be a probability in \[0, 1\]"
    ):
        dropout(np.ones(3), p)


def test_integers_are_refused():
    with pytest.raises(TypeError, match="dropout: x has dtype int64; it must be floating point"):
        dropout(np.arange(3))


@pytest.mark.cpu  # counts the host's memory
def test_the_drawn_numbers_are_freed_before_the_product():
    x = np.ones(1 << 18, np.float32)
    tracemalloc.start()
    try:
        dropout(x, rng=draw(0), return_mask=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * x.nbytes  # mask and result
