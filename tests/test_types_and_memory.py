"""Types that results have, and arrays in memory that no operation may change, or take."""

from __future__ import annotations

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor, nn
from minideconv import functional as F
from minideconv.autograd import elementwise
from minideconv.testing import values


def test_float16_has_sums_that_it_does_not_hold_itself():
    size = (1, 21, 128, 128)
    log_p = F.log_softmax(Tensor(np.zeros(size, np.float16)), 1)
    labels = np.zeros((1, 128, 128), int)
    for loss in (
        F.nll_loss(log_p, labels),
        F.focal_loss(Tensor(np.zeros(size, np.float16)), labels, 0.0),
    ):
        assert loss.dtype == np.float16
        np.testing.assert_allclose(loss.item(), np.log(21), rtol=2e-3)
    dice = F.dice_loss(Tensor(np.zeros((1, 2, 300, 300), np.float16)), np.zeros((1, 300, 300), int))
    np.testing.assert_allclose(dice.item(), 2 / 3, atol=1e-3)
    x = Tensor(np.linspace(-1000, 1000, 50).astype(np.float16), requires_grad=True)
    np.testing.assert_allclose(x.std().item(), x.numpy().astype(float).std(), rtol=1e-3)
    factors = Tensor(np.array([20.0] * 8 + [0.125] * 20, np.float16), requires_grad=True)
    product = factors.prod()
    np.testing.assert_allclose(product.item(), 20.0**8 * 0.125**20, rtol=1e-2, atol=1e-7)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "bool"])
def test_counts_of_unsigned_integers_are_signed(dtype):
    mask = Tensor(np.array([[1, 1], [1, 0]], dtype))
    for total in (mask.sum(), mask.prod(), mask.sum(0), mask.cumsum(0)):
        assert total.dtype == np.int64
    assert (mask.sum() - 10).item() == -7
    assert (mask.sum() + md.arange(2)).dtype == np.int64


def test_joined_tensors_meet_as_operands_do():
    image, mask = Tensor(np.ones((1, 2), np.float32)), Tensor(np.ones((1, 2), np.int64))
    for joined in (md.cat([image, mask], 1), md.stack([mask, image])):
        assert joined.dtype == np.float32
    assert md.cat([mask, mask.astype(np.uint8)]).dtype == np.int64
    half = Tensor(np.ones((1, 2), np.float16))
    assert md.cat([half, mask]).dtype == np.float16
    assert md.cat([half, image, mask]).dtype == np.float32


@pytest.mark.parametrize("divide", [lambda a, b: a // b, lambda a, b: a % b])
def test_integers_are_not_divided_by_zero(divide):
    name = "floordiv|mod"
    for b in (0, np.array([1, 0])):
        with pytest.raises(ZeroDivisionError, match=rf"^({name}): integers cannot be divided by 0"):
            divide(Tensor(np.array([2, 3])), b)
    with np.errstate(all="ignore"):
        divide(Tensor([2.0, 3.0]), 0.0)
    divide(Tensor([2.0, 3.0]), np.array([1, 2]))


def test_contiguous_is_a_copy_where_the_order_differs():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert x.contiguous() is x
    y = x.t().contiguous()
    assert y.numpy().flags.c_contiguous
    (y * Tensor(np.arange(6.0).reshape(3, 2))).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.arange(6.0).reshape(3, 2).T)
    with md.no_grad():
        x.t().contiguous().mul_(0)
    assert x.numpy().sum() == 15


def test_instance_norm_of_one_image_is_of_planes():
    x = Tensor(values((3, 4, 5), 0, "normal"))
    layer = nn.InstanceNorm2d(3)
    np.testing.assert_array_equal(layer(x).numpy(), layer(x.unsqueeze(0)).numpy()[0])
    for shape in ((4, 4, 5), (1, 4, 4, 5), (3, 4)):
        with pytest.raises(ValueError, match=r"^InstanceNorm2d: x has shape .* \(N, 3, H, W\) or"):
            layer(Tensor(np.ones(shape)))


def test_other_numbers_for_a_parameter():
    layer = nn.Linear(2, 3)
    layer.weight.data = md.ones(3, 2)
    assert isinstance(layer.weight.data, type(layer.bias.data))
    assert layer(md.ones(1, 2)).shape == (1, 3)
    before = layer.weight.data
    for wrong, what in (("a", "a str"), (None, "a NoneType"), (3.0, "a float")):
        with pytest.raises(TypeError, match=rf"^Parameter: data is {what}; it must be an array"):
            layer.weight.data = wrong
    with pytest.raises(TypeError, match=r"^Parameter: data has dtype <U1; it must be one of num"):
        layer.weight.data = np.array(["a"])
    assert layer.weight.data is before


@pytest.mark.cpu
def test_numbers_that_are_one_in_memory_are_not_changed_in_place():
    one = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (4,), (0,))
    x = Tensor(one)
    with pytest.raises(ValueError, match="are one in memory"):
        x += Tensor([1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="are one in memory"):
        x.fill_(1.0)
    parameter = nn.Parameter(one)
    parameter.grad = Tensor(np.ones(4, np.float32))
    with pytest.raises(ValueError, match="are one in memory"):
        md.optim.SGD([parameter], lr=0.1).step()
    mean = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (2,), (0,))
    with pytest.raises(ValueError, match="running_mean, of shape"):
        F.batch_norm(Tensor(np.ones((2, 2, 3, 3))), mean, np.ones(2, np.float32), training=True)
    np.testing.assert_array_equal(one, 0)


@pytest.mark.cpu
@pytest.mark.parametrize(
    "operation",
    [
        lambda x, a: x + a,
        lambda x, a: a * x,
        lambda x, a: x / a,
        lambda x, a: x**a,
        lambda x, a: x @ a,
        lambda x, a: md.where(x > 0, x, a),
        lambda x, a: md.cat([x, a]),
        lambda x, a: md.stack([x, a]),
        lambda x, a: elementwise.maximum(x, a),
        lambda x, a: x.clip(a),
    ],
)
@pytest.mark.parametrize("dtype", [object, "complex64", "m8[s]", "U1"])
def test_what_is_no_number_is_refused_in_a_sentence(operation, dtype):
    x = Tensor([1.0, 2.0], requires_grad=True)
    other = np.array([1, 2]).astype(dtype)
    with pytest.raises(TypeError, match=r"^\w+: (cannot (combine|hold)|.* must be a Tensor)"):
        operation(x, other)
