"""The picture of a computation: every step and arrow is there, and no arrow crosses a box."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import Tensor, no_grad
from minideconv import functional as F
from minideconv.autograd.tape import Node
from minideconv.autograd.tape import graph as steps_of
from minideconv.visualize import graph
from minideconv.visualize.figures.layers_of_nodes import layout
from minideconv.visualize.figures.picture import Box, Line, Words
from minideconv.visualize.figures.style import ACCENT


def leaf(*shape):
    return Tensor(np.arange(1.0, 1 + np.prod(shape)).reshape(shape), requires_grad=True)


def crosses(points, box):
    """Whether a line through points runs through the inside of (left, top, right, bottom)."""
    left, top, right, bottom = box
    for (x0, y0), (x1, y1) in pairwise(points):
        share = np.linspace(0, 1, 201)[1:-1]
        x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
        if np.any((x > left + 1) & (x < right - 1) & (y > top + 1) & (y < bottom - 1)):
            return True
    return False


def words(picture):
    return [mark.text for mark in picture.marks if isinstance(mark, Words)]


def fan_out():
    x, w, b = leaf(3, 2), leaf(2, 1), leaf(1)
    h = x @ w + b
    h.retain_grad()
    loss = (F.relu(h) * h + h).mean() + (w**2).sum()
    return loss, {"x": x, "w": w, "b": b, "h": h, "loss": loss}


def broadcast():
    x, scale = leaf(2, 3, 4), leaf(3, 1)
    y = x * scale + scale
    return (y - y.mean(axis=-1, keepdims=True)).sum(), {"scale": scale}


def convolution():
    x, w = leaf(1, 1, 4, 4), leaf(1, 1, 3, 3)
    return F.conv2d(x, w, stride=2, padding=1).sum(), {"x": x, "w": w}


def one_leaf():
    x = leaf(2)
    return x, {"x": x}


def chain():
    y = leaf(2)
    for _ in range(12):
        y = y * 1.5 + y
    return y, {}


@pytest.mark.parametrize("make", [fan_out, broadcast, convolution, one_leaf, chain])
def test_every_step_and_arrow_is_drawn_and_no_arrow_crosses_a_box(make):
    tensor, names = make()
    steps = steps_of(tensor)
    picture = graph(tensor, names=names)
    boxes = [mark for mark in picture.marks if isinstance(mark, Box)]
    lines = [mark for mark in picture.marks if isinstance(mark, Line)]
    assert [int(box.about.split()[0]) for box in boxes] == list(range(len(steps)))
    place = {step: number for number, step in enumerate(steps)}
    edges = [
        f"{place[edge]} -> {place[step]}"
        for step in steps
        if isinstance(step, Node)
        for edge in step.edges
        if edge is not None
    ]
    assert sorted(line.about for line in lines) == sorted(edges)
    frames = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes]
    for line in lines:
        assert not any(crosses(line.points, frame) for frame in frames), line.about
        start, end = (boxes[int(part)] for part in line.about.split(" -> "))
        assert line.points[0][1] == pytest.approx(start.y + start.height)
        assert line.points[-1][1] == pytest.approx(end.y)
        assert end.x <= line.points[-1][0] <= end.x + end.width
        assert (line.colour == ACCENT) == (edges.count(line.about) > 1 or sum(
            edge.startswith(line.about.split(" -> ")[0] + " ") for edge in edges) > 1)  # fmt: skip
    for one in range(len(frames)):
        for other in range(one):
            left, top, right, bottom = frames[one]
            a, b, c, d = frames[other]
            assert right <= a or c <= left or bottom <= b or d <= top, "boxes overlap"
    assert all(box.x >= 0 and box.x + box.width <= picture.width for box in boxes)
    assert picture.smallest_text >= 10


def test_the_check_of_crossings_finds_one():
    assert crosses([(0, 0), (100, 100)], (40, 40, 60, 60))
    assert not crosses([(0, 0), (100, 0)], (40, 40, 60, 60))


def test_shapes_values_and_gradients():
    loss, names = fan_out()
    before = words(graph(loss, names=names))
    assert not [text for text in before if text.startswith("grad")]
    loss.backward(retain_graph=True)
    text = words(graph(loss, names=names))
    w, h, b = names["w"], names["h"], names["b"]
    assert f"value [{', '.join(f'{v:.3g}' for v in w.numpy().ravel())}]" in text
    assert f"grad [{', '.join(f'{v:.3g}' for v in w.grad.numpy().ravel())}]" in text
    assert f"grad [{', '.join(f'{v:.3g}' for v in h.grad.numpy().ravel())}]" in text
    assert f"grad {b.grad.numpy()[0]:.3g}" in text
    assert f"value {loss.item():.3g}" in text
    assert "h = add" in text
    assert "shape 3 × 2" in text
    assert not [t for t in words(graph(loss, values=False)) if t.startswith(("value", "grad"))]


def test_options_that_are_not_the_usual_ones():
    tensor, names = convolution()
    text = words(graph(tensor, names=names))
    assert "stride 2, padding 1" in text
    assert not [each for each in text if "groups" in each or "dilation" in each]


def test_what_cannot_be_drawn():
    y = leaf(1)
    for _ in range(41):
        y = y * 2.0
    with pytest.raises(ValueError, match="computed in 42 steps, and at most 40 are drawn"):
        graph(y)
    assert graph(y, most=42).height > 0
    with no_grad():
        constant = leaf(2) * 2.0
    with pytest.raises(ValueError, match="was not recorded"):
        graph(constant)
    loss, _ = fan_out()
    loss.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        graph(loss)


@given(st.data())
def test_a_drawn_layout_has_no_crossed_box(data):
    count = data.draw(st.integers(1, 12))
    sizes = {
        node: (data.draw(st.sampled_from([40, 90, 160])), data.draw(st.sampled_from([20, 60])))
        for node in range(count)
    }
    edges = [
        (data.draw(st.integers(0, end - 1)), end)
        for end in range(1, count)
        for _ in range(data.draw(st.integers(0, 3)))
    ]
    placed = layout(sizes, edges)
    frames = {n: (x, y, x + sizes[n][0], y + sizes[n][1]) for n, (x, y) in placed.corners.items()}
    assert [(start, end) for start, end, _ in placed.arrows] == edges
    for start, end, points in placed.arrows:
        assert frames[start][3] <= frames[end][1], "arrows run down"
        assert not any(crosses(points, frame) for frame in frames.values())
    for one in range(count):
        for other in range(one):
            left, top, right, bottom = frames[one]
            a, b, c, d = frames[other]
            assert right <= a or c <= left or bottom <= b or d <= top
