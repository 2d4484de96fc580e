"""The wrapper that lets NumPy tests call functions on the device: there, back, and in place."""

from __future__ import annotations

import numpy as np
import pytest
from on_device import Journey, on_device

from minideconv import ops
from minideconv.backend import get_xp
from minideconv.ops import BatchNormSaved, Switches, batch_norm


@pytest.fixture(autouse=True)
def _cupy(cupy_device):
    return cupy_device


def test_the_function_sees_the_device_and_the_caller_does_not():
    seen = []

    @on_device
    def double(x, more, *, option):
        seen.extend([x, more[0], more[1]["y"], option])
        return x * 2, {"whole": [option]}, None, 3

    x, y, z = np.arange(3.0), np.ones((2, 0), np.float32), np.array(5)
    result, kept, nothing, number = double(x, (y, {"y": z}), option=z)
    assert all(get_xp(array).__name__ == "cupy" for array in seen)
    assert seen[2] is seen[3]
    assert [array.shape for array in seen] == [(3,), (2, 0), (), ()]
    assert type(result) is np.ndarray
    assert result.tolist() == [0, 2, 4]
    assert kept["whole"][0] is z
    assert (nothing, number) == (None, 3)


def test_what_is_changed_in_place_and_what_is_handed_back_are_the_callers():
    @on_device
    def change(x, y):
        x[::2] = 7
        return x

    x, y = np.arange(4.0), np.arange(3)
    assert change(x, y) is x
    assert x.tolist() == [7, 1, 7, 3]
    assert y.tolist() == [0, 1, 2]

    fixed = np.arange(4.0)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        change(fixed, y)


def test_the_order_in_memory_travels():
    x = np.arange(24.0).reshape(2, 4, 1, 3).transpose(0, 3, 1, 2)
    journey = Journey()
    assert journey.there(x).strides == x.strides
    assert on_device(lambda a: a[:])(x).strides == x.strides


def test_switches_and_saved_statistics_travel():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    y, switches = on_device(ops.max_pool2d)(x, 2, return_switches=True)
    assert isinstance(switches, Switches)
    assert str(switches.device) == "cpu"
    back = on_device(ops.max_unpool2d)(y, switches)
    assert back[0, 0, 3].tolist() == [0, 13, 0, 15]
    _, saved = on_device(batch_norm)(x, None, None, return_saved=True)
    assert isinstance(saved, BatchNormSaved)
    assert type(saved.mean) is np.ndarray


def test_an_error_passes_and_changes_are_kept():
    @on_device
    def fail(x):
        x[0] = 1
        raise KeyError("inside")

    x = np.zeros(2)
    with pytest.raises(KeyError, match="inside"):
        fail(x)
    assert x.tolist() == [1, 0]
