"""FCN against a twin in PyTorch whose crops are the numbers of the authors' net.py, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from random_state import draw_state

from minideconv import Tensor, models
from minideconv.models.blocks import STAGES

NETWORKS = {32: models.FCN32s, 16: models.FCN16s, 8: models.FCN8s}


def twin(torch, p, x, stride, scale=1.0):
    """Compute what the released network computes, with the parameters `p` by their names."""
    functional = torch.nn.functional

    def block(x, name, padding=0):
        y = functional.conv2d(x, p[f"{name}.layer.weight"], p[f"{name}.layer.bias"], 1, padding)
        return torch.relu(y)

    def score(x, name):
        return functional.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"])

    def enlarge(x, name, factor):
        return functional.conv_transpose2d(x, p[f"{name}.weight"], stride=factor)

    def crop(x, like, offset):
        h, w = like.shape[2:]
        return x[:, :, offset : offset + h, offset : offset + w]

    image, pools = x, {}
    for number, (convolutions, _) in enumerate(STAGES, 1):
        for i in range(1, len(convolutions) + 1):
            x = block(x, f"conv{number}_{i}", 100 if (number, i) == (1, 1) else 1)
        x = pools[number] = functional.max_pool2d(x, 2, 2, ceil_mode=True)
    y = score(block(block(x, "fc6"), "fc7"), "score_fr")
    if stride == 32:
        return crop(enlarge(y, "upscore", 32), image, 19)
    y = enlarge(y, "upscore2", 2)
    y = y + crop(score(scale * pools[4], "score_pool4"), y, 5)
    if stride == 16:
        return crop(enlarge(y, "upscore16", 16), image, 27)
    y = enlarge(y, "upscore_pool4", 2)
    y = y + crop(score(scale * pools[3], "score_pool3"), y, 9)
    return crop(enlarge(y, "upscore8", 8), image, 31)


@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize(("size", "scale"), [((32, 32), 1.0), ((45, 27), 0.3)])
def test_scores_and_gradients_are_those_of_the_twin(torch, stride, size, scale):
    network = NETWORKS[stride](
        num_classes=3, width=2, fc=5, learn_upsampling=True, skip_scale=scale
    )
    network.to(dtype=np.float64).eval()
    rng = np.random.default_rng(stride)
    draw_state(network, rng)
    named = dict(network.named_parameters())
    theirs = {name: torch.tensor(p.numpy(), requires_grad=True) for name, p in named.items()}
    values = rng.standard_normal((2, 3, *size))
    x, x_ref = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, y_ref = network(x), twin(torch, theirs, x_ref, stride, scale)
    expected = y_ref.detach().numpy()
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-9, atol=1e-9)
    dy = rng.standard_normal(y.shape)
    y.backward(Tensor(dy))
    y_ref.backward(torch.tensor(dy))
    for name, ours, its in [("x", x, x_ref), *((n, named[n], theirs[n]) for n in named)]:
        scale = float(its.grad.abs().max())
        assert scale > 0, name
        np.testing.assert_allclose(
            ours.grad.numpy(), its.grad.numpy(), rtol=1e-8, atol=1e-9 * scale, err_msg=name
        )
