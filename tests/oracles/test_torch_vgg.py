"""VGG-16 against a twin in PyTorch, in float64: scores and every gradient."""

from __future__ import annotations

import numpy as np
import pytest
from random_state import draw_state

from minideconv import Tensor, models


def twin(torch, p, buffers, x):
    """Compute what torchvision's network computes in evaluation, fc6 to fc8 as matrices."""
    functional = torch.nn.functional
    for stage, count in enumerate((2, 2, 3, 3, 3), 1):
        for i in range(1, count + 1):
            name = f"conv{stage}_{i}"
            x = functional.conv2d(x, p[f"{name}.layer.weight"], p[f"{name}.layer.bias"], padding=1)
            if f"{name}.bn.weight" in p:
                mean, var = buffers[f"{name}.bn.running_mean"], buffers[f"{name}.bn.running_var"]
                norm = p[f"{name}.bn.weight"], p[f"{name}.bn.bias"]
                x = functional.batch_norm(x, mean, var, *norm)
            x = torch.relu(x)
        x = functional.max_pool2d(x, 2)
    x = torch.flatten(x, 1)
    for name in ("fc6.layer", "fc7.layer", "fc8"):
        weight = p[f"{name}.weight"]
        x = functional.linear(x, weight.reshape(len(weight), -1), p[f"{name}.bias"])
        x = x if name == "fc8" else torch.relu(x)
    return x


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (70, 41)])
def test_scores_and_gradients_are_those_of_the_twin(torch, batch_norm, size):
    network = models.vgg16(3, width=2, fc=5, input_size=size, batch_norm=batch_norm)
    network.to(dtype=np.float64).eval()
    rng = np.random.default_rng(size[0] + batch_norm)
    state = draw_state(network, rng)
    named = dict(network.named_parameters())
    theirs = {name: torch.tensor(p.numpy(), requires_grad=True) for name, p in named.items()}
    buffers = {name: torch.tensor(state[name]) for name, _ in network.named_buffers()}
    values = rng.standard_normal((2, 3, *size))
    x, x_ref = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, y_ref = network(x), twin(torch, theirs, buffers, x_ref)
    expected = y_ref.detach().numpy()
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-9, atol=1e-9)
    dy = rng.standard_normal(y.shape)
    y.backward(Tensor(dy))
    y_ref.backward(torch.tensor(dy))
    for name, ours, its in [("x", x, x_ref), *((n, named[n], theirs[n]) for n in named)]:
        scale = float(its.grad.abs().max())
        np.testing.assert_allclose(
            ours.grad.numpy(), its.grad.numpy(), rtol=1e-8, atol=1e-9 * scale, err_msg=name
        )
