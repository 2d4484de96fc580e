"""Gradient clipping against its definition."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from minideconv.autograd import Tensor
from minideconv.nn import BatchNorm2d, Parameter, Sequential
from minideconv.nn.utils import clip_grad_norm_, clip_grad_value_, get_buffers, set_buffers


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


def _clipped(gradient: object, dtype: str, max_norm: float = 1.0) -> tuple[float, np.ndarray]:
    parameter = Parameter(np.zeros(np.shape(gradient), dtype))
    parameter.grad = Tensor(np.array(gradient, dtype))
    norm = float(clip_grad_norm_([parameter], max_norm))
    return norm, parameter.grad.numpy()


@pytest.mark.parametrize(
    ("gradient", "dtype", "norm"),
    [
        ([1e20, 0], "float32", 1e20),  # the square is not finite in float32
        ([3e38, 3e38], "float32", 3e38 * 2**0.5),
        ([300.0], "float16", 300),
        ([6e4] * 1000, "float16", 6e4 * 1000**0.5),
        ([3e200, 4e200], "float64", 5e200),
        ([3e-30, 4e-30], "float32", 5e-30),  # squares that are 0 in float32
        ([3e-200, 4e-200], "float64", 5e-200),
        ([6e-8, 0], "float16", 6e-8),
        ([1e-20] * 2500 + [1.0], "float32", 1),
    ],
)
def test_the_norm_is_right_at_any_size(gradient, dtype, norm):
    eps = float(np.finfo(dtype).eps)
    found, _ = _clipped(gradient, dtype, 1e300)
    assert np.isclose(found, norm, rtol=max(eps, 1e-6) if norm > 6.1e-5 else 0.01)
    if norm > 1:
        found, after = _clipped(gradient, dtype)
        assert np.isclose(np.linalg.norm(after.astype(float)), 1, rtol=4 * max(eps, 1e-6))


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_not_taken_for_large(wrong):
    for dtype in ("float16", "float32", "float64"):
        norm, after = _clipped([1e4, wrong], dtype)
        assert np.isnan(norm)
        np.testing.assert_array_equal(after, np.array([1e4, wrong], dtype))


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
def test_a_single_tensor_is_one_parameter(clip):
    parameter = Parameter(np.zeros((2, 2)))
    parameter.grad = Tensor(np.array([[30.0, 0.0], [0.0, 40.0]]))
    clip(parameter, 1.0)
    limit = 1.0 if clip is clip_grad_value_ else 0.8
    assert np.isclose(parameter.grad.numpy().max(), limit)


def test_a_parameter_that_is_given_twice_is_clipped_once():
    parameter = Parameter(np.zeros(2))
    parameter.grad = Tensor(np.array([3.0, 4.0]))
    assert np.isclose(float(clip_grad_norm_([parameter, parameter], 1.0)), 5)
    assert np.allclose(parameter.grad.numpy(), [0.6, 0.8])


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
def test_arrays_in_place_of_parameters_are_refused(clip):
    with pytest.raises(TypeError, match="parameters has a ndarray; all must be Tensors"):
        clip([np.zeros(2)], 1.0)


def test_buffers_that_do_not_fit_change_nothing():
    model = Sequential(BatchNorm2d(2), BatchNorm2d(2))
    before = get_buffers(model)
    for wrong in (
        {name: a + 1 for name, a in before.items() if name != "1.running_var"},
        {name: np.zeros(3) if name == "1.running_var" else a + 1 for name, a in before.items()},
    ):
        with pytest.raises(ValueError, match=r"set_buffers: '1\.running_var'"):
            set_buffers(model, wrong)
        now = get_buffers(model)
        assert all((now[name] == before[name]).all() for name in before)
    set_buffers(model, before)
