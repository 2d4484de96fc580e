"""More of PyTorch's names: values, gradients and second gradients are PyTorch's, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor
from minideconv import functional as F
from minideconv.autograd.other_names import DTYPES, FUNCTIONS
from minideconv.backend import to_cpu
from minideconv.testing import check_gradients

SHAPE = (3, 4, 5)


def draw(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


EARLY = {"non_blocking": True}

# Each is written once and runs in both libraries: `lib` is the module, `x` a tensor (3, 4, 5).
CASES: dict[str, Any] = {
    "flatten by name": lambda lib, x: x.flatten(start_dim=1) * x.flatten(0, -1).sum(),
    "flatten, a function": lambda lib, x: lib.flatten(x, 1),
    "flatten, the middle": lambda lib, x: x.unsqueeze(0).flatten(start_dim=1, end_dim=2),
    "squeeze of a longer axis": lambda lib, x: x.squeeze(1) * x.unsqueeze(0).squeeze(0),
    "squeeze of several": lambda lib, x: x[:, :1].squeeze((0, 1)),
    "flip": lambda lib, x: x.flip(0) * x + x.flip(-1, 1) + lib.flip(x, (0, 2)),
    "flip, a list": lambda lib, x: x.flip([0, 2]) * x,
    "diagonal of a matrix": lambda lib, x: x[0].diag() + x[1].diag(1),
    "diagonal below": lambda lib, x: lib.diag(x[0] * x[0], -2),
    "matrix of a diagonal": lambda lib, x: x[0, 0].diag() * lib.diag(x[1, 0] * x[1, 0]),
    "matrix of one above": lambda lib, x: (x[0, 0] * x[0, 1]).diag(2),
    "matrix of one below": lambda lib, x: lib.diag(x[0, 0], -1) ** 2,
    "topk": lambda lib, x: x.topk(2)[0] ** 2,
    "topk along an axis": lambda lib, x: x.topk(3, dim=1).values * 2,
    "topk, the smallest": lambda lib, x: lib.topk(x, 2, 0, largest=False)[0],
    "topk of all": lambda lib, x: x.topk(5, -1, True, True).values * x,
    "dot": lambda lib, x: x[0, 0].dot(x[1, 1]) * lib.dot(x[0, 0], x[0, 1]),
    "mv": lambda lib, x: x[0].mv(x[1, 2]) * lib.mv(x[2], x[1, 0]),
    "add": lambda lib, x: x.add(x * x) + lib.add(x, x[0], alpha=2.5) + x.add(3),
    "sub": lambda lib, x: x.sub(x * x, alpha=0.5) * lib.sub(x, 2),
    "mul": lambda lib, x: x.mul(x[0]) + lib.mul(x, 3),
    "div": lambda lib, x: x.div(x * x + 1) + lib.div(x, 4),
    "div, rounded": lambda lib, x: x.div(0.3, rounding_mode="floor") * x,
    "neg": lambda lib, x: x.neg() * lib.neg(x * x),
    "round": lambda lib, x: (3 * x).round() * x + lib.round(x, decimals=1) * x,
    "relu": lambda lib, x: x.relu() ** 2,
    "softmax": lambda lib, x: x.softmax(1) * x.softmax(dim=-1),
    "log_softmax": lambda lib, x: x.log_softmax(dim=2) + lib.log_softmax(x, 0),
    "exp, a function": lambda lib, x: lib.exp(x) * lib.tanh(x) + lib.sum(x, 1, keepdim=True),
    "std, a function": lambda lib, x: lib.std(x, dim=1, correction=0),
    "clamp, a function": lambda lib, x: lib.clamp(x, min=-0.4, max=0.6),
    "transpose, a function": lambda lib, x: lib.transpose(x, 0, 2) ** 2,
    "to, a type": lambda lib, x: x.to(lib.float64) * x.to(dtype=lib.float64),
    "to, as another": lambda lib, x: x.to(lib.zeros(2, dtype=lib.float64)) ** 2,
    "to, not blocking": lambda lib, x: x.to("cpu", **EARLY) * x.to("cpu", lib.float64),
}


def _compare(torch, case, array: np.ndarray) -> None:
    x, t = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, z = case(md, x), case(torch, t)
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-12, atol=1e-13)
    dy, other = draw(9, y.shape), draw(8)
    (dx,) = md.grad(y, x, Tensor(dy), create_graph=True, only_inputs=True)
    (dt,) = torch.autograd.grad(z, t, torch.tensor(dy), create_graph=True, only_inputs=True)
    np.testing.assert_allclose(dx.numpy(), dt.detach().numpy(), rtol=1e-10, atol=1e-12)
    second = [
        md.grad((dx * Tensor(other)).sum() + (x * x).sum(), x)[0].numpy(),
        torch.autograd.grad((dt * torch.tensor(other)).sum() + (t * t).sum(), t)[0].numpy(),
    ]
    np.testing.assert_allclose(*second, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(torch, name):
    _compare(torch, CASES[name], draw())


STEPS = {"round", "div, rounded"}  # their slope is 0 where they are not continuous


@pytest.mark.parametrize("name", sorted(CASES.keys() - STEPS))
def test_gradients_are_the_slopes(name):
    check_gradients(lambda x: CASES[name](md, x), [draw(3)])


# ---- without gradients ---------------------------------------------------------------------------

WHOLE = np.random.default_rng(4).integers(0, 6, 40)
ON_ARRAYS: dict[str, Any] = {
    "eq": lambda lib, x, n: x.eq(x.flip(0)),
    "eq, a function": lambda lib, x, n: lib.eq(n, 3),
    "ne": lambda lib, x, n: n.ne(3),
    "gt": lambda lib, x, n: x.gt(0) & lib.gt(x, -1),
    "ge": lambda lib, x, n: n.ge(n.flip(0)),
    "lt": lambda lib, x, n: lib.lt(n, n.flip(0)),
    "le": lambda lib, x, n: n.le(2),
    "bincount": lambda lib, x, n: lib.bincount(n),
    "bincount, longer": lambda lib, x, n: n.bincount(minlength=9),
    "bincount, weights": lambda lib, x, n: lib.bincount(n, x.flatten()[:40]),
    "topk": lambda lib, x, n: x.topk(3, dim=1).indices,
    "topk, the smallest": lambda lib, x, n: x.topk(2, largest=False)[1],
    "max": lambda lib, x, n: lib.max(x, 1)[1],
    "min": lambda lib, x, n: x.min(2, True).indices,
    "round of integers": lambda lib, x, n: n.round(),
    "long": lambda lib, x, n: (x * 3).to(lib.long),
    "bool": lambda lib, x, n: n.to(lib.bool),
    "as another": lambda lib, x, n: n.to(x),
}


@pytest.mark.parametrize("name", ON_ARRAYS)
def test_values_and_types(torch, name):
    found = ON_ARRAYS[name](md, Tensor(draw()), Tensor(WHOLE))
    want = ON_ARRAYS[name](torch, torch.tensor(draw()), torch.tensor(WHOLE)).numpy()
    assert found.dtype == want.dtype
    found = found.data if isinstance(found, Tensor) else found
    np.testing.assert_array_equal(to_cpu(found), want)


def test_labels_become_channels(torch):
    for labels, options in ((WHOLE, {}), (WHOLE.reshape(5, 8), {"num_classes": 9})):
        found = F.one_hot(Tensor(labels), **options)
        want = torch.nn.functional.one_hot(torch.tensor(labels), **options)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found.numpy(), want.numpy())
    assert F.one_hot(np.array([[1, 0]], np.uint8)).tolist() == [[[0, 1], [1, 0]]]


def test_of_equal_ones_the_first_and_a_nan_is_the_largest(torch):
    x = np.array([2.0, 5.0, 5.0, 1.0, 5.0, 1.0])
    assert Tensor(x).topk(4).indices.tolist() == [1, 2, 4, 0]
    assert Tensor(x).topk(3, largest=False).indices.tolist() == [3, 5, 0]
    x[3] = np.nan
    for largest in (True, False):
        found, want = (t.topk(6, largest=largest)[0] for t in (Tensor(x), torch.tensor(x)))
        np.testing.assert_array_equal(found.numpy(), want.numpy())
    values, indices = Tensor(np.ones((2, 0))).topk(0)
    assert values.shape == indices.shape == (2, 0)


def test_a_permutation_has_each_number_once():
    md.manual_seed(3)
    first = md.randperm(50)
    md.manual_seed(3)
    assert md.randperm(50).tolist() == first.tolist() != sorted(first.tolist())
    assert sorted(first.tolist()) == list(range(50))
    assert first.dtype == np.int64
    assert md.randperm(0).shape == (0,)
    assert md.randperm(3, dtype=np.int32).dtype == np.int32


def test_types_have_the_same_names(torch):
    for name, dtype in DTYPES.items():
        assert getattr(md, name) is dtype
        assert torch.zeros(1, dtype=getattr(torch, name)).numpy().dtype == dtype
        assert md.zeros(2, dtype=getattr(md, name)).dtype is dtype
    assert md.randn(2).dtype == md.float32


def test_functions_are_the_methods(torch):
    for name in FUNCTIONS:
        assert getattr(md, name) is getattr(Tensor, name)
        assert hasattr(torch, name), name
        assert name in dir(md)


def test_recording_is_switched(torch):
    for lib in (md, torch):
        seen = []
        with lib.no_grad():
            with lib.enable_grad():
                seen.append(lib.is_grad_enabled())
            seen.append(lib.is_grad_enabled())
            with lib.set_grad_enabled(True):
                seen.append(lib.is_grad_enabled())
            seen.append(lib.is_grad_enabled())
        lib.set_grad_enabled(False)
        seen.append(lib.is_grad_enabled())
        lib.set_grad_enabled(True)
        decorated = lib.set_grad_enabled(False)(lib.is_grad_enabled)
        seen += [lib.is_grad_enabled(), decorated(), decorated(), lib.is_grad_enabled()]
        seen.append(lib.enable_grad()(lib.is_grad_enabled)())
        assert seen == [True, False, True, False, False, True, False, False, True, True], lib


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: x - x.max(1), r"a pair \(values, indices\) is no array of numbers; take its"),
        (lambda x: x.max(1) * 2, r"a pair \(values, indices\) is no array of numbers; take its"),
        (lambda x: x.max(1) + x.min(1), r"a pair \(values, indices\) is no array of numbers"),
        (lambda x: -x.max(1), r"a pair \(values, indices\) is no array of numbers; take its"),
        (lambda x: x.max(1) > 0, r"a pair \(values, indices\) is no array of numbers; take its"),
        (lambda x: x.topk(2) * x, r"a pair \(values, indices\) is no array of numbers; take its"),
        (
            lambda x: md.max(x, x),
            r"^max: the second argument is a Tensor; maximum\(a, b\) compares",
        ),
        (lambda x: x.squeeze(axis=1), r"^squeeze: axis 1 of .* has length 4; .* dim= leaves it"),
        (lambda x: x.topk(6), r"^topk: k is 6; it must be from 0 to 5, the length of axis 2"),
        (lambda x: x.topk(1, 3), r"^topk: dim is 3; it must be from -3 to 2"),
        (lambda x: x.flip(), r"^flip: no axes given"),
        (lambda x: x.flip(0, -3), r"^flip: axes \(0, 0\) must each be named once"),
        (lambda x: x.diag(), r"^diag: the tensor has shape \(3, 4, 5\); it must have 1 axis or 2"),
        (lambda x: x.dot(x), r"^dot: shapes .* are not those of two vectors; matmul takes any"),
        (lambda x: x.mv(x[0, 0]), r"^mv: shapes .* are not those of a matrix and a vector"),
        (
            lambda x: x.div(2, rounding_mode="up"),
            r"^div: rounding_mode is 'up'; it must be None or",
        ),
        (lambda x: x.eq(None), r"^eq: cannot compare a Tensor with a NoneType"),
        (lambda x: x.long().bincount(), r"^bincount: x has shape \(3, 4, 5\) and dtype int64; it"),
        (lambda x: md.bincount(np.array([-1])), r"^bincount: x and minlength must not be negative"),
        (lambda x: md.bincount([1, 2], [1.0]), r"^bincount: weights have shape \(1,\) and x has"),
        (lambda x: md.randperm(-1), r"^randperm: n is -1; it must be at least 0"),
        (lambda x: F.one_hot(x), r"^one_hot: the labels have dtype float64; they must be integers"),
        (
            lambda x: F.one_hot([3], 3),
            r"^one_hot: num_classes is 3 and the labels are up to 3; they",
        ),
        (lambda x: F.one_hot([-1]), r"^one_hot: num_classes is -1 and the labels are up to -1"),
        (lambda x: x.to("cuda"), r"^to: 'cuda' is no device .'auto', 'cpu', .* and no dtype"),
        (lambda x: x.to("float31"), r"^to: 'float31' is no device .* and no dtype \('float32',"),
        (lambda x: x.to("complex64"), r"^to: dtype is complex64; it must be floats, integers or"),
        (lambda x: x.to("cpu", device="cpu"), r"^to: 'cpu' and a second device or dtype given"),
        (lambda x: md.grad(x, x, only_inputs=False), r"^grad: only_inputs is False; it must be"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(Tensor(draw(), requires_grad=True))


def test_a_pair_has_no_methods_of_a_tensor():
    with pytest.raises(
        AttributeError, match=r"^sum: a pair \(values, indices\) is no array of num"
    ):
        md.ones(2, 3).max(1).sum()
