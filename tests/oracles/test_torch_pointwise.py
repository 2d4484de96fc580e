"""relu, softmax, log_softmax, dropout, linear, pad, interpolate: equal to PyTorch's in float64.

Each function goes through its Tensor form, so that the binding to the tape is compared as well: the
result, and the gradient of every argument for a random cotangent, to 1e-9.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minideconv import Tensor
from minideconv import functional as F
from minideconv.ops import dropout_backward
from minideconv.testing import seeds, values

many = settings(max_examples=200)
shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


def compare(torch, ours, theirs, arrays, seed):
    """Assert that two functions of Tensors agree: results, and gradients of all `arrays`."""
    mine = [None if a is None else Tensor(a.copy(), requires_grad=True) for a in arrays]
    other = [None if a is None else torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = ours(*mine), theirs(*other)
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-9, atol=1e-9)
    dy = values(y.shape, seed + 99, "normal")
    y.backward(Tensor(dy))
    z.backward(torch.tensor(dy))
    for a, b in zip(mine, other, strict=True):
        if a is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-9)


@many
@given(shapes, seeds())
def test_relu(torch, shape, seed):
    x = values(shape, seed, "ties")  # zeros too: the derivative there is a convention
    compare(torch, F.relu, torch.relu, [x], seed)


@many
@given(shapes, st.data(), seeds())
def test_softmax_and_log_softmax(torch, shape, data, seed):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = 3 * values(shape, seed, "normal")
    for ours, theirs in ((F.softmax, torch.softmax), (F.log_softmax, torch.log_softmax)):
        compare(torch, partial(ours, dim=dim), partial(theirs, dim=dim), [x], seed)


@many
@given(shapes, st.floats(0, 1), seeds())
def test_dropout_with_our_mask(torch, shape, p, seed):
    """The drawn elements differ, as the generators do; what becomes of them must not."""
    x, dy = values(shape, seed, "distinct"), values(shape, seed + 1, "normal")
    tensor = Tensor(x, requires_grad=True)
    y = F.dropout(tensor, p, rng=np.random.default_rng(seed))
    y.backward(Tensor(dy))
    kept, scale = torch.tensor(y.numpy() != 0), 1 / (1 - p) if p < 1 else 0.0
    np.testing.assert_allclose(y.numpy(), (torch.tensor(x) * kept * scale).numpy(), rtol=1e-9)
    want = torch.ops.aten.native_dropout_backward(torch.tensor(dy), kept, scale)
    np.testing.assert_allclose(tensor.grad.numpy(), want.numpy(), rtol=1e-9)
    theirs = torch.nn.functional.dropout(torch.tensor(x), p).numpy()
    both = (theirs != 0) & (y.numpy() != 0)
    np.testing.assert_allclose(y.numpy()[both], theirs[both], rtol=1e-9)
    if p in (0.0, 1.0):
        assert (y.numpy() == theirs).all()
    assert (dropout_backward(dy, None) == dy).all()


@many
@given(
    st.lists(st.integers(1, 4), max_size=3).map(tuple),
    st.integers(1, 7),
    st.integers(1, 7),
    st.booleans(),
    seeds(),
)
def test_linear(torch, lead, c_in, c_out, has_bias, seed):
    x, w = values((*lead, c_in), seed, "normal"), values((c_out, c_in), seed + 1, "normal")
    b = values((c_out,), seed + 2, "normal") if has_bias else None
    compare(torch, F.linear, torch.nn.functional.linear, [x, w, b], seed)


@st.composite
def paddings(draw):
    """(shape, pad, mode) that PyTorch takes too: images, and both or one of their axes."""
    mode = draw(st.sampled_from(["constant", "reflect", "replicate"]))
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=4, max_size=4)))
    amounts = []
    axes = draw(st.integers(1, 4)) if mode == "constant" else 2
    for n in reversed(shape[-axes:]):
        most = n - 1 if mode == "reflect" else 5
        before = draw(st.integers(1 - n, most))
        amounts += [before, draw(st.integers(1 - n - min(before, 0), most))]
    return shape, amounts, mode


@many
@given(paddings(), st.integers(-3, 3), seeds())
def test_pad(torch, case, value, seed):
    shape, amounts, mode = case
    value = float(value) if mode == "constant" else 0.0
    x = values(shape, seed, "normal")
    theirs = torch.nn.functional.pad
    compare(
        torch,
        lambda x: F.pad(x, amounts, mode, value),
        lambda x: theirs(x, amounts, mode, value if mode == "constant" else None),
        [x],
        seed,
    )


def rounded_up(size, factor):
    """Whether a position lies so close below a pixel's centre that float32 makes it that."""
    position = (np.arange(int(size * factor)) + 0.5) / factor - 0.5
    below = np.ceil(position) - position
    return bool(((below > 1e-11) & (below < 1e-5)).any())


@st.composite
def resizings(draw):
    """(shape, options) with at most 128 pixels of height and width together.

    Larger "nearest" outputs come from another kernel of PyTorch's (2.13), which takes a factor
    such as 2.01 literally and rounds in float64 for float64, while its backward does neither:
    there the two are no longer adjoint. We follow the kernel of small outputs everywhere. Nor are
    there positions that float32 rounds up to a pixel's centre: PyTorch's bilinear kernel takes the
    whole pixel there, in float64 too (2.13), which is off by as much as that rounding, 1e-6.
    """
    size = [draw(st.integers(1, 40)), draw(st.integers(1, 40))]
    mode = draw(st.sampled_from(["nearest", "bilinear"]))
    options = {"mode": mode, "align_corners": mode == "bilinear" and draw(st.booleans())}
    if draw(st.booleans()):
        options["size"] = (draw(st.integers(1, 60)), draw(st.integers(1, 60)))
    else:
        near = [draw(st.sampled_from([0.3, 1.0, 1.5, 2.0])) for _ in size]
        more = [draw(st.floats(0, 1 / n) | st.floats(0, 1)) for n in size]
        factors = [max(a + b, 1.01 / n) for n, a, b in zip(size, near, more, strict=True)]
        factors = [min(f, 64 / n) for n, f in zip(size, factors, strict=True)]
        assume(mode == "nearest" or not any(map(rounded_up, size, factors)))
        options["scale_factor"] = tuple(factors)
    return (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *size), options


@many
@given(resizings(), seeds())
def test_interpolate(torch, case, seed):
    shape, options = case
    x = values(shape, seed, "normal")
    theirs = dict(options, align_corners=None) if options["mode"] == "nearest" else options
    compare(
        torch,
        lambda x: F.interpolate(x, **options),
        lambda x: torch.nn.functional.interpolate(x, **theirs),
        [x],
        seed,
    )


@many
@given(st.integers(1, 300), st.integers(1, 300))
def test_nearest_takes_the_same_pixels(torch, n, m):
    """Also where float32 rounds across a boundary, as at 26 -> 22; of any size, in float32."""
    x = np.arange(n, dtype=np.float32).reshape(1, 1, 1, n)
    want = torch.nn.functional.interpolate(torch.tensor(x), (1, m), mode="nearest").numpy()
    assert (F.interpolate(Tensor(x), (1, m)).numpy() == want).all()


def test_all_sizes_for_a_factor(torch):
    for n in range(1, 30):
        for factor in (0.5, 0.75, 1.25, 1.5, 2.0, 2.5, math.pi):
            if n * factor >= 1:
                want = torch.nn.functional.interpolate(torch.zeros(1, 1, n, n), scale_factor=factor)
                got = F.interpolate(Tensor(np.zeros((1, 1, n, n))), scale_factor=factor)
                assert got.shape == tuple(want.shape)
