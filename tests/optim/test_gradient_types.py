"""Gradients of another type than their weights, and changes of gradients that the tape must see."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, nn
from minideconv.nn import Parameter
from minideconv.optim import SGD, Adagrad, Adam, AdamW, GradScaler, RMSprop

OPTIMIZERS = {
    "SGD": lambda params: SGD(params, lr=0.1),
    "momentum": lambda params: SGD(params, lr=0.1, momentum=0.9),
    "Adam": lambda params: Adam(params, lr=0.1),
    "AdamW": lambda params: AdamW(params, lr=0.1),
    "amsgrad": lambda params: AdamW(params, lr=0.1, amsgrad=True),
    "RMSprop": lambda params: RMSprop(params, lr=0.1, momentum=0.5),
    "centered": lambda params: RMSprop(params, lr=0.1, centered=True),
    "Adagrad": lambda params: Adagrad(params, lr=0.1),
}
VALUE = float(np.float16(1e-3))  # its square is below float16's smallest number


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("weights", ["f2", "f4", "f8"])
@pytest.mark.parametrize("flat", [False, True])
def test_a_gradient_of_another_type_is_that_number(name, kind, weights, flat):
    params = [Parameter(np.ones(3, weights)), Parameter(np.ones(3, weights))]
    optimizers = [OPTIMIZERS[name]([p]) for p in params]
    for _ in range(3):
        for p, optimizer, its in zip(params, optimizers, (kind, weights), strict=True):
            if flat:
                optimizer.flatten()
            p.grad = Tensor(np.full(3, VALUE, its))
            optimizer.step()
    np.testing.assert_array_equal(params[0].numpy(), params[1].numpy())
    assert params[0].dtype == weights


def test_a_scale_that_float16_does_not_hold_is_taken_out_of_float16():
    p = Parameter(np.ones(2, np.float16))
    p.grad = Tensor(np.full(2, 2.0**14, np.float16))
    GradScaler(init_scale=2.0**17).unscale_(SGD([p], lr=0.1))
    assert p.grad.numpy().tolist() == [0.125, 0.125]


CHANGES = {
    "clip_grad_norm_": lambda x: nn.utils.clip_grad_norm_([x], 1.0),
    "clip_grad_value_": lambda x: nn.utils.clip_grad_value_([x], 1.0),
    "zero_grad": lambda x: SGD([x], lr=0.1).zero_grad(set_to_none=False),
    "unscale_": lambda x: GradScaler().unscale_(SGD([x], lr=0.1)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_changed_in_place_is_seen_by_the_tape(change, create_graph):
    x = Tensor([3.0, 4.0], requires_grad=True)
    (x**2).sum().backward(create_graph=create_graph)
    y = (x * x.grad).sum()
    CHANGES[change](x)
    x.grad = None
    with pytest.raises(RuntimeError, match=r"mul: a tensor saved for backward .* changed in place"):
        y.backward()


def flat_grad(optimizer):
    optimizer.flat_grad[...] = 0


@pytest.mark.parametrize(
    "change",
    [
        flat_grad,
        lambda optimizer: optimizer.zero_grad(set_to_none=False),
        lambda optimizer: GradScaler().unscale_(optimizer),
        lambda optimizer: nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0),
    ],
)
def test_flat_gradients_too(change):
    x = Tensor([3.0, 4.0], requires_grad=True)
    optimizer = SGD([x], lr=0.1)
    optimizer.flatten()
    (x**2).sum().backward()
    weight = Tensor([1.0, 1.0], requires_grad=True)
    y = (weight * x.grad).sum()
    change(optimizer)
    with pytest.raises(RuntimeError, match=r"mul: a tensor saved for backward .* changed in place"):
        y.backward()


@pytest.mark.parametrize("ask", ["complete_grads", "flat_grad"])
def test_a_gradient_that_was_kept_and_then_zeroed(ask):
    x, other = (Tensor([3.0, 4.0], requires_grad=True) for _ in range(2))
    optimizer = SGD([x, other], lr=0.1)
    optimizer.flatten()
    (x**2).sum().backward()
    weight = Tensor([1.0, 1.0], requires_grad=True)
    y = (weight * x.grad).sum()
    optimizer.zero_grad()
    result = getattr(optimizer, ask)
    if callable(result):
        result()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_clipping_that_changes_nothing_is_no_change():
    x = Tensor([3.0, 4.0], requires_grad=True)
    (x**2).sum().backward()
    y = (x * x.grad.detach()).sum()
    if nn.utils.clip_grad_norm_([x], 100.0) != 10 or not isinstance(x.grad.data, np.ndarray):
        pytest.skip("a GPU does not know it")
    x.grad = None
    y.backward()
    assert x.grad.numpy().tolist() == [6.0, 8.0]


@pytest.mark.cpu
@pytest.mark.parametrize("size", [4095, 4097, 20_000_000])
def test_the_norm_of_many_gradients_rounds_little(size):
    x = Parameter(np.zeros(size, np.float32))
    x.grad = Tensor(np.full(size, 0.1, np.float32))
    want = float(np.float32(0.1)) * np.sqrt(float(size))
    assert nn.utils.clip_grad_norm_([x], 1e9) == pytest.approx(want, rel=3e-6)
