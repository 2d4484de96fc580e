"""Resizing against loops over pixels, and that backward is the transposed matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv.ops import interpolate, interpolate_backward
from minideconv.ops.interpolate import interpolation_matrix
from minideconv.testing import (
    AdjointError,
    as_matrix,
    check_adjoint,
    check_contract,
    check_gradients,
    seeds,
    values,
)


@st.composite
def resizings(draw, modes=("nearest", "bilinear")):
    """(shape, keyword arguments): up and down, each axis for itself, by size or by factors."""
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    new = [draw(st.integers(1, 11)), draw(st.integers(1, 11))]
    options = {"mode": draw(st.sampled_from(modes))}
    if options["mode"] != "nearest":
        options["align_corners"] = draw(st.booleans())
    if draw(st.booleans()):
        options["size"] = tuple(new)
    else:  # a factor between the two that give the size, not on a boundary
        between = [draw(st.sampled_from([0.25, 0.5, 0.75])) for _ in new]
        factors = [(m + t) / n for m, t, n in zip(new, between, (height, width), strict=True)]
        options["scale_factor"] = tuple(factors)
    return (draw(st.integers(1, 2)), draw(st.integers(1, 3)), height, width), options


def position(o, n, m, mode, align_corners, factor):
    """Return where output pixel o of m looks among n input pixels, as a real number."""
    ratio = n / m if factor is None else 1 / factor
    if n == m:
        return float(o)
    if mode == "nearest" and m == 2 * n:
        return float(o // 2)
    if mode == "nearest":
        return float(min(math.floor(o * ratio), n - 1))
    if align_corners:
        return o * (n - 1) / (m - 1) if m > 1 else 0.0
    return min(max((o + 0.5) * ratio - 0.5, 0.0), n - 1.0)


def loop_interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=False):
    n = x.shape[2:]
    factors = scale_factor or (None, None)
    m = size or [math.floor(k * f) for k, f in zip(n, factors, strict=True)]
    y = np.zeros((*x.shape[:2], *m))
    for p, q in np.ndindex(*m):
        r = position(p, n[0], m[0], mode, align_corners, factors[0])
        s = position(q, n[1], m[1], mode, align_corners, factors[1])
        for i in {math.floor(r), math.ceil(r)}:
            for j in {math.floor(s), math.ceil(s)}:
                y[:, :, p, q] += (1 - abs(r - i)) * (1 - abs(s - j)) * x[:, :, i, j]
    return y


def pull(dy, shape, options):
    rest = {k: v for k, v in options.items() if k != "size"}
    return interpolate_backward(dy, shape, **rest)


@given(resizings(), seeds())
def test_it_equals_the_loops(case, seed):
    shape, options = case
    x = values(shape, seed)
    y, want = interpolate(x, **options), loop_interpolate(x, **options)
    if options["mode"] == "nearest":
        assert np.array_equal(y, want)
    else:
        np.testing.assert_allclose(y, want, rtol=1e-13, atol=1e-13)
    check_contract(lambda x: interpolate(x, **options), [x], shape=want.shape)


@given(resizings(("nearest", "bilinear", "bicubic")), seeds())
def test_backward_is_the_adjoint(case, seed):
    shape, options = case
    x = values(shape, seed)
    dy = values(interpolate(x, **options).shape, seed + 1)
    check_adjoint(
        lambda x: interpolate(x, **options),
        lambda dy: pull(dy, shape, options),
        x,
        dy,
        exact=True if options["mode"] == "nearest" else None,
    )
    check_contract(lambda dy: pull(dy, shape, options), [dy], shape=shape)
    assert (pull(dy, shape[2:], options) == pull(dy, shape, options)).all()


@given(resizings(("nearest", "bilinear", "bicubic")), seeds())
def test_gradient_on_the_tape(case, seed):
    shape, options = case
    x = values(shape, seed, "normal")
    check_gradients(lambda x: F.interpolate(x, **options), [x], seed=seed)


@given(resizings())
def test_forward_is_the_documented_matrices(case):
    (_, _, height, width), options = case
    factors = options.get("scale_factor", (None, None))
    rest = {k: options[k] for k in ("mode", "align_corners") if k in options}
    new = interpolate(np.zeros((1, 1, height, width)), **options).shape[2:]
    a_h = interpolation_matrix(height, new[0], scale_factor=factors[0], **rest)
    a_w = interpolation_matrix(width, new[1], scale_factor=factors[1], **rest)
    got = as_matrix(lambda x: interpolate(x, **options), (1, 1, height, width))
    np.testing.assert_allclose(got, np.kron(a_h, a_w), rtol=1e-15, atol=0)
    for a in (a_h, a_w):  # each row is an average of at most two neighbours
        np.testing.assert_allclose(a.sum(1), 1, rtol=1e-15)
        assert ((a > 0).sum(1) <= (1 if options["mode"] == "nearest" else 2)).all()


@given(st.integers(1, 6), st.integers(2, 6), st.integers(2, 12), st.integers(2, 12), seeds())
def test_align_corners_keeps_a_ramp_straight(height, width, new_height, new_width, seed):
    start, slope = values((2,), seed)
    x = np.broadcast_to(start + slope * np.arange(width), (1, 1, height, width))
    y = interpolate(x, (new_height, new_width), mode="bilinear", align_corners=True)
    want = start + slope * np.linspace(0, width - 1, new_width)
    np.testing.assert_allclose(y, np.broadcast_to(want, y.shape), rtol=1e-13, atol=1e-12)


@given(st.integers(1, 9), st.integers(1, 24), st.booleans())
def test_bicubic_keeps_a_constant_and_a_pixel_that_it_meets(size, new, align_corners):
    rows = interpolation_matrix(size, new, "bicubic", align_corners)
    np.testing.assert_allclose(rows.sum(1), 1, rtol=1e-13)
    assert ((rows != 0).sum(1) <= 4).all()
    odd = interpolation_matrix(size, 3 * size, "bicubic")  # each third position is a pixel's centre
    np.testing.assert_allclose(odd[1::3], np.eye(size), atol=1e-13)


def test_nearest_takes_any_dtype_and_any_value():
    labels = np.array([[[[1, 255], [7, 3]]]], np.uint8)
    big = interpolate(labels, (3, 4))
    assert big.dtype == np.uint8
    assert big[0, 0].tolist() == [[1, 1, 255, 255], [1, 1, 255, 255], [7, 7, 3, 3]]
    x = np.array([[[[np.inf, 1.0]]]])
    assert interpolate(x, (1, 4))[0, 0, 0].tolist() == [np.inf, np.inf, 1.0, 1.0]


def test_nearest_rounds_as_float32_does():
    """26 -> 22: pixel 11 is at 13 exactly, 12.999999 in float32; PyTorch takes 12, and so do we."""
    x = np.arange(26.0).reshape(1, 1, 1, 26)
    assert interpolate(x, (1, 22))[0, 0, 0, 11] == 12


def test_a_factor_that_is_one_number_serves_both_axes():
    x = values((1, 2, 3, 5), 0)
    assert (interpolate(x, scale_factor=2) == interpolate(x, (6, 10))).all()
    assert interpolate(x, 4).shape == (1, 2, 4, 4)


MUTANTS = {
    "height and width swapped": lambda dy: interpolate_backward(
        dy.swapaxes(2, 3), (1, 2, 4, 5), "bilinear"
    ).reshape(1, 2, 5, 4),
    "the other corners": lambda dy: interpolate_backward(dy, (1, 2, 5, 4), "bilinear", True),
    "nearest's backward": lambda dy: interpolate_backward(dy, (1, 2, 5, 4), "nearest"),
    "resized back": lambda dy: interpolate(dy, (5, 4), mode="bilinear"),
    "zeros": lambda dy: np.zeros((1, 2, 5, 4)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_adjoint_check_rejects(mutant):
    x, dy = values((1, 2, 5, 4), 1), values((1, 2, 8, 7), 2)
    with pytest.raises(AdjointError):
        check_adjoint(lambda x: interpolate(x, (8, 7), mode="bilinear"), MUTANTS[mutant], x, dy)


def test_backward_needs_the_factor_where_it_is_not_the_ratio_of_the_sizes():
    x, dy = values((1, 1, 5, 5), 1), values((1, 1, 8, 8), 2)
    forward = {"scale_factor": 1.7, "mode": "bilinear"}
    with pytest.raises(AdjointError):
        check_adjoint(
            lambda x: interpolate(x, **forward),
            lambda dy: interpolate_backward(dy, x.shape, "bilinear"),
            x,
            dy,
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither of size and scale_factor given; give exactly one"),
        ({"size": 3, "scale_factor": 2}, "both of size and scale_factor given"),
        ({"size": (0, 3)}, "an image of 4 x 5 pixels cannot become 0 x 3"),
        ({"scale_factor": 0.2}, "an image of 4 x 5 pixels cannot become 0 x 1"),
        ({"scale_factor": -1.0}, "scale_factor is -1.0; it must be positive and finite"),
        ({"scale_factor": math.nan}, "scale_factor is nan; it must be positive and finite"),
        ({"size": 3, "mode": "cubic"}, "mode is 'cubic'; it must be 'nearest', 'bilinear' or 'bi"),
        ({"size": 3, "align_corners": True}, "align_corners is True; .* for 'bilinear'"),
    ],
)
def test_what_cannot_be_is_named(options, message):
    with pytest.raises(ValueError, match="interpolate: .*" + message):
        interpolate(np.zeros((2, 3, 4, 5)), **options)


def test_wrong_types_and_shapes_are_named():
    with pytest.raises(ValueError, match=r"x has shape \(3, 4\); it must have 4 axes"):
        interpolate(np.zeros((3, 4)), 2)
    with pytest.raises(TypeError, match=r"size is 2\.5; it must be an integer or a pair"):
        interpolate(np.zeros((1, 1, 3, 4)), 2.5)
    with pytest.raises(TypeError, match=r"scale_factor is 'big'; it must be a number or a pair"):
        interpolate(np.zeros((1, 1, 3, 4)), scale_factor="big")
    with pytest.raises(TypeError, match="x has dtype uint8; 'bilinear' needs floating point"):
        interpolate(np.zeros((1, 1, 3, 4), np.uint8), 2, mode="bilinear")


@pytest.mark.parametrize(("n", "new"), [(88, 120), (88, 100), (49, 7), (3, 10), (1000, 7)])
def test_a_factor_that_is_a_quotient_gives_the_size_it_was_made_for(n, new):
    for size, wanted in ((n, new), (new, n)):
        image = np.zeros((1, 1, size, size), np.float32)
        assert interpolate(image, scale_factor=wanted / size).shape == (1, 1, wanted, wanted)
    # what is no quotient is rounded down as before
    assert interpolate(np.zeros((1, 1, 10, 10)), scale_factor=1.0999).shape == (1, 1, 10, 10)
    assert interpolate(np.zeros((1, 1, 7, 7)), scale_factor=(1.5, 0.9)).shape == (1, 1, 10, 6)
