"""The ReLU's three rules: what passes, whole projections against loops, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from minideconv import functional as F
from minideconv import nn
from minideconv.autograd import Tensor, checkpoint
from minideconv.backend import get_default_device, to_cpu
from minideconv.errors import UsageError
from minideconv.testing import conv_geometries, seeds, values
from minideconv.visualize import at_unit, project, relu_rule
from minideconv.visualize.relu_rules import RELU_RULES

A = np.array([-2.0, -1.0, 0.0, 1.0, 3.0, 4.0])
SIGNAL = np.array([5.0, -6.0, 7.0, -8.0, 9.0, 0.0])
PASSES = {  # worked out by hand from the table in the module
    "gradient": [0.0, 0.0, 0.0, -8.0, 9.0, 0.0],
    "deconvnet": [5.0, 0.0, 7.0, 0.0, 9.0, 0.0],
    "guided": [0.0, 0.0, 0.0, 0.0, 9.0, 0.0],
}


def sent_back(rule):
    x = Tensor(A, requires_grad=True)
    y = F.relu(x)
    with relu_rule(y, rule):
        y.backward(Tensor(SIGNAL))
    return x.grad.numpy()


@pytest.mark.parametrize("rule", PASSES)
def test_what_passes_a_relu(rule):
    np.testing.assert_array_equal(sent_back(rule), PASSES[rule])


WRONG = {
    "the forward mask where the signal's belongs": ("deconvnet", RELU_RULES["gradient"]),
    "the signal's mask where the forward's belongs": ("gradient", RELU_RULES["deconvnet"]),
    "one mask of guided backpropagation": ("guided", RELU_RULES["deconvnet"]),
    "passing at a = 0": ("gradient", lambda r, y: r * (y >= 0)),
    "the absolute signal": ("deconvnet", lambda r, y: abs(r)),
    "the output multiplied in": ("gradient", lambda r, y: r * y),
    "no rule at all": ("guided", lambda r, y: r),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_rejected(name, monkeypatch):
    rule, wrong = WRONG[name]
    monkeypatch.setitem(RELU_RULES, rule, wrong)
    with pytest.raises(AssertionError):
        test_what_passes_a_relu(rule)


def test_the_plain_gradient_is_back_behind_the_block():
    x = Tensor(A, requires_grad=True)
    y = F.relu(x)
    with pytest.raises(KeyError), relu_rule(y, "guided"):
        raise KeyError
    with relu_rule(y, "guided"):
        y.backward(Tensor(SIGNAL), retain_graph=True)
    np.testing.assert_array_equal(x.grad.numpy(), PASSES["guided"])
    x.grad = None
    y.backward(Tensor(SIGNAL))
    np.testing.assert_array_equal(x.grad.numpy(), PASSES["gradient"])


def test_a_freed_tape_stays_freed():
    x = Tensor(A, requires_grad=True)
    y = F.relu(x)
    with relu_rule(y, "guided"):
        y.backward(Tensor(SIGNAL))
    with pytest.raises(RuntimeError, match="already passed relu"):
        y.backward(Tensor(SIGNAL))


def test_an_unknown_rule_is_one_sentence():
    with pytest.raises(UsageError, match="rule is 'leaky'; it must be one of gradient, deconvnet"):
        sent_back("leaky")


def test_hidden_relus_are_refused_by_name():
    x = Tensor(np.random.default_rng(0).standard_normal((2, 3, 4, 5)), requires_grad=True)
    mean, var = Tensor(np.zeros(3)), Tensor(np.ones(3))
    fused = F.batch_norm_relu(x, mean, var)
    with pytest.raises(RuntimeError, match="batch_norm_relu may hold"), relu_rule(fused, "guided"):
        pass
    again = checkpoint(F.relu, x)
    with pytest.raises(RuntimeError, match=r"checkpoint of relu"), relu_rule(again, "deconvnet"):
        pass
    with relu_rule(fused, "gradient"):
        fused.backward(Tensor(np.ones(fused.shape)))
    assert x.grad is not None


# ---- whole projections against loops -------------------------------------------------------------


@given(conv_geometries(), seeds())
def test_the_projection_of_one_convolution_is_its_transposed_filter(geometry, seed):
    """A unit of a convolution and a ReLU: activation x filter, where the unit looks, cut off at
    the border; nothing else."""
    rng = np.random.default_rng(seed)
    x, weight = values(geometry.x_shape, seed), values(geometry.w_shape, seed + 1)
    net = _one_convolution(geometry, weight)
    n, k, height, width = geometry.y_shape
    unit, place = int(rng.integers(k)), (int(rng.integers(height)), int(rng.integers(width)))
    found = to_cpu(project(net, x, "", at_unit(unit, place), "deconvnet"))

    (sh, sw), (ph, pw), (dh, dw) = geometry.stride, geometry.padding, geometry.dilation
    per_group = weight.shape[1]
    first = unit // (k // geometry.groups) * per_group
    expected = np.zeros(geometry.x_shape)
    for image in range(n):
        taps = [
            (c, u, v, place[0] * sh - ph + u * dh, place[1] * sw - pw + v * dw)
            for c in range(per_group)
            for u in range(weight.shape[2])
            for v in range(weight.shape[3])
        ]
        inside = [t for t in taps if 0 <= t[3] < x.shape[2] and 0 <= t[4] < x.shape[3]]
        activation = sum(
            weight[unit, c, u, v] * x[image, first + c, i, j] for c, u, v, i, j in inside
        )
        for c, u, v, i, j in inside:
            expected[image, first + c, i, j] += max(activation, 0) * weight[unit, c, u, v]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def _one_convolution(geometry, weight):
    k, per_group, *kernel = weight.shape
    conv = nn.Conv2d(
        per_group * geometry.groups, k, tuple(kernel), geometry.stride, geometry.padding,
        geometry.dilation, geometry.groups, bias=False,
    )  # fmt: skip
    net = nn.Sequential(conv, nn.ReLU())
    net.to(dtype=np.float64)
    conv.load_state_dict({"weight": weight})
    return net.to(get_default_device())


class Deconvnet:
    """Zeiler and Fergus' procedure in loops, for conv, ReLU, pool 2 x 2, conv, ReLU.

    The steps that a variant may get wrong are methods.
    """

    def __init__(self, w1, w2):
        self.w1, self.w2 = w1, w2

    def convolve(self, x, w):
        k, _, kh, kw = w.shape
        height, width = x.shape[1] - kh + 1, x.shape[2] - kw + 1
        y = np.zeros((k, height, width))
        for i in range(height):
            for j in range(width):
                y[:, i, j] = np.tensordot(w, x[:, i : i + kh, j : j + kw], 3)
        return y

    def transposed(self, y, w):
        _, c, kh, kw = w.shape
        x = np.zeros((c, y.shape[1] + kh - 1, y.shape[2] + kw - 1))
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                x[:, i : i + kh, j : j + kw] += np.tensordot(y[:, i, j], w, 1)
        return x

    def pool(self, x):
        c, height, width = x.shape[0], x.shape[1] // 2, x.shape[2] // 2
        pooled, switches = np.zeros((c, height, width)), {}
        for at in np.ndindex(c, height, width):
            k, i, j = at
            window = x[k, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            u, v = np.unravel_index(window.argmax(), (2, 2))
            pooled[at], switches[at] = window[u, v], (k, 2 * i + u, 2 * j + v)
        return pooled, switches

    def unpool(self, y, switches, shape):
        x = np.zeros(shape)
        for at, to in switches.items():
            x[to] = y[at]
        return x

    def rectify(self, signal, a):
        return np.maximum(signal, 0)

    def project(self, x, unit, place):
        a1 = self.convolve(x, self.w1)
        pooled, switches = self.pool(np.maximum(a1, 0))
        a2 = self.convolve(pooled, self.w2)
        signal = np.zeros(a2.shape)
        signal[(unit, *place)] = max(a2[(unit, *place)], 0)
        signal = self.transposed(self.rectify(signal, a2), self.w2)
        signal = self.unpool(signal, switches, a1.shape)
        return self.transposed(self.rectify(signal, a1), self.w1)


class Gradient(Deconvnet):
    def rectify(self, signal, a):
        return signal * (a > 0)


class Guided(Deconvnet):
    def rectify(self, signal, a):
        return signal * (a > 0) * (signal > 0)


class Unflipped(Deconvnet):
    def transposed(self, y, w):
        return super().transposed(y, w[:, :, ::-1, ::-1])


class Unswitched(Deconvnet):
    def unpool(self, y, switches, shape):
        corners = {at: (at[0], 2 * at[1], 2 * at[2]) for at in switches}
        return super().unpool(y, corners, shape)


class Unrectified(Deconvnet):
    def rectify(self, signal, a):
        return signal


PROCEDURES = {"deconvnet": Deconvnet, "gradient": Gradient, "guided": Guided}


def two_layers(seed):
    rng = np.random.default_rng(seed)
    w1, w2 = rng.standard_normal((5, 2, 3, 2)), rng.standard_normal((4, 5, 2, 3))
    net = nn.Sequential(
        nn.Conv2d(2, 5, (3, 2), bias=False), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(5, 4, (2, 3), bias=False), nn.ReLU(),
    )  # fmt: skip
    net.to(dtype=np.float64)
    net.load_state_dict({"0.weight": w1, "3.weight": w2})
    x = rng.standard_normal((2, 12, 15))
    # A unit that is active: others project to nothing, whatever the rule.
    a2 = Deconvnet(w1, w2)
    pooled, _ = a2.pool(np.maximum(a2.convolve(x, w1), 0))
    unit, *place = np.unravel_index(a2.convolve(pooled, w2).argmax(), (4, 4, 5))
    return net.to(get_default_device()), w1, w2, x, int(unit), tuple(map(int, place))


def agrees(procedure, rule, seed):
    net, w1, w2, x, unit, place = two_layers(seed)
    found = to_cpu(project(net, x[None], "", at_unit(unit, place), rule))[0]
    expected = procedure(w1, w2).project(x, unit, place)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rule", PROCEDURES)
@pytest.mark.parametrize("seed", range(4))
def test_a_projection_is_that_of_the_procedure_in_loops(rule, seed):
    agrees(PROCEDURES[rule], rule, seed)


@pytest.mark.parametrize("procedure", [Gradient, Guided, Unflipped, Unswitched, Unrectified])
def test_wrong_procedures_are_rejected(procedure):
    with pytest.raises(AssertionError):
        agree_in_all(procedure)


def agree_in_all(procedure):
    """Several networks: guided differs from deconvnet only where a pooled map is 0."""
    for seed in range(8):
        agrees(procedure, "deconvnet", seed)


def test_wrong_units_are_rejected():
    net, _, _, x, unit, place = two_layers(3)
    for seed in (at_unit(4), at_unit(unit, (4, 0)), at_unit(unit, (0,))):
        with pytest.raises(UsageError, match=r"^(unit|place) is"):
            project(net, x[None], "", seed)
    assert place != (0, 0)
