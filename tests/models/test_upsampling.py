"""What undoes a pooling in DeconvNet: sizes, parameters, where values go, and the network's option.

The numbers and gradients of whole networks are compared with PyTorch's in
``tests/oracles/test_torch_deconvnet_options.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import Tensor, models
from minideconv.models.deconvnet_options import DeconvNetOptions
from minideconv.models.score_start import start_from_scores
from minideconv.models.upsampling import UPSAMPLING, FixedUnpool2d
from minideconv.nn import MaxPool2d
from minideconv.ops.switches import Switches


def fixed(x, plane):
    """Unpool to the upper left of 2x2 windows, pixel by pixel."""
    y = np.zeros((*x.shape[:2], *plane), x.dtype)
    for n, c, i, j in np.ndindex(x.shape):
        y[n, c, 2 * i, 2 * j] = x[n, c, i, j]
    return y


def learned(x, plane, weight, bias):
    """Spread each value over its window, pixel by pixel."""
    y = np.zeros((x.shape[0], weight.shape[1], *plane), x.dtype) + bias[:, None, None]
    for n, c, i, j in np.ndindex(x.shape):
        y[n, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += x[n, c, i, j] * weight[c]
    return y


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_values_go_where_the_definition_puts_them(height, width, channels, seed):
    """Exact, with integers, for planes that two divides and others.

    The naive loops reject a value at another corner, a kernel that is mirrored or whose channels
    are exchanged, and an odd row that is left out.
    """
    rng = np.random.default_rng(seed)
    plane = rng.integers(-9, 9, (2, channels, height, width)).astype(np.float32)
    pooled, switches = MaxPool2d(2, return_switches=True)(Tensor(plane))
    x = Tensor(rng.integers(-9, 9, pooled.shape).astype(np.float32))
    found = {name: make(channels) for name, make in UPSAMPLING.items()}
    layer = found["learned"].layer
    state = {
        "layer.weight": rng.integers(-3, 4, layer.weight.shape).astype(np.float32),
        "layer.bias": rng.integers(-3, 4, channels).astype(np.float32),
    }
    found["learned"].load_state_dict(state)
    outputs = {name: module(x, switches).numpy() for name, module in found.items()}
    for y in outputs.values():
        assert y.shape == plane.shape
    a = x.numpy()
    assert np.array_equal(outputs["fixed"], fixed(a, plane.shape[2:]))
    expected = learned(a, plane.shape[2:], state["layer.weight"], state["layer.bias"])
    assert np.array_equal(outputs["learned"], expected)
    parameters = {name: module.num_parameters() for name, module in found.items()}
    by_table = {"switches": 0, "fixed": 0, "bilinear": 0, "learned": 4 * channels**2 + channels}
    assert parameters == by_table


@pytest.mark.parametrize("kind", UPSAMPLING)
def test_a_network_is_rebuilt_and_restores_every_size(kind):
    net = models.deconvnet(3, width=2, input_size=(17, 22), fc=4, stages=3, upsampling=kind)
    assert net.config()["upsampling"] == kind
    again = models.build("deconvnet", net.config())
    again.load_state_dict(net.state_dict())
    x = Tensor(np.random.default_rng(0).standard_normal((2, 3, 23, 26)).astype(np.float32))
    net.eval(), again.eval()
    y = net(x).numpy()
    assert y.shape == (2, 3, 23, 26)
    assert np.array_equal(y, again(x).numpy())


def test_a_checkpoint_of_before_has_switches():
    config = models.deconvnet(3, width=2, input_size=16, fc=4, stages=2).config()
    del config["upsampling"]
    net = models.build("deconvnet", config)
    assert net.upsampling == "switches"
    assert type(net.unpool1).__name__ == "MaxUnpool2d"


def test_what_it_cannot_be():
    with pytest.raises(ValueError, match="upsampling is 'nearest'; it must be one of 'switches', "):
        models.deconvnet(3, width=2, input_size=16, fc=4, stages=2, upsampling="nearest")
    with pytest.raises(ValueError, match=r"decoder_init is scores.*upsampling is bilinear, it"):
        DeconvNetOptions(decoder_init="scores", batch_norm="fc", upsampling="bilinear")
    net = models.deconvnet(
        2, width=2, input_size=16, fc=4, stages=2, batch_norm="none", upsampling="learned"
    )
    with pytest.raises(ValueError, match="upsampling is 'learned', but the weights are for"):
        start_from_scores(net, np.zeros((2, 4, 1, 1)), np.zeros(2))


def test_fixed_positions_need_a_pooling_without_padding():
    x = Tensor(np.zeros((1, 1, 1, 1), np.float32))
    indices = np.zeros((1, 1, 1, 1), np.int64)
    padded = Switches(indices, (2, 2), 3, 2, 1)
    for switches, shown in [(Switches(indices, (2, 2)), "None"), (padded, r"\(1, 1\)")]:
        with pytest.raises(ValueError, match=f"the switches have padding {shown}; they must be"):
            FixedUnpool2d()(x, switches.to(x.device))
