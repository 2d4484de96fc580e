"""The receptive field: nothing outside it counts, and its corners do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv import models, nn, no_grad
from minideconv.autograd import Tensor
from minideconv.backend import get_default_device, to_cpu
from minideconv.visualize import Box, forward_to, receptive_field

sides = st.tuples(st.integers(9, 14), st.integers(9, 14))
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


class Drawn(nn.Module):
    """Operations one after the other, of drawn windows."""

    def __init__(self, draws, rng):
        super().__init__()
        self.draws, channels = draws, 2
        self.weights = []
        for kind, kernel, *_ in draws:
            shape = (2, channels, *kernel) if "conv" in kind else (0,)
            self.weights.append(Tensor(rng.uniform(0.1, 1.0, shape)))

    def forward(self, x):
        kept = []
        for (kind, kernel, stride, padding), weight in zip(self.draws, self.weights, strict=True):
            padding = tuple(min(p, k - 1, k // 2) for p, k in zip(padding, kernel, strict=True))
            if min(x.shape[2:]) < 4 and kind in ("conv", "pool", "avg", "cut"):
                continue
            if kind == "conv":
                x = F.conv2d(x, weight, stride=stride, padding=padding)
            elif kind == "conv_transpose":
                x = F.conv_transpose2d(x, weight, stride=stride, padding=padding)
            elif kind == "pool":
                x, switches = F.max_pool2d(x, kernel, stride, padding, return_switches=True)
                kept.append(switches)
            elif kind == "avg":
                x = F.avg_pool2d(x, kernel, stride, padding)
            elif kind == "unpool" and kept and kept[-1].shape == x.shape:
                x = F.max_unpool2d(x, kept.pop())
            elif kind == "resize":
                x = F.interpolate(x, (x.shape[2] + stride[0], 7), mode="bilinear")
            elif kind == "nearest":
                x = F.interpolate(x, (5, x.shape[3] + stride[1]), mode="nearest")
            elif kind == "pad":
                x = F.pad(x, (stride[0], 0, 1, stride[1]))
            elif kind == "cut":
                x = x[:, :, 1:, : x.shape[3] - 1]
            elif kind == "skip":
                x = F.relu(x) + x
        return x


@st.composite
def chains(draw, kinds, most=4):
    steps = st.tuples(st.sampled_from(kinds), pairs, pairs, st.tuples(*[st.integers(0, 1)] * 2))
    return draw(st.lists(steps, min_size=1, max_size=most))


ALL = ("conv", "conv_transpose", "pool", "avg", "unpool", "resize", "nearest", "pad", "cut", "skip")


def value(net, x, unit, place):
    with no_grad():
        return to_cpu(net(Tensor(x)).data)[(0, unit, *place)]


# A transposed convolution whose stride is above its window: a result that depends on no pixel.
GAP = [("conv", (1, 1), (1, 1), (0, 0)), ("conv_transpose", (1, 1), (1, 2), (0, 0))]


@given(chains(ALL), sides, st.integers(0, 10**6))
@example(GAP, (9, 9), 0)
def test_pixels_outside_do_not_count(draws, size, seed):
    rng = np.random.default_rng(seed)
    net, x = Drawn(draws, rng), rng.standard_normal((1, 2, *size))
    source, outputs = forward_to(net, x, "")
    place = [int(rng.integers(side)) for side in outputs[""].shape[2:]]
    if outputs[""] is source:
        return  # every step was left out
    box = receptive_field(outputs[""], source, place)
    assert 0 <= box.top <= box.bottom < size[0]
    assert 0 <= box.left <= box.right < size[1]
    other = rng.standard_normal(x.shape)
    other[(..., *box.slices)] = x[(..., *box.slices)]
    switched = any(kind == "unpool" for kind, *_ in draws)
    # The switches of an unpooling choose by the whole map; here they are those of the same pixels.
    for unit in range(2):
        one, two = value(net, x, unit, place), value(net, other, unit, place)
        np.testing.assert_allclose(two, one, rtol=1e-12, atol=1e-12, err_msg=str(switched))


@given(chains(("conv", "pool", "avg", "cut")), sides, st.integers(0, 10**6))
def test_its_corners_count(draws, size, seed):
    """Weights and pixels above 0: a pixel that is raised far enough raises what depends on it."""
    rng = np.random.default_rng(seed)
    net, x = Drawn(draws, rng), rng.uniform(0.0, 1.0, (1, 2, *size))
    source, outputs = forward_to(net, x, "")
    place = [int(rng.integers(side)) for side in outputs[""].shape[2:]]
    if outputs[""] is source:
        return
    top, left, bottom, right = receptive_field(outputs[""], source, place)
    for i in (top, bottom):
        for j in (left, right):
            raised = x.copy()
            raised[0, :, i, j] += 1e6
            assert value(net, raised, 0, place) != value(net, x, 0, place) or value(
                net, raised, 1, place
            ) != value(net, x, 1, place)


def test_vgg16_s_fields_are_those_of_its_table():
    """196 pixels at conv5_3, as 5 stages of 3 x 3 windows and 2 x 2 poolings give: each window
    adds 2 steps of its stage, each pooling 1."""
    net = models.vgg16(2, width=1, fc=1, input_size=32).to(get_default_device())
    x = np.zeros((1, 3, 256, 320), np.float32)
    expected, field, step = {}, 1, 1
    for stage, count in enumerate((2, 2, 3, 3, 3), 1):
        for i in range(1, count + 1):
            field += 2 * step
            expected[f"conv{stage}_{i}"] = field
        field += step
        step *= 2
        expected[f"pool{stage}"] = field
    assert expected["conv5_3"] == 196
    for layer in ("conv1_1", "conv2_2", "pool3", "conv5_3"):
        source, outputs = forward_to(net, x, layer)
        middle = [side // 2 for side in outputs[layer].shape[2:]]
        box = receptive_field(outputs[layer], source, middle)
        assert box.bottom - box.top + 1 == expected[layer]
        assert box.right - box.left + 1 == expected[layer]


def test_scores_without_a_place_see_everything():
    net = models.vgg16(2, width=1, fc=1, input_size=32).to(get_default_device())
    source, outputs = forward_to(net, np.zeros((1, 3, 33, 40), np.float32), "")
    # The last row and column of 33 pixels are in no window of the poolings.
    assert receptive_field(outputs[""], source, ()) in (Box(0, 0, 32, 39), Box(0, 0, 31, 39))


def test_a_tensor_of_another_tape_is_refused():
    x = Tensor(np.ones((1, 1, 3, 3)), requires_grad=True)
    with pytest.raises(ValueError, match="was not computed from the source"):
        receptive_field(F.relu(x), Tensor(np.ones((1, 1, 3, 3)), requires_grad=True), (0, 0))
