"""Edges: where they are, which way they go, how thin; groups of them, and their affinities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minideconv.backend.algorithms import algorithm
from minideconv.segmentation.proposals.edge_groups import edge_groups
from minideconv.segmentation.proposals.edges import EdgeMap, edge_map, non_maximum_suppression

pytestmark = pytest.mark.cpu


def half_plane(angle: float, size: int = 41) -> np.ndarray:
    """An image with one straight edge in the direction `angle` through its middle."""
    y, x = np.indices((size, size)) - size // 2
    side = -math.sin(angle) * x + math.cos(angle) * y
    grey = np.clip(side + 0.5, 0, 1) * 150 + 50
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def line_distance(a: float, b: float) -> float:
    """Angle between two lines, radians."""
    difference = abs(a - b) % np.pi
    return min(difference, np.pi - difference)


@pytest.mark.parametrize("angle", np.arange(12) * np.pi / 12)
def test_a_straight_edge_is_thin_and_has_its_direction(angle):
    edges = edge_map(half_plane(angle))
    rows, columns = np.nonzero(edges.strength[8:-8, 8:-8] > 0.1)
    assert len(rows) >= 24
    across = -math.sin(angle) * (columns - 12) + math.cos(angle) * (rows - 12)
    assert (abs(across) <= 1).all()
    assert len(rows) <= 24 * math.sqrt(2) + 12  # one pixel wide, with some corners of stairs
    found = edges.orientation[8:-8, 8:-8][rows, columns]
    assert max(line_distance(one, angle) for one in found) < 0.1
    assert (edges.strength >= 0).all()
    assert (edges.strength <= 1).all()
    assert ((edges.orientation >= 0) & (edges.orientation < np.pi)).all()


def test_an_edge_between_colours_of_one_brightness_is_found():
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, :10, 0] = image[:, 10:, 2] = 180
    assert np.flatnonzero(edge_map(image).strength[10] > 0.1).size == 1
    # A grey image made from it, or the sum of the channels' gradients, has no edge at all.
    assert np.ptp(image.sum(axis=2, dtype=int)) == 0


def test_an_image_of_one_colour_has_no_edge():
    assert (edge_map(np.full((9, 14, 3), 77, np.uint8)).strength <= 0.1).all()


def test_suppression_against_a_loop():
    rng = np.random.default_rng(3)
    strength, angle = rng.random((9, 12)), rng.random((9, 12)) * np.pi

    def value(y, x):
        y, x = min(max(y, 0), 8), min(max(x, 0), 11)
        y0, x0 = min(int(y), 7), min(int(x), 10)
        dy, dx = y - y0, x - x0
        top = strength[y0, x0] * (1 - dx) + strength[y0, x0 + 1] * dx
        return (
            top * (1 - dy) + (strength[y0 + 1, x0] * (1 - dx) + strength[y0 + 1, x0 + 1] * dx) * dy
        )

    expected = np.zeros_like(strength)
    for i in range(9):
        for j in range(12):
            dy, dx = math.cos(angle[i, j]), -math.sin(angle[i, j])
            if strength[i, j] >= max(value(i + dy, j + dx), value(i - dy, j - dx)):
                expected[i, j] = strength[i, j]
    np.testing.assert_array_equal(non_maximum_suppression(strength, angle), expected)
    along = non_maximum_suppression(strength, (angle + np.pi / 2) % np.pi)
    assert (along != expected).any(), "the direction across the edge does not matter"


def test_of_two_equal_pixels_one_is_kept():
    strength = np.zeros((5, 6))
    strength[:, 2:4] = 0.5
    kept = non_maximum_suppression(strength, np.full((5, 6), np.pi / 2))
    assert ((kept > 0).sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((5, 5), np.uint8),), r"image has shape \(5, 5\) and dtype uint8; it must be"),
        ((np.zeros((5, 5, 3)),), "dtype float64"),
        ((np.zeros((1, 5, 3), np.uint8),), "at least 2 pixels high and wide"),
        ((np.zeros((5, 5, 3), np.uint8), 0.0), "edge_map: sigma is 0.0; it must be greater than 0"),
        ((np.zeros((5, 5, 3), np.uint8), 1.0, math.nan), "neighbourhood is nan"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ValueError, match=message):
        edge_map(*arguments)


# -- Groups -------------------------------------------------------------------------------------


def drawn(rows: list[str], angles: dict[str, float]) -> EdgeMap:
    """An edge map from text, framed: a letter is an edge pixel of strength 1 with a direction."""
    strength = np.array([[float(c != ".") for c in row] for row in rows])
    orientation = np.array([[angles.get(c, 0.0) for c in row] for row in rows])
    return EdgeMap(np.pad(strength, 1), np.pad(orientation, 1))


def labels_of(edges: EdgeMap) -> np.ndarray:
    """The labels of a drawn map, without its frame."""
    return edge_groups(edges).labels[1:-1, 1:-1]


def test_a_group_ends_where_the_turns_sum_to_a_right_angle():
    # Each pixel turns by 0.5 against the one before: 0.5 + 0.5 + 0.5 + 0.5 > pi / 2.
    angles = {letter: 0.5 * number for number, letter in enumerate("abcdef")}
    groups = edge_groups(drawn(["abcdef."], angles))
    assert groups.labels[1].tolist() == [-1, 0, 0, 0, 0, 0, 1, -1, -1]
    assert groups.magnitude.tolist() == [5.0, 1.0]


def test_the_straightest_neighbour_joins_first():
    # From a, the pixel right of it is straight on; b and c would fill the turns of pi / 2.
    text = ["c.....", "baaaaa", "......"]
    labels = labels_of(drawn(text, {"a": 0.0, "b": 1.0, "c": 2.5}))
    assert len(set(labels[1, 1:])) == 1


def test_weak_groups_join_the_neighbour_they_fit_best_or_vanish():
    edges = drawn(["aaaa....", "....c...", ".....bbb", "c......."], {"a": 0.1, "b": 1.2, "c": 2.9})
    strength = edges.strength[1:-1, 1:-1]  # a view
    strength[1, 4] = strength[3, 0] = 0.3  # below 0.5: no group of its own
    groups, labels = edge_groups(edges), labels_of(edges)
    assert labels[1, 4] == labels[0, 3]
    assert labels[3, 0] == -1
    assert groups.strength[4, 1] == 0
    assert groups.magnitude.sum() == pytest.approx(7.3)


def test_what_lies_on_the_outermost_pixels_is_no_edge():
    strength = np.zeros((6, 7))
    strength[:, 3] = strength[:, 0] = 1
    groups = edge_groups(EdgeMap(strength, np.full((6, 7), np.pi / 2)))
    assert groups.magnitude.tolist() == [4.0]
    assert (groups.labels[:, 3] == [-1, 0, 0, 0, 0, -1]).all()


def test_affinity_is_that_of_the_formula():
    # Two pieces of one line, and a third one at an angle, 2 pixels away.
    edges = drawn(
        ["...........", "aaaa.aaaa..", "..........b", "..........b", "..........b"],
        {"a": 0.0, "b": 1.4},
    )
    groups = edge_groups(edges)
    assert len(groups.magnitude) == 3
    table = np.zeros((3, 3))
    for i in range(3):
        for place in range(groups.first[i], groups.first[i + 1]):
            table[i, groups.neighbour[place]] = groups.affinity[place]
    np.testing.assert_allclose(table, table.T)
    assert table[0, 1] == pytest.approx(1.0)
    assert table[0, 2] == 0, "too far away"
    between = math.atan2(3 - 1, 10 - 6.5)
    expected = abs(math.cos(0 - between) * math.cos(1.4 - between)) ** 2
    assert table[1, 2] == pytest.approx(expected)
    for wrong in (
        expected**0.5,
        math.cos(1.4) ** 2,
        abs(math.sin(between) * math.sin(1.4 - between)),
    ):
        assert table[1, 2] != pytest.approx(wrong)


def test_affinities_below_the_cut_are_left_out():
    groups = edge_groups(drawn(["aaaaa", ".....", "....b", "....b"], {"a": 0, "b": np.pi / 2}), 9.0)
    assert len(groups.neighbour) == 0
    assert groups.first.tolist() == [0, 0, 0]


def test_the_pixel_of_a_group_belongs_to_it():
    y, x = np.indices((60, 60)) - 30
    ring = np.hypot(x, y)
    edges = EdgeMap((abs(ring - 20) < 0.6).astype(float), (np.arctan2(y, x) + np.pi / 2) % np.pi)
    groups = edge_groups(edges)
    assert (groups.labels[groups.y, groups.x] == np.arange(len(groups.magnitude))).all()


def test_no_edge_no_group():
    groups = edge_groups(EdgeMap(np.zeros((5, 7)), np.zeros((5, 7))))
    assert groups.magnitude.shape == (0,)
    assert groups.first.tolist() == [0]
    assert (groups.labels == -1).all()


@pytest.mark.parametrize("seed", range(5))
def test_compiled_groups_are_those_of_the_reference(seed):
    pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    rng = np.random.default_rng(seed)
    edges = EdgeMap(
        rng.random((40, 51)) * (rng.random((40, 51)) < 0.6), rng.random((40, 51)) * np.pi
    )
    fast = edge_groups(edges)
    with algorithm("reference"):
        plain = edge_groups(edges)
    for name in vars(plain):
        np.testing.assert_array_equal(getattr(fast, name), getattr(plain, name), err_msg=name)
