"""Devices and transfers where there may be no GPU: the right answer or one clear sentence."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from minideconv import backend
from minideconv.backend import Device, as_device, device_of, get_xp, synchronize, to_cpu, to_device
from minideconv.errors import DeviceError


def _without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # makes `import cupy` raise ImportError


def _fake_cupy(monkeypatch: pytest.MonkeyPatch, devices: int | Exception) -> types.ModuleType:
    class Ndarray:
        pass

    def count() -> int:
        if isinstance(devices, Exception):
            raise devices
        return devices

    cupy = types.ModuleType("cupy")
    cupy.ndarray = Ndarray  # type: ignore[attr-defined]
    cupy.cuda = types.SimpleNamespace(  # type: ignore[attr-defined]
        runtime=types.SimpleNamespace(getDeviceCount=count)
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


def test_numpy_arrays_and_anything_else_are_computed_by_numpy():
    assert get_xp(np.zeros(2), 3.0, None) is np


def test_one_cupy_array_among_the_arguments_is_enough(monkeypatch):
    cupy = _fake_cupy(monkeypatch, 1)
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


def test_gpu_without_cupy_says_what_to_install(monkeypatch):
    _without_cupy(monkeypatch)
    with pytest.raises(
        DeviceError, match=r"--device gpu: CuPy is not installed; pip install 'mini"
    ):
        as_device("gpu")
    assert as_device("auto") == Device("cpu")


def test_gpu_without_a_driver_says_so(monkeypatch):
    _fake_cupy(monkeypatch, RuntimeError("cudaErrorInsufficientDriver: CUDA driver version"))
    with pytest.raises(DeviceError, match="driver is missing or too old"):
        as_device("gpu")


def test_gpu_without_a_device_says_so(monkeypatch):
    for devices in (0, RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")):
        _fake_cupy(monkeypatch, devices)
        with pytest.raises(DeviceError, match="no CUDA device is visible"):
            as_device("gpu")


def test_auto_takes_the_gpu_where_there_is_one_and_numbers_are_checked(monkeypatch):
    _fake_cupy(monkeypatch, 2)
    assert as_device("auto") == Device("gpu", 0)
    assert as_device("gpu:1") == Device("gpu", 1)
    assert str(Device("gpu", 1)) == "gpu:1"
    with pytest.raises(DeviceError, match=r"--device gpu:2: there are 2 CUDA devices, 0 to 1"):
        as_device("gpu:2")


def test_a_cupy_that_does_not_import_is_not_called_missing(monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise ImportError("libnvrtc.so.12: cannot open shared object file", name="nvrtc")

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert "does not import (libnvrtc.so.12" in (backend.gpu_problem() or "")
