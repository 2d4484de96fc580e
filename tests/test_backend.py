"""Devices and transfers where there may be no GPU: the right answer or one clear sentence."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

import minideconv as md
from minideconv import backend
from minideconv.autograd import tensor
from minideconv.backend import Device, as_device, device_of, get_xp, synchronize, to_cpu, to_device
from minideconv.errors import DeviceError


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A made-up CuPy with two GPUs, of which nothing is missing."""
    module = types.ModuleType("cupy")
    module.ndarray = type("ndarray", (), {})
    runtime = types.SimpleNamespace(getDeviceCount=lambda: 2)
    module.cuda = types.SimpleNamespace(runtime=runtime)
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(backend, "gpu_problem", lambda: None)
    return module


def test_numpy_arrays_and_anything_else_are_computed_by_numpy():
    assert get_xp(np.zeros(2), 3.0, None) is np


def test_one_cupy_array_among_the_arguments_is_enough(cupy):
    assert get_xp(np.zeros(2), cupy.ndarray()) is cupy


def test_the_cpu_has_many_spellings_and_moves_nothing():
    x = np.arange(3.0)
    for spelling in (None, "cpu", Device()):
        assert as_device(spelling) == Device("cpu")
        assert to_device(x, spelling) is x
    assert to_cpu(x) is x
    assert device_of(x) == Device("cpu")
    assert str(device_of(x)) == "cpu"
    synchronize("cpu")


@pytest.mark.parametrize("name", ["cuda", "gpu:x", "gpu:-1", "", "CPU"])
def test_an_unknown_device_is_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"device is {name!r}; it must be 'auto'"):
        as_device(name)


def test_auto_takes_the_gpu_where_there_is_one_and_numbers_are_checked(cupy):
    assert as_device("auto") == Device("gpu", 0)
    assert as_device("gpu:1") == Device("gpu", 1)
    assert str(Device("gpu", 1)) == "gpu:1"
    with pytest.raises(DeviceError, match=r"^device gpu:2: there are 2 CUDA devices, 0 to 1"):
        as_device("gpu:2")


def test_tensors_parameters_and_buffers_are_made_on_the_default_device(monkeypatch):
    moved = []
    monkeypatch.setattr(backend._default, "_program", Device("gpu", 1))
    monkeypatch.setattr(backend, "to_device", lambda x, device: moved.append(device) or x)
    monkeypatch.setattr(tensor, "to_device", lambda x, device: x)
    array = np.ones(3, np.float32)
    first = md.Tensor(array)
    assert moved == [Device("gpu", 1)]
    md.Tensor(first)  # a tensor stays where it is
    md.Tensor(array, device="cpu")
    assert len(moved) == 1
    md.nn.Parameter(array)
    md.nn.BatchNorm2d(3)  # two parameters and three buffers
    assert first + array is not None
    assert len(moved) == 1 + 1 + 5 + 1


def test_the_default_device_is_the_cpu_and_comes_back():
    before = md.get_default_device()
    with md.default_device("cpu"):
        assert md.get_default_device() == Device("cpu")
        array = np.ones(3)
        assert md.Tensor(array).data is array
    assert md.get_default_device() == before
    with pytest.raises(ValueError, match="device is 'tpu'"):
        md.set_default_device("tpu")
    with pytest.raises(ZeroDivisionError), md.default_device("cpu"):
        raise ZeroDivisionError
    assert md.get_default_device() == before
