"""What a mask blocks leaves no trace: gradients that are infinite, values that are NaN."""

from __future__ import annotations

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor
from minideconv import functional as F
from minideconv.autograd import checkpoint, elementwise
from minideconv.backend import get_xp, to_default_device
from minideconv.backend.masks import selected
from minideconv.testing import values


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_selected_is_where(dtype):
    x = to_default_device(np.array([1.5, np.inf, -np.inf, np.nan, -0.0, 3.0], dtype))
    mask = to_default_device(np.array([True, False, True, False, True, False]))
    xp = get_xp(x)
    want = xp.where(mask, x, xp.zeros_like(x))
    xp.testing.assert_array_equal(selected(x, mask), want)
    xp.testing.assert_array_equal(xp.signbit(selected(x, mask)), xp.signbit(want))
    wide = xp.broadcast_to(x, (2, 6))[:, ::-2]
    xp.testing.assert_array_equal(selected(wide, mask[::-2]), xp.where(mask[::-2], wide, 0))


BLOCKED = {
    "relu": F.relu,
    "clip": lambda x: x.clip(0.0),
    "clip to limits": lambda x: x.clip(0.0, 9.0),
    "maximum": lambda x: elementwise.maximum(x, 0.0),
    "minimum": lambda x: -elementwise.minimum(-x, 0.0),
    "where": lambda x: elementwise.where(x > 0, x, 0.0),
    "masked_fill": lambda x: x.masked_fill(x <= 0, 0.0),
    "max of two": lambda x: md.stack([x, x.detach() * 0.0]).max(axis=0),
    "max with indices": lambda x: md.stack([x, x.detach() * 0.0]).max(dim=0)[0],
    "min of two": lambda x: -md.stack([-x, x.detach() * 0.0]).min(axis=0),
}


@pytest.mark.parametrize("size", [3, 100_000], ids=["few", "many"])
@pytest.mark.parametrize("create_graph", [False, True], ids=["once", "with a graph"])
@pytest.mark.parametrize("name", BLOCKED)
def test_a_blocked_infinite_gradient_is_no_nan(name, create_graph, size):
    """The root of 0 has an infinite slope, which meets a gradient of 0 at the blocked elements."""
    data = np.full(size, 4.0, np.float32)
    data[::2] = -1e-6
    x = Tensor(data, requires_grad=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        (slope,) = md.grad(BLOCKED[name](x).sqrt().sum(), x, create_graph=create_graph)
    want = np.full(size, 0.25, np.float32)
    want[::2] = 0
    np.testing.assert_array_equal(slope.numpy(), want)


@pytest.mark.parametrize("size", [(1, 2, 3, 3), (2, 8, 128, 128)])
def test_relu_in_a_network(size):
    x = Tensor(values(size, 0, "normal", np.float32), requires_grad=True)
    with np.errstate(divide="ignore"):
        F.relu(x).sqrt().sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_conditions_that_are_numbers():
    a = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    mask = np.array([255, 0, 7], np.uint8)
    y = md.where(mask, a, 0.5)
    np.testing.assert_array_equal(y.numpy(), [1, 0.5, 3])
    y.sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), [1, 0, 1])
    for wrong in (np.array([1, 0, 1]), np.array([1.0, 0.0, 1.0])):
        with pytest.raises(TypeError, match=rf"^where: condition has dtype {wrong.dtype}; it must"):
            md.where(wrong, a, 0.0)


@pytest.mark.cpu  # the arrays are NumPy's
@pytest.mark.parametrize(
    "operation",
    [
        lambda x, a: md.where(a > 0.5, x, 0.0),
        lambda x, a: x.masked_fill(a > 0.5, 0.0),
        lambda x, a: F.binary_cross_entropy(x.sigmoid(), a),
        lambda x, a: F.binary_cross_entropy(x.sigmoid(), np.ones(4, np.float32), a),
        lambda x, a: F.binary_cross_entropy_with_logits(x, a),
        lambda x, a: F.binary_cross_entropy_with_logits(x, np.ones(4, np.float32), a),
        lambda x, a: F.binary_cross_entropy_with_logits(x, np.ones(4, np.float32), None, "mean", a),
        lambda x, a: F.mse_loss(x, a),
        lambda x, a: F.l1_loss(x, a),
        lambda x, a: F.cross_entropy(x.reshape(2, 2), a.reshape(2, 2)),
        lambda x, a: F.cross_entropy(x.reshape(2, 2), np.array([0, 1]), a[:2]),
        lambda x, a: F.nll_loss(x.reshape(2, 2), np.array([0, 1]), a[:2]),
        lambda x, a: F.focal_loss(x.reshape(2, 2), np.array([0, 1]), 2.0, a[:2]),
        lambda x, a: x * a,
        lambda x, a: x / a,
        lambda x, a: x.exp() ** a,
        lambda x, a: x @ a,
        lambda x, a: elementwise.maximum(x, a),
        lambda x, a: checkpoint(lambda x, a: (x * a).exp(), x, a),
        lambda x, a: x.gather(0, (a > 0.5).astype(int)),
    ],
)
def test_an_array_that_is_changed_before_backward_is_as_it_was(operation):
    def gradient(change):
        x = Tensor(values((4,), 1, "normal", np.float32), requires_grad=True)
        array = np.array([0.9, 0.1, 0.8, 0.3], np.float32)
        mask = operation(x, array)
        if change:
            array[...] = 0.2
        mask.sum().backward()
        return x.grad.numpy()

    np.testing.assert_array_equal(gradient(True), gradient(False))


@pytest.mark.cpu
def test_a_mask_that_is_changed_before_backward():
    for make in (
        lambda x, m: md.where(m, x, 0.0),
        lambda x, m: x.masked_fill(m, 0.0),
    ):
        x, mask = Tensor([1.0, 2.0, 3.0], requires_grad=True), np.array([True, False, True])
        y = make(x, mask)
        want = (y.numpy() != 0).astype(np.float32)
        mask[...] = ~mask
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), want)
        tensor = Tensor(np.array([True, False, True]))
        y = make(x, tensor)
        tensor[...] = False
        with pytest.raises(RuntimeError, match="was changed in place"):
            y.sum().backward()


def test_an_ignored_pixel_may_be_anything():
    scores = Tensor([[0.0, -np.inf], [0.5, 0.25], [np.nan, 1.0]], requires_grad=True)
    labels = np.array([255, 1, 255])
    loss = F.nll_loss(scores, labels)
    assert loss.item() == -0.25
    loss.backward()
    np.testing.assert_array_equal(scores.grad.numpy(), [[0, 0], [0, -1], [0, 0]])
    logits = Tensor([[np.nan, 1.0], [0.5, 0.25]], requires_grad=True)
    for loss in (F.focal_loss, F.dice_loss):
        found = loss(logits, np.array([255, 1]))
        assert np.isfinite(found.item())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_certain_wrong_probability_has_no_gradient_and_no_nan(dtype):
    """The logarithm of PyTorch's is not below -100."""
    x = Tensor(np.array([20.0, -120.0, 1.0, 0.0]).astype(dtype), requires_grad=True)
    p = x.sigmoid() if dtype != "float16" else Tensor(np.array([1, 0, 0.75, 0.5], dtype))
    loss = F.binary_cross_entropy(p, np.array([0.0, 1.0, 1.0, 1.0], dtype), reduction="sum")
    if dtype != "float64":
        np.testing.assert_allclose(loss.item(), 200 + 0.31 + 0.69, atol=0.4)
    if dtype != "float16":
        loss.backward()
        assert np.isfinite(x.grad.numpy()).all()
        assert abs(x.grad.numpy()[1]) in (0, 1)


def test_equal_values_have_a_spread_of_zero_without_a_slope():
    x = Tensor(np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 6.0]], np.float32), requires_grad=True)
    y = x.std(dim=1, unbiased=False)
    y.sum().backward()
    assert y.numpy()[0] == 0
    np.testing.assert_array_equal(x.grad.numpy()[0], 0)
    np.testing.assert_allclose(
        x.grad.numpy()[1], (x.numpy()[1] - 3) / (3 * y.numpy()[1]), rtol=1e-6
    )


def test_binary_targets_are_between_0_and_1():
    p = Tensor([0.5, 0.25])
    for wrong in ([2.0, 0.0], [-1.0, 1.0], [np.nan, 0.0]):
        with pytest.raises(ValueError, match=r"^binary_cross_entropy: target must hold numbers in"):
            F.binary_cross_entropy(p, np.array(wrong, np.float32))
