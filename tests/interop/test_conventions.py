"""What a network is fed: converting the first convolution is exact, or refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minideconv import ops
from minideconv.data.transforms import Normalize
from minideconv.errors import CheckpointError, UsageError
from minideconv.interop import (
    CAFFE,
    TORCHVISION,
    InputConvention,
    WeightFile,
    convert_first_convolution,
    match,
    read_weights,
    to_naming,
    write_safetensors,
)
from minideconv.interop.conventions import INPUT
from minideconv.interop.vgg_names import CONVOLUTIONS
from minideconv.tasks.data import normalization_to_dict

ODD = InputConvention("BGR", 1.0, (0.1, 0.2, 0.3), (0.5, 0.25, 2.0))
CONVENTIONS = [CAFFE, TORCHVISION, ODD, InputConvention(), InputConvention("RGB", 255.0)]


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (6, 7, 3), np.uint8)


def feed(convention: InputConvention, image: np.ndarray) -> np.ndarray:
    """The definition, pixel by pixel, in float64."""
    x = np.empty((1, 3, *image.shape[:2]))
    for c, colour in enumerate(convention.channels):
        pixel = image[..., "RGB".index(colour)].astype(np.float64)
        x[0, c] = (pixel * convention.white / 255 - convention.mean[c]) / convention.std[c]
    return x


@pytest.mark.parametrize("convention", CONVENTIONS, ids=str)
def test_apply_is_the_definition(convention):
    image = picture()
    fed = convention.apply(image)
    assert fed.dtype == np.float32
    np.testing.assert_allclose(fed, feed(convention, image)[0], rtol=1e-5, atol=1e-4)


def test_normalize_of_the_data_room_says_the_same():
    image = picture()
    for bgr in (False, True):
        mean = (10.0, 20.0, 30.0)
        kept = InputConvention(
            "BGR" if bgr else "RGB", 255.0, mean[::-1] if bgr else mean, (58.0,) * 3
        )
        ours = Normalize(mean, 58.0, bgr).image(image)
        np.testing.assert_allclose(kept.apply(image), ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("source", CONVENTIONS, ids=str)
@pytest.mark.parametrize("target", CONVENTIONS, ids=str)
def test_the_converted_convolution_computes_the_same(source, target):
    """At the border too, where the convolution sees zeros."""
    target = target.keeping_mean_of(source)
    rng = np.random.default_rng(1)
    weight, bias, image = rng.standard_normal((4, 3, 3, 3)), rng.standard_normal(4), picture(2)
    before = ops.conv2d(feed(source, image), weight, bias, padding=1)
    converted = convert_first_convolution(weight, source, target)
    after = ops.conv2d(feed(target, image), converted, bias, padding=1)
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9 * np.abs(before).max())


def test_wrong_conversions_are_rejected_by_that():
    """Colours not turned, the factor upside down, or given to the wrong colour."""
    rng = np.random.default_rng(1)
    weight, image = rng.standard_normal((4, 3, 3, 3)), picture(2)
    target = TORCHVISION.keeping_mean_of(CAFFE)
    before = ops.conv2d(feed(CAFFE, image), weight, padding=1)
    right = convert_first_convolution(weight, CAFFE, target)
    std = np.array(target.std) * 255
    wrong = [
        right[:, ::-1],
        weight[:, ::-1] / std[:, None, None],
        weight[:, ::-1] * std[::-1, None, None],
    ]
    for other in wrong:
        after = ops.conv2d(feed(target, image), np.ascontiguousarray(other), padding=1)
        assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()


def test_another_mean_is_refused_and_folding_it_would_be_wrong_at_the_border():
    weight = np.random.default_rng(3).standard_normal((4, 3, 3, 3))
    with pytest.raises(UsageError, match=r"with a border of zeros no weight makes up for that"):
        convert_first_convolution(weight, CAFFE, TORCHVISION)
    other = InputConvention("BGR", 255.0, (0.0, 0.0, 0.0))
    with pytest.raises(
        UsageError, match=r"\(123\.680, 116\.779, 103\.939\) in RGB, and the target"
    ):
        convert_first_convolution(weight, CAFFE, other)
    # With the difference in the bias all is right but the frame of one pixel.
    image, mean = picture(), np.array(CAFFE.mean)
    before = ops.conv2d(feed(CAFFE, image), weight, padding=1)
    bias = -(weight * mean[:, None, None]).sum(axis=(1, 2, 3))
    after = ops.conv2d(feed(other, image), weight, bias, padding=1)
    difference = np.abs(after - before)
    assert difference[:, :, 1:-1, 1:-1].max() < 1e-9
    assert difference.max() > 10


def test_means_in_other_units_are_the_same():
    rounded = InputConvention("RGB", 255.0, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    weight = np.ones((2, 3, 3, 3))
    np.testing.assert_allclose(
        convert_first_convolution(weight, TORCHVISION, rounded), weight, rtol=1e-12
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": "GBR"},
        {"white": 0.0},
        {"white": float("nan")},
        {"std": (1.0, 0.0, 1.0)},
        {"mean": (1.0, 2.0)},
        {"mean": (1.0, 2.0, float("inf"))},
    ],
)
def test_conventions_that_cannot_be(wrong):
    with pytest.raises(UsageError, match="InputConvention: "):
        InputConvention(**wrong)


def test_grey_weights_are_refused():
    with pytest.raises(UsageError, match=r"it must be \(K, 3, kh, kw\)"):
        convert_first_convolution(np.ones((2, 1, 3, 3)), CAFFE, CAFFE)


def small(seed: int = 0) -> dict[str, np.ndarray]:
    rng, channels, state = np.random.default_rng(seed), 3, {}
    for block in CONVOLUTIONS:
        state[f"{block}.layer.weight"] = rng.standard_normal((2, channels, 3, 3)).astype("f4")
        state[f"{block}.layer.bias"], channels = np.ones(2, np.float32), 2
    return state


def test_match_converts_and_says_so():
    weights = WeightFile("file", "PyTorch", to_naming(small(), "torchvision vgg16"))
    target = CAFFE.keeping_mean_of(TORCHVISION)
    found = match(weights, target=target)
    assert found.convention == target
    assert found.rows[0].how == "as it is, from RGB 0..1 to BGR 0..255"
    expected = convert_first_convolution(small()["conv1_1.layer.weight"], TORCHVISION, target)
    np.testing.assert_array_equal(found.arrays["conv1_1.layer.weight"], expected)
    with pytest.raises(UsageError, match="no weight makes up"):
        match(weights, target=CAFFE)
    # Weights of Caffe under torchvision's names: the file cannot tell, the caller can.
    found = match(weights, convention=CAFFE, target=CAFFE)
    np.testing.assert_array_equal(
        found.arrays["conv1_1.layer.weight"], small()["conv1_1.layer.weight"]
    )
    own = WeightFile("file", "NumPy", small())
    with pytest.raises(UsageError, match="what the weights were trained with is not known"):
        match(own, target=CAFFE)


def test_a_safetensors_file_keeps_its_convention(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, small(), {"input": ODD.to_json()})
    assert match(read_weights(path)).convention == ODD
    for damaged in ("{", "[1]", '{"channels": "GBR"}', '{"a": 1}', "[" * 9999, '{"mean": 3}'):
        write_safetensors(path, small(), {"input": damaged})
        with pytest.raises(CheckpointError, match="its metadata: InputConvention"):
            match(read_weights(path))


# -- A checkpoint -------------------------------------------------------------------------------


def checkpoint(path, header):
    """Write what looks like one of this library; `header` is its text."""
    np.savez(path, header=np.frombuffer(header, np.uint8), **{"model/a": np.ones(3, np.float32)})
    return path


@pytest.mark.parametrize("step", [Normalize(), Normalize((1, 2, 3), 2.5), Normalize.paper()])
def test_a_checkpoint_says_what_its_network_is_fed(step, tmp_path):
    header = json.dumps({"normalization": normalization_to_dict(step)}).encode()
    weights = read_weights(checkpoint(tmp_path / "c.npz", header))
    convention = InputConvention.from_json(weights.metadata[INPUT])
    image = picture()
    np.testing.assert_allclose(convention.apply(image), step.image(image), rtol=1e-5, atol=1e-5)


def test_a_checkpoint_that_does_not_say_it(tmp_path):
    assert INPUT not in read_weights(checkpoint(tmp_path / "c.npz", b"{}")).metadata


@pytest.mark.parametrize(
    "header",
    [
        b"", b"no json", b"[1]", b"\xff", b"[" * 9999, b'{"normalization": 3}',
        b'{"normalization": {"mean": [1, 2, 3], "scale": 1}}',
        b'{"normalization": {"mean": [1, 2], "scale": 1, "bgr": true}}',
        b'{"normalization": {"mean": {}, "scale": 1, "bgr": true}}',
        b'{"normalization": {"mean": [1, 2, NaN], "scale": 1, "bgr": true}}',
        b'{"normalization": {"mean": [1, 2, 3], "scale": -1, "bgr": true}}',
        b'{"normalization": {"mean": [1, 2, 3], "scale": "x", "bgr": true}}',
    ],
)  # fmt: skip
def test_a_header_that_is_none(header, tmp_path):
    with pytest.raises(CheckpointError, match="its header is no checkpoint's"):
        read_weights(checkpoint(tmp_path / "c.npz", header))
