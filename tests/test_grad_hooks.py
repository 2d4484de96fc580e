"""Hooks on gradients, and `retain_grad`."""

from __future__ import annotations

import numpy as np
import pytest
from leaves import grad_of, leaf

from minideconv.autograd import Tensor, record
from minideconv.testing import values


def test_hook_sees_the_complete_gradient_once() -> None:
    x = leaf((2,), 1)
    y = x * 2
    seen: list[Tensor] = []
    handle = y.register_hook(seen.append)
    z = y * 3 + y * 4
    z.backward(c := values((2,), 2, "integer"), retain_graph=True)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0].numpy(), 7 * c)
    handle.remove()
    handle.remove()
    z.backward(c)
    assert len(seen) == 1


@pytest.mark.parametrize("on_leaf", [True, False])
def test_hook_replaces_the_gradient(on_leaf: bool) -> None:
    x = leaf((2,), 1)
    y = x if on_leaf else x * 2
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: g + 1)  # in the order of registration
    (y * 3).backward(c := values((2,), 2, "integer"))
    expected = 3 * c * 10 + 1
    np.testing.assert_array_equal(grad_of(x), expected if on_leaf else 2 * expected)


@pytest.mark.cpu  # CuPy has no read-only arrays
def test_hook_cannot_change_the_gradient_in_place() -> None:
    a, b = leaf((2,), 1), leaf((2,), 2)

    def hook(g: Tensor) -> None:
        g *= 2

    a.register_hook(hook)
    with pytest.raises(ValueError, match=r"x \*= value: this tensor is read-only"):
        (a + b).backward(np.ones(2))


def test_what_a_hook_kept_does_not_change_with_grad() -> None:
    x = leaf((2,), 1)
    kept: list[Tensor] = []
    x.register_hook(kept.append)
    record("double", x.data * 2, (x,), lambda g, needs: (g * 2,)).backward(np.ones(2))
    x.grad.data[...] = 99
    assert kept[0].numpy().tolist() == [2, 2]


def test_hook_that_returns_nonsense() -> None:
    x = leaf((2,), 1)
    x.register_hook(lambda g: g[0])
    with pytest.raises(
        RuntimeError, match=r"register_hook: a hook must return None or a Tensor of"
    ):
        (x * 2).backward(np.ones(2))


def test_hooks_need_a_gradient() -> None:
    with pytest.raises(RuntimeError, match="register_hook: this tensor does not require"):
        Tensor(1.0).register_hook(lambda g: None)
    with pytest.raises(RuntimeError, match="retain_grad: this tensor does not require"):
        Tensor(1.0).retain_grad()


def test_retain_grad_after_hooks_and_over_two_passes() -> None:
    x = leaf((2,), 1)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    z = y * 3
    assert y.grad is None
    z.backward(c := values((2,), 2, "integer"), retain_graph=True)
    np.testing.assert_array_equal(grad_of(y), 30 * c)
    z.backward(c)
    np.testing.assert_array_equal(grad_of(y), 60 * c)
