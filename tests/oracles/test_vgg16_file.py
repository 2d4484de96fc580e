"""The original VGG-16's convolutions, as a wheel has them in ONNX: read, named, and put to use."""

from __future__ import annotations

import numpy as np
import pytest
from vgg_file import vgg16_file

from minideconv import Tensor, no_grad, ops
from minideconv.data.transforms import resize_image
from minideconv.interop import CAFFE, match, read_weights
from minideconv.training import TrainConfig, build
from minideconv.training.pretrained import load_pretrained
from minideconv.weights import main

pytestmark = pytest.mark.cpu  # files are read on the host


@pytest.fixture(scope="module")
def path():
    return vgg16_file()


@pytest.fixture(scope="module")
def weights(path):
    return read_weights(path)


def test_published_values(weights):
    assert weights.format == "ONNX"
    assert weights.metadata["producer"] == "tf2onnx"
    assert len(weights.arrays) == 42
    first = weights.arrays["functional_1/block1_conv1_1/convolution/ReadVariableOp:0"]
    assert first.shape == (64, 3, 3, 3)
    assert first.ravel()[0] == np.float32(0.42947057)
    bias = weights.arrays["functional_1/block1_conv1_1/Squeeze:0"]
    assert bias[0] == np.float32(0.73429835)


def test_the_trunk_is_complete(weights):
    found = match(weights)
    assert found.convention == CAFFE
    assert sum(array.size for array in found.arrays.values()) == 14_714_688  # VGG-16's, without fc
    assert len(found.rows) == 26
    assert all(row.how == "as it is" for row in found.rows)
    assert found.missing == [f"fc{n}.layer.{kind}" for n in (6, 7) for kind in ("weight", "bias")]
    assert len(found.unused) == 16


def test_the_library_reads_the_same(onnx, path, weights):
    model = onnx.load(path)
    assert [t.name for t in model.graph.initializer] == list(weights.arrays)
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        np.testing.assert_array_equal(weights.arrays[tensor.name], array)


def test_features_are_as_those_weights_give_them_elsewhere(torch, weights):
    """The first two stages on a picture, fed as the convention says, against PyTorch."""
    found = match(weights)
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    x = found.convention.apply(image)[None]
    theirs, y = torch.from_numpy(x), x
    for stage in (1, 2):
        for i in (1, 2):
            weight, bias = (
                found.arrays[f"conv{stage}_{i}.layer.{kind}"] for kind in ("weight", "bias")
            )
            y = np.maximum(ops.conv2d(y, weight, bias, padding=1), 0)
            theirs = torch.relu(torch.conv2d(
                theirs, torch.from_numpy(weight), torch.from_numpy(bias), padding=1
            ))  # fmt: skip
        y, theirs = ops.max_pool2d(y, 2), torch.max_pool2d(theirs, 2)
    np.testing.assert_allclose(y, theirs.numpy(), rtol=1e-4, atol=1e-3)


def test_the_command_knows_the_file(path, capsys):
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    assert "looks like: Keras' VGG16, converted to ONNX (26 of its parameters)" in out
    assert "to be fed: BGR, 0..255, less (103.939, 116.779, 123.68)" in out
    assert "Visual Geometry Group, University of Oxford" in out
    assert "licence: CC BY 4.0" in out


def test_features_of_a_run_are_those_of_pytorch(torch, path, weights):
    """All five stages of FCN-8s as `--pretrained` makes it, in float32, against float64."""
    config = TrainConfig(model="fcn8s", width=64, fc=8, batch_norm=False)
    network = build.model(config, 21).eval()
    loaded = load_pretrained(network, config, path)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (9, 13, 3), np.uint8)
    image = resize_image(noise, (72, 104))  # smooth, as a photograph is
    with no_grad():
        features = network.encode(Tensor(loaded.normalize.image(image)[None]), 5).maps[-1].numpy()
    arrays = match(weights).arrays
    pixels = image[..., ::-1].astype(np.float64) - [103.939, 116.779, 123.68]
    y = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())
    for stage, count in enumerate((2, 2, 3, 3, 3), 1):
        for i in range(1, count + 1):
            weight, bias = (
                torch.from_numpy(arrays[f"conv{stage}_{i}.layer.{kind}"]).double()
                for kind in ("weight", "bias")
            )
            y = torch.relu(torch.conv2d(y, weight, bias, padding=1))
        y = torch.max_pool2d(y, 2, ceil_mode=True)
    expected = y.numpy()
    assert features.shape == expected.shape == (1, 512, 3, 4)
    assert expected.max() > 10
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-5 * expected.max())
    assert loaded.about["source"].startswith("Visual Geometry Group, University of Oxford")
    assert "licence: CC BY 4.0" in loaded.report
