"""Padding and cropping pixel by pixel, and that backward is the transposed matrix, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv.ops import pad, pad_backward
from minideconv.testing import (
    AdjointError,
    as_matrix,
    check_adjoint,
    check_contract,
    check_gradients,
    seeds,
    values,
)

MODES = ("constant", "reflect", "replicate", "circular")


@st.composite
def paddings(draw):
    """(shape, pad, mode): some of every axis is left, and reflect has enough to mirror."""
    mode = draw(st.sampled_from(MODES))
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    amounts = []
    for n in reversed(shape[-draw(st.integers(1, len(shape))) :]):
        most = {"reflect": n - 1, "circular": n}.get(mode, 5)
        before = draw(st.integers(1 - n, most))
        amounts += [before, draw(st.integers(1 - n - min(before, 0), most))]
    return shape, amounts, mode


def source(i, n, mode):
    """Return which of n pixels is at place i, by the rule of each mode; None is the constant."""
    if 0 <= i < n:
        return i
    if mode == "replicate":
        return min(max(i, 0), n - 1)
    if mode == "circular":
        return i % n
    if mode == "reflect":
        return -i if i < 0 else 2 * (n - 1) - i
    return None


def loop_pad(x, amounts, mode, value):
    before, after = [0] * x.ndim, [0] * x.ndim
    for k in range(len(amounts) // 2):
        before[x.ndim - 1 - k], after[x.ndim - 1 - k] = amounts[2 * k], amounts[2 * k + 1]
    y = np.empty([n + b + a for n, b, a in zip(x.shape, before, after, strict=True)], x.dtype)
    for at in np.ndindex(y.shape):
        place = [source(i - b, n, mode) for i, b, n in zip(at, before, x.shape, strict=True)]
        y[at] = value if None in place else x[tuple(place)]
    return y


@given(paddings(), seeds(), st.integers(-3, 3))
def test_it_equals_the_loops_exactly(case, seed, value):
    shape, amounts, mode = case
    x = values(shape, seed, "distinct")
    value = value if mode == "constant" else 0
    want = loop_pad(x, amounts, mode, value)
    assert np.array_equal(pad(x, amounts, mode, value), want)
    check_contract(lambda x: pad(x, amounts, mode, value), [x], shape=want.shape)
    labels = x.astype(np.uint8)
    assert pad(labels, amounts, mode).dtype == np.uint8


@given(paddings(), seeds())
def test_backward_is_the_adjoint_exactly(case, seed):
    shape, amounts, mode = case
    x = values(shape, seed)
    dy = values(pad(x, amounts, mode).shape, seed + 1)
    check_adjoint(
        lambda x: pad(x, amounts, mode),
        lambda dy: pad_backward(dy, shape, amounts, mode),
        x,
        dy,
        exact=True,
    )
    check_contract(lambda dy: pad_backward(dy, shape, amounts, mode), [dy], shape=shape)
    ending = shape[-len(amounts) // 2 :]  # the leading axes may be left out
    assert (pad_backward(dy, ending, amounts, mode) == pad_backward(dy, shape, amounts, mode)).all()


@given(paddings(), seeds())
def test_gradient_on_the_tape(case, seed):
    shape, amounts, mode = case
    check_gradients(lambda x: F.pad(x, amounts, mode), [values(shape, seed, "normal")], seed=seed)


def test_the_matrices():
    """3 pixels, 2 more on the left, 1 on the right: backward is the transposed matrix."""
    want = {
        "constant": ["000", "000", "100", "010", "001", "000"],
        "replicate": ["100", "100", "100", "010", "001", "001"],
        "reflect": ["001", "010", "100", "010", "001", "010"],
        "circular": ["010", "001", "100", "010", "001", "100"],
    }
    for mode, rows in want.items():
        a = as_matrix(lambda x, m=mode: pad(x, (2, 1), m), (3,))
        assert a.astype(int).tolist() == [[int(digit) for digit in row] for row in rows]
        at = as_matrix(lambda dy, m=mode: pad_backward(dy, (3,), (2, 1), m), (6,))
        assert (at == a.T).all()


def test_the_result_has_its_own_memory():
    x = values((3, 4), 0)
    for amounts in ((0, 0), (1, -1), (-1, -1), (2, 0)):
        assert not np.shares_memory(pad(x, amounts), x)
        dy = pad(x, amounts)
        assert not np.shares_memory(pad_backward(dy, x.shape, amounts), dy)


def test_cropping_and_padding_undo_each_other():
    x = values((2, 3, 4, 5), 1)
    assert (pad(pad(x, (1, 2, 3, 4), value=9), (-1, -2, -3, -4)) == x).all()


def mirror_the_edge_too(x):
    y = pad(x, (2, 2), "replicate")
    y[..., :2], y[..., -2:] = x[..., 1::-1], x[..., :-3:-1]
    return y


def assign_instead_of_add(dy):
    dx = dy[..., 2:-2].copy()
    dx[..., 1:3] = dy[..., 1::-1]
    return dx


MUTANTS = {
    "the border's gradient is lost": (
        lambda x: pad(x, (2, 2), "reflect"),
        lambda dy: dy[..., 2:-2],
    ),
    "the border is assigned": (lambda x: pad(x, (2, 2), "reflect"), assign_instead_of_add),
    "left and right swapped": (
        lambda x: pad(x, (3, 1), "reflect"),
        lambda dy: pad_backward(dy, (3, 5), (1, 3), "reflect"),
    ),
    "mirrored with the edge": (
        mirror_the_edge_too,
        lambda dy: pad_backward(dy, (3, 5), (2, 2), "reflect"),
    ),
    "wrapped to the wrong side": (
        lambda x: pad(x, (3, 1), "circular"),
        lambda dy: pad_backward(dy, (3, 5), (1, 3), "circular"),
    ),
    "wrapped pixels are assigned": (
        lambda x: pad(x, (2, 2), "circular"),
        lambda dy: np.concatenate([dy[..., 7:], dy[..., 4:5], dy[..., :2]], -1),
    ),
    "the other mode's backward": (
        lambda x: pad(x, (2, 2), "replicate"),
        lambda dy: pad_backward(dy, (3, 5), (2, 2), "reflect"),
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_adjoint_check_rejects(mutant):
    def check():
        for seed in range(3):  # small integers: two different sums may happen to agree, once
            check_adjoint(*MUTANTS[mutant], values((3, 5), seed), values((3, 9), seed + 1))

    with pytest.raises(AdjointError):
        check()


@pytest.mark.parametrize(
    ("amounts", "options", "message"),
    [
        ((1, 2, 3), {}, "pad has 3 entries; it needs two per axis"),
        ((0,) * 10, {}, "pad has 10 entries; .* x has 4 axes"),
        ((1, 1), {"mode": "wrap"}, "mode is 'wrap'; it must be one of 'constant', 'reflect'"),
        ((6, 0), {"mode": "circular"}, "can add at most 5 pixels on each side of axis 3, which"),
        (
            (5, 0),
            {"mode": "reflect"},
            "can add at most 4 pixels on each side of axis 3, which has 5",
        ),
        ((0, 0, -2, -2), {}, "adding -2 and -2 pixels to axis 2 of size 4 leaves nothing"),
        ((1, 1), {"mode": "replicate", "value": 2}, "value is 2; mode 'replicate' does not use it"),
    ],
)
def test_what_cannot_be_is_named(amounts, options, message):
    with pytest.raises(ValueError, match="pad: .*" + message):
        pad(np.zeros((2, 3, 4, 5)), amounts, **options)


def test_nothing_to_copy_and_wrong_types():
    with pytest.raises(ValueError, match="axis 1 of x is empty; mode 'replicate' has no pixel"):
        pad(np.zeros((2, 0)), (1, 1), "replicate")
    with pytest.raises(TypeError, match=r"pad: pad is \(1.5, 0\); it must be a sequence of integ"):
        pad(np.zeros((2, 3)), (1.5, 0))
    with pytest.raises(TypeError, match="pad: pad is 1; it must be a sequence of integers"):
        pad(np.zeros((2, 3)), 1)
