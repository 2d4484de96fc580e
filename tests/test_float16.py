"""float16: what is added up is added up in float32, and steps are computed there."""

from __future__ import annotations

import numpy as np
import pytest
from leaves import grad_of

from minideconv import Tensor, nn, ops, optim
from minideconv import functional as F
from minideconv.backend.sums import sum_over

HALF = np.float16


def draw(*shape: int, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(HALF)


def close(found: np.ndarray, want: np.ndarray, ulps: float = 2) -> None:
    """Both are float16 numbers, or what they should be before rounding."""
    assert found.dtype == HALF
    tolerance = ulps * np.finfo(HALF).eps * np.maximum(np.abs(want), 2.0**-14)
    assert (np.abs(found.astype(float) - want) <= tolerance).all()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", [0, 1, (0, 2), (1, 2), None])
@pytest.mark.parametrize("name", ["sum", "mean", "var"])
def test_reductions_are_those_of_float32(name: str, axes: object, order: str) -> None:
    array = np.asarray(np.abs(draw(70, 60, 50)) / 8, order=order)
    found = getattr(Tensor(array), name)(axes).numpy()
    with np.errstate(over="ignore"):
        want = getattr(array.astype(float), name)(axis=axes).astype(HALF)
    assert found.dtype == HALF
    np.testing.assert_allclose(found.astype(float), want.astype(float), rtol=1e-3)


def test_a_mean_of_many_large_numbers_is_finite() -> None:
    x = Tensor(np.full(100000, 300, HALF), requires_grad=True)
    y = x.mean()
    y.backward()
    assert y.item() == 300
    assert (grad_of(x) == HALF(1e-5)).all()
    assert Tensor(np.linspace(0, 200, 5000).astype(HALF)).var().item() == pytest.approx(3336, 2e-3)


def test_a_gradient_that_was_broadcast_is_summed_in_float32() -> None:
    bias = Tensor(np.zeros((1, 3), HALF), requires_grad=True)
    (Tensor(np.zeros((5000, 3), HALF)) + bias).backward(np.ones((5000, 3), HALF))
    assert (grad_of(bias) == 5000).all()  # float16 counts to 2048


def test_average_pools() -> None:
    x = np.full((1, 2, 40, 40), 100, HALF)
    assert (ops.avg_pool2d(x, 40) == 100).all()
    x = draw(2, 3, 41, 37, scale=100)
    close(ops.avg_pool2d(x, 37), ops.avg_pool2d(x.astype(float), 37))
    dy = draw(2, 3, 21, 19, scale=10)
    options = (5, 2, 2)
    want = ops.avg_pool2d_backward(dy.astype(float), (41, 37), *options)
    close(ops.avg_pool2d_backward(dy, (41, 37), *options), want)


@pytest.mark.parametrize(("weighted", "smoothing"), [(False, 0.0), (True, 0.2)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_is_that_of_float32(reduction: str, weighted: bool, smoothing: float) -> None:
    logits = draw(2, 3, 200, 190, scale=2)
    labels = np.random.default_rng(1).integers(0, 3, (2, 200, 190))
    labels[0, :50] = 255
    weight = np.array([0.5, 1.0, 2.0]) if weighted else None
    options = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing}
    scale = 1024.0 if reduction == "mean" else 1.0  # as a GradScaler does: gradients are small
    results = []
    for kind in (HALF, np.float32):
        x = Tensor(logits.astype(kind), requires_grad=True)
        with np.errstate(over="ignore"):  # the sum is no float16
            loss = F.cross_entropy(x, labels, **options)
        assert loss.dtype == kind
        loss.backward(np.full(loss.shape, scale, kind))
        results.append((loss.numpy(), grad_of(x)))
    (loss, gradient), (want, want_gradient) = results
    if reduction == "sum":
        assert np.isinf(loss)
    else:
        close(loss, want)
    close(gradient, want_gradient)


def test_softmax_of_many_classes() -> None:
    x = np.zeros((1, 70000), HALF)
    assert np.isclose(ops.softmax(x, 1).astype(float).sum(), 1, rtol=0.2)  # 1.43e-5 has 4 bits
    assert np.isclose(float(ops.log_softmax(x, 1)[0, 0]), -np.log(70000), rtol=1e-3)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.AdamW])
def test_a_step_is_that_of_float32(make: type, flat: bool) -> None:
    def run(kind: type) -> np.ndarray:
        p = nn.Parameter(np.array([[0.0, 1.0, -2.0, 0.5]], kind))
        options = {"momentum": 0.9} if make is optim.SGD else {}
        optimizer = make([p], lr=0.01, **options)
        if flat:
            optimizer.flatten()
        for step in range(5):
            p.grad = Tensor(np.array([[0.0, 1e-4, 300.0, -1e-6]], HALF).astype(kind) / (step + 1))
            optimizer.step()
        return p.numpy()

    found, want = run(HALF), run(np.float32)
    assert np.isfinite(found).all()
    # The weight is rounded after each step; Adam's steps are 0.01 whatever the gradient.
    np.testing.assert_allclose(found.astype(float), want, rtol=4e-3, atol=2e-4)
    assert make is optim.SGD or found[0, 3] > 0.53


def test_the_state_of_float16_parameters_is_float32_and_comes_back() -> None:
    p = nn.Parameter(np.ones((2, 3), HALF))
    optimizer = optim.Adam([p], lr=0.1)
    p.grad = Tensor(np.full((2, 3), 1e-4, HALF))
    optimizer.step()
    saved = optimizer.state_dict()
    assert saved["state.0.exp_avg_sq"].dtype == np.float32
    assert np.allclose(saved["state.0.exp_avg_sq"], 1e-11, rtol=1e-2)
    again = optim.Adam([p], lr=0.1)
    again.load_state_dict(saved)
    assert (again.state_dict()["state.0.exp_avg_sq"] == saved["state.0.exp_avg_sq"]).all()


def test_bias_gradients_of_layers() -> None:
    dy = np.ones((5000, 3), HALF)
    _, _, dbias = ops.linear_backward(dy, np.ones((5000, 2), HALF), np.ones((3, 2), HALF))
    assert (dbias == 5000).all()
    assert dbias.dtype == HALF
    x = Tensor(np.zeros((2, 1, 60, 70), HALF))
    layer = nn.Conv2d(1, 2, 1).to(dtype=HALF)
    layer(x).backward(np.ones((2, 2, 60, 70), HALF))
    assert (grad_of(layer.bias) == 8400).all()


def test_sum_over_keeps_float32() -> None:
    assert float(sum_over(np.full((300, 2), 60000, HALF), (0, 1))) == 3.6e7
