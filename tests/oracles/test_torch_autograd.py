"""Random programs, run here and in PyTorch: every result and every gradient must agree."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv.autograd import Tensor, grad, no_grad
from minideconv.autograd import elementwise as tm
from minideconv.autograd import reductions as tr
from minideconv.autograd import shapes as ts

# One step of a program: it takes the library, two earlier results and numbers to decide by, and
# returns a new result. Both libraries are given the same numbers.
Step = Callable[[Any, Any, Any, np.random.Generator], Any]


class Ours:
    """minideconv under the names that the steps use."""

    exp, log, sqrt, abs, tanh, sigmoid = tm.exp, tm.log, tm.sqrt, tm.abs, tm.tanh, tm.sigmoid
    maximum, minimum, matmul = tm.maximum, tm.minimum, tr.matmul

    sum = staticmethod(lambda x, axes, keep: x.sum(axes, keepdims=keep))
    mean = staticmethod(lambda x, axes, keep: x.mean(axes, keepdims=keep))
    var = staticmethod(lambda x, axes, keep: x.var(axes, keepdims=keep))
    max = staticmethod(lambda x, axis: x.max(axis=axis))
    clip = staticmethod(lambda x, low, high: x.clip(low, high))
    where = staticmethod(tm.where)
    permute = staticmethod(lambda x, axes: x.permute(axes))
    concatenate = staticmethod(ts.concatenate)
    stack = staticmethod(ts.stack)
    constant = staticmethod(Tensor)
    index = staticmethod(lambda array: array)


class Theirs:
    """PyTorch under the same names."""

    def __init__(self, torch: ModuleType) -> None:
        for name in ("exp", "log", "sqrt", "abs", "tanh", "sigmoid", "maximum", "minimum"):
            setattr(self, name, getattr(torch, name))
        self.matmul, self.where, self.stack = torch.matmul, torch.where, torch.stack
        self.sum = lambda x, axes, keep: torch.sum(x, axes, keep)
        self.mean = lambda x, axes, keep: torch.mean(x, axes, keep)
        self.var = lambda x, axes, keep: torch.var(x, axes, correction=0, keepdim=keep)
        self.max = lambda x, axis: torch.max(x, axis).values
        self.clip = torch.clamp
        self.permute = torch.permute
        self.concatenate = torch.cat
        self.constant = self.index = torch.tensor


def axes_of(x: Any, rng: np.random.Generator) -> tuple[int, ...]:
    count = int(rng.integers(1, x.ndim + 1))
    return tuple(int(i) for i in rng.permutation(x.ndim)[:count])


def mask_for(lib: Any, x: Any, rng: np.random.Generator) -> Any:
    return lib.index(rng.random(tuple(x.shape)) < 0.5)


def step_var(lib: Any, x: Any, y: Any, rng: np.random.Generator) -> Any:
    return x - lib.var(x, axes_of(x, rng), True)


def step_matmul(lib: Any, x: Any, y: Any, rng: np.random.Generator) -> Any:
    order = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    return lib.matmul(lib.matmul(x, lib.permute(y, order)), x) * 0.1


def step_gather(lib: Any, x: Any, y: Any, rng: np.random.Generator) -> Any:
    rows = lib.index(rng.integers(0, x.shape[0], x.shape[0]))  # some rows twice, some not at all
    return x[rows] + x[..., : int(rng.integers(1, x.shape[-1] + 1))].mean()


def step_slice(lib: Any, x: Any, y: Any, rng: np.random.Generator) -> Any:
    return x + y[int(rng.integers(x.shape[0])), None, 1:2]


def step_mask(lib: Any, x: Any, y: Any, rng: np.random.Generator) -> Any:
    return x * lib.sum(y[mask_for(lib, y, rng)], (0,), False)


def step_concatenate(lib: Any, x: Any, y: Any, rng: np.random.Generator) -> Any:
    axis = int(rng.integers(x.ndim))
    joined = lib.concatenate([x, y, x * 2], axis)
    return lib.mean(joined, (axis,), True) + y


def step_stack(lib: Any, x: Any, y: Any, rng: np.random.Generator) -> Any:
    axis = int(rng.integers(x.ndim + 1))
    return lib.max(lib.stack([x, y * 1.5], axis), axis)


def step_reshape(lib: Any, x: Any, y: Any, rng: np.random.Generator) -> Any:
    order = tuple(int(i) for i in rng.permutation(x.ndim))
    return lib.permute(x, order).reshape(-1).reshape(tuple(x.shape)) * y


STEPS: list[Step] = [
    lambda lib, x, y, rng: x + y,
    lambda lib, x, y, rng: x - y * 0.5,
    lambda lib, x, y, rng: x * y,
    lambda lib, x, y, rng: x / (lib.abs(y) + 1.0),
    lambda lib, x, y, rng: 1 - x,
    lambda lib, x, y, rng: 2.0 / (x * x + 1),
    lambda lib, x, y, rng: (lib.abs(x) + 0.5) ** lib.tanh(y),
    lambda lib, x, y, rng: x**3,
    lambda lib, x, y, rng: lib.exp(lib.tanh(x)),
    lambda lib, x, y, rng: lib.log(lib.abs(x) + 1.0),
    lambda lib, x, y, rng: lib.sqrt(x * x + 1.0),
    lambda lib, x, y, rng: lib.sigmoid(x) * y,
    lambda lib, x, y, rng: lib.maximum(x, y * 0.7),
    lambda lib, x, y, rng: lib.minimum(x, y * 0.7),
    lambda lib, x, y, rng: lib.clip(x, -0.8, 0.9),
    lambda lib, x, y, rng: lib.where(mask_for(lib, x, rng), x, y * 2),
    lambda lib, x, y, rng: x + lib.sum(y, axes_of(y, rng), True),
    lambda lib, x, y, rng: x - lib.mean(x, axes_of(x, rng), True),
    lambda lib, x, y, rng: x + lib.sum(y, tuple(range(y.ndim)), False),
    step_var,
    step_matmul,
    step_gather,
    step_slice,
    step_mask,
    step_concatenate,
    step_stack,
    step_reshape,
]


def run(lib: Any, leaves: list[Any], seed: int, length: int) -> list[Any]:
    """Run the program that `seed` describes; each step may use any earlier result again."""
    rng = np.random.default_rng(seed)
    results = list(leaves)
    for _ in range(length):
        step = STEPS[rng.integers(len(STEPS))]
        x, y = (results[rng.integers(len(results))] for _ in range(2))
        new = step(lib, x, y, rng)
        results.append(lib.tanh(new * 0.3))  # stay where numbers are tame
    return results


def close(ours: Any, theirs: Any, what: str) -> None:
    scale = max(1.0, float(np.abs(theirs).max(initial=0)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11 * scale, err_msg=what)


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 12),
    shape=st.sampled_from([(3, 4), (2, 3, 4)]),
)
def test_random_programs(torch: ModuleType, seed: int, length: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape) for _ in range(3)]
    cotangent = rng.standard_normal(shape)
    ours = [Tensor(a.copy(), requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    mine, other = run(Ours, ours, seed, length), run(Theirs(torch), theirs, seed, length)
    for tensor in mine[3:]:
        tensor.retain_grad()
    for tensor in other[3:]:
        tensor.retain_grad()
    for k, (m, o) in enumerate(zip(mine, other, strict=True)):
        assert m.shape == tuple(o.shape)
        close(m.numpy(), o.detach().numpy(), f"result {k}")

    mine[-1].backward(cotangent)
    other[-1].backward(torch.tensor(cotangent))
    for k, (m, o) in enumerate(zip(mine, other, strict=True)):
        if o.grad is None:  # not reached
            assert m.grad is None or not m.grad.numpy().any()
        else:
            assert m.grad is not None
            close(m.grad.numpy(), o.grad.numpy(), f"gradient of result {k}")


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 6),
    shape=st.sampled_from([(3, 4), (2, 3, 4)]),
)
def test_gradients_of_gradients_of_random_programs(
    torch: ModuleType, seed: int, length: int, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape) for _ in range(3)]
    cotangents = [rng.standard_normal(shape) for _ in range(4)]
    ours = [Tensor(a.copy(), requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, y_ref = run(Ours, ours, seed, length)[-1], run(Theirs(torch), theirs, seed, length)[-1]
    dy = Tensor(cotangents[3].copy(), requires_grad=True)
    dy_ref = torch.tensor(cotangents[3], requires_grad=True)
    first = grad(y, ours, dy, create_graph=True, allow_unused=True)
    first_ref = torch.autograd.grad(y_ref, theirs, dy_ref, create_graph=True, allow_unused=True)
    total, total_ref = (dy * 0.0).sum(), (dy_ref * 0.0).sum()
    for mine, its, cotangent in zip(first, first_ref, cotangents, strict=False):
        close_or_none(mine, its, "first")
        if mine is not None and its is not None:
            total = total + (mine * cotangent).sum()
            total_ref = total_ref + (its * torch.tensor(cotangent)).sum()
    second = grad(total, [*ours, dy], allow_unused=True)
    second_ref = torch.autograd.grad(total_ref, [*theirs, dy_ref], allow_unused=True)
    for mine, its in zip(second, second_ref, strict=True):
        close_or_none(mine, its, "second")


def close_or_none(ours: Any, theirs: Any, what: str) -> None:
    if ours is None or theirs is None:  # not reached, or reached by zeros
        for side in (ours, theirs):
            assert side is None or not side.detach().numpy().any()
    else:
        close(ours.detach().numpy(), theirs.detach().numpy(), what)


def test_training_trajectory(torch: ModuleType) -> None:
    """A network written with operators, 50 steps of gradient descent with momentum."""
    rng = np.random.default_rng(7)
    x, target = rng.standard_normal((16, 5)), rng.standard_normal((16, 3))
    start = [rng.standard_normal(s) * 0.5 for s in ((5, 8), (8,), (8, 3), (3,))]

    def loss_of(lib: Any, w: list[Any], x: Any, target: Any) -> Any:
        hidden = lib.tanh(lib.matmul(x, w[0]) + w[1])
        hidden = (hidden - lib.mean(hidden, (0,), True)) / lib.sqrt(
            lib.var(hidden, (0,), True) + 1e-3
        )
        error = lib.matmul(hidden, w[2]) + w[3] - target
        return lib.mean(error * error, (0, 1), False)

    ours = [Tensor(a.copy(), requires_grad=True) for a in start]
    theirs = [torch.tensor(a, requires_grad=True) for a in start]
    velocity = [np.zeros_like(a) for a in start]
    momentum = [torch.zeros_like(a) for a in theirs]
    losses = []
    for _ in range(50):
        mine = loss_of(Ours, ours, Tensor(x), Tensor(target))
        mine.backward()
        other = loss_of(Theirs(torch), theirs, torch.tensor(x), torch.tensor(target))
        other.backward()
        assert mine.item() == pytest.approx(other.item(), rel=1e-10)
        losses.append(mine.item())
        with no_grad(), torch.no_grad():
            for p, v, q, u in zip(ours, velocity, theirs, momentum, strict=True):
                assert p.grad is not None
                v *= 0.9
                v += p.grad.numpy()
                p -= 0.1 * v
                p.grad = None
                u.mul_(0.9).add_(q.grad)
                q -= 0.1 * u
                q.grad = None
    for p, q in zip(ours, theirs, strict=True):
        close(p.numpy(), q.detach().numpy(), "parameter after 50 steps")
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.cpu  # this PyTorch has no GPU
def test_dlpack_with_torch(torch: ModuleType) -> None:
    ours = Tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    theirs = torch.from_dlpack(ours)
    theirs[0, 0] = 9
    assert ours.numpy()[0, 0] == 9
    back = Tensor.from_dlpack(theirs.T)
    assert back.shape == (3, 2)
    assert np.shares_memory(back.data, ours.data)
    assert Tensor(torch.ones(2, dtype=torch.float64)).dtype == np.float64
