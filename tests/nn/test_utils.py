"""Gradient clipping against its definition."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from minideconv.autograd import Tensor
from minideconv.nn import Parameter
from minideconv.nn.utils import clip_grad_norm_, clip_grad_value_


def _parameters() -> list[Parameter]:
    parameters = [Parameter(np.zeros((2, 3))), Parameter(np.zeros(4)), Parameter(np.zeros(1))]
    for seed, parameter in enumerate(parameters[:2]):
        gradient = np.random.default_rng(seed).normal(size=parameter.shape)
        parameter.grad = type(parameter)(gradient, requires_grad=False)
    return parameters  # the last has no gradient


def test_the_norm_is_taken_over_all_parameters_together():
    parameters = _parameters()
    before = [p.grad.numpy().copy() for p in parameters[:2]]
    norm = np.sqrt(sum((g**2).sum() for g in before))
    assert np.isclose(clip_grad_norm_(parameters, norm / 3), norm)
    for p, g in zip(parameters[:2], before, strict=True):
        assert np.allclose(p.grad.numpy(), g / 3, rtol=1e-5)


def test_small_gradients_are_left_alone():
    parameters = _parameters()
    before = [p.grad.numpy().copy() for p in parameters[:2]]
    clip_grad_norm_(parameters, 1e6)
    assert all((p.grad.numpy() == g).all() for p, g in zip(parameters[:2], before, strict=True))


def test_a_norm_that_is_not_finite_is_reported_as_such():
    parameters = _parameters()
    parameters[0].grad.data[0, 0] = np.inf
    assert np.isnan(clip_grad_norm_(parameters, 1.0))


def test_values_are_limited():
    parameters = _parameters()
    before = parameters[0].grad.numpy().copy()
    clip_grad_value_(parameters, 0.25)
    assert (parameters[0].grad.numpy() == np.clip(before, -0.25, 0.25)).all()


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
def test_limits_must_be_positive(clip):
    with pytest.raises(ValueError, match="must be positive"):
        clip(_parameters(), 0.0)


@pytest.mark.cpu  # counts the host's memory
def test_the_norm_of_a_gradient_stored_taps_first_needs_no_copy():
    data = np.ones((3, 3, 64, 256), np.float32).transpose(3, 2, 0, 1)
    weight = Tensor(np.zeros_like(data), requires_grad=True)
    weight.grad = Tensor(data)
    tracemalloc.start()
    try:
        norm = float(clip_grad_norm_([weight], 1e9))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert norm == pytest.approx(384.0)
    assert peak < data.nbytes / 10
