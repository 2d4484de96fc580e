"""Auto-encoders and the what-where loss against a twin in PyTorch, in float64, with gradients."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, models
from minideconv.models.blocks import STAGES
from minideconv.tasks import Autoencode

CASES = [
    ("swwae", {"input_weight": 0.7, "middle_weight": 1.3}),
    ("swwae", {"input_weight": 1.0, "middle_weight": 0.0}),
    ("autoencoder", {"upsampling": "learned"}),
    ("autoencoder", {"upsampling": "bilinear"}),
    ("autoencoder", {"upsampling": "fixed"}),
]


def twin(torch, p, x, upsampling, stages, eps=1e-5):
    """Compute x~ and the pairs from the parameters `p`, by their names, in training mode."""
    functional = torch.nn.functional

    def unit(x, name, convolve):
        y = convolve(x, p[f"{name}.layer.weight"], p[f"{name}.layer.bias"], padding=1)
        mean, var = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), False, keepdim=True)
        scale, shift = (p[f"{name}.bn.{n}"].reshape(1, -1, 1, 1) for n in ("weight", "bias"))
        return torch.relu((y - mean) / torch.sqrt(var + eps) * scale + shift)

    maps, pooled = [], []
    for number in range(1, stages + 1):
        for i in range(1, len(STAGES[number - 1][0]) + 1):
            x = unit(x, f"conv{number}_{i}", functional.conv2d)
        shape = x.shape[2:]
        x, index = functional.max_pool2d(x, 2, 2, return_indices=True)
        maps.append(x)
        pooled.append((index, shape))
    pairs = []
    for number in range(stages, 0, -1):
        if number < stages:
            pairs.append((maps[number - 1].detach(), x))
        index, shape = pooled[number - 1]
        if upsampling == "switches":
            x = functional.max_unpool2d(x, index, 2, 2, output_size=shape)
        elif upsampling == "bilinear":
            x = functional.interpolate(x, size=shape, mode="bilinear", align_corners=False)
        elif upsampling == "fixed":
            y = torch.zeros((*x.shape[:2], *shape), dtype=x.dtype)
            y[:, :, : 2 * x.shape[2] : 2, : 2 * x.shape[3] : 2] = x
            x = y
        else:
            weight, bias = p[f"unpool{number}.layer.weight"], p[f"unpool{number}.layer.bias"]
            odd = [side % 2 for side in shape]
            x = functional.conv_transpose2d(x, weight, bias, stride=2, output_padding=odd)
        for i in range(1, len(STAGES[number - 1][1]) + 1):
            x = unit(x, f"deconv{number}_{i}", functional.conv_transpose2d)
    return functional.conv2d(x, p["reconstruction.weight"], p["reconstruction.bias"]), pairs


@pytest.mark.parametrize(("name", "options"), CASES, ids=lambda v: str(v))
def test_reconstruction_loss_and_gradients_are_those_of_the_twin(torch, name, options):
    size, stages = (13, 18), 3
    net = models.build(name, {"width": 2, "input_size": size, "stages": stages, **options})
    net.to(dtype=np.float64)
    rng = np.random.default_rng(5)
    named = dict(net.named_parameters())
    start = {}
    for key, p in named.items():
        spread = np.sqrt(2 * p.shape[0] / p.size) if p.ndim > 1 else 0.3
        start[key] = rng.standard_normal(p.shape) * spread + (key.endswith("bn.weight"))
    net.load_state_dict({**net.state_dict(), **start})
    theirs = {n: torch.tensor(a, requires_grad=True) for n, a in start.items()}
    values = rng.standard_normal((2, 3, *size))
    x_ref = torch.tensor(values, requires_grad=True)
    y_ref, pairs = twin(torch, theirs, x_ref, options.get("upsampling", "switches"), stages)
    loss_ref = options.get("input_weight", 1.0) * ((y_ref - x_ref.detach()) ** 2).mean()
    if name == "swwae":
        for h, g in pairs:
            loss_ref = loss_ref + options["middle_weight"] * ((h - g) ** 2).mean()
    x = Tensor(values, requires_grad=True)
    y, loss = Autoencode().training_loss(net, x, np.zeros((2, *size), np.uint8))
    assert np.ptp(y_ref.detach().numpy()) > 0.1
    np.testing.assert_allclose(y.numpy(), y_ref.detach().numpy(), rtol=1e-8, atol=1e-9)
    assert loss.item() == pytest.approx(loss_ref.item(), rel=1e-10)
    loss.backward()
    loss_ref.backward()
    for key in named:
        expected = theirs[key].grad.numpy()
        np.testing.assert_allclose(
            named[key].grad.numpy(), expected, rtol=1e-7, atol=1e-9, err_msg=key
        )
    # The image is the target too, and no gradient goes into a target.
    np.testing.assert_allclose(x.grad.numpy(), x_ref.grad.numpy(), rtol=1e-7, atol=1e-9)
