"""A whole DeconvNet on the GPU: forwards and backwards as on the CPU, in every precision."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import functional as F
from minideconv import nn
from minideconv.autograd import Tensor
from minideconv.backend import default_device
from minideconv.backend.algorithms import algorithm
from minideconv.backend.precisions import precision
from minideconv.models import deconvnet
from minideconv.testing import as_numpy

# of the scores and of all gradients together
TOLERANCES = {"fp64": 1e-12, "fp32": 1e-4}
# A maximum that changes places is felt far behind it, and so is a ReLU that changes sides; rounded
# factors are followed through convolutions alone: an error of at least so much, for they are
# rounded, and at most.
ROUNDED = {"tf32": (1e-5, 5e-3), "fp16": (1e-5, 5e-3), "bf16": (1e-4, 4e-2)}


def drawn(net, dtype):
    """Return `net` with weights drawn by NumPy, on the CPU."""
    net.to("cpu")
    rng = np.random.default_rng(0)
    for name, parameter in net.named_parameters():
        size = 1 / np.sqrt(np.prod(parameter.shape[1:])) if parameter.ndim == 4 else 0.1
        values = float(name.endswith("bn.weight")) + size * rng.standard_normal(parameter.shape)
        parameter.data[...] = values
        parameter.data = parameter.data.astype(dtype)
    return net


def network(dtype):
    net = deconvnet(num_classes=3, width=4, input_size=(24, 32), fc=8, stages=2, fc_kernel=(3, 3))
    return drawn(net, dtype)


def without_pooling(dtype):
    layers = nn.Conv2d(3, 8, (3, 5), padding=1), nn.ConvTranspose2d(8, 6, 3, stride=2)
    return drawn(nn.Sequential(*layers, nn.Conv2d(6, 3, 1)), dtype)


def there_and_back(net, put, dtype):
    """Return scores, loss and all gradients of one step."""
    rng = np.random.default_rng(1)
    images = rng.standard_normal((2, 3, 28, 32)).astype(dtype)
    scores = net(Tensor(put(images)))
    labels = rng.integers(0, 3, (2, *scores.shape[2:]))
    labels[:, :2] = 255
    loss = F.cross_entropy(scores, put(labels))
    net.zero_grad()
    loss.backward()
    gradients = [as_numpy(parameter.grad).ravel() for parameter in net.parameters()]
    return as_numpy(scores), as_numpy(loss), np.concatenate(gradients)


@pytest.mark.parametrize("name", TOLERANCES)
def test_a_network_follows_the_cpu(cupy_device, name):
    dtype = np.float64 if name == "fp64" else np.float32
    with algorithm("reference"), default_device("cpu"):
        want = there_and_back(network(np.float64), np.asarray, np.float64)
    net = network(dtype).to("gpu")
    found = there_and_back(net, cupy_device.put, dtype)
    for one, two in zip(found, want, strict=True):
        assert np.linalg.norm(one - two) <= TOLERANCES[name] * np.linalg.norm(two)


@pytest.mark.parametrize("name", ROUNDED)
def test_rounded_factors_are_felt_as_much_as_they_are_rounded(cupy_device, name):
    with algorithm("reference"), default_device("cpu"):
        want = there_and_back(without_pooling(np.float64), np.asarray, np.float64)
    net = without_pooling(np.float32).to("gpu")
    with precision(name):
        scores, loss, gradients = there_and_back(net, cupy_device.put, np.float32)
    least, most = ROUNDED[name]
    for one, two in ((scores, want[0]), (gradients, want[2])):
        assert least <= np.linalg.norm(one - two) / np.linalg.norm(two) <= most
    assert abs(loss - want[1]) <= most * abs(want[1])


def test_the_second_step_allocates_nothing_new(cupy_device):
    if cupy_device.kind != "fakecuda":
        pytest.skip("only fakecuda counts")
    import fakecuda

    net = network(np.float32).to("gpu")
    images = cupy_device.put(np.ones((2, 3, 24, 32), np.float32))
    seed = cupy_device.put(np.ones((2, 3, 24, 32), np.float32))
    for _ in range(3):
        net.zero_grad()
        fakecuda.reset()
        net(Tensor(images)).backward(Tensor(seed))
    stats = fakecuda.stats()
    for name in ("h2d", "d2h", "d2d", "syncs", "mallocs"):
        assert stats[name] == 0, name
    assert (
        stats["gemms"]
        == 3 * sum(type(layer).__name__ in ("Conv2d", "ConvTranspose2d") for layer in net.modules())
        - 1
    )  # the images want no gradient
