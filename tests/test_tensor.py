"""Tensors: what can become one, what it is as a number and as an array, copies."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from leaves import grad_of

import minideconv
from minideconv import nn
from minideconv.autograd import Tensor
from minideconv.backend import get_default_device


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1.0, 2.0], np.float32),
        ([[1, 2], [3, 4.5]], np.float32),
        (3, np.int64),
        ([1, 2], np.int64),
        (True, np.bool_),
        (np.zeros(2), np.float64),
        (np.float64(2), np.float64),
        (np.zeros(2, np.float32), np.float32),
        (np.zeros(2, np.float16), np.float16),
        (np.zeros(2, np.uint8), np.uint8),
        ([], np.float32),
    ],
)
def test_default_dtype(data: object, dtype: type) -> None:
    assert Tensor(data).dtype == dtype


def test_dtype_argument_converts() -> None:
    assert Tensor([1, 2], dtype="float32", requires_grad=True).dtype == np.float32
    assert Tensor(np.zeros(2), dtype=np.float32).dtype == np.float32


@pytest.mark.cpu  # shared memory
def test_array_is_shared_and_tensor_of_tensor_shares_its_version() -> None:
    array = np.zeros(3)
    tensor = Tensor(array)
    array[0] = 5
    assert tensor[0].item() == 5
    again = Tensor(tensor)
    again[1] = 7
    assert array[1] == 7
    assert tensor._version == again._version == [1]


@pytest.mark.parametrize("data", [3, [1, 2], [True], np.zeros(2, np.uint8)])
def test_integers_have_no_gradient(data: object) -> None:
    with pytest.raises(TypeError, match=r"requires_grad: a tensor of \w+ has no gradient"):
        Tensor(data, requires_grad=True)


@pytest.mark.parametrize("data", ["text", {"a": 1}, object(), [None], np.zeros(1, complex)])
def test_what_a_tensor_cannot_hold(data: object) -> None:
    with pytest.raises(TypeError, match="Tensor: cannot hold"):
        Tensor(data)


def test_ragged_list() -> None:
    with pytest.raises(ValueError, match="Tensor: the rows of a nested list must have equal"):
        Tensor([[1.0, 2.0], [3.0]])


def test_attributes() -> None:
    x = Tensor(np.zeros((2, 3, 4), np.float32))
    assert (x.shape, x.ndim, x.size, len(x)) == ((2, 3, 4), 3, 24, 2)
    assert x.device == get_default_device()
    assert x.is_leaf
    assert not x.requires_grad
    assert x.T.shape == (4, 3, 2)
    assert [part.shape for part in x] == [(3, 4), (3, 4)]


def test_scalars_as_python_numbers() -> None:
    x = Tensor(2.5)
    assert (x.item(), float(x), int(x), bool(x), f"{x:.2f}") == (2.5, 2.5, 2, True, "2.50")
    with pytest.raises(ValueError, match=r"item: needs exactly one element, .* shape \(2,\)"):
        Tensor([1.0, 2.0]).item()
    with pytest.raises(ValueError, match=r"bool: a tensor of shape \(2,\) is neither"):
        bool(Tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="len: a tensor with no axes"):
        len(x)
    with pytest.raises(TypeError, match="len: a tensor with no axes"):
        iter(x)


@pytest.mark.cpu  # elsewhere the repr has the device
def test_repr() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == "Tensor([1., 2.], requires_grad=True)"
    assert repr(x * 2) == "Tensor([2., 4.], made by mul)"
    assert repr(Tensor(np.zeros(1))) == "Tensor([0.], dtype=float64)"
    assert f"{x}" == repr(x)


def test_tensor_is_a_key_and_equals_nothing_strange() -> None:
    x, y = Tensor([1.0]), Tensor([1.0])
    assert {x: 1, y: 2} == {x: 1, y: 2}
    assert len({x, y}) == 2
    assert (x == None) is False  # noqa: E711 - the comparison is what is tested
    assert (x != "text") is True


@pytest.mark.cpu  # shared memory
def test_array_protocol() -> None:
    x = Tensor([1.0, 2.0])
    assert np.asarray(x) is x.data
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    copied = np.array(x, copy=True)
    assert not np.shares_memory(copied, x.data)
    assert np.shares_memory(np.array(x, copy=False), x.data)
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float64, copy=False)


def test_numpy_on_the_left_makes_a_tensor() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    for left in (np.ones(2, np.float32), np.ones(2, np.float32)[0], np.float64(3)):
        for result in (left + x, left - x, left * x, left / x):
            assert isinstance(result, Tensor)
            assert result.shape == (2,)
            assert result.dtype == np.float32
    assert isinstance(np.ones((2, 2), np.float32) @ x, Tensor)
    with pytest.raises(TypeError, match=r"np\.exp: .* use x\.exp\(\)"):
        np.exp(x)


@pytest.mark.cpu  # shared memory
def test_dlpack_both_ways() -> None:
    x = Tensor(np.arange(6.0).reshape(2, 3))
    array = np.from_dlpack(x)
    assert np.shares_memory(array, x.data)
    back = Tensor.from_dlpack(array)
    assert np.shares_memory(back.data, x.data)
    assert back.dtype == np.float64


class Marked(Tensor):
    """A subclass with an attribute, like nn.Parameter."""

    def __init__(self, data: object) -> None:
        super().__init__(data, requires_grad=True)
        self.mark = "kept"


def test_subclass_is_a_leaf_and_results_are_plain_tensors() -> None:
    p = Marked([1.0, 2.0])
    y = p * 3
    assert type(y) is Tensor
    y.backward(np.ones(2))
    assert grad_of(p).tolist() == [3, 3]
    assert repr(p).startswith("Marked([1., 2.]")


def test_deepcopy() -> None:
    p = Marked([1.0, 2.0])
    (p * p).sum().backward()
    q = copy.deepcopy(p)
    assert type(q) is Marked
    assert q.mark == "kept"
    assert q.requires_grad
    assert not np.shares_memory(q.data, p.data)
    assert not np.shares_memory(grad_of(q), grad_of(p))
    assert grad_of(q).tolist() == grad_of(p).tolist()
    with pytest.raises(RuntimeError, match=r"deepcopy: only leaves .* result of mul"):
        copy.deepcopy(p * 2)


def test_deepcopy_keeps_the_order_in_memory() -> None:
    layer = nn.Conv2d(3, 4, (2, 5))  # stored taps first: another order is turned at every call
    layer(Tensor(np.ones((1, 3, 4, 6), np.float32))).sum().backward()
    twin = copy.deepcopy(layer)
    assert twin.weight.data.strides == layer.weight.data.strides
    assert grad_of(twin.weight).strides == grad_of(layer.weight).strides


def test_a_name_that_only_tensors_have_is_told():
    with pytest.raises(
        AttributeError, match=r"no attribute 'item'; tensors have .*: x\.item\(\.\.\.\)"
    ):
        minideconv.item  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'lstm'$"):
        minideconv.lstm  # noqa: B018
