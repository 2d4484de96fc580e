"""Pooling and unpooling against PyTorch in float64: values, switches, gradients, NaN and ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv.ops import (
    Switches,
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_unpool2d,
    max_unpool2d_backward,
)
from minideconv.testing import pool_geometries, seeds, values

TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}

many = settings(max_examples=200)
geometries = pool_geometries(max_out=4, max_kernel=4, max_stride=4, max_dilation=3)
kinds = st.sampled_from(["ties", "distinct", "normal"])


def last_choosers(switches):
    """Mask of the windows that are the last in row-major order to choose their pixel."""
    backwards = switches.to_tensor().ravel()[::-1]
    mask = np.zeros(backwards.size, bool)
    mask[np.unique(backwards, return_index=True)[1]] = True
    return mask[::-1].reshape(switches.shape)


def torch_unpool(torch, x, switches):
    """Call PyTorch's kernel itself: the public function refuses sizes that dilation leads to."""
    indices = torch.tensor(switches.to_plane())
    return torch._C._nn.max_unpool2d(x, indices, switches.plane_shape)


@many
@given(g=geometries, seed=seeds(), kind=kinds)
def test_max_pool2d(torch, g, seed, kind):
    x, dy = values(g.x_shape, seed, kind), values(g.y_shape, seed + 1, "normal")
    leaf = torch.tensor(x, requires_grad=True)
    want, indices = torch.nn.functional.max_pool2d(leaf, **g.kwargs, return_indices=True)
    want.backward(torch.tensor(dy))
    y, switches = max_pool2d(x, **g.kwargs, return_switches=True)
    assert np.array_equal(y, want.detach().numpy())
    assert np.array_equal(switches.to_plane(), indices.numpy())
    assert np.allclose(max_pool2d_backward(dy, switches), leaf.grad.numpy(), **TOLERANCE)


@many
@given(g=geometries, seed=seeds())
def test_max_pool2d_of_nan_and_infinities(torch, g, seed):
    rng = np.random.default_rng(seed)
    odd = rng.choice([np.nan, np.inf, -np.inf, 1.0], g.x_shape)
    x = np.where(rng.random(g.x_shape) < 0.5, odd, values(g.x_shape, seed, "ties"))
    want, indices = torch.nn.functional.max_pool2d(torch.tensor(x), **g.kwargs, return_indices=True)
    y, switches = max_pool2d(x, **g.kwargs, return_switches=True)
    assert np.array_equal(y, want.numpy(), equal_nan=True)
    assert np.array_equal(switches.to_plane(), indices.numpy())


@many
@given(g=geometries, seed=seeds(), kind=kinds)
def test_max_unpool2d(torch, g, seed, kind):
    """Forward is PyTorch's, also with duplicates; the gradient is where there are none."""
    switches = max_pool2d(values(g.x_shape, seed, kind), **g.kwargs, return_switches=True)[1]
    x, dy = values(g.y_shape, seed + 1, "normal"), values(g.x_shape, seed + 2, "normal")
    leaf = torch.tensor(x, requires_grad=True)
    want = torch_unpool(torch, leaf, switches)
    want.backward(torch.tensor(dy))
    gathered = leaf.grad.numpy()
    for s in (switches, Switches.from_plane(switches.indices, g.size)):
        assert np.array_equal(max_unpool2d(x, s), want.detach().numpy())
        dx = max_unpool2d_backward(dy, s)
        # PyTorch also sends gradient to values that were overwritten; we send none.
        assert np.allclose(dx, gathered * last_choosers(s), **TOLERANCE)
        assert np.allclose(max_unpool2d_backward(dy, s, "add"), gathered, **TOLERANCE)


@many
@given(g=pool_geometries(overlap=False, max_dilation=1), seed=seeds())
def test_max_unpool2d_gradient_without_duplicates(torch, g, seed):
    switches = max_pool2d(values(g.x_shape, seed), **g.kwargs, return_switches=True)[1]
    assert last_choosers(switches).all()
    x, dy = values(g.y_shape, seed + 1, "normal"), values(g.x_shape, seed + 2, "normal")
    leaf = torch.tensor(x, requires_grad=True)
    torch_unpool(torch, leaf, switches).backward(torch.tensor(dy))
    assert np.allclose(max_unpool2d_backward(dy, switches), leaf.grad.numpy(), **TOLERANCE)


def test_where_pytorch_s_unpooling_is_not_its_own_adjoint(torch):
    """The divergence in numbers: 9 windows over one peak, of which 8 are overwritten."""
    image = np.zeros((1, 1, 5, 5))
    image[0, 0, 2, 2] = 5
    _, switches = max_pool2d(image, 3, stride=1, return_switches=True)
    u, v = np.arange(1.0, 10).reshape(1, 1, 3, 3), np.full((1, 1, 5, 5), 2.0)
    leaf = torch.tensor(u, requires_grad=True)
    unpooled = torch_unpool(torch, leaf, switches)
    unpooled.backward(torch.tensor(v))
    forward = np.vdot(unpooled.detach().numpy(), v)
    assert np.vdot(max_unpool2d(u, switches), v) == forward == 18
    assert np.vdot(u, max_unpool2d_backward(v, switches)) == 18
    assert np.vdot(u, leaf.grad.numpy()) == 90


@many
@given(
    g=pool_geometries(max_out=4, max_kernel=4, max_stride=4, max_dilation=1),
    seed=seeds(),
    include_pad=st.booleans(),
)
def test_avg_pool2d(torch, g, seed, include_pad):
    arguments = (g.kernel, g.stride, g.padding, g.ceil_mode, include_pad)
    x, dy = values(g.x_shape, seed, "normal"), values(g.y_shape, seed + 1, "normal")
    leaf = torch.tensor(x, requires_grad=True)
    want = torch.nn.functional.avg_pool2d(leaf, *arguments)
    want.backward(torch.tensor(dy))
    assert np.allclose(avg_pool2d(x, *arguments), want.detach().numpy(), **TOLERANCE)
    dx = avg_pool2d_backward(dy, g.size, *arguments)
    assert np.allclose(dx, leaf.grad.numpy(), **TOLERANCE)


@many
@given(
    sizes=st.tuples(*(st.integers(1, 9) for _ in range(2))),
    kernel=st.tuples(*(st.integers(1, 4) for _ in range(2))),
    stride=st.tuples(*(st.integers(1, 5) for _ in range(2))),
    padding=st.tuples(*(st.integers(0, 3) for _ in range(2))),
    ceil_mode=st.booleans(),
)
def test_the_same_geometries_are_legal(torch, sizes, kernel, stride, padding, ceil_mode):
    """Drawn without regard to what fits: both refuse it, or both give the same size."""
    x = np.zeros((1, 1, *sizes))
    arguments = (kernel, stride, padding, 1, ceil_mode)
    try:
        want = torch.nn.functional.max_pool2d(torch.tensor(x), *arguments).shape
    except RuntimeError:
        with pytest.raises(ValueError, match="max_pool2d: "):
            max_pool2d(x, *arguments)
    else:
        assert max_pool2d(x, *arguments).shape == tuple(want)
