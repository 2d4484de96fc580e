"""Where integers meet floats, powers at their edges, and sizes and axes of any kind."""

from __future__ import annotations

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor, nn
from minideconv import functional as F

INTEGERS = [np.uint8, np.int8, np.int16, np.int32, np.int64, np.bool_]
TO_FLOAT = {
    "x / 255": lambda x: x / 255,
    "255 / x": lambda x: 255 / (x + 1),
    "x * 0.5": lambda x: x * 0.5,
    "0.5 - x": lambda x: 0.5 - x,
    "x ** 0.5": lambda x: x**0.5,
    "x / x": lambda x: x / x,
    "exp": lambda x: x.exp(),
    "log": lambda x: (x + 1).log(),
    "sqrt": lambda x: x.sqrt(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "sin": lambda x: x.sin(),
    "mean": lambda x: x.mean(),
    "mean over an axis": lambda x: x.mean(0),
    "var": lambda x: x.var(),
    "std": lambda x: x.std(),
    "norm": lambda x: x.norm(),
    "clip": lambda x: x.clip(0.5, 1.5),
    "where": lambda x: md.where(x.data > 0, x, 0.5),
    "maximum": lambda x: md.maximum(x, 0.5),
    "x % 1.5": lambda x: x % 1.5,
    "x + float32": lambda x: x + np.ones(3, np.float32),
    "x @ float32": lambda x: x @ Tensor(np.ones(3, np.float32)),
}


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", TO_FLOAT)
def test_integers_meet_floats_at_the_default_float(name, dtype):
    numbers = np.array([0, 1, 1] if dtype is np.bool_ else [1, 2, 80]).astype(dtype)
    with np.errstate(all="ignore"):
        found = TO_FLOAT[name](Tensor(numbers))
        want = TO_FLOAT[name](Tensor(numbers.astype(np.float64)))
    assert found.dtype == np.float32, name
    np.testing.assert_allclose(found.numpy(), want.numpy().astype(np.float32), rtol=1e-6)


def test_a_picture_of_bytes_goes_into_a_layer():
    picture = Tensor(np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8)).astype(np.uint8))
    y = nn.Conv2d(3, 2, 3)(picture / 255)
    assert y.dtype == np.float32


def test_wider_types_are_kept():
    x = Tensor(np.array([1, 2]))
    assert (x * np.array([0.5, 1.0])).dtype == np.float64  # an array of float64 was asked for
    assert (x + np.array([0.5, 1.0], np.float16)).dtype == np.float16
    assert (x * 2).dtype == np.int64
    assert (Tensor([1.0, 2.0]) / 2).dtype == np.float32
    assert (Tensor(np.ones(2)) / 2).dtype == np.float64


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda u: u + 300, "add: 300 does not fit among numbers of uint8"),
        (lambda u: 300 - u, "sub: 300 does not fit among numbers of uint8"),
        (lambda u: u**-1, "pow: -1 does not fit among numbers of uint8"),
        (lambda u: u.long() ** -1, "pow: a negative power of integers"),
        (lambda u: -u.bool(), "neg: there is none of a tensor of bool"),
        (lambda u: u.bool() - u.bool(), "sub: there is none of bool and bool"),
        (lambda u: u.sum(0.5), "sum: axis is 0.5; it must be an integer"),
        (lambda u: u.sum("a"), "sum: axis is 'a'"),
        (lambda u: u.sum(True), "sum: axis is True"),
        (lambda u: u.sum([0, 3]), r"sum: axis \(0, 3\) must name axes of shape"),
        (lambda u: u.sum([0, 0]), "sum: axis .* each once"),
        (lambda u: u.sum(0, dim=0), "sum: both axis=0 and dim=0"),
        (lambda u: u.reshape(2.0, 2), "reshape: the shape is"),
        (lambda u: u.reshape("a"), "reshape: the shape is 'a'"),
        (lambda u: u.reshape(np.ones((2, 2))), "reshape: the shape is"),
        (lambda u: u.reshape(np.array([7])), "reshape: 3 elements"),
        (lambda u: u.permute(0.0), "transpose: the order is"),
        (lambda u: u.broadcast_to("a"), "broadcast_to: the shape is 'a'"),
        (lambda u: u.flatten(0.5), "flatten: start_dim is 0.5"),
        (lambda u: u.squeeze("a"), "squeeze: axis is 'a'"),
        (lambda u: u.unsqueeze(None), "unsqueeze: dim is None"),
        (lambda u: u.swapaxes("a", 0), "swapaxes: axis1 is 'a'"),
        (lambda u: u.float().var(ddof="a"), "var: ddof is 'a'"),
        (lambda u: md.cat(u), "concatenate: tensors is a Tensor"),
        (lambda u: md.stack(3), "stack: tensors is a int"),
        (lambda u: md.cat([u, u], 0.5), "concatenate: axis is 0.5"),
    ],
)
def test_the_sentence_is_ours(call, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence) as caught:
        call(Tensor(np.array([1, 2, 3], np.uint8)))
    assert "\n" not in str(caught.value)


def test_lists_and_arrays_of_integers_are_sizes_and_axes():
    x = Tensor(np.arange(24.0).reshape(2, 3, 4))
    assert x.sum([0, 1]).shape == x.sum(dim=[0, 1]).shape == x.sum(np.array([0, 1])).shape == (4,)
    assert x.mean([1, 2], keepdim=True).shape == (2, 1, 1)
    assert x.reshape(np.array([6, 4])).shape == x.reshape([6, -1]).shape == (6, 4)
    assert x.permute([2, 0, 1]).shape == x.permute(np.array([2, 0, 1])).shape == (4, 2, 3)


# ---- decided where libraries differ: docs/semantics.md -------------------------------------------


def _power(a, b):
    a = Tensor(np.array(a, np.float32), requires_grad=True)
    b = Tensor(np.array(b, np.float32), requires_grad=True)
    with np.errstate(all="ignore"):
        y = a**b
        y.backward(np.ones(y.shape, np.float32))
    return y.numpy(), a.grad.numpy(), b.grad.numpy()


def test_powers_of_zero():
    y, _, db = _power([0, 0, 0, 0], [0, 1, 0.5, -1])
    assert y.tolist() == [1, 0, 0, np.inf]
    assert db.tolist() == [0, 0, 0, -np.inf]
    b = Tensor([0.0, 1.0, -1.0], requires_grad=True)
    with np.errstate(all="ignore"):
        (0**b).backward(np.ones(3, np.float32))
    assert b.grad.numpy().tolist() == [0, 0, -np.inf]


def test_the_power_zero_is_one_and_flat_everywhere():
    numbers = [np.inf, -np.inf, np.nan, 0, -1]
    y, da, _ = _power(numbers, [0] * 5)
    assert y.tolist() == [1] * 5
    assert da.tolist() == [0] * 5
    x = Tensor(np.array(numbers, np.float32), requires_grad=True)
    (x**0).backward(np.ones(5, np.float32))
    assert x.grad.numpy().tolist() == [0] * 5


def test_relu_passes_nan_on_and_its_gradient_there_is_zero():
    for algorithm in ("reference", "exact", "fast"):
        with md.algorithm(algorithm):
            x = Tensor(np.array([np.nan, 0, 2, -2], np.float32), requires_grad=True)
            y = F.relu(x)
            y.backward(np.ones(4, np.float32))
        np.testing.assert_array_equal(y.numpy(), [np.nan, 0, 2, 0])
        assert x.grad.numpy().tolist() == [0, 0, 1, 0]


def test_an_integer_and_an_array_around_a_slice_follow_numpy():
    array = np.arange(24.0).reshape(2, 3, 4)
    x = Tensor(array, requires_grad=True)
    y = x[0, :, [1, 3, 0, 0]]
    assert y.shape == (4, 3)  # the axis of the array comes first; PyTorch: (3, 4)
    np.testing.assert_array_equal(y.numpy(), array[0, :, [1, 3, 0, 0]])
    y.backward(np.ones((4, 3)))
    assert x.grad.numpy()[0, 0].tolist() == [2, 1, 0, 1]
