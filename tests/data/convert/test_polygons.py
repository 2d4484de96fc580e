"""Polygons and circles against a loop over points, in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.data.convert.polygons import area, fill_circle, fill_polygon

quarters = st.integers(-12, 60).map(lambda value: value / 4)
corners = st.lists(st.tuples(quarters, quarters), min_size=3, max_size=8)
sizes = st.tuples(st.integers(1, 12), st.integers(1, 14))


def by_winding_count(points, height, width):
    """For each centre, how many edges a ray upwards meets; None where it lies on an edge."""
    found = np.zeros((height, width), object)
    for row in range(height):
        for column in range(width):
            x, y = Fraction(2 * column + 1, 2), Fraction(2 * row + 1, 2)
            odd = False
            for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
                ax, ay, bx, by = map(Fraction, (ax, ay, bx, by))
                cross = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
                within = min(ax, bx) <= x <= max(ax, bx) and min(ay, by) <= y <= max(ay, by)
                if cross == 0 and within:
                    odd = None
                    break
                if (ax <= x) != (bx <= x) and ay + (x - ax) * (by - ay) / (bx - ax) < y:
                    odd = not odd
            found[row, column] = odd
    return found


def disagree(fill, points, height, width):
    expected = by_winding_count(points, height, width)
    found = fill(np.array(points, float), height, width)
    certain = expected != None  # noqa: E711  (an array)
    return (found[certain] != expected[certain].astype(bool)).any()


@given(corners, sizes)
def test_a_polygon_is_what_lies_inside(points, size):
    assert not disagree(fill_polygon, points, *size)


def test_wrong_polygons_are_seen():
    """By corners of pixels, by a filled hull, by a winding number that is not 0."""
    star = [(6.0, 0.0), (9.6, 11.0), (0.3, 4.2), (11.7, 4.2), (2.4, 11.0)]

    def shifted(points, height, width):
        return fill_polygon(points + 0.5, height, width)

    def hull(points, height, width):
        pixels = fill_polygon(points, height, width)
        return (
            np.logical_or.accumulate(pixels, 1)
            & np.logical_or.accumulate(pixels[:, ::-1], 1)[:, ::-1]
        )

    assert not disagree(fill_polygon, star, 12, 12)
    assert disagree(shifted, star, 12, 12)
    assert disagree(hull, star, 12, 12)
    assert not fill_polygon(np.array(star), 12, 12)[6, 6], "the middle of a star is outside"


@given(st.lists(st.tuples(st.floats(-3, 15), st.floats(-3, 14)), min_size=1, max_size=5), sizes)
def test_neighbours_share_no_pixel_and_leave_none_out(middle, size):
    """A rectangle that is cut in two by a line through drawn points."""
    left, right = [(-5.0, -5.0), (-5.0, 20.0)], [(20.0, 20.0), (20.0, -5.0)]
    line = [(5.3, -5.0), *middle, (7.1, 20.0)]
    one = fill_polygon(np.array(line + left[::-1]), *size)
    other = fill_polygon(np.array(line[::-1] + right[::-1]), *size)
    assert (one ^ other).all()


@given(corners, sizes, st.integers(0, 7))
def test_where_it_begins_and_which_way_it_goes_do_not_matter(points, size, start):
    turned = points[start:] + points[:start]
    expected = fill_polygon(np.array(points), *size)
    np.testing.assert_array_equal(fill_polygon(np.array(turned), *size), expected)
    np.testing.assert_array_equal(fill_polygon(np.array(points[::-1]), *size), expected)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_less_than_three_corners_enclose_nothing(count):
    assert not fill_polygon(np.array([[0, 0], [9, 9]], float)[:count], 9, 9).any()


@given(st.tuples(quarters, quarters), st.tuples(quarters, quarters), sizes)
def test_a_circle_is_what_is_near_its_centre(centre, rim, size):
    found = fill_circle(np.array(centre), np.array(rim), *size)
    reach = (Fraction(rim[0]) - Fraction(centre[0])) ** 2
    reach += (Fraction(rim[1]) - Fraction(centre[1])) ** 2
    for row, column in np.ndindex(*size):
        dx = Fraction(2 * column + 1, 2) - Fraction(centre[0])
        dy = Fraction(2 * row + 1, 2) - Fraction(centre[1])
        assert found[row, column] == (dx**2 + dy**2 <= reach)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=4, max_size=4))
def test_area_is_the_number_of_pixels_of_large_rectangles(points):
    (x0, y0), (x1, y1) = points[:2]
    rectangle = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)
    assert area(rectangle) == fill_polygon(rectangle, 40, 50).sum() == abs((x1 - x0) * (y1 - y0))
