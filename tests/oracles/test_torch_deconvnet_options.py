"""DeconvNet with its options against a twin in PyTorch, in float64: scores and gradients."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, models
from minideconv.models.blocks import STAGES

OPTIONS = [
    {"padding": "same", "fc_kernel": (3, 1), "batch_norm": "fc", "deconvolutions": 1},
    {"padding": "same", "fc_kernel": 3, "batch_norm": "none", "output_stride": 2},
    {"padding": "paper", "fc_kernel": (1, 2), "batch_norm": "head", "coarse_scores": True},
    {"padding": "paper", "batch_norm": "all", "deconvolutions": 2, "output_stride": 4},
    {"padding": "paper", "batch_norm": "all", "upsampling": "fixed"},
    {"padding": "same", "fc_kernel": 1, "batch_norm": "encoder", "deconvolutions": 1},
    {"padding": "same", "fc_kernel": 1, "batch_norm": "head", "upsampling": "bilinear"},
    {"padding": "paper", "batch_norm": "fc", "output_stride": 2, "upsampling": "learned"},
]


def twin(torch, p, x, options, stages=3, eps=1e-5):
    """Compute the network from its parameters `p`, by their names, in training mode."""
    functional = torch.nn.functional

    def unit(x, name, convolve, **window):
        y = convolve(x, p[f"{name}.layer.weight"], p.get(f"{name}.layer.bias"), **window)
        if f"{name}.bn.weight" in p:
            mean, var = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), False, keepdim=True)
            scale, shift = (p[f"{name}.bn.{n}"].reshape(1, -1, 1, 1) for n in ("weight", "bias"))
            y = (y - mean) / torch.sqrt(var + eps) * scale + shift
        return torch.relu(y)

    size, switches = x.shape[2:], {}
    for number in range(1, stages + 1):
        for i in range(1, len(STAGES[number - 1][0]) + 1):
            x = unit(x, f"conv{number}_{i}", functional.conv2d, padding=1)
        shape = x.shape[2:]
        x, index = functional.max_pool2d(x, 2, 2, return_indices=True)
        switches[number] = index, shape
    kernel = p["fc6.layer.weight"].shape[2:]
    border = tuple(k // 2 for k in kernel) if options["padding"] == "same" else 0
    x = vectors = unit(unit(x, "fc6", functional.conv2d, padding=border), "fc7", functional.conv2d)
    x = unit(x, "fc6_deconv", functional.conv_transpose2d, padding=border)
    last = {1: 1, 2: 2, 4: 3}[options.get("output_stride", 1)]
    for number in range(stages, last - 1, -1):
        index, shape = switches[number]
        x = enlarged(torch, p, x, number, index, shape, options.get("upsampling", "switches"))
        count = min(options.get("deconvolutions") or 9, len(STAGES[number - 1][1]))
        for i in range(1, count + 1):
            x = unit(x, f"deconv{number}_{i}", functional.conv_transpose2d, padding=1)
    scores = functional.conv2d(x, p["seg_score.weight"], p["seg_score.bias"])
    if last > 1:
        scores = functional.interpolate(scores, size=size, mode="bilinear", align_corners=False)
    if options.get("coarse_scores"):
        coarse = functional.conv2d(vectors, p["score_fr.weight"], p["score_fr.bias"])
        scores = scores + functional.interpolate(
            coarse, size=size, mode="bilinear", align_corners=False
        )
    return scores


def enlarged(torch, p, x, number, index, shape, kind):
    """Undo a pooling; `index` are its switches, `shape` is (H, W) of the map that it pooled."""
    functional = torch.nn.functional
    if kind == "switches":
        return functional.max_unpool2d(x, index, 2, 2, output_size=shape)
    if kind == "fixed":
        y = torch.zeros((*x.shape[:2], *shape), dtype=x.dtype)
        y[:, :, : 2 * x.shape[2] : 2, : 2 * x.shape[3] : 2] = x
        return y
    if kind == "bilinear":
        return functional.interpolate(x, size=shape, mode="bilinear", align_corners=False)
    odd = [side % 2 for side in shape]
    weight, bias = p[f"unpool{number}.layer.weight"], p[f"unpool{number}.layer.bias"]
    return functional.conv_transpose2d(x, weight, bias, stride=2, output_padding=odd)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
def test_scores_and_gradients_are_those_of_the_twin(torch, options):
    size = (25, 34)
    net = models.deconvnet(5, width=2, input_size=size, fc=4, stages=3, **options)
    net.to(dtype=np.float64)
    rng = np.random.default_rng(3)
    named = dict(net.named_parameters())
    start = {}
    for name, p in named.items():
        spread = np.sqrt(2 * p.shape[0] / p.size) if p.ndim > 1 else 0.3
        start[name] = rng.standard_normal(p.shape) * spread + (name.endswith("bn.weight"))
    net.load_state_dict({**net.state_dict(), **start})
    theirs = {n: torch.tensor(a, requires_grad=True) for n, a in start.items()}
    values = rng.standard_normal((2, 3, *size))
    x, x_ref = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, y_ref = net(x), twin(torch, theirs, x_ref, options)
    expected = y_ref.detach().numpy()
    assert expected.shape == (2, 5, *size)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-8, atol=1e-9)
    dy = rng.standard_normal(expected.shape)
    y.backward(Tensor(dy))
    y_ref.backward(torch.tensor(dy))
    for name, ours, its in [("x", x, x_ref), *((n, named[n], theirs[n]) for n in named)]:
        scale = float(its.grad.abs().max())
        assert np.ptp(its.grad.numpy()) > 0 or scale > 0 or "bias" in name, name
        np.testing.assert_allclose(
            ours.grad.numpy(), its.grad.numpy(), rtol=1e-7, atol=1e-8 * (scale + 1), err_msg=name
        )
