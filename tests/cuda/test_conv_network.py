"""A whole DeconvNet on the GPU: forwards and backwards as on the CPU, in every precision."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import functional as F
from minideconv.algorithms import algorithm
from minideconv.autograd import Tensor
from minideconv.backend import default_device
from minideconv.models import deconvnet
from minideconv.precisions import precision
from minideconv.testing import as_numpy

# of the scores and of all gradients together: a maximum that changes places is felt behind it
TOLERANCES = {"fp64": 1e-12, "fp32": 1e-4, "tf32": 0.2, "bf16": 0.7, "fp16": 0.2}


def network(dtype):
    net = deconvnet(num_classes=3, width=4, input_size=(24, 32), fc=8, stages=2, fc_kernel=(3, 3))
    net.to("cpu")
    rng = np.random.default_rng(0)
    for name, parameter in net.named_parameters():
        size = 1 / np.sqrt(np.prod(parameter.shape[1:])) if parameter.ndim == 4 else 0.1
        drawn = float(name.endswith("bn.weight")) + size * rng.standard_normal(parameter.shape)
        parameter.data[...] = drawn
        parameter.data = parameter.data.astype(dtype)
    return net


def there_and_back(net, put, dtype):
    """Return scores, loss and all gradients of one step."""
    rng = np.random.default_rng(1)
    images = rng.standard_normal((2, 3, 28, 32)).astype(dtype)
    labels = rng.integers(0, 3, (2, 28, 32))
    labels[:, :2] = 255
    scores = net(Tensor(put(images)))
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
    with precision(None if name == "fp64" else name):
        found = there_and_back(net, cupy_device.put, dtype)
    for one, two in zip(found, want, strict=True):
        assert np.linalg.norm(one - two) <= TOLERANCES[name] * np.linalg.norm(two)


def test_the_second_step_asks_for_nothing_new(cupy_device):
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
