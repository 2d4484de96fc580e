"""What projections look like, the fitted points, and what one number shows: on known answers."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.sparse_coding.hierarchy import (
    drawings,
    fit_points,
    looks,
    measure,
    normalize_contrast,
    shapes,
    strongest,
)
from minideconv.sparse_coding.hierarchy.drawings import DIRECTIONS, KINDS, draw_lines
from minideconv.sparse_coding.hierarchy.junctions import MARGIN, RADIUS, activity, near_places
from minideconv.sparse_coding.hierarchy.pictures import corners_picture, units_picture
from minideconv.sparse_coding.hierarchy.single import STRAIGHT, cosine, spots, window


def patch(arms, vertex, size=(13, 13)):
    """Return a drawing of arms (numbers of directions) from a vertex, cut out of a larger one."""
    middle = np.array([25.0, 25.0])
    sheet = normalize_contrast(
        draw_lines(51, [(middle, middle + 60 * DIRECTIONS[k]) for k in arms])
    )
    top, left = 25 - vertex[0], 25 - vertex[1]
    return sheet[top : top + size[0], left : left + size[1]]


KNOWN = [
    ("line", (1, 5), (6, 6)),
    ("corner", (0, 2), (3, 4)),
    ("corner", (3, 4), (5, 8)),
    ("T", (0, 4, 2), (4, 6)),
    ("X", (1, 5, 2, 6), (7, 5)),
]


def check_looks(function):
    """Drawn shapes are recognised, black or white and with noise; noise alone is not."""
    rng = np.random.default_rng(0)
    stack = np.stack([patch(arms, vertex) for _, arms, vertex in KNOWN])
    noise = rng.standard_normal(stack.shape)
    norm = np.sqrt((stack**2).sum(axis=(1, 2), keepdims=True))
    for sign in (1, -3):
        found = function((sign * (stack + 0.02 * norm * noise))[:, None])
        assert found.kinds == tuple(kind for kind, _, _ in KNOWN)
        for (kind, _, vertex), at in zip(KNOWN, found.vertices, strict=True):
            if kind != "line":
                assert tuple(at) == vertex
        assert (found.likeness > 0.9).all()
        assert found.junctions.tolist() == [False, True, True, True, True]
    assert function(noise[:, None]).kinds == ("",) * len(noise)


def test_what_projections_look_like():
    check_looks(looks)
    found = looks(np.stack([patch((0, 4), (4, 3)), np.zeros((13, 13))])[:, None])
    assert found.kinds == ("line", "")
    assert found.vertices[0].tolist() == [4, 6]  # the point of the line nearest to the middle
    names = [name for name, _ in shapes.shapes(27)]
    assert [names.count(name) for name in ("line", *KINDS)] == [4, 16, 24, 6]


def test_wrong_looks_are_rejected():
    def black_only(projections):
        return looks(np.maximum(projections, 0))

    def turned(projections):
        return looks(projections[..., ::-1])

    for wrong in (black_only, turned):
        with pytest.raises(AssertionError):
            check_looks(wrong)


def unit_at(drawn, point, fires):
    """Return maps of one 4 x 5 unit that fires where `fires` says of its point; the projection."""
    maps = []
    for one in drawn:
        height, width = one.image.shape
        sheet = np.zeros((1, height + 23, width + 24))
        top, left = 10 + 3 - point[0], 10 + 4 - point[1]
        sheet[0, top : top + height, left : left + width] = fires(one)
        maps.append(sheet[:, 10 : 13 + height, 10 : 14 + width])
    return maps, np.ones((1, 1, 4, 5))


@pytest.mark.parametrize("point", [(-2, 5), (-3, 6), (5, -2)])
def test_the_fitted_point_is_found(point):
    """On some drawings it is found; on others the lift there is that of a perfect unit."""
    drawn = drawings(16, 48, 5)

    def at_places(one):
        return near_places(one, 0.6) * 1.0

    maps, projections = unit_at(drawn, point, at_places)
    placed = activity(maps[0], projections, (48, 48), np.array([point]))[0]
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    np.testing.assert_array_equal(placed[inner], at_places(drawn[0])[inner])
    points = fit_points(maps[:8], projections, drawn[:8])
    assert np.hypot(*(points[0] - point)) <= RADIUS  # nothing is lost up to there
    found = measure(maps[8:], projections, drawn[8:], points)
    assert found.share[0] > 0.97
    assert found.selective[0]
    assert measure(maps[8:], projections, drawn[8:]).share[0] < 0.8


def test_what_the_fit_gains_on_its_own_drawings_is_not_there_on_others():
    """Units that do not care have a lift of 1 on other drawings, and more on their own."""
    drawn, rng = drawings(24, 48, 6), np.random.default_rng(0)
    units = [
        unit_at(drawn, (1, 2), lambda d: (d.image > 0.5) & (rng.random(d.image.shape) < 0.02))[0]
        for _ in range(20)
    ]
    maps = [np.concatenate(one) for one in zip(*units, strict=True)]
    projections = np.ones((20, 1, 4, 5))
    points = fit_points(maps[:8], projections, drawn[:8])
    own = measure(maps[:8], projections, drawn[:8], points)
    others = measure(maps[8:], projections, drawn[8:], points)
    assert own.mean > others.mean + 0.1
    assert others.selective.sum() <= 2
    assert others.mean < 1.05
    silent = fit_points([0 * m for m in maps[:2]], projections, drawn[:2])
    np.testing.assert_array_equal(silent, [[2, 2]] * 20)


def test_kinds_are_measured_apart():
    drawn = drawings(20, 48, 3)
    maps, projections = unit_at(drawn, (2, 2), lambda one: near_places(one, 1.0, "T"))
    lifts = {k: measure(maps, projections, drawn, np.array([[2, 2]]), k).lift[0] for k in KINDS}
    assert lifts["T"] == max(lifts.values())
    assert lifts["corner"] < 1 < 5 < lifts["T"]
    nothing = measure(maps, projections, drawn, kind="none of them")
    assert (nothing.firing, nothing.selective.sum()) == (0, 0)


def naive(maps, projections, place, half):
    """Stamp each number by itself on a whole picture; cut the window out."""
    _, _, h, w = projections.shape
    best, most = (-1, np.zeros((2 * half + 1,) * 2)), 0.0
    for unit, i, j in np.ndindex(maps.shape):
        sheet = np.zeros((maps.shape[1] + h - 1, maps.shape[2] + w - 1))
        sheet[i : i + h, j : j + w] = maps[unit, i, j] * projections[unit, 0]
        here = window(sheet[h - 1 : 1 - h, w - 1 : 1 - w], place, half)
        if (here**2).sum() > most:
            best, most = (unit, here), (here**2).sum()
    return best


@pytest.mark.parametrize("place", [(2, 2), (3, 6), (6, 7)])
def test_the_strongest_number_is_that_of_a_loop(place):
    rng = np.random.default_rng(place)
    projections = rng.standard_normal((3, 1, 4, 3))
    maps = rng.standard_normal((3, 9 + 3, 10 + 2)) * (rng.random((3, 12, 12)) < 0.1)
    unit, expected = naive(maps, projections, place, 2)
    found = strongest(maps, projections, place, 2)
    assert found.unit == unit
    np.testing.assert_array_equal(found.picture, expected)
    nothing = strongest(0 * maps, projections, place, 2)
    assert (nothing.unit, nothing.picture.any()) == (-1, False)
    assert cosine(nothing.picture, expected) == 0
    assert cosine(expected, -2 * expected) == pytest.approx(-1)


def test_spots_are_what_they_say():
    for one in drawings(6, 48, 2):
        found = spots(one, np.random.default_rng(0))
        assert {kind for kind, _ in found} <= {*KINDS, STRAIGHT}
        for kind, (row, column) in found:
            assert MARGIN <= min(row, column) <= max(row, column) < 48 - MARGIN
            distance = np.hypot(*(one.places - (row, column)).T).min()
            assert distance > 6 if kind == STRAIGHT else distance < 1
            assert one.image[row, column] > 0.5


def test_boards():
    windows = [np.eye(5), np.zeros((5, 5))]
    assert corners_picture(windows, [windows, windows]).shape == (3 * 30 + 2 * 4, 2 * 30 + 4, 3)
    maps = np.zeros((2, 12, 12))
    maps[0, 5, 6] = -1
    picture = np.zeros((9, 9))
    picture[2:6, 3:7] = np.arange(16).reshape(4, 4)
    board = units_picture([0, 1], -np.arange(32.0).reshape(2, 1, 4, 4), [maps], [picture])
    assert board.shape == (2 * 24 + 4, 24, 3)  # the second does not fire
    np.testing.assert_array_equal(board[:24], board[28:])
    with pytest.raises(ValueError, match="none of the units fires"):
        units_picture([1], np.ones((2, 1, 4, 4)), [maps], [picture])
