"""How functions of arrays are called: which function computes, and on which device.

Two real devices, or what comes nearest, are in cuda/test_two_devices.py.
"""

from __future__ import annotations

import inspect
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor, ops
from minideconv.backend import Device
from minideconv.backend.dispatch import accelerated, device_guard, on_device_of
from minideconv.ops import avg_pooling


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


# --- who computes ------------------------------------------------------------------------------


@pytest.fixture
def core():
    """A function that returns what computed, and under which device."""

    @accelerated
    def answer_core(x, option=None):
        """Say who computed."""
        return "reference", option, FakeDevice.current

    return answer_core


def test_the_faster_function_is_that_of_the_first_argument_s_device(core, cupy):
    @core.faster("cpu")
    def on_cpu(x, option=None):
        return "cpu", option, FakeDevice.current

    assert core(np.ones(1), option=3) == ("cpu", 3, 0)
    assert core(THERE, 4) == ("reference", 4, 1), "none was entered for a GPU"

    @core.faster("gpu")
    def on_gpu(x, option=None):
        return "gpu", option, FakeDevice.current

    assert (core.ways["cpu"], core.ways["gpu"]) == (on_cpu, on_gpu)
    assert core(np.ones(1)) == ("cpu", None, 0)
    assert core(THERE) == ("gpu", None, 1)
    with md.algorithm("exact"):
        assert core(THERE) == ("gpu", None, 1)
    with md.algorithm("reference"):
        assert core(THERE) == ("reference", None, 1)
        assert core(np.ones(1)) == ("reference", None, 0)


def test_a_faster_function_may_decline(core):
    core.faster("cpu")(lambda x, option=None: None if x.size > 1 else (False, 0))
    assert core(np.ones(2), 5)[:2] == ("reference", 5)
    assert core(np.ones(1)) == (False, 0), "what is false is an answer"


def test_an_accelerated_function_is_described_as_it_was(core, cupy):
    assert (core.__name__, core.__doc__) == ("answer_core", "Say who computed.")
    assert list(inspect.signature(core).parameters) == ["x", "option"]
    with pytest.raises(ValueError, match=r"^answer: x is on gpu:0 and option on gpu:1;"):
        core(FakeArray(0), THERE)


# --- every array function ----------------------------------------------------------------------


class There(np.ndarray):
    """An array that claims to be on gpu:1; it notes the device under which it is computed with."""

    device = SimpleNamespace(id=1)
    noted: ClassVar[list[int]] = []

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        There.noted.append(FakeDevice.current)
        if out is not None:
            options["out"] = tuple(here(array) for array in out)
        result = getattr(ufunc, method)(*map(here, inputs), **options)
        return there(result) if out is None else out[0]


def here(value):
    return value.view(np.ndarray) if isinstance(value, There) else value


def there(value):
    return value.view(There) if isinstance(value, np.ndarray) else value


class FakeCupy:
    """NumPy under the name of CuPy, which notes the device under which it makes an array."""

    ndarray = There
    asnumpy = staticmethod(here)

    def __init__(self):
        self.cuda = SimpleNamespace(
            Device=FakeDevice, runtime=SimpleNamespace(getDevice=lambda: FakeDevice.current)
        )

    def __getattr__(self, name):
        value = getattr(np, name)
        if not callable(value) or isinstance(value, type):
            return value

        def noting(*arguments, **options):
            There.noted.append(FakeDevice.current)
            return there(value(*arguments, **options))

        return noting


class Alone:
    """One process, for the normalisation that several share."""

    def all_gather(self, array):
        return array[None]

    def all_reduce_(self, array):
        pass


def array_calls():
    """Return every function of `ops` that computes with arrays, called on arrays of gpu:1."""
    rng = np.random.default_rng(0)
    x, w, big = (there(rng.normal(size=s)) for s in ((2, 4, 6, 6), (4, 4, 3, 3), (2, 4, 6, 6)))
    y, channel, rows = (
        there(rng.normal(size=(2, 4, 4, 4))),
        there(np.ones(4)),
        there(np.ones((3, 4))),
    )
    labels, saved = there(np.zeros((2, 6, 6), int)), ops.BatchNormSaved(there(np.zeros(4)), channel)
    _, known = ops.max_pool2d(x, 3, 2, return_switches=True)
    plain = ops.Switches(known.indices, (6, 6))
    pooled = there(np.ones(known.shape))
    running, comm = (there(np.zeros(4)), there(np.ones(4))), Alone()
    sync = ops.SyncSaved(saved, 1.0)
    return {
        "avg_pool2d": lambda: ops.avg_pool2d(x, 2),
        "avg_pool2d_backward": lambda: ops.avg_pool2d_backward(
            there(np.ones((2, 4, 3, 3))), (6, 6), 2
        ),
        "batch_norm": lambda: ops.batch_norm(x, *running, training=True),
        "batch_norm_backward": lambda: ops.batch_norm_backward(big, x, saved, channel),
        "batch_norm_relu": lambda: ops.batch_norm_relu(x, *running),
        "batch_norm_relu_backward": lambda: ops.batch_norm_relu_backward(big, x, saved),
        "batch_norm_relu_pool": lambda: ops.batch_norm_relu_pool(x, None, None),
        "batch_norm_relu_pool_backward": lambda: [
            ops.batch_norm_relu_pool_backward(pooled, s, x, saved) for s in (known, plain)
        ],
        "col2im": lambda: ops.col2im(there(np.ones((2, 36, 16))), (6, 6), 3),
        "conv2d": lambda: ops.conv2d(x, w, channel),
        "conv2d_backward": lambda: ops.conv2d_backward(y, x, w),
        "conv2d_weight_grad": lambda: ops.conv2d_weight_grad(x, y, 3),
        "conv_matrix": lambda: ops.conv_matrix(w, (4, 4)),
        "conv_transpose2d": lambda: ops.conv_transpose2d(y, w, channel),
        "conv_transpose2d_backward": lambda: ops.conv_transpose2d_backward(x, y, w),
        "cross_entropy": lambda: ops.cross_entropy(x, labels, channel, label_smoothing=0.1),
        "cross_entropy_backward": lambda: ops.cross_entropy_backward(there(np.ones(())), x, labels),
        "dropout": lambda: ops.dropout(x, 0.5, rng=rng),
        "dropout_backward": lambda: ops.dropout_backward(x, big),
        "im2col": lambda: ops.im2col(x, 3, padding=1),
        "interpolate": lambda: [
            ops.interpolate(x, (4, 7), mode=m) for m in ("nearest", "bilinear")
        ],
        "interpolate_backward": lambda: ops.interpolate_backward(y, (6, 6)),
        "linear": lambda: ops.linear(rows, there(np.ones((5, 4)))),
        "linear_backward": lambda: ops.linear_backward(
            there(np.ones((3, 5))), rows, there(np.ones((5, 4)))
        ),
        "log_softmax": lambda: ops.log_softmax(x, 1),
        "log_softmax_backward": lambda: ops.log_softmax_backward(big, x, 1),
        "max_pool2d": lambda: ops.max_pool2d(x, 2),
        "max_pool2d_backward": lambda: [ops.max_pool2d_backward(pooled, s) for s in (known, plain)],
        "max_unpool2d": lambda: [ops.max_unpool2d(pooled, s) for s in (known, plain)],
        "max_unpool2d_backward": lambda: [ops.max_unpool2d_backward(x, s) for s in (known, plain)],
        "pad": lambda: ops.pad(x, (1, 2, 0, 1)),
        "pad_backward": lambda: ops.pad_backward(x, (2, 4, 4, 4), (1, 1, 1, 1)),
        "relu": lambda: ops.relu(x),
        "relu_backward": lambda: ops.relu_backward(big, x),
        "softmax": lambda: ops.softmax(x, 1),
        "soft_threshold": lambda: ops.soft_threshold(x, 0.5),
        "softmax_backward": lambda: ops.softmax_backward(big, x, 1),
        "sync_batch_norm": lambda: ops.sync_batch_norm(x, *running, None, None, 0.1, 1e-5, comm),
        "sync_batch_norm_backward": lambda: ops.sync_batch_norm_backward(
            big, x, sync, channel, channel, comm, True
        ),
    }


@pytest.fixture
def gpu_1(cupy, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy())
    monkeypatch.setattr(There, "noted", [])
    made = avg_pooling._divisors.__wrapped__  # nothing of this is to be kept
    monkeypatch.setattr(avg_pooling, "_divisors", made)
    monkeypatch.setattr(avg_pooling, "to_device", lambda array, device: there(array))


def test_every_array_function_computes_where_its_arrays_are(gpu_1):
    functions = {
        n for n in ops.__all__ if inspect.isfunction(getattr(ops, n)) and "workspace" not in n
    }
    with md.algorithm("reference"), FakeDevice(1):
        calls = array_calls()
    assert calls.keys() == functions
    for name, call in calls.items():
        There.noted.clear()
        with md.algorithm("reference"):
            call()
        if name != "conv_matrix":  # on the CPU
            assert set(There.noted) == {1}, name
        assert FakeDevice.current == 0


def test_a_function_without_a_guard_would_be_noticed(gpu_1):
    x = there(np.ones((2, 3)))
    for forgotten in (lambda: x + 1, lambda: x.sum(axis=0), lambda: sys.modules["cupy"].zeros(3)):
        There.noted.clear()
        forgotten()
        assert set(There.noted) == {0}
