"""Methods and functions under PyTorch's names: values and gradients are PyTorch's, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor
from minideconv.backend import to_cpu
from minideconv.testing import check_gradients

SHAPE = (3, 4, 5)


def draw(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


INDEX = np.random.default_rng(1).integers(0, 4, (3, 2, 5))
MASK = np.random.default_rng(2).random((4, 5)) < 0.4

# Each is written once and runs in both libraries: `lib` is the module, `x` a tensor (3, 4, 5).
CASES: dict[str, Any] = {
    "view": lambda lib, x: x.view(4, -1) * x.view(4, 15),
    "view of a tuple": lambda lib, x: x.view((x.size(0), x.size(1) * x.size(2))),
    "reshape by size": lambda lib, x: x.reshape(x.size(0), -1),
    "view_as": lambda lib, x: x.view_as(x.reshape(12, 5)),
    "flatten": lambda lib, x: x.flatten(1),
    "transpose": lambda lib, x: x.transpose(1, 2) * 2,
    "transpose of a matrix": lambda lib, x: x[0].transpose(0, 1),
    "t": lambda lib, x: x[0].t(),
    "permute": lambda lib, x: x.permute(2, 0, 1),
    "contiguous": lambda lib, x: x.permute(2, 0, 1).contiguous().view(5, -1),
    "squeeze": lambda lib, x: x.unsqueeze(1).squeeze(dim=1),
    "unsqueeze": lambda lib, x: x.unsqueeze(dim=-1),
    "clone": lambda lib, x: x.clone() * x,
    "double": lambda lib, x: x.double(),
    "cpu": lambda lib, x: x.cpu() + 1,
    "sum": lambda lib, x: x.sum(dim=1),
    "sum, keepdim": lambda lib, x: x.sum(dim=(0, 2), keepdim=True),
    "sum, a list": lambda lib, x: x.sum([0, 1]),
    "mean": lambda lib, x: x.mean(dim=-1, keepdim=True),
    "mean, a list": lambda lib, x: x.mean([1, 2]),
    "var": lambda lib, x: x.var(dim=1, unbiased=True),
    "var, population": lambda lib, x: x.var(dim=1, unbiased=False, keepdim=True),
    "std": lambda lib, x: x.std(dim=(0, 1), correction=1),
    "norm": lambda lib, x: x.norm(),
    "norm of axes": lambda lib, x: x.norm(dim=1, keepdim=True),
    "norm, p=1": lambda lib, x: x.norm(1, dim=2),
    "norm, p=3": lambda lib, x: x.norm(p=3, dim=2),
    "norm, p=inf": lambda lib, x: x.norm(float("inf"), dim=1),
    "norm, fro": lambda lib, x: x.norm("fro"),
    "max": lambda lib, x: x.max(dim=1).values,
    "max, positional": lambda lib, x: x.max(1)[0] * x.max(2, True).values.sum(),
    "max, a function": lambda lib, x: lib.max(x, 1)[0],
    "min, positional": lambda lib, x: x.min(-1).values,
    "max, unpacked": lambda lib, x: x.max(dim=-1, keepdim=True)[0],
    "min": lambda lib, x: x.min(dim=0)[0],
    "max of all": lambda lib, x: x.max() * x,
    "prod": lambda lib, x: x.prod(dim=1),
    "prod, keepdim": lambda lib, x: x.prod(dim=-1, keepdim=True),
    "prod of all": lambda lib, x: x[0, 0].prod(),
    "cumsum": lambda lib, x: x.cumsum(dim=1) * x,
    "cumsum, last": lambda lib, x: x.cumsum(-1),
    "pow": lambda lib, x: x.pow(3) + x.pow(2),
    "clamp": lambda lib, x: x.clamp(min=-0.5, max=0.5),
    "clamp, positional": lambda lib, x: x.clamp(-0.5, 0.7),
    "clamp below": lambda lib, x: x.clamp(min=0),
    "clip": lambda lib, x: x.clip(max=0.25),
    "clamp by tensors": lambda lib, x: x.clamp(x[:1] - 0.1, x[1:2] + 0.1),
    "sin": lambda lib, x: x.sin() * x,
    "cos": lambda lib, x: x.cos() * x,
    "tanh": lambda lib, x: x.tanh(),
    "sigmoid": lambda lib, x: x.sigmoid(),
    "remainder": lambda lib, x: x % 0.7,
    "remainder, of tensors": lambda lib, x: x % (x[:1] * x[:1] + 0.3),
    "remainder by a tensor": lambda lib, x: (x * 0 + 2.5) % (x * x + 0.2),
    "matmul": lambda lib, x: x.matmul(x.transpose(1, 2)),
    "mm": lambda lib, x: x[0].mm(x[1].t()),
    "bmm": lambda lib, x: x.bmm(x.transpose(1, 2)),
    "expand": lambda lib, x: x[:, :1].expand(-1, 6, -1) * 2,
    "expand, new axes": lambda lib, x: x.expand(2, *SHAPE) * 3,
    "expand_as": lambda lib, x: x[0].expand_as(x) * x,
    "repeat": lambda lib, x: x.repeat(2, 1, 3),
    "repeat, new axes": lambda lib, x: x[0].repeat((2, 2, 1)),
    "split": lambda lib, x: x.split(2, 1)[1] * x.split([1, 3], 1)[0],
    "chunk": lambda lib, x: x.chunk(2, dim=2)[1],
    "chunk, more than there are": lambda lib, x: x.chunk(9, dim=0)[2],
    "cat": lambda lib, x: lib.cat([x, x * 2], dim=1),
    "cat, positional": lambda lib, x: lib.cat((x[:2], x), 0),
    "stack": lambda lib, x: lib.stack([x, -x], dim=1),
    "concatenate": lambda lib, x: lib.concatenate([x, x], dim=-1),
    "where": lambda lib, x: lib.where(x > 0, x, x * 0.1),
    "maximum": lambda lib, x: lib.maximum(x, -x * 0.5),
    "minimum": lambda lib, x: lib.minimum(x, x * x),
    "matmul, a function": lambda lib, x: lib.matmul(x[0], x[1].t()),
}
CASES_WITH_ARRAYS: dict[str, Any] = {
    "masked_fill": lambda as_tensor, x: x.masked_fill(as_tensor(MASK), -3.0) * 2,
    "gather": lambda as_tensor, x: x.gather(1, as_tensor(INDEX)),
    "gather along the last": lambda as_tensor, x: x.gather(-1, as_tensor(INDEX[:, :2])),
    "gather, shorter": lambda as_tensor, x: x.gather(dim=0, index=as_tensor(INDEX[:2] % 3)),
}


def _compare(torch, ours, theirs, array: np.ndarray) -> None:
    x, t = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, z = ours(x), theirs(t)
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-12, atol=1e-13)
    cotangent = draw(9, y.shape)
    y.backward(cotangent)
    z.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(torch, name):
    case = CASES[name]
    _compare(torch, lambda x: case(md, x), lambda t: case(torch, t), draw())


@pytest.mark.parametrize("name", CASES_WITH_ARRAYS)
def test_values_and_gradients_with_arrays(torch, name):
    case = CASES_WITH_ARRAYS[name]
    _compare(torch, lambda x: case(Tensor, x), lambda t: case(torch.tensor, t), draw())


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_the_slopes(name):
    check_gradients(lambda x: CASES[name](md, x), [draw(3)])


@pytest.mark.parametrize("zeros", [1, 2, 5])
def test_products_with_zeros(torch, zeros):
    array = draw()
    array[0, 0, :zeros] = 0
    _compare(torch, lambda x: x.prod(dim=2), lambda t: t.prod(dim=2), array)
    _compare(torch, lambda x: x[0].prod(), lambda t: t[0].prod(), array)


def test_a_norm_of_zeros_has_no_slope(torch):
    _compare(torch, lambda x: x.norm(dim=0), lambda t: t.norm(dim=0), np.zeros(SHAPE))


def test_a_norm_of_large_numbers_is_finite():
    x = Tensor(np.array([3e30, 4e30], np.float32), requires_grad=True)
    y = x.norm()
    y.backward()
    np.testing.assert_allclose(y.item(), 5e30, rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize(("dim", "keep"), [(None, False), (0, False), (1, True), (-1, False)])
def test_places(torch, name, dim, keep):
    array = draw()
    options = {"keepdim": keep} if dim is not None else {}
    found = getattr(Tensor(array, requires_grad=True), name)(dim=dim, **options)
    want = getattr(torch.tensor(array), name)(dim=dim, **options)
    assert isinstance(found, Tensor)
    assert found.dtype == np.int64
    assert not found.requires_grad
    np.testing.assert_array_equal(found.numpy(), want.numpy())


def test_the_indices_of_an_extreme(torch):
    array = draw()
    array[:, 2] = array[:, 1]  # a tie: the first
    found, want = Tensor(array).max(dim=1), torch.tensor(array).max(dim=1)
    np.testing.assert_array_equal(found.indices.numpy(), want.indices.numpy())
    values, indices = Tensor(array).min(dim=-1, keepdim=True)
    np.testing.assert_array_equal(values.numpy(), array.min(-1, keepdims=True))
    np.testing.assert_array_equal(indices.numpy()[..., 0], array.argmin(-1))


@pytest.mark.parametrize("name", ["any", "all"])
def test_truth_values(torch, name):
    array = (draw() > -1).astype(np.float32)
    for options in ({}, {"dim": 1}, {"dim": 2, "keepdim": True}):
        found = getattr(Tensor(array), name)(**options)
        want = getattr(torch.tensor(array), name)(**options)
        np.testing.assert_array_equal(to_cpu(found), want.numpy().astype(bool))


def test_sizes_and_types(torch):
    array = draw().astype(np.float32)
    x, t = Tensor(array), torch.tensor(array)
    assert x.size() == tuple(t.size())
    assert x.size(1) == t.size(1) == x.size(-2)
    assert x.size == array.size == x.numel() == t.numel()  # NumPy's, too
    assert x.dim() == t.dim()
    assert x.tolist() == t.tolist()
    for name in ("double", "float", "half", "long", "int", "bool"):
        want = getattr(t, name)().numpy()
        found = getattr(x, name)()
        assert found.dtype == want.dtype
        np.testing.assert_array_equal(found.numpy(), want)
    y, s = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    (y.double() * y).sum().backward()
    (s.double() * s).sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), s.grad.numpy(), rtol=1e-6)


def test_floor_division_has_the_slope_zero(torch):
    x = Tensor(draw(), requires_grad=True)
    np.testing.assert_array_equal((x // 0.3).numpy(), (torch.tensor(draw()) // 0.3).numpy())
    (x // 0.3).sum().backward()
    assert (x.grad.numpy() == 0).all()


def test_creation(torch):
    for name, arguments in {
        "zeros": (2, 3),
        "ones": ((2, 3),),
        "full": ((2, 3), 1.5),
        "eye": (3,),
        "arange": (5,),
        "linspace": (0, 1, 5),
    }.items():
        found, want = getattr(md, name)(*arguments), getattr(torch, name)(*arguments).numpy()
        np.testing.assert_allclose(found.numpy(), want, rtol=1e-6)
        assert found.dtype == want.dtype, name
    np.testing.assert_allclose(md.arange(1, 2, 0.25).numpy(), torch.arange(1, 2, 0.25).numpy())
    assert md.arange(1.0, 3.0).dtype == np.float32
    x = md.randn(2, 3, requires_grad=True)
    assert x.requires_grad
    assert x.shape == md.rand((2, 3)).shape == md.randn_like(x).shape == md.zeros_like(x).shape
    assert set(md.randint(0, 3, (100,)).tolist()) == {0, 1, 2}
    assert md.ones_like(x, dtype=np.int64).dtype == np.int64
    md.manual_seed(3)
    first = md.randn(1000)
    md.manual_seed(3)
    assert (md.randn(1000).numpy() == first.numpy()).all()
    assert abs(first.mean().item()) < 0.15
    assert abs(first.std().item() - 1) < 0.1
    array = np.ones(2, np.float32)
    assert md.tensor(array).data is not array
    assert md.from_numpy(array).numpy() is array
    for call in (
        lambda: md.zeros(2.5),
        lambda: md.ones(-1),
        lambda: md.randn(2, dtype=np.int64),
        lambda: md.randint(3, 3, (2,)),
        lambda: md.arange(0, 1, 0),
        lambda: md.linspace(0, 1, -1),
        lambda: md.from_numpy([1.0]),
    ):
        with pytest.raises((TypeError, ValueError), match=r"^\w+: "):
            call()


def test_refusals():
    x = Tensor(draw())
    for call in (
        lambda: x.gather(1, np.ones((3, 2, 5))),
        lambda: x.gather(1, np.ones((4, 2, 5), int)),
        lambda: x.gather(3, INDEX),
        lambda: x.masked_fill(np.ones((4, 5)), 0),
        lambda: x.expand(5),
        lambda: x.expand(-1, 3, 4, 5),
        lambda: x.repeat(2, 2),
        lambda: x.split(0),
        lambda: x.split([1, 1], 1),
        lambda: x.chunk(0),
        lambda: x.norm(0.5),
        lambda: x.cumsum(),
        lambda: x.cumsum(3),
        lambda: x.argmax([0, 1]),
        lambda: Tensor(np.ones((0, 2))).argmax(0),
        lambda: x.clip(),
    ):
        with pytest.raises((TypeError, ValueError), match=r"^\w+: "):
            call()
