"""``x.add_(y)`` and the like: PyTorch's numbers, counted by the version, refused on the tape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor, nn, no_grad
from minideconv.autograd.in_place import METHODS

CASES: dict[str, Any] = {
    "add_": ("add_", (2.0,), {}),
    "add_ alpha": ("add_", ([1.0, 2.0, 3.0],), {"alpha": 0.5}),
    "sub_": ("sub_", ([1.0, 2.0, 3.0],), {}),
    "sub_ alpha": ("sub_", (3.0,), {"alpha": 2}),
    "mul_": ("mul_", ([1.0, 2.0, 3.0],), {}),
    "div_": ("div_", (4.0,), {}),
    "pow_": ("pow_", (2.0,), {}),
    "copy_": ("copy_", ([1.0, 2.0, 3.0],), {}),
    "fill_": ("fill_", (7.0,), {}),
    "zero_": ("zero_", (), {}),
    "clamp_": ("clamp_", (1.0, 2.0), {}),
    "clamp_ below": ("clamp_", (), {"min": 1.5}),
    "masked_fill_": ("masked_fill_", (np.array([True, False, True]), -1.0), {}),
    "abs_": ("abs_", (), {}),
    "neg_": ("neg_", (), {}),
    "exp_": ("exp_", (), {}),
    "sqrt_": ("sqrt_", (), {}),
    "tanh_": ("tanh_", (), {}),
}
START = np.array([[0.5, 1.5, 2.5], [3.0, 0.25, 1.0]])


@pytest.mark.parametrize("case", CASES)
def test_the_numbers_are_pytorchs(case):
    torch = pytest.importorskip("torch")
    name, arguments, options = CASES[case]

    def given(make: Any) -> list[Any]:
        return [make(np.array(a)) if isinstance(a, list | np.ndarray) else a for a in arguments]

    x, t = Tensor(START.copy()), torch.tensor(START)
    view, version = x[0], x._version[0]
    assert getattr(x, name)(*given(Tensor), **options) is x
    getattr(t, name)(*given(torch.tensor), **options)
    np.testing.assert_allclose(x.numpy(), t.numpy(), rtol=1e-12)
    np.testing.assert_array_equal(view.numpy(), x.numpy()[0])
    assert x._version[0] == view._version[0] == version + 1


@pytest.mark.parametrize("case", [*CASES, "normal_", "uniform_"])
def test_the_tape_refuses_them_and_no_grad_allows_them(case):
    name, arguments, options = CASES.get(case, (case, (), {}))
    p = nn.Parameter(START.copy())
    with pytest.raises(RuntimeError, match=f"^{name}: this tensor requires gradients"):
        getattr(p, name)(*arguments, **options)
    result = p * 2
    with pytest.raises(RuntimeError, match=f"^{name}: this tensor requires gradients"):
        getattr(result, name)(*arguments, **options)
    np.testing.assert_array_equal(p.numpy(), START)
    y = (p * p).sum()
    with no_grad():
        getattr(p, name)(*arguments, **options)
    with pytest.raises(RuntimeError, match="changed in place 1 time"):
        y.backward()


def test_random_numbers_are_the_generators():
    x = Tensor(np.zeros((100, 50), np.float32))
    md.manual_seed(0)
    x.normal_(3, 2)
    assert abs(x.mean().item() - 3) < 0.1
    assert abs(x.std().item() - 2) < 0.1
    first = x.numpy().copy()
    md.manual_seed(0)
    assert (x.normal_(3, 2).numpy() == first).all()
    x.uniform_(-1, 2)
    assert x.min().item() >= -1
    assert x.max().item() < 2
    assert abs(x.mean().item() - 0.5) < 0.05


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: x.add_(np.ones(5)), "add_: a value of shape"),
        (lambda x: x.copy_(np.ones(5)), "copy_: a value of shape"),
        (lambda x: x.mul_("a"), "mul_: a value of"),
        (lambda x: x.clamp_(), "clamp_: min and max are both None"),
        (lambda x: x.normal_(0, -1), "normal_: std is -1"),
        (lambda x: x.uniform_(2, 1), "uniform_: low is 2"),
        (lambda x: x.long().normal_(), "normal_: a tensor of int64"),
        (lambda x: x.long().div_(2), "div_: a value of"),
        (lambda x: x.add_(Tensor([1.0], requires_grad=True)), "add_: the value requires"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(call, sentence):
    x = Tensor(START.copy())
    with pytest.raises((TypeError, ValueError, RuntimeError), match=f"^{sentence}"):
        call(x)
    np.testing.assert_array_equal(x.numpy(), START)


@pytest.mark.cpu  # a GPU's arrays are never read-only
def test_read_only_memory_is_left_alone():
    array = START.copy()
    array.flags.writeable = False
    for name in METHODS:
        arguments = next((c[1] for c in CASES.values() if c[0] == name), ())
        with pytest.raises(ValueError, match=f"^{name}: this tensor is read-only"):
            getattr(Tensor(array), name)(*arguments)
