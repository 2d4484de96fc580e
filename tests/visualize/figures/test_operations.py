"""What the drawings of operations say, read from their marks and compared with the operations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import ops
from minideconv.visualize import (
    lit_matrix,
    overlap_counts,
    overlap_grid,
    single_stamps,
    stamps,
    switch_map,
    tap_matrix,
    zero_stuffing,
)
from minideconv.visualize.figures.picture import Box, Dot, Words
from minideconv.visualize.figures.stamps import stuffed
from minideconv.visualize.figures.style import PAGE_WIDTH, PAPER, contrast, tap_colour
from minideconv.visualize.figures.taps import numbered_taps

GEOMETRIES = [
    {"size": (4, 5), "kernel": (3, 2)},
    {"size": (5, 4), "kernel": (2, 3), "stride": (2, 1), "padding": (1, 0)},
    {"size": (6, 5), "kernel": (2, 2), "dilation": (2, 3), "padding": (0, 1)},
]


def labelled(picture):
    """Row, column -> (label, fill) of the cells of a picture that are about something."""
    found = {}
    for mark, after in zip(picture.marks, [*picture.marks[1:], None], strict=True):
        if isinstance(mark, Box) and mark.about:
            found[mark.about] = (after.text if isinstance(after, Words) else "", mark.fill)
    return found


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("transpose", [False, True])
def test_the_matrix_shows_every_tap_where_the_operation_has_it(geometry, transpose):
    drawn = labelled(tap_matrix(**geometry, transpose=transpose))
    size, kernel = geometry["size"], geometry["kernel"]
    options = {k: v for k, v in geometry.items() if k not in ("size", "kernel")}
    # Another way to the matrix: what the operation makes of each single pixel.
    units = np.eye(size[0] * size[1]).reshape(-1, 1, *size)
    matrix = ops.conv2d(units, numbered_taps(kernel), **options).reshape(len(units), -1).T
    matrix = matrix.T if transpose else matrix
    expected = {
        f"{row},{column}": (f"{tap:g}", tap_colour(int(tap), kernel[1]))
        for (row, column), tap in np.ndenumerate(matrix)
        if tap
    }
    assert drawn == expected


def test_a_lit_row_and_its_window():
    picture = lit_matrix((4, 4), 3, output=2)
    drawn = labelled(picture)
    assert "row 2" in drawn
    assert not [name for name in drawn if name.startswith("column")]
    window = ops.conv_matrix(numbered_taps(3), (4, 4))[2].reshape(4, 4)
    # The image comes after the matrix, whose cells of the same names it replaces in the dict.
    assert drawn["1,0"][0] == f"{window[1, 0]:g}" == "1"
    assert drawn["3,2"][0] == f"{window[3, 2]:g}" == "9"
    assert "column 2" in labelled(lit_matrix((4, 4), 3, output=2, transpose=True))
    assert picture.width <= PAGE_WIDTH


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: lit_matrix(4, 3, output=4), r"output is 4; the outputs are 0\.\.3"),
    (lambda: tap_matrix(4, 3, rows=[4]), r"rows has 4; the matrix has rows 0\.\.3"),
    (lambda: tap_matrix(2, 3), "the kernel spans 3 pixels"),
    (lambda: stamps(np.ones((2, 5)), np.ones((2, 2))), "10 pixels; at most 9"),
    (lambda: zero_stuffing(np.ones((9, 30)), np.ones((2, 2)), 3), "cells wide"),
    (lambda: zero_stuffing(np.ones((2, 2)), np.ones((3, 3)), 1, 0, 1), "output_padding is 1"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_overlap_counts_are_the_column_sums_of_the_matrix(geometry):
    size, kernel = geometry["size"], geometry["kernel"]
    options = {k: v for k, v in geometry.items() if k not in ("size", "kernel")}
    ones = ops.conv_matrix(np.ones((1, 1, *kernel)), size, **options)
    assert np.array_equal(overlap_counts(**geometry), ones.sum(axis=0).reshape(size))


def test_the_grid_of_counts_is_even_where_the_stride_divides_the_kernel():
    picture = overlap_grid(kernels=(2, 3, 4), strides=(1, 2, 3), outputs=6)
    assert picture.width <= PAGE_WIDTH
    assert picture.smallest_text >= 10 or not [m for m in picture.marks if isinstance(m, Words)]
    for kernel in (2, 3, 4):
        for stride in (1, 2, 3):
            counts = overlap_counts((1, 5 * stride + kernel), (1, kernel), (1, stride))
            inside = counts[0, kernel:-kernel]
            assert (len(set(inside.tolist())) == 1) == (kernel % stride == 0)


axes = st.tuples(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2)
)


@given(axes, axes, st.integers(0, 2), st.integers(0, 2))
def test_three_routes_to_a_transposed_convolution(rows, columns, extra_h, extra_w):
    size, kernel, stride, padding, dilation = zip(rows, columns, strict=True)
    extra = tuple(
        min(e, max(s, d) - 1) for e, s, d in zip((extra_h, extra_w), stride, dilation, strict=True)
    )
    rng = np.random.default_rng(0)
    x, w = rng.integers(-3, 4, size).astype(float), rng.integers(-3, 4, kernel).astype(float)
    out = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + e
        for n, k, s, p, d, e in zip(size, kernel, stride, padding, dilation, extra, strict=True)
    ]
    if min(out) < 1:
        return
    right = ops.conv_transpose2d(
        x[None, None], w[None, None], None, stride, padding, extra, 1, dilation
    )[0, 0]
    each = single_stamps(x, w, stride, padding, extra, dilation)
    assert np.array_equal(each.sum(axis=0), right)
    high_wide, places = stuffed(size, kernel, stride, padding, extra, dilation)
    plane = np.zeros(high_wide)
    for value, (row, column) in zip(x.ravel(), places, strict=True):
        if 0 <= row < high_wide[0] and 0 <= column < high_wide[1]:
            plane[row, column] = value
    turned = w[None, None, ::-1, ::-1]
    again = ops.conv2d(plane[None, None], turned, dilation=dilation)[0, 0]
    assert np.array_equal(again, right)


def test_stamps_show_each_stamp_and_the_sum():
    x, w = np.array([[1.0, 2], [3, 0]]), np.arange(1.0, 7).reshape(2, 3)
    picture = stamps(x, w, (1, 2))
    drawn = labelled(picture)
    total = ops.conv_transpose2d(x[None, None], w[None, None], stride=(1, 2))[0, 0]
    sums = {name: label for name, (label, _) in drawn.items() if name.startswith("sum")}
    assert sums == {f"sum {r},{c}": f"{v:g}" for (r, c), v in np.ndenumerate(total)}
    for pixel in range(4):  # the pixel of value 0 has a stamp too
        assert sum(name.startswith(f"stamp {pixel} ") for name in drawn) == w.size


def test_zero_stuffing_shows_the_zeros_and_the_result():
    x, w = np.array([[1.0, 2]]), np.array([[3.0, 4, 5]])
    drawn = labelled(zero_stuffing(x, w, (1, 2), (0, 1), (0, 1)))
    row = [drawn[f"zeros 0,{c}"][0] for c in range(6)]
    assert row == ["0", "1", "0", "2", "0", "0"]
    assert [drawn[f"turned 0,{c}"][0] for c in range(3)] == ["5", "4", "3"]
    right = ops.conv_transpose2d(x[None, None], w[None, None], None, (1, 2), (0, 1), (0, 1)).ravel()
    assert [drawn[f"result 0,{c}"][0] for c in range(4)] == [f"{v:g}" for v in right]
    assert drawn["zeros 0,5"][1] != drawn["zeros 0,4"][1], "what output_padding adds is marked"


@pytest.mark.parametrize("size", [(6, 8), (40, 30)])
def test_a_switch_map_marks_the_winners(size):
    plane = np.random.default_rng(1).integers(0, 10, size).astype(float)
    picture = switch_map(plane, (2, 2))
    _, switches = ops.max_pool2d(plane[None, None], 2, return_switches=True)
    winners = {f"winner {i // size[1]},{i % size[1]}" for i in switches.indices.ravel().tolist()}
    assert {mark.about for mark in picture.marks if isinstance(mark, Dot)} == winners
    assert picture.width <= PAGE_WIDTH + 1


def test_overlapping_windows_share_a_winner():
    plane = np.zeros((5, 5))
    plane[2, 2] = 9
    picture = switch_map(plane, 3, 2)
    assert {mark.about for mark in picture.marks if isinstance(mark, Dot)} == {"winner 2,2"}
    assert not [m for m in picture.marks if isinstance(m, Box) and m.about.startswith("window")]
    drawn = [
        after.text
        for mark, after in zip(switch_map(plane, 3, 2, duplicates="add").marks, [
            *switch_map(plane, 3, 2, duplicates="add").marks[1:], None], strict=True)
        if isinstance(mark, Box) and mark.about == "value 2,2"
    ]  # fmt: skip
    assert drawn == ["9", "36"], "four windows put their 9 back, and they are added"


@pytest.mark.parametrize("make", [
    lambda: tap_matrix(5, 3, 2, 1, rows=[4]),
    lambda: lit_matrix((4, 4), 3, output=2),
    lambda: stamps(np.ones((2, 2)), np.ones((3, 3)), 2),
    lambda: zero_stuffing(np.ones((2, 2)), np.ones((3, 3)), 2),
    lambda: overlap_grid(),
    lambda: switch_map(np.arange(16.0).reshape(4, 4), 2),
])  # fmt: skip
def test_text_can_be_read(make):
    picture = make()
    assert picture.smallest_text >= 10
    assert picture.width <= PAGE_WIDTH
    for mark, after in zip(picture.marks, [*picture.marks[1:], None], strict=True):
        if isinstance(mark, Words):
            assert mark.x >= 0
            assert mark.y <= picture.height
        if isinstance(after, Words) and isinstance(mark, Box) and mark.fill.startswith("#"):
            from minideconv.visualize.figures.style import mixed

            behind = mixed(mark.fill, PAPER, mark.opacity)
            assert contrast(after.colour, behind) >= 4.5, (after, mark)
