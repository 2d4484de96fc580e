"""The guard of devices: what it passes on, and who has it (cuda/test_two_devices.py: what for)."""

from __future__ import annotations

import inspect
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minideconv import Tensor, ops
from minideconv.backend import Device
from minideconv.backend.device_guard import device_guard, on_device_of

FUNCTIONS = [getattr(ops, name) for name in ops.__all__]
COMPUTE = [f for f in FUNCTIONS if inspect.isfunction(f) and "workspace" not in f.__name__]


@pytest.mark.parametrize("function", COMPUTE, ids=lambda function: function.__name__)
def test_every_array_function_has_it(function):
    assert inspect.unwrap(function) is not function


class FakeArray:
    def __init__(self, gpu):
        self.device = SimpleNamespace(id=gpu)


class FakeDevice:
    """Remembers who is current, as CuPy's does."""

    current = 0

    def __init__(self, number):
        self.number = number

    def __enter__(self):
        self.before, FakeDevice.current = FakeDevice.current, self.number

    def __exit__(self, *_):
        FakeDevice.current = self.before


@pytest.fixture
def cupy(monkeypatch):
    runtime = SimpleNamespace(getDevice=lambda: FakeDevice.current)
    fake = SimpleNamespace(
        ndarray=FakeArray, cuda=SimpleNamespace(Device=FakeDevice, runtime=runtime)
    )
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(FakeDevice, "current", 0)
    return fake


@device_guard
def seen(first, *rest, option=None):
    """Return the current device."""
    return FakeDevice.current


THERE = FakeArray(1)
PLACES = {
    "an array": (THERE,),
    "not the first": (3, "x", None, THERE),
    "in a list": ([1, (THERE, 2)],),
    "what has a device": (SimpleNamespace(device=Device("gpu", 1)),),
}


@pytest.mark.parametrize("arguments", PLACES.values(), ids=PLACES)
def test_the_device_of_the_arguments_is_current_inside_and_the_former_one_behind(cupy, arguments):
    assert seen(*arguments) == 1
    assert seen(0, option=arguments[-1]) == 1
    assert FakeDevice.current == 0
    with on_device_of(arguments[-1]):
        assert FakeDevice.current == 1
    assert FakeDevice.current == 0


def test_it_is_put_back_behind_an_error(cupy):
    @device_guard
    def fail(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(THERE)
    assert FakeDevice.current == 0


def test_what_is_on_the_cpu_has_no_say(cupy):
    arguments = (np.ones(2), Tensor([1.0]), [np.float32(1)], np.array("text"), Device("gpu", 1))
    assert seen(*arguments) == 0
    with FakeDevice(1):
        assert seen(*arguments) == 1
        with on_device_of(np.ones(2)):
            assert FakeDevice.current == 1


def test_two_devices_are_one_sentence(cupy):
    with pytest.raises(ValueError, match=r"^seen: ") as error:
        seen(FakeArray(0), option=THERE)
    assert str(error.value) == (
        "seen: first is on gpu:0 and option on gpu:1; all arguments must be on one device: move one"
        " of them with .to(device)"
    )
    with pytest.raises(ValueError, match=r"^seen: one of first is on gpu:2 and another on gpu:1;"):
        seen([FakeArray(2), THERE])
    assert FakeDevice.current == 0


def test_a_guarded_function_is_described_as_before():
    assert seen.__name__ == "seen"
    assert seen.__doc__ == "Return the current device."
    assert list(inspect.signature(seen).parameters) == ["first", "rest", "option"]
