"""Auto-encoders: shapes, what the decoder knows, the pairs of maps, corruption, arguments.

Scores, losses and gradients are compared with PyTorch's in
``tests/oracles/test_torch_autoencoder.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import Tensor, models, no_grad, random
from minideconv.backend import to_cpu
from minideconv.models import SWWAE, Autoencoder, StackedReconstruction
from minideconv.models.corruption import Corruption, corrupted

KINDS = {
    "learned": lambda **more: Autoencoder(width=2, **more),
    "bilinear": lambda **more: Autoencoder(width=2, upsampling="bilinear", **more),
    "fixed": lambda **more: Autoencoder(width=2, upsampling="fixed", **more),
    "swwae": lambda **more: SWWAE(width=2, **more),
}


def images(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("stages", "size"), [(1, (5, 8)), (2, (11, 6)), (3, (8, 21))])
def test_any_size_is_drawn_again_at_its_size(kind, stages, size):
    net = KINDS[kind](stages=stages, input_size=8)
    out, pairs = net.reconstruct(images(2, 3, *size))
    assert out.shape == (2, 3, *size)
    # From the coarsest on: the map behind pooling m has the channels that the table says.
    expected = [
        (2, 2 * models.blocks.STAGES[m - 1][0][-1], size[0] >> m, size[1] >> m)
        for m in range(stages - 1, 0, -1)
    ]
    assert [h.shape for h, _ in pairs] == [g.shape for _, g in pairs] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_the_encoder_s_maps_and_the_decoder_s(kind):
    net = KINDS[kind](stages=3, input_size=16).eval()
    x = images(1, 3, 18, 16)
    seen = {}
    for name in ("pool1", "pool2", "deconv3_3", "deconv2_2"):
        net.get_submodule(name).register_forward_hook(
            lambda module, args, out, name=name: seen.update({name: out})
        )
    with no_grad():
        _, pairs = net.reconstruct(x)
    for (h, g), (pooled, drawn) in zip(
        pairs, [("pool2", "deconv3_3"), ("pool1", "deconv2_2")], strict=True
    ):
        np.testing.assert_array_equal(h.numpy(), seen[pooled][0].numpy())
        np.testing.assert_array_equal(g.numpy(), seen[drawn].numpy())


def test_no_gradient_goes_into_the_map_that_is_drawn_again():
    """Only what makes g learns by the term; the encoder in front of h by what makes g of it."""
    net = SWWAE(width=2, stages=2, input_size=8)
    _, ((h, g),) = net.reconstruct(images(2, 3, 8, 8))
    assert not h.requires_grad
    ((h - g) ** 2).mean().backward()
    assert net.deconv2_2.layer.weight.grad is not None
    assert net.deconv1_1.layer.weight.grad is None  # behind g
    assert net.conv1_1.layer.weight.grad is not None  # through h_2, not through h_1


def test_scaling_both_maps_changes_nothing_but_the_term():
    """Why h is held: with a gradient into h and g the term could be made as small as one likes."""
    net = SWWAE(width=2, stages=2, input_size=16)
    for module in net.modules():
        if hasattr(module, "eps"):
            module.eps = 1e-9
    x = images(3, 3, 16, 16)
    before, ((h, g),) = net.reconstruct(x)
    for block in (net.conv1_2, net.deconv2_2):
        for p in (block.bn.weight, block.bn.bias):
            p.data[...] *= 0.125
    after, ((h2, g2),) = net.reconstruct(x)
    np.testing.assert_allclose(after.numpy(), before.numpy(), rtol=1e-3, atol=1e-3)
    first, second = (((a - b) ** 2).mean().item() for a, b in ((h, g), (h2, g2)))
    assert second == pytest.approx(first / 64, rel=1e-3)
    assert first > 0.01


def test_the_what_where_decoder_uses_the_switches_and_the_other_does_not():
    """An image whose maxima are elsewhere in their windows: only one decoder can tell."""
    for kind, tells in (("swwae", True), ("learned", False)):
        net = KINDS[kind](stages=1, input_size=4).eval()
        for name in ("conv1_1", "conv1_2"):  # let the pooling see the image itself
            weight = net.get_submodule(name).layer.weight
            weight.data[...] = 0
            for k in range(2):
                weight.data[k, k, 1, 1] = 1
        one, two = np.zeros((2, 1, 3, 4, 4), np.float32)
        one[..., ::2, ::2], two[..., 1::2, 1::2] = 1, 1
        with no_grad():
            first, second = (net(Tensor(x)).numpy() for x in (one, two))
        assert (not np.allclose(first, second, atol=1e-3)) == tells, kind


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_built_again_from_its_config(kind):
    net = KINDS[kind](stages=2, input_size=(8, 9), noise=0.25, masking=0.5)
    name = "swwae" if kind == "swwae" else "autoencoder"
    again = models.build(name, net.config())
    assert again.config() == net.config()
    assert {k: a.shape for k, a in again.state_dict().items()} == {
        k: a.shape for k, a in net.state_dict().items()
    }
    assert (again.corruption.noise, again.corruption.masking) == (0.25, 0.5)


def test_layers_are_called_and_shaped_as_deconvnet_s():
    """So that a DeconvNet can begin with them."""
    theirs = {
        k: a.shape
        for k, a in models.deconvnet(4, width=3, input_size=16, fc=5, stages=3).state_dict().items()
    }
    for kind, more in ((SWWAE, set()), (Autoencoder, {"unpool1", "unpool2", "unpool3"})):
        own = {k: a.shape for k, a in kind(width=3, stages=3, input_size=16).state_dict().items()}
        for name, shape in own.items():
            if name.partition(".")[0] not in more | {"reconstruction"}:
                assert theirs[name] == shape, name
    assert isinstance(SWWAE(width=2, stages=1), StackedReconstruction)
    assert not isinstance(Autoencoder(width=2, stages=1), StackedReconstruction)


# -- Corruption ---------------------------------------------------------------------------------


@given(st.floats(0, 2), st.floats(0, 0.9), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_corruption_is_its_definition(noise, masking, channels, seed):
    """``m (x + sigma n)`` with the numbers drawn in this order: noise, then one m for all colours.

    It rejects masks that differ by colour, noise that is added behind the mask, a variance in place
    of sigma, and masked pixels that are the others.
    """
    x = np.random.default_rng(1).standard_normal((2, channels, 3, 5)).astype(np.float32)
    rng = np.random.default_rng(seed)
    expected = x.copy()
    if noise:
        expected = expected + rng.standard_normal(x.shape, dtype=np.float32) * np.float32(noise)
    if masking:
        expected = expected * (rng.random((2, 1, 3, 5), dtype=np.float32) >= masking)
    found = corrupted(Tensor(x).data, noise, masking, np.random.default_rng(seed))
    np.testing.assert_array_equal(to_cpu(found), expected)


def test_as_much_is_corrupted_as_is_said():
    x = np.ones((1, 3, 200, 200), np.float32)
    found = to_cpu(corrupted(Tensor(x).data, 0.0, 0.3, np.random.default_rng(0)))
    assert (found == 0).mean() == pytest.approx(0.3, abs=0.01)
    noisy = to_cpu(corrupted(Tensor(x).data, 0.5, 0.0, np.random.default_rng(0)))
    assert (noisy - 1).std() == pytest.approx(0.5, rel=0.01)


def test_corruption_is_for_training_alone():
    net = SWWAE(width=2, stages=1, input_size=4, noise=0.5, masking=0.2)
    x = images(1, 3, 4, 4)
    random.manual_seed(0)
    layer = Corruption(0.5, 0.2)
    one = layer(x).numpy()
    assert not np.array_equal(one, layer(x).numpy())
    random.manual_seed(0)
    assert np.array_equal(one, layer(x).numpy())
    assert net.eval().corruption(x) is x
    clean = SWWAE(width=2, stages=1, input_size=4)
    assert clean.corruption(x) is x


# -- Arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SWWAE(input_weight=0, middle_weight=0), "the loss would always be 0"),
        (lambda: SWWAE(input_weight=0, stages=1), "the loss would always be 0"),
        (lambda: SWWAE(stages=6), "SWWAE: stages is 6; it must be in 1..5"),
        (lambda: SWWAE(stages=3, input_size=(7, 9)), r"input_size is \(7, 9\); 3 poolings halve"),
        (lambda: SWWAE(width=0), "SWWAE: width is 0"),
        (lambda: Autoencoder(upsampling="switches"), "upsampling is 'switches'; it must be one of"),
        (lambda: SWWAE(middle_weight=-1.0), "middle_weight is -1.0; it must be finite and >= 0"),
        (lambda: SWWAE(input_weight=float("nan")), "input_weight is nan; it must be finite"),
        (lambda: SWWAE(noise=-0.5), "Corruption: noise is -0.5; it must be finite and >= 0"),
        (lambda: Autoencoder(masking=1.0), r"Corruption: masking is 1.0; it must be in \[0, 1\)"),
        (lambda: Autoencoder(stages=2)(images(1, 3, 3, 8)), r"x has shape \(1, 3, 3, 8\); it must"),
        (lambda: SWWAE(stages=2)(images(1, 4, 8, 8)), r"SWWAE: x has shape \(1, 4, 8, 8\)"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
