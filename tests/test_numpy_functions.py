"""NumPy's functions on tensors: refused with the name of what takes their place, or harmless."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor, no_grad
from minideconv.autograd.numpy_functions import INSTEAD, WITHOUT_GRADIENT
from minideconv.backend import to_cpu

ARRAY = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


def tensor() -> Tensor:
    return Tensor(ARRAY.copy(), requires_grad=True)


REFUSED = {
    "dot": lambda x: np.dot(x, ARRAY),
    "vdot": lambda x: np.vdot(ARRAY, x),
    "inner": lambda x: np.inner(x, ARRAY),
    "tensordot": lambda x: np.tensordot(ARRAY, x, 1),
    "where": lambda x: np.where(ARRAY > 2, x, ARRAY),
    "concatenate": lambda x: np.concatenate([ARRAY, x]),
    "stack": lambda x: np.stack([x, ARRAY]),
    "einsum": lambda x: np.einsum("ij,jk->ik", ARRAY, x),
    "clip": lambda x: np.clip(x, 1, 2),
    "norm": lambda x: np.linalg.norm(x),
    "reshape": lambda x: np.reshape(x, -1),
    "transpose": lambda x: np.transpose(x),
    "sum": lambda x: np.sum(x),
    "mean": lambda x: np.mean(x, axis=0),
    "max": lambda x: np.max(x),
    "std": lambda x: np.std(x),
    "var": lambda x: np.var(x),
    "prod": lambda x: np.prod(x),
    "cumsum": lambda x: np.cumsum(x, 0),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 2)),
    "expand_dims": lambda x: np.expand_dims(x, 0),
    "squeeze": lambda x: np.squeeze(x),
    "copy": lambda x: np.copy(x),
    "exp": lambda x: np.exp(x),
    "log": lambda x: np.log(x),
    "sqrt": lambda x: np.sqrt(x),
    "tanh": lambda x: np.tanh(x),
    "maximum": lambda x: np.maximum(x, ARRAY),
    "square": lambda x: np.square(x),
    "negative": lambda x: np.negative(x),
    "absolute": lambda x: np.abs(x),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("requires_grad", [True, False])
def test_a_function_that_computes_is_refused_and_named(name: str, requires_grad: bool) -> None:
    x = Tensor(ARRAY.copy(), requires_grad=requires_grad)
    with pytest.raises(TypeError) as caught:
        REFUSED[name](x)
    sentence = str(caught.value)
    assert sentence.startswith("np.")
    assert name in sentence
    assert INSTEAD[name] in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ARRAY.dot(x),
        lambda x: np.asarray(x),
        lambda x: np.array([x, x]),
        lambda x: ARRAY.copy().__setitem__(slice(None), x),
    ],
    ids=["ndarray.dot", "asarray", "array of a list", "setitem"],
)
def test_no_plain_array_is_made_of_a_tensor_that_requires_gradients(function) -> None:
    with pytest.raises(TypeError, match=r"lose them; use a method of the Tensor"):
        function(tensor())
    with no_grad():  # then there are none to lose
        function(tensor())
    function(tensor().detach())


def test_what_has_no_name_here_is_refused_too() -> None:
    for call in (
        lambda: np.round(tensor()),
        lambda: np.fft.fft(tensor()),
        lambda: np.bitwise_and(ARRAY > 1, tensor()),
        lambda: np.add.reduce(tensor()),
        lambda: np.add.outer(ARRAY, tensor()),
        lambda: np.divmod(ARRAY, tensor()),
        lambda: np.add(ARRAY, ARRAY, where=tensor()),
    ):
        with pytest.raises(TypeError, match=r"^np\.\S+: a function of NumPy's would lose"):
            call()


def test_an_array_changed_in_place_with_a_tensor_is_refused() -> None:
    array = ARRAY.copy()
    with pytest.raises(TypeError, match="changed in place with a Tensor"):
        array += tensor()
    with pytest.raises(TypeError, match="out is a Tensor"):
        np.multiply(ARRAY, ARRAY, out=tensor().detach())
    assert (array == ARRAY).all()


@pytest.mark.parametrize("scalar", [False, True])
def test_operators_with_numpy_on_the_left_are_recorded(scalar: bool) -> None:
    left = np.float32(3) if scalar else ARRAY + 1
    for operation in (
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a**b,
        lambda a, b: a % b,
        lambda a, b: a // b,
    ):
        x = tensor()
        y = operation(left, x)
        assert isinstance(y, Tensor)
        assert y.requires_grad
        np.testing.assert_allclose(y.numpy(), operation(left, ARRAY), rtol=1e-6)
        assert isinstance(left < x, type(x.data))
        assert (to_cpu(left < x) == (left < ARRAY)).all()
        assert (to_cpu(left == x) == (left == ARRAY)).all()


def test_looking_is_allowed() -> None:
    x = tensor()
    assert np.shape(x) == (2, 2)
    assert np.ndim(x) == 2
    assert np.size(x) == 4
    assert np.allclose(x, ARRAY)
    assert np.array_equal(x, ARRAY)
    assert np.isfinite(x).all()
    assert np.argmax(x) == 3
    assert np.zeros_like(x).shape == (2, 2)
    for name in WITHOUT_GRADIENT:
        assert hasattr(np, name), name


def test_what_takes_the_place_of_a_function_is_there() -> None:
    for instead in INSTEAD.values():
        for owner, name in re.findall(r"\b(x|md)\.(\w+)", instead):
            assert hasattr(Tensor if owner == "x" else md, name), instead
