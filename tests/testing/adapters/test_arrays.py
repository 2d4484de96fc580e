"""Functions over other libraries' arrays: right ones pass, wrong ones are told what is wrong."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from array_checks import check_that_the_dtype_is_kept

from minideconv import functional as F
from minideconv import ops
from minideconv.errors import UsageError
from minideconv.testing import OperationError, check_op, replay
from minideconv.testing.adapters import array_kind
from minideconv.testing.adapters.convert import over_numpy
from minideconv.testing.faults import StudentFault

torch = pytest.importorskip("torch", reason="PyTorch is not installed (group oracles)")


def torch_conv2d(x, w, b=None, *, stride, padding, dilation, groups):
    return torch.nn.functional.conv2d(x, w, b, stride, padding, dilation, groups)


def test_pytorch_functions_are_right_with_their_own_backward():
    report = check_op(torch_conv2d, "conv2d", "autograd", arrays="torch", examples=8)
    assert report.passed
    assert {o.name.split("/")[0] for o in report.outcomes} == {"conv2d", "conv2d_backward"}


def test_tensors_are_right_with_their_own_backward():
    assert check_op(F.conv2d, "conv2d", "autograd", arrays="tensor", examples=3).passed


def torch_max_pool2d(x, *, kernel_size, stride, padding):
    return torch.nn.functional.max_pool2d(x, kernel_size, stride, padding, return_indices=True)


def torch_max_unpool2d(y, switches, *, size):
    assert switches.dtype == torch.int64
    x = y.new_zeros((*y.shape[:2], size[0] * size[1]))
    for window in range(switches[0, 0].numel()):  # in order: the last one wins
        at = switches.flatten(2)[:, :, window, None]
        x = x.scatter(2, at, y.flatten(2)[:, :, window, None])
    return x.reshape(*y.shape[:2], *size)


def torch_batch_norm(x, weight, bias, mean, var, *, training, momentum, eps):
    y = torch.nn.functional.batch_norm(x, mean, var, weight, bias, training, momentum, eps)
    return y, None


def torch_conv_transpose2d(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    return torch.nn.functional.conv_transpose2d(
        x, w, b, stride, padding, output_padding, groups, dilation
    )


@pytest.mark.parametrize(
    "function", [torch_max_pool2d, torch_max_unpool2d, torch_batch_norm, torch_conv_transpose2d]
)
def test_other_operations_in_pytorch_with_autograd(function):
    name = function.__name__.removeprefix("torch_")
    report = check_op(function, name, "autograd", arrays="torch", examples=8)
    assert {o.name.split("/")[0] for o in report.outcomes} == {name, f"{name}_backward"}


def test_wrong_pooling_with_autograd():
    def average(x, *, kernel_size, stride, padding):
        y, switches = torch_max_pool2d(x, kernel_size=kernel_size, stride=stride, padding=padding)
        return y + 0 * x.sum() + (x - x.detach()).sum(), switches

    with pytest.raises(OperationError, match=r"(?s)max_pool2d_backward: .*max_pool2d\(x=.*backw"):
        check_op(average, "max_pool2d", "autograd", arrays="torch", examples=4)


def test_an_explicit_backward_in_pytorch():
    def backward(dy, x, w, stride, padding, dilation, groups):
        x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
        y = torch_conv2d(x, w, None, stride=stride, padding=padding, dilation=dilation,
                         groups=groups)  # fmt: skip
        return *torch.autograd.grad(y, (x, w), dy), dy.sum((0, 2, 3)).requires_grad_()

    assert check_op(torch_conv2d, "conv2d", backward, arrays="torch", examples=3).passed


def changes_x(x, w, b=None, **settings):
    y = torch_conv2d(x, w, b, **settings)
    x.mul_(2)
    return y


def flipped(x, w, b=None, **settings):
    return torch_conv2d(x, w.flip(2, 3), b, **settings)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (changes_x, "it changes its argument x"),
        (flipped, "conv2d: kernel flipped"),
        (lambda *a, **k: torch_conv2d(*a, **k).numpy(),
         "conv2d returned a numpy.ndarray for y; it must be a torch.Tensor"),
        (lambda *a, **k: torch_conv2d(*a, **k).to("meta"),
         "conv2d returned y on meta; its arguments are on cpu"),
        (lambda *a, **k: torch_conv2d(*a, **k).bfloat16(), "torch.bfloat16, which cannot be read"),
        (lambda *a, **k: torch_conv2d(*a, **k).float(),
         "y has the wrong dtype, float32 in place of float64"),
        (lambda *a, **k: None, "None .is a return missing"),
    ],
)  # fmt: skip
def test_wrong_pytorch_functions(function, message):
    with pytest.raises(OperationError, match=message):
        check_op(function, "conv2d", arrays="torch", examples=4)


def test_the_line_of_the_message_shows_it_again():
    with pytest.raises(OperationError) as caught:
        check_op(flipped, "conv2d", arrays="torch", examples=4)
    line = next(o.failure for o in caught.value.report.outcomes if o.failure).replay
    assert line.startswith("minideconv.testing.replay(flipped, 'conv2d ")
    assert line.endswith(", arrays='torch')")
    assert "must be" in replay(flipped, line.split("'")[1], arrays="torch")
    assert "is right" in replay(torch_conv2d, line.split("'")[1], arrays="torch")


def test_a_fault_says_the_students_own_line():
    def fails(x, w, b=None, **settings):
        raise ValueError("no idea")

    with pytest.raises(OperationError, match=r"ValueError: no idea in line \d+ of fails"):
        check_op(fails, "conv2d", arrays="torch", examples=2)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, w, b=None, **k: torch_conv2d(x, w.detach(), b, **k), "no gradient for w"),
        (lambda x, w, b=None, **k: torch_conv2d(x, w, b, **k).detach(), "finds no gradient: the"),
        (lambda x, w, b=None, **k: torch_conv2d(x + 0 * x.detach(), 2 * w - w.detach(), b, **k),
         "conv2d_backward: twice as large"),
        (lambda x, w, b=None, **k: np.zeros(1), "the function returned ndarray; it must be"),
        (lambda x, w, b=None, **k: torch_conv2d(x, w, b, **k)[:, :, :0] , "has shape"),
    ],
)  # fmt: skip
def test_wrong_gradients_of_autograd(function, message):
    with pytest.raises(OperationError) as caught:
        check_op(function, "conv2d", "autograd", arrays="torch", examples=3)
    failures = [o.failure for o in caught.value.report.outcomes if o.failure]
    assert any(message in f.text() for f in failures if f.operation == "conv2d_backward")
    line = next(f for f in failures if f.operation == "conv2d_backward").replay
    assert "backward='autograd', arrays='torch'" in line
    again = replay(function, line.split("'")[1], "autograd", arrays="torch")
    assert "the result is right" not in again


def test_an_array_of_any_layout_is_lent_and_what_becomes_of_it_is_seen():
    wrapped = over_numpy(lambda x: x.add_(1), array_kind("torch"))
    for x in (np.arange(6.0)[::-1], np.arange(6.0).reshape(2, 3).T, np.arange(6.0)[::2]):
        before = x.copy()
        assert (wrapped(x) == before + 1).all()
        assert (x == before + 1).all(), "the change must be seen"
    x = np.arange(3.0)
    x.flags.writeable = False
    assert (over_numpy(lambda x: x + 1, array_kind("torch"))(x) == x + 1).all()
    with pytest.raises(StudentFault, match="changes an array that was only lent to it"):
        wrapped(x)


@pytest.mark.parametrize("kind", ["numpy", "torch", "tensor"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_the_dtype_is_kept(kind, dtype):
    check_that_the_dtype_is_kept(kind, dtype)


def test_indices_of_int32_select_in_pytorch():
    gathered = over_numpy(lambda x, i: x.gather(0, i), array_kind("torch"))
    assert gathered(np.arange(5.0), np.array([4, 0], np.int32)).tolist() == [4, 0]


def test_jax_in_a_process_of_its_own():
    """JAX starts threads, and a process that has threads is not to be forked by later tests."""
    if find_spec("jax") is None:
        pytest.skip("JAX is not installed (group oracles)")
    file = Path(__file__).with_name("jax_arrays.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arrays": "tensorflow"}, 'arrays is \'tensorflow\'; it must be one of "numpy", "torch"'),
        ({"arrays": "jax:gpu"}, "arrays is 'jax:gpu'"),
        (
            {"backward": "autograd"},
            "backward='autograd' needs arrays of a library that has one, not a",
        ),
        ({"backward": "numerical"}, "backward is 'numerical'; it must be a function or 'autograd'"),
        ({"signature": "fastai"}, "signature is 'fastai'; it must be one of \"cs231n\""),
    ],
)
def test_what_does_not_exist_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        check_op(ops.conv2d, "conv2d", examples=1, **options)


def test_a_missing_library_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jax", None)
    with pytest.raises(UsageError, match="arrays='jax' needs JAX, which cannot be imported"):
        check_op(ops.conv2d, "conv2d", arrays="jax")
