"""Windows: exact integers from the released lists, and cut/place as each other's inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.data.voc_colors import VOID
from minideconv.data.windows import (
    Window,
    box_of,
    cut,
    cut_pair,
    place,
    placement,
    square_window,
    whole_image_window,
)
from minideconv.errors import UsageError

# Lines of the released stage-2 list and the side each must have (inclusive ends).
RELEASED = {
    "267 -20 517 230": 251,
    "88 -24 387 275": 300,
    "34 -116 542 392": 509,
    "-30 -92 548 486": 579,
    "53 188 289 424": 237,
    "-52 -29 308 331": 361,
}


@st.composite
def windows_on_images(draw):
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    x1, y1 = draw(st.integers(-7, 9)), draw(st.integers(-7, 9))
    window = Window(x1, y1, x1 + draw(st.integers(0, 11)), y1 + draw(st.integers(0, 11)))
    return height, width, window


def numbered(height: int, width: int) -> np.ndarray:
    """An image in which every pixel holds a number of its own, none of them 0."""
    return np.arange(1, height * width + 1).reshape(height, width)


@pytest.mark.parametrize(("line", "side"), RELEASED.items())
def test_released_windows_are_square_with_inclusive_ends(line, side):
    window = Window(*map(int, line.split()))
    assert (window.width, window.height) == (side, side)
    assert cut(np.zeros((375, 500, 3), np.uint8), window).shape == (side, side, 3)


def test_a_window_above_the_image_is_black_and_void_there():
    image, mask = np.full((333, 500, 3), 7, np.uint8), np.full((333, 500), 3, np.uint8)
    cut_image, cut_mask = cut_pair(image, mask, Window(267, -20, 517, 230))
    assert (cut_image[:20] == 0).all()
    assert (cut_mask[:20] == VOID).all()
    assert (cut_image[20:, :233] == 7).all()  # columns 267..499 are 233
    assert (cut_mask[20:, :233] == 3).all()
    assert (cut_image[:, 233:] == 0).all()
    assert (cut_mask[:, 233:] == VOID).all()


@given(windows_on_images())
def test_cut_agrees_with_looking_at_every_pixel(case):
    height, width, window = case
    image = numbered(height, width)
    got = cut(image, window, fill=-5)
    for row in range(window.height):
        for column in range(window.width):
            y, x = window.y1 + row, window.x1 + column
            inside = 0 <= y < height and 0 <= x < width
            assert got[row, column] == (image[y, x] if inside else -5)


@given(windows_on_images(), st.integers(1, 3))
def test_place_puts_back_what_cut_took_and_touches_nothing_else(case, channels):
    height, width, window = case
    image = np.stack([numbered(height, width) + 100 * c for c in range(channels)])
    patch = np.stack([cut(plane, window, fill=-5) for plane in image])
    canvas = np.full_like(image, -9)
    place(canvas, patch, window)
    covered = np.zeros((height, width), dtype=bool)
    covered[placement(window, height, width)[0]] = True
    assert (canvas[:, covered] == image[:, covered]).all()
    assert (canvas[:, ~covered] == -9).all()
    area = sum(
        0 <= y < height and 0 <= x < width
        for y in range(window.y1, window.y2 + 1)
        for x in range(window.x1, window.x2 + 1)
    )
    assert covered.sum() == area


@given(
    st.tuples(*[st.integers(-50, 50)] * 2),
    st.tuples(*[st.integers(0, 60)] * 2),
    st.floats(1.0, 3.0, allow_nan=False),
)
def test_square_window_is_square_holds_the_box_and_keeps_its_centre(corner, extent, enlarge):
    box = Window(*corner, corner[0] + extent[0], corner[1] + extent[1])
    window = square_window(box, enlarge)
    longer = max(box.width, box.height)
    assert window.width == window.height
    assert abs(window.width - enlarge * longer) <= 0.5 + 1e-9
    assert window.union(box) == window
    # Twice the centres differ by at most the half pixel that parity forces, to the lower side.
    assert (box.x1 + box.x2) - (window.x1 + window.x2) in (0, 1)
    assert (box.y1 + box.y2) - (window.y1 + window.y2) in (0, 1)


def test_square_window_by_hand():
    # 10 wide, 20 high: side 24, centre 14.5 / 29.5 -> 3..26 and 18..41.
    assert square_window(Window(10, 20, 19, 39), 1.2) == Window(3, 18, 26, 41)
    assert square_window(Window(0, 0, 0, 0), 1.2) == Window(0, 0, 0, 0)


@given(st.integers(1, 40), st.integers(1, 40))
def test_whole_image_window_loses_nothing(height, width):
    window = whole_image_window(height, width)
    assert window.width == window.height == max(height, width)
    image = numbered(height, width)
    got = cut(image, window)
    assert sorted(got[got > 0]) == sorted(image.ravel())


def test_box_of_is_tight_and_inclusive():
    region = np.zeros((7, 9), dtype=bool)
    region[2, 3] = region[5, 6] = True
    assert box_of(region) == Window(3, 2, 6, 5)


def test_iou_by_hand():
    a = Window(0, 0, 3, 3)
    assert a.iou(a) == 1
    assert a.iou(Window(2, 2, 5, 5)) == 4 / 28
    assert a.iou(Window(4, 0, 7, 3)) == 0
    assert a.iou(Window(9, 9, 9, 9)) == 0


def test_messages():
    with pytest.raises(ValueError, match="box_of: region has no True pixel"):
        box_of(np.zeros((2, 3), dtype=bool))
    with pytest.raises(UsageError, match=r"enlarge is 0\.9; it must be at least 1"):
        square_window(Window(0, 0, 4, 4), 0.9)
    with pytest.raises(UsageError, match=r"window \(3, 0, 2, 5\) is empty"):
        cut(np.zeros((4, 4)), Window(3, 0, 2, 5))
    with pytest.raises(UsageError, match=r"patch is 3x4 .* is 4x4; resize the patch first"):
        place(np.zeros((2, 9, 9)), np.zeros((2, 3, 4)), Window(0, 0, 3, 3))
