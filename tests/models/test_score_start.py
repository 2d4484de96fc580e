"""A decoder that begins as an enlargement of coarse scores, against the definition in loops."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, models, no_grad
from minideconv.models.score_start import start_from_scores
from minideconv.testing import values

K = 3
SMALL = {
    **{"num_classes": K, "width": 4, "fc": 5, "input_size": (32, 48), "fc_kernel": 3},
    **{"padding": "same", "batch_norm": "fc", "stages": 3},
}


def network(**changes) -> models.DeconvNet:
    net = models.deconvnet(**{**SMALL, **changes})
    state = dict(net.state_dict())
    for seed, (name, array) in enumerate(state.items()):
        if array.dtype == np.float32 and "running" not in name and array.ndim > 1:
            scale = np.sqrt(2 / max(1, array[0].size))
            state[name] = scale * values(array.shape, seed=seed, kind="normal", dtype=np.float32)
    net.load_state_dict(state)
    return net.eval()


def scores(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    weight = values((K, 5, 1, 1), seed=seed, kind="normal", dtype=np.float32)
    return weight, values((K,), seed=seed + 1, kind="normal", dtype=np.float32)


def unpooled(maps: np.ndarray, indices: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    out = np.zeros((len(maps), size[0] * size[1]))
    for c, (values_of, places) in enumerate(zip(maps, indices[: len(maps)], strict=True)):
        for value, place in zip(values_of.ravel(), places.ravel(), strict=True):
            out[c, place] = value
    return out.reshape(len(maps), *size)


def blurred(plane: np.ndarray) -> np.ndarray:
    h, w = plane.shape
    out, padded = np.zeros_like(plane), np.pad(plane, 1)
    for i in range(3):
        for j in range(3):
            out += (1, 2, 1)[i] * (1, 2, 1)[j] / 4 * padded[i : i + h, j : j + w]
    return out


def by_definition(net, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Compute the network's scores from fc7's vectors and the switches, copy by copy."""
    with no_grad():
        features = net.encode(Tensor(x), net.stages)
        vectors = net.fc7(net.fc6(features.maps[-1])).numpy()[0]
    coarse = np.tensordot(weight[:, :, 0, 0], vectors, 1) + bias[:, None, None]
    copies = np.maximum(coarse, 0)[None]
    for number in range(net.stages, net.output_stride.bit_length() - 1, -1):
        switches = features.switches[number - 1]
        indices = switches.indices[0]
        indices = indices if isinstance(indices, np.ndarray) else indices.get()
        count = len(indices) // K
        copies = np.broadcast_to(copies.mean(axis=0), (count, *copies.shape[1:]))
        planes = copies.reshape(count * K, *copies.shape[2:])
        planes = unpooled(planes, indices, switches.plane_shape)
        copies = np.stack([blurred(p) for p in planes]).reshape(count, K, *planes.shape[1:])
    return copies.mean(axis=0)


@pytest.mark.parametrize("deconvolutions", [None, 1, 2])
def test_the_network_computes_what_the_definition_says(deconvolutions):
    net = network(deconvolutions=deconvolutions)
    weight, bias = scores()
    start_from_scores(net, weight, bias, random_part=0.0)
    x = values((1, 3, 32, 48), seed=5, kind="normal", dtype=np.float32)
    expected = by_definition(net, x, weight, bias)
    assert np.ptp(expected) > 0.1
    with no_grad():
        found = net(Tensor(x)).numpy()[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_an_even_map_keeps_its_scores_on_average():
    """Where the scores are the same everywhere, the decoder's mean is those scores."""
    net = network(width=32, deconvolutions=1)
    weight, bias = np.zeros((K, 5, 1, 1), np.float32), np.array([0.5, 2.0, 1.0], np.float32)
    start_from_scores(net, weight, bias, random_part=0.0)
    x = values((1, 3, 64, 64), seed=5, kind="normal", dtype=np.float32)
    with no_grad():
        found = net(Tensor(x)).numpy()[0][:, 8:-8, 8:-8]
    np.testing.assert_allclose(found.mean(axis=(1, 2)), bias, rtol=0.03)
    assert np.mean(found.argmax(axis=0) == 1) == 1.0


def test_a_share_of_the_random_weights_stays():
    net, plain = network(), network()
    weight, bias = scores()
    before = net.state_dict()
    start_from_scores(net, weight, bias, random_part=0.25)
    start_from_scores(plain, weight, bias, random_part=0.0)
    after, exact = net.state_dict(), plain.state_dict()
    changed = [name for name in after if not np.array_equal(after[name], before[name])]
    assert {name.split(".")[0] for name in changed} == {
        *("fc6_deconv", "seg_score"),
        *(name for name, _ in net.named_children() if name.startswith("deconv")),
    }
    for name in changed:
        expected = exact[name] + 0.25 * before[name]
        np.testing.assert_allclose(after[name], expected, rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"padding": "paper"}, "window of 3x3 pixels and no padding.* padding must be 'same'"),
        ({"batch_norm": "head"}, "batch_norm must be 'encoder', 'fc' or 'none'"),
        ({"width": 2}, "has 2 channels, but there are 3 classes; a larger width is needed"),
        ({"fc": 6}, r"weight has shape \(3, 5, 1, 1\).*must be \(3, 6, 1, 1\)"),
    ],
)
def test_networks_that_cannot_start_so(changes, message):
    net = network(**changes)
    before = net.state_dict()
    with pytest.raises(ValueError, match=message):
        start_from_scores(net, *scores())
    assert all(np.array_equal(before[k], v) for k, v in net.state_dict().items())


def test_a_network_without_a_decoder():
    with pytest.raises(ValueError, match="FCN32s has no decoder to start"):
        start_from_scores(models.FCN32s(K, width=2, fc=5), *scores())
