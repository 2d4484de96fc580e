"""What a step computes by CuPy's own code: the CPU's numbers, in the order of the input in memory.

``F.losses.ops`` is the module of ops as the library has it.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv import Tensor
from minideconv import functional as F
from minideconv.backend import Device
from minideconv.backend.algorithms import algorithm
from minideconv.engine.cuda import interpolate, pointwise
from minideconv.engine.cuda.streams import computing_on
from minideconv.testing import seeds, values

ORDERS = ("channels last", "channels first", "sliced")
UNUSUAL = {
    "relu": lambda x: F.relu(x),
    "softmax": lambda x: F.softmax(x, 1),
    "softmax along columns": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "dropout": lambda x: F.dropout(x, 0.25, rng=np.random.default_rng(3)),
}
OTHERS = {
    "avg_pool2d": lambda x: F.avg_pool2d(x, (3, 2), (2, 1), 1, True, False),
    "pad": lambda x: F.pad(x, (1, 2, 0, 3)),
    "pad, reflect": lambda x: F.pad(x, (1, 2, 2, 1), "reflect"),
    "nearest": lambda x: F.interpolate(x, (11, 4)),
    "nearest by a factor": lambda x: F.interpolate(x, scale_factor=(1.7, 0.6)),
    "bilinear": lambda x: F.interpolate(x, (11, 4), mode="bilinear"),
    "bilinear by a factor": lambda x: F.interpolate(x, None, (1.7, 2), "bilinear"),
    "bilinear, corners": lambda x: F.interpolate(x, (11, 4), None, "bilinear", True),
    "linear": lambda x: F.linear(x, x),
}
NAMES = {**UNUSUAL, **OTHERS}


def with_order(x, order):
    if order == "channels last":
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return np.repeat(x, 2, axis=-1)[..., ::2] if order == "sliced" else x


def both_ways(function, x, device, seed=0):
    leaf = Tensor(x, requires_grad=True, device=device)
    y = function(leaf)
    y.backward(Tensor(values(y.shape, seed, "normal", np.float32), device=device))
    return y.data, leaf.grad.data


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(seed=seeds(), order=st.sampled_from(ORDERS))
def test_the_numbers_of_the_cpu(cupy_device, name, seed, order):
    x = with_order(values((2, 5, 6, 7), seed, "normal", np.float32), order)
    x = x[0, 0] if name == "linear" else x
    found = both_ways(NAMES[name], cupy_device.put(x), "gpu")
    want = both_ways(NAMES[name], x, "cpu")
    for ours, theirs in zip(map(cupy_device.get, found), want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", UNUSUAL)
def test_channels_last_stays_channels_last(cupy_device, name):
    x = with_order(values((2, 5, 6, 7), 0, "normal", np.float32), "channels last")
    for result in both_ways(UNUSUAL[name], cupy_device.put(x), "gpu"):
        assert result.transpose(0, 2, 3, 1).flags.c_contiguous
    with algorithm("reference"):  # what CuPy does by itself
        y, _ = both_ways(UNUSUAL[name], cupy_device.put(x), "gpu")
    assert not y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (1, 0, 3, 2), (3, 1, 2, 0)])
@pytest.mark.parametrize("dim", range(-4, 4))
def test_any_order_and_axis(cupy_device, order, dim):
    x = values(tuple(np.array((2, 5, 3, 4))[list(order)]), 0, "normal").transpose(np.argsort(order))
    g = values(x.shape, 1, "normal")
    put = cupy_device.put
    for forward, backward, name in (
        (pointwise.softmax, pointwise.softmax_backward, "softmax"),
        (pointwise.log_softmax, pointwise.log_softmax_backward, "log_softmax"),
    ):
        y = forward(put(x), dim)
        want = getattr(F.losses.ops, name)(x, dim)
        np.testing.assert_allclose(cupy_device.get(y), want, rtol=1e-12)
        # the gradient may be stored in another order than the output
        dx = backward(put(np.ascontiguousarray(g)), y, dim)
        want = getattr(F.losses.ops, f"{name}_backward")(g, want, dim)
        np.testing.assert_allclose(cupy_device.get(dx), want, rtol=1e-9, atol=1e-12)


def test_ordinary_arrays_are_left_to_the_op(cupy_device):
    for shape in ((2, 3, 4, 5), (4, 5), (3,), (), (2, 1, 4, 5)):
        assert pointwise.relu(cupy_device.xp.zeros(shape)) is None
    assert pointwise.relu(cupy_device.xp.zeros((2, 3, 4, 10))[..., ::2]) is None


def test_relu_and_nearest_of_what_is_not_finite(cupy_device):
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 2, -3, 1, 0], np.float32)
    x = with_order(x.reshape(1, 2, 2, 2), "channels last")
    np.testing.assert_array_equal(
        cupy_device.get(F.losses.ops.relu(cupy_device.put(x))), F.losses.ops.relu(x)
    )
    found = interpolate.forward(cupy_device.put(x), (3, 5), "nearest", False, (None, None))
    np.testing.assert_array_equal(cupy_device.get(found), F.losses.ops.interpolate(x, (3, 5)))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_waits_travels_or_is_allocated_afresh(cupy_device, counts, name):
    shape = (2, 5) if name == "linear" else (2, 5, 6, 7)
    x = values(shape, 0, "normal", np.float32)
    x = cupy_device.put(x if name == "linear" else with_order(x, "channels last"))
    g = cupy_device.xp.ones_like(NAMES[name](Tensor(x, device="gpu")).data)

    def step():
        leaf = Tensor(x, requires_grad=True, device="gpu")
        NAMES[name](leaf).backward(Tensor(g, device="gpu"))

    step()
    step()
    with counts() as cost:
        step()
    travelled = int(name == "dropout")
    expected = {"h2d": travelled, "d2h": 0, "syncs": 0, "mallocs": 0}
    assert {key: cost()[key] for key in expected} == expected
    if travelled:
        return
    with computing_on(Device("gpu")):
        stream = cupy_device.xp.cuda.get_current_stream()
        stream.begin_capture()
        step()
        stream.end_capture().launch(stream)
        stream.synchronize()


def wrong_back(monkeypatch):
    """Leave the result's numbers in the order in which they were computed."""
    right = pointwise._in_memory_order

    def turned(*arguments, **options):
        result = right(*arguments, **options)
        return None if result is None else result.transpose(0, 2, 3, 1).reshape(result.shape)

    monkeypatch.setattr(pointwise, "_in_memory_order", turned)


def wrong_axis(monkeypatch):
    right = pointwise._in_memory_order
    monkeypatch.setattr(
        pointwise, "_in_memory_order", lambda *arguments, dim: right(*arguments, dim=dim + 1)
    )


@pytest.mark.parametrize("wrong", [wrong_back, wrong_axis])
def test_wrong_turns_are_seen(cupy_device, monkeypatch, wrong):
    wrong(monkeypatch)
    with pytest.raises(AssertionError):
        test_any_order_and_axis(cupy_device, (0, 2, 3, 1), 1)
