"""What is folded and fused, and what is not; and that a wrong plan is rejected."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from plan_checks import distance, scores_of
from random_state import draw_state
from small_networks import Function

from minideconv import Tensor, inference, nn
from minideconv import functional as F
from minideconv.nn.trace import trace
from minideconv.runtime import fusing, program
from minideconv.runtime.fusing import fused

pytestmark = pytest.mark.cpu


def steps(function, *modules):
    net = Function(function)
    net.layers = nn.ModuleList(modules)
    draw_state(net, np.random.default_rng(0))
    found, _, _ = fused(trace(net, (8, 9)))
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 9)).astype(np.float32)
    assert distance(inference(net)(x), scores_of(net, x)) < 1e-5
    return [f"{step.name}{' relu' * step.relu}" for step in found]


def conv(groups=1):
    return nn.Conv2d(3, 3, 3, padding=1, groups=groups)


def test_a_convolution_takes_its_normalisation_and_its_relu():
    for layer in (conv(), conv(3), nn.ConvTranspose2d(3, 6, 2, 2), nn.Conv2d(3, 4, 1, bias=False)):
        bn = nn.BatchNorm2d(layer(Tensor(np.zeros((1, 3, 8, 9), np.float32))).shape[1])
        assert steps(lambda m, x: F.relu(m.layers[1](m.layers[0](x))), layer, bn) == [
            f"{'conv_transpose2d' if layer.transposed else 'conv2d'} relu"
        ]


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda m, x: F.relu(m.layers[1](x)), ["batch_norm relu"]),
        (lambda m, x: m.layers[1](m.layers[1](x)), ["batch_norm", "batch_norm"]),
        (lambda m, x: m.layers[1](F.relu(m.layers[0](x))), ["conv2d relu", "batch_norm"]),
        (
            lambda m, x: m.layers[1](m.layers[1](m.layers[0](x))),
            ["conv2d"],  # two of them are still one affine map
        ),
        (
            lambda m, x: (lambda y: m.layers[1](y) + y)(m.layers[0](x)),
            ["conv2d", "batch_norm", "add"],
        ),
        (
            lambda m, x: (lambda y: F.relu(y) + y)(m.layers[1](m.layers[0](x))),
            ["conv2d", "relu", "add"],
        ),
        (lambda m, x: F.relu(F.relu(m.layers[0](x))), ["conv2d relu", "relu"]),
        (lambda m, x: F.relu(x), ["relu"]),
        (
            lambda m, x: m.layers[1](F.dropout(m.layers[0](x), 0.5, training=False)),
            ["conv2d"],
        ),
        (lambda m, x: F.dropout(x, 0.5, training=False), []),
        (
            lambda m, x: F.conv2d(x, m.layers[0].weight * 2 - 1, m.layers[0].bias.exp(), padding=1),
            ["conv2d"],
        ),
        (
            lambda m, x: F.conv2d(x, m.layers[0].weight * x.mean()),
            ["mean", "mul", "conv2d"],
        ),
        (lambda m, x: m.layers[0].weight.exp() + x.sum() * 0, ["sum", "mul", "add"]),
    ],
)
def test_what_is_folded_and_fused(function, wanted):
    assert steps(function, conv(), nn.BatchNorm2d(3)) == wanted


def test_a_normalisation_by_the_batchs_own_statistics_stays():
    layers = (conv(), nn.BatchNorm2d(3, track_running_stats=False))
    assert steps(lambda m, x: m.layers[1](m.layers[0](x)), *layers) == ["conv2d", "batch_norm"]


# ---------------------------------------------------------------------------------------------
# Wrong plans, which the comparison with the network must reject


def make():
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 20, 3, padding=1), nn.BatchNorm2d(20), nn.ReLU(),
        nn.Conv2d(20, 5, 1),
    )  # fmt: skip
    pooled = Function(_with_switches)
    pooled.net = net
    draw_state(pooled, np.random.default_rng(0))
    return pooled


def _with_switches(module, x):
    for layer in module.net[:3]:
        x = layer(x)
    pooled, switches = F.max_pool2d(x, 2, return_switches=True)
    for layer in module.net[3:6]:
        pooled = layer(pooled)
    x = F.max_unpool2d(pooled, switches) + x
    for layer in module.net[6:]:
        x = layer(x)
    return x


def fold_without(name):
    def fold(weight, bias, mean, var, scale, shift, eps, transposed, groups):
        given = {"bias": bias, "mean": mean, "var": var, "scale": scale, "shift": shift, "eps": eps}
        given[name] = {"mean": mean * 0, "var": var * 0 + 1, "eps": 0.3}.get(name)
        return FOLD(weight, transposed=transposed, groups=groups, **given)

    return fold


FOLD = fusing.fold_arrays


def overlapping(lives):
    places, size = ARRANGE(lives)
    return [0] * len(places), size


def too_short(lives):
    return ARRANGE([life._replace(last=life.first) for life in lives])


ARRANGE = program.arrange

WRONG = {
    **{
        f"folded without {name}": (fusing, "fold_arrays", fold_without(name))
        for name in ("bias", "mean", "var", "scale", "shift", "eps")
    },
    "one place for all arrays": (program, "arrange", overlapping),
    "lives that end at once": (program, "arrange", too_short),
}  # fmt: skip


@pytest.mark.usefixtures("kernels")  # only they write where they are told to
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_plan_is_rejected(name, monkeypatch):
    module, attribute, wrong = WRONG[name]
    net = make()
    x = np.random.default_rng(2).standard_normal((2, 3, 18, 16)).astype(np.float32)
    wanted = scores_of(net, x)
    assert distance(inference(net)(x), wanted) < 1e-5
    monkeypatch.setattr(module, attribute, wrong)
    assert distance(inference(net)(x), wanted) > 1e-3


@pytest.mark.parametrize("change", [{"relu": False}, {"relu": True}])
def test_a_forgotten_or_an_added_relu_is_rejected(change, monkeypatch):
    net, whole = make(), fusing.fused
    x = np.random.default_rng(2).standard_normal((2, 3, 18, 16)).astype(np.float32)
    wanted = scores_of(net, x)
    from minideconv.runtime import plan

    def spoilt(graph):
        found, output, constants = whole(graph)
        where = next(i for i, s in enumerate(found) if s.constants and s.relu is not change["relu"])
        found[where] = dataclasses.replace(found[where], **change)
        return found, output, constants

    monkeypatch.setattr(plan, "fused", spoilt)
    assert distance(inference(net)(x), wanted) > 1e-3
