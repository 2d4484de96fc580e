"""Looking inside against captum, which explains a twin of each network in PyTorch, in float64."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from random_state import draw_state

from minideconv import Tensor, models, nn
from minideconv.backend import get_default_device, to_cpu
from minideconv.visualize import (
    at_unit,
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    project,
    saliency,
)
from minideconv.visualize.relu_rules import RELU_RULES

TARGET = 2


class Small(nn.Module):
    """Convolutions whose windows differ along the axes, normalised or not, overlapping poolings."""

    def __init__(self, batch_norm):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 5, (3, 2), stride=(1, 2), padding=(1, 0))
        self.bn1 = nn.BatchNorm2d(5) if batch_norm else None
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d((3, 2), (2, 1), return_switches=True)
        self.conv2 = nn.Conv2d(5, 6, (2, 3), dilation=(2, 1))
        self.relu2 = nn.ReLU()
        self.conv3 = nn.ConvTranspose2d(6, 4, (2, 3), stride=(2, 1))
        self.relu3 = nn.ReLU()
        self.score = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        x = self.conv1(x)
        x = self.relu1(x if self.bn1 is None else self.bn1(x))
        x, _ = self.pool1(x)
        x = self.relu3(self.conv3(self.relu2(self.conv2(x))))
        return self.score(x).mean(axis=(2, 3))


def small_twin(torch, batch_norm):
    layers = [
        ("conv1", torch.nn.Conv2d(3, 5, (3, 2), stride=(1, 2), padding=(1, 0))),
        ("bn1", torch.nn.BatchNorm2d(5) if batch_norm else None),
        ("relu1", torch.nn.ReLU()),
        ("pool1", torch.nn.MaxPool2d((3, 2), (2, 1))),
        ("conv2", torch.nn.Conv2d(5, 6, (2, 3), dilation=(2, 1))),
        ("relu2", torch.nn.ReLU()),
        ("conv3", torch.nn.ConvTranspose2d(6, 4, (2, 3), stride=(2, 1))),
        ("relu3", torch.nn.ReLU()),
        ("score", torch.nn.Conv2d(4, 3, 1)),
    ]
    return [(name, layer) for name, layer in layers if layer is not None]


def vgg_twin(torch, batch_norm, width, size):
    layers, channels = [], 3
    for stage, (count, multiple) in enumerate(((2, 1), (2, 2), (3, 4), (3, 8), (3, 8)), 1):
        for i in range(1, count + 1):
            name = f"conv{stage}_{i}"
            layers.append(
                (f"{name}.layer", torch.nn.Conv2d(channels, multiple * width, 3, padding=1))
            )
            channels = multiple * width
            if batch_norm:
                layers.append((f"{name}.bn", torch.nn.BatchNorm2d(channels)))
            layers.append((f"{name}.relu", torch.nn.ReLU()))
        layers.append((f"pool{stage}", torch.nn.MaxPool2d(2)))
    layers.append(("fc6.layer", torch.nn.Conv2d(channels, 5, (size[0] >> 5, size[1] >> 5))))
    layers += [("fc6.relu", torch.nn.ReLU()), ("fc7.layer", torch.nn.Conv2d(5, 5, 1))]
    return [*layers, ("fc7.relu", torch.nn.ReLU()), ("fc8", torch.nn.Conv2d(5, 3, 1))]


def pair(torch, kind, batch_norm):
    """Our network, its twin, the twin's layers by our names, and an image for both."""
    if kind == "small":
        net, size = Small(batch_norm), (11, 14)
        layers = small_twin(torch, batch_norm)
    else:
        size = (33, 41)
        net = models.vgg16(3, width=2, fc=5, input_size=(32, 40), batch_norm=batch_norm)
        layers = vgg_twin(torch, batch_norm, 2, size)
    net.to(dtype=np.float64)
    rng = np.random.default_rng(13 + batch_norm)
    state = draw_state(net, rng)
    for name, array in state.items():
        if name.endswith("bias"):
            state[name] = 0.2 * array
        elif array.ndim == 4:  # more signals are above 0 then: none dies out on the way
            state[name] = array + 0.3 * array.std()
    net.load_state_dict(state)
    net.to(get_default_device())
    for name, layer in layers:
        own = {k.rpartition(".")[2]: v for k, v in state.items() if k.rpartition(".")[0] == name}
        own = {k: torch.tensor(v) for k, v in own.items()}
        layer.double().load_state_dict(own, strict=False)
    modules = [layer for _, layer in layers]
    twin = torch.nn.Sequential(*modules, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    x = rng.standard_normal((2, 3, *size))
    return net, twin.eval(), dict(layers), x


def theirs(torch, method, x, /, **options):
    options = {"target": TARGET, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum says that it sets hooks
        found = method.attribute(torch.tensor(x, requires_grad=True), **options)
    return found.detach().numpy()


def agree(ours, expected):
    assert np.abs(expected).max() > 1e-6
    np.testing.assert_allclose(
        to_cpu(ours), expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max()
    )


CASES = [(kind, norm) for kind in ("small", "vgg16") for norm in (False, True)]
cases = pytest.mark.parametrize(("kind", "batch_norm"), CASES)
SEED = at_unit(TARGET, None, 1.0)
RULES = {"gradient": "Saliency", "guided": "GuidedBackprop", "deconvnet": "Deconvolution"}


@cases
def test_the_twin_computes_the_same(torch, kind, batch_norm):
    net, twin, _, x = pair(torch, kind, batch_norm)
    expected = twin(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(net.eval()(Tensor(x)).numpy(), expected, rtol=1e-10, atol=1e-10)


def by_rule(torch, captum, kind, batch_norm, rule):
    net, twin, _, x = pair(torch, kind, batch_norm)
    options = {"abs": False} if rule == "gradient" else {}
    expected = theirs(torch, getattr(captum, RULES[rule])(twin), x, **options)
    agree(project(net, x, "", SEED, rule), expected)


@cases
@pytest.mark.parametrize("rule", RULES)
def test_the_three_rules(torch, captum, kind, batch_norm, rule):
    by_rule(torch, captum, kind, batch_norm, rule)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("wrong", RULES)
def test_the_comparison_would_notice_another_rule(torch, captum, rule, wrong, monkeypatch):
    monkeypatch.setitem(RELU_RULES, rule, RELU_RULES[wrong])
    if rule == wrong:
        by_rule(torch, captum, "small", False, rule)
    else:
        with pytest.raises(AssertionError):
            by_rule(torch, captum, "small", False, rule)


@cases
def test_saliency_and_input_times_gradient(torch, captum, kind, batch_norm):
    net, twin, _, x = pair(torch, kind, batch_norm)
    agree(saliency(net, x, "", SEED), theirs(torch, captum.Saliency(twin), x, abs=False))
    agree(gradient_times_input(net, x, "", SEED), theirs(torch, captum.InputXGradient(twin), x))


@cases
@pytest.mark.parametrize("baseline", [False, True])
def test_integrated_gradients(torch, captum, kind, batch_norm, baseline):
    net, twin, _, x = pair(torch, kind, batch_norm)
    start = np.random.default_rng(3).standard_normal(x.shape) if baseline else np.zeros_like(x)
    # captum keeps the steps' sizes in float32, in which 1/8 is exact.
    options = {"n_steps": 8, "method": "riemann_middle", "baselines": torch.tensor(start)}
    expected = theirs(torch, captum.IntegratedGradients(twin), x, **options)
    given = start if baseline else None
    agree(integrated_gradients(net, x, "", SEED, given, steps=8), expected)


@cases
@pytest.mark.parametrize("place", ["relu", "convolution"])
def test_grad_cam(torch, captum, kind, batch_norm, place):
    net, twin, layers, x = pair(torch, kind, batch_norm)
    names = {
        "small": {"relu": "relu2", "convolution": "conv2"},
        "vgg16": {"relu": "conv4_3.relu", "convolution": "conv4_3.layer"},
    }
    name = names[kind][place]
    method, seen = captum.LayerGradCam(twin, layers[name]), 0.0
    for target in range(3):  # of some every map is below 0, and nothing is left
        expected = theirs(torch, method, x, target=target, relu_attributions=True)[:, 0]
        ours = to_cpu(grad_cam(net, x, "", at_unit(target, None, 1.0), name))
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-10 * expected.max())
        seen = max(seen, expected.max())
    assert seen > 1e-6
