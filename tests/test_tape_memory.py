"""The tape on arrays of the engine's memory: who owns what, and when it is free again."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import functional as F
from minideconv.autograd import Tensor, no_grad, record
from minideconv.engine.cpu import memory
from minideconv.models import deconvnet

LARGE = (8, 4, 128, 128)  # 2 MiB of float32


def allocated(shape=LARGE, value=1.0):
    array = memory.empty(shape)
    array[...] = value
    return array


LAYOUTS = {
    "plain": allocated,
    "turned round": lambda: allocated(LARGE[::-1]).T,
    "taps first": lambda: allocated((128, 128, 4, 8)).transpose(3, 2, 0, 1),
    "channels last": lambda: allocated((8, 128, 128, 4)).transpose(0, 3, 1, 2),
    "reshaped": lambda: allocated((8, -1 + 1 + 4 * 128 * 128)).reshape(LARGE),
}


def grad_from(made, saved=(), fresh=False):
    """Return the gradient that a leaf keeps when a backward returns the array `made`."""
    leaf = Tensor(np.zeros(made.shape, np.float32), requires_grad=True)

    def back(dy, needs, *saved):
        return (made,)

    y = record("test", leaf.data.sum(), (leaf,), back, saved, fresh=fresh)
    y.backward()
    return leaf.grad.numpy()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_parameter_takes_its_gradient_without_a_copy(layout):
    made = LAYOUTS[layout]()
    assert grad_from(made, fresh=True) is made


OTHERS_MAY_SEE = {
    "a part of a block": lambda: allocated((9, *LARGE[1:]))[:8],
    "with gaps": lambda: allocated((8, 4, 128, 256))[..., ::2],
    "one row many times": lambda: np.broadcast_to(allocated()[:1, :1], LARGE),
    "of a foreign owner": lambda: np.frombuffer(bytearray(2 << 20), np.float32).reshape(LARGE),
}


@pytest.mark.parametrize("kind", OTHERS_MAY_SEE)
def test_a_gradient_that_others_may_see_is_copied(kind):
    made = OTHERS_MAY_SEE[kind]()
    assert not np.shares_memory(grad_from(made), made)


def test_a_saved_array_returned_as_a_gradient_is_copied():
    block = allocated((8, 128, 128, 4))
    view = block.transpose(0, 3, 1, 2)
    for saved in (block, view, view[:1]):
        assert not np.shares_memory(grad_from(view, (saved,)), view)
    assert grad_from(view, (allocated(),), fresh=True) is view


def test_two_gradients_on_one_block_are_copied():
    leaves = [Tensor(np.zeros(LARGE, np.float32), requires_grad=True) for _ in range(2)]
    made = allocated()
    y = record("test", np.float32(0), leaves, lambda dy, needs: (made, made.reshape(LARGE)))
    y.backward()
    assert not np.shares_memory(leaves[0].grad.data, leaves[1].grad.data)


@pytest.mark.parametrize("owner_first", [True, False])
def test_a_view_and_its_owner_share_a_version(owner_first):
    block = allocated((8, 128, 128, 4))
    view = block.transpose(0, 3, 1, 2)
    given, result = (block, view) if owner_first else (view, block)
    x = Tensor(given)
    y = record("turn", result, (x,), lambda dy, needs: (None,))
    y.bump_version()
    assert x._version == [1]
    z = record("turn", view[:2], (y,), lambda dy, needs: (None,))
    z.bump_version()
    assert x._version == [2]


def test_a_block_used_again_has_a_version_of_its_own():
    x = Tensor(allocated())
    place = x.data.__array_interface__["data"][0]
    version = x._version
    del x
    y = Tensor(allocated())
    assert y.data.__array_interface__["data"][0] == place
    z = record("new", allocated(), (y,), lambda dy, needs: (None,))
    z.bump_version()
    assert (version, y._version) == ([0], [0])


def test_a_change_of_a_saved_view_is_seen():
    x = Tensor(allocated((8, 128, 128, 4)).transpose(0, 3, 1, 2), requires_grad=True)
    y = x * x
    with no_grad():
        x[:1][...] = 0.0
    with pytest.raises(RuntimeError, match="was changed in place"):
        y.sum().backward()


@pytest.mark.usefixtures("no_old_garbage")
def test_backward_frees_each_step_before_it_goes_on():
    """Twelve operations save an array each; behind the k-th of them k arrays and 2 gradients."""
    before = memory.use().allocated
    one = allocated()
    block = memory.use().allocated - before
    del one
    seen = []

    def step(x):
        def backward(dy, needs, saved):
            dx = memory.empty(LARGE)
            np.multiply(dy, saved, out=dx)
            seen.append((memory.use().allocated - before) / block)
            return (dx,)

        return record("step", allocated(), (x,), backward, saved=(allocated(),), fresh=True)

    x = Tensor(allocated(), requires_grad=True)
    y = x
    for _ in range(12):
        y = step(y)
    y.backward(allocated())
    # The caller holds x, y and the gradient it passed: three.
    assert [round(number, 6) for number in seen] == [
        3 + k + (2 if k < 12 else 1) for k in range(12, 0, -1)
    ]
    del y
    assert memory.use().allocated - before == pytest.approx(2 * block)  # x and its gradient


@pytest.mark.usefixtures("no_old_garbage")
def test_nothing_of_a_step_is_left_but_the_gradients():
    net = deconvnet(num_classes=3, width=8, input_size=64, fc=32, stages=2)
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(4, 3, 64, 64)).astype(np.float32))
    labels = rng.integers(0, 3, (4, 64, 64))

    def step():
        F.cross_entropy(net(x), labels).backward()
        net.zero_grad()

    step()
    before = memory.use().allocated
    step()
    assert memory.use().allocated == before
