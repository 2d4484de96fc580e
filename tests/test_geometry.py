"""Sizes against windows counted one by one, and the sentences for sizes that cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.ops import geometry

axis = st.fixed_dictionaries(
    {
        "n": st.integers(1, 12),
        "k": st.integers(1, 4),
        "s": st.integers(1, 4),
        "p": st.integers(0, 3),
        "d": st.integers(1, 3),
    }
)


def _starts(n: int, k: int, s: int, p: int, d: int) -> list[int]:
    """All places of the window, found by trying every pixel of the padded axis."""
    span = max(range(0, d * k, d)) + 1
    return [a for a in range(-p, n + p) if (a + p) % s == 0 and a + span <= n + p]


def _columns(h: dict[str, int], w: dict[str, int]) -> list[tuple[int, int]]:
    """((n, n), (k, k), (s, s), (p, p), (d, d)), the order of the functions' arguments."""
    return [(h[name], w[name]) for name in "nkspd"]


@given(axis, axis)
def test_a_convolution_has_one_output_per_place_of_the_window(h, w):
    columns = _columns(h, w)
    count = len(_starts(**h)), len(_starts(**w))
    if min(count) > 0:
        assert geometry.conv_output_size(*columns) == count
    else:
        with pytest.raises(ValueError, match="but the padded input has only"):
            geometry.conv_output_size(*columns)


@given(axis, axis)
def test_output_padding_recovers_each_input_size_and_no_other(h, w):
    size, kernel, stride, padding, dilation = _columns(h, w)
    if not (_starts(**h) and _starts(**w)):
        return
    out = geometry.conv_output_size(size, kernel, stride, padding, dilation)
    extra = geometry.output_padding_for(size, out, kernel, stride, padding, dilation)
    back = geometry.conv_transpose_output_size(out, kernel, stride, padding, extra, dilation)
    assert back == size
    assert all(0 <= e < s for e, s in zip(extra, stride, strict=True))


def test_the_sizes_that_can_be_had_are_listed():
    with pytest.raises(
        ValueError,
        match=r"asks for 15 pixels of height; an input of 6 can give 18"
        r"\.\.20",
    ):
        geometry.output_padding_for((15, 18), (6, 6), (3, 3), (3, 3), (0, 0), (1, 1))


@pytest.mark.parametrize(("extra", "stride", "dilation"), [(2, 2, 1), (-1, 2, 1), (3, 1, 3)])
def test_output_padding_out_of_range(extra, stride, dilation):
    with pytest.raises(
        ValueError,
        match=rf"output_padding is {extra} along width; .* 0\.\."
        rf"{max(stride, dilation) - 1}: it picks one",
    ):
        geometry.check_output_padding((0, extra), (stride, stride), (dilation, dilation), "op")


def test_padding_that_eats_the_output():
    with pytest.raises(ValueError, match="the output would be -1 pixels of height"):
        geometry.conv_transpose_output_size((1, 5), (1, 1), (1, 1), (1, 0), (0, 0), (1, 1))


@given(axis, axis, st.booleans())
def test_pooling_windows_all_start_before_the_padding_behind(h, w, ceil_mode):
    h["p"], w["p"] = min(h["p"], h["k"] // 2), min(w["p"], w["k"] // 2)
    expected = []
    for a in (h, w):
        starts = _starts(**a)
        if ceil_mode:  # Caffe's rule: one more if pixels are left over, unless it starts in padding
            behind = starts[-1] + a["d"] * (a["k"] - 1) + 1 if starts else 0
            if starts and behind < a["n"] + a["p"] and starts[-1] + a["s"] < a["n"]:
                starts.append(starts[-1] + a["s"])
        expected.append(len(starts))
    columns = _columns(h, w)
    fits = all(_starts(**a) for a in (h, w))
    if fits:
        assert geometry.pool_output_size(*columns, ceil_mode) == tuple(expected)


def test_pooling_padding_is_at_most_half_the_kernel():
    with pytest.raises(ValueError, match=r"padding is 2 along height; it must be in 0\.\.1"):
        geometry.pool_output_size((5, 5), (3, 3), (1, 1), (2, 0), (1, 1))


@pytest.mark.parametrize("value", [1.5, "3", (1, 2, 3), None, (1,)])
def test_only_an_integer_or_two_make_a_pair(value):
    with pytest.raises(TypeError, match="must be an integer or a pair of integers"):
        geometry.pair(value, "stride", "conv2d")


def test_pairs():
    assert geometry.pair(3, "stride", "op") == (3, 3)
    assert geometry.pair([2, 1], "stride", "op") == (2, 1)
    with pytest.raises(ValueError, match=r"op: stride is \(2, 0\); both values must be at least 1"):
        geometry.check_at_least((2, 0), 1, "stride", "op")
