"""`fit`: what of a weight file goes into a network that is there, and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, models, no_grad
from minideconv.errors import CheckpointError
from minideconv.interop import CAFFE, DECONVNET, NAMINGS, TORCHVISION, WeightFile, to_naming
from minideconv.interop.fitting import ShapeConflict, fit, to_input

pytestmark = pytest.mark.cpu  # files are read on the host

FCN = {"num_classes": 3, "width": 2, "fc": 4, "fc_kernel": 3, "padding": "same"}


def shapes(network):
    return {name: array.shape for name, array in network.state_dict().items()}


def randomised(network, seed=0):
    """Every number of the network drawn, statistics too."""
    rng = np.random.default_rng(seed)
    for p in network.parameters():
        p.data[...] = rng.standard_normal(p.shape) * 0.3
    for name, array in network.named_buffers():
        if not name.endswith("tracked"):
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    return network.eval()


def load(network, weights):
    found = fit(weights, shapes(network))
    network.load_state_dict({**network.state_dict(), **found.arrays})
    return found


def image(size=(40, 52)):
    return Tensor(np.random.default_rng(9).standard_normal((1, 3, *size)).astype(np.float32))


def features(network):
    with no_grad():
        return network.eval().encode(image(), 5).maps[-1].numpy()


# Caffe's names of the trunk are the same in Oxford's VGG-16 and in FCN.
OTHERS = set(NAMINGS) - {"caffe deconvnet", "caffe fcn", "torchvision vgg16_bn", "minideconv"}


@pytest.mark.parametrize("naming", sorted(OTHERS))
def test_a_trunk_under_any_names(naming):
    source = randomised(models.FCN8s(**FCN))
    trunk = {k: v for k, v in source.state_dict().items() if k.startswith("conv")}
    weights = WeightFile("f", "PyTorch", to_naming(trunk, naming))
    network = models.FCN8s(**FCN)
    found = load(network, weights)
    np.testing.assert_array_equal(features(network), features(source))
    assert len(found.arrays) == 26
    assert found.missing[:3] == ["fc6", "fc7", "score_fr"]
    assert found.unused == []
    assert found.convention == NAMINGS[naming].convention


@pytest.mark.parametrize("naming", ["caffe fcn", "pytorch-fcn"])
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_a_whole_fcn_of_others(naming, stride):
    source = randomised(models.fcn(stride, **FCN))
    weights = WeightFile("f", "PyTorch", to_naming(source.state_dict(), naming))
    network = models.fcn(stride, **FCN).eval()
    found = load(network, weights)
    np.testing.assert_array_equal(network(image()).numpy(), source(image()).numpy())
    assert found.missing == []
    assert found.convention == DECONVNET


@pytest.mark.parametrize(
    "build",
    [
        lambda: models.FCN16s(**FCN, batch_norm="all"),
        lambda: models.deconvnet(3, width=2, input_size=32, fc=4, stages=3),
    ],
)
def test_a_network_of_this_library(build):
    source, network = randomised(build()), build().eval()
    found = load(network, WeightFile("f", "NumPy", source.state_dict()))
    np.testing.assert_array_equal(network(image()).numpy(), source(image()).numpy())
    assert (found.missing, found.unused, found.notes) == ([], [], [])


def test_other_classes_keep_their_start():
    source = randomised(models.FCN8s(**FCN))
    network = models.FCN8s(**{**FCN, "num_classes": 5})
    before = network.state_dict()
    found = load(network, WeightFile("f", "NumPy", source.state_dict()))
    np.testing.assert_array_equal(features(network), features(source))
    assert "left out: score_fr.weight is 3x4x1x1 in the file, 5x4x1x1 in the network" in found.notes
    for name, array in network.state_dict().items():
        if name.startswith(("score", "upscore")):
            np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert not any("score" in row.target for row in found.rows)


def test_fc7_is_of_no_use_behind_another_fc6():
    source = randomised(models.FCN8s(**FCN))
    network = models.FCN8s(**{**FCN, "fc_kernel": 1})
    found = load(network, WeightFile("f", "NumPy", source.state_dict()))
    assert not any(name.startswith("fc") for name in found.arrays)
    assert "fc7 is of use behind the file's fc6 alone" in found.report()
    assert found.missing == ["fc6", "fc7"]
    # And where fc6 fits they are both taken.
    assert "fc7.layer.bias" in load(models.FCN8s(**FCN), WeightFile("f", "NumPy", source.state_dict())).arrays  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("naming", [None, "torchvision vgg16_bn"])
def test_normalisation_that_the_network_has_not_is_folded(naming):
    source = randomised(models.FCN8s(**FCN, batch_norm="all"))
    state = {k: v for k, v in source.state_dict().items() if k.startswith("conv")}
    weights = WeightFile("f", "PyTorch", to_naming(state, naming) if naming else state)
    network = models.FCN8s(**FCN)
    found = load(network, weights)
    expected = features(source)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(features(network), expected, rtol=1e-4, atol=1e-5)
    assert sum(row.how == "folded into the layer" for row in found.rows) >= 13 * 4
    assert not any("bn" in name for name in found.arrays)


def test_normalisation_that_the_file_has_not_changes_nothing():
    source = randomised(models.FCN8s(**FCN))
    network = models.FCN8s(**FCN, batch_norm="all")
    for name, array in network.named_buffers():
        if not name.endswith("tracked"):
            array[...] = 3.0  # whatever was there
    trunk = {k: v for k, v in source.state_dict().items() if k.startswith("conv")}
    found = load(network, WeightFile("f", "NumPy", trunk))
    np.testing.assert_allclose(features(network), features(source), rtol=1e-5, atol=1e-6)
    assert "the network has 13 batch normalisations that the file has not" in found.report()
    # In training too, once the stages are frozen.
    models.freeze(network, 5)
    x = image()
    np.testing.assert_allclose(
        network.train().encode(x, 5).maps[-1].numpy(), features(source), rtol=1e-5, atol=1e-6
    )


def test_the_first_convolution_is_converted():
    source = randomised(models.FCN8s(**FCN))
    trunk = {k: v for k, v in source.state_dict().items() if k.startswith("conv")}
    weights = WeightFile("f", "PyTorch", to_naming(trunk, "torchvision vgg16"))
    found = fit(weights, shapes(source))
    target = CAFFE.keeping_mean_of(TORCHVISION)
    to_input(found, target)
    network = models.FCN8s(**FCN)
    network.load_state_dict({**network.state_dict(), **found.arrays})
    pixels = np.random.default_rng(4).integers(0, 256, (40, 52, 3), np.uint8)
    outputs = [
        net.eval().encode(Tensor(convention.apply(pixels)[None]), 5).maps[-1].numpy()
        for net, convention in ((source, TORCHVISION), (network, target))
    ]
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-3, atol=1e-4)
    assert found.convention == target


def damaged(change):
    state = randomised(models.FCN8s(**FCN, batch_norm="all")).state_dict()
    change(state)
    return WeightFile("file", "NumPy", state)


def set_to(name, value):
    return lambda state: state.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_to("conv2_1.layer.bias", np.full(4, np.nan)), r"conv2_1\.layer\.bias has values"),
        (set_to("fc6.layer.bias", np.full(4, 1e300)), r"fc6\.layer\.bias has values"),
        (set_to("conv2_1.bn.weight", np.ones(3)), "of conv2_1 cannot be folded"),
        (set_to("conv2_1.bn.running_var", np.full(4, -1.0)), "no variance below 0"),
        (lambda state: state.pop("conv2_1.bn.bias"), "of conv2_1 cannot be folded"),
        (lambda state: state.pop("conv2_1.layer.weight"), "of conv2_1 cannot be folded"),
        (lambda state: [state.pop(k) for k in list(state) if k != "fc7.layer.bias"] and
         set_to("fc7.layer.bias", np.ones(7))(state), "nothing in it has the name and shape"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(change, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        fit(damaged(change), shapes(models.FCN8s(**FCN)))
    assert "weights file: " in str(caught.value)


def test_names_of_nothing_that_is_known():
    with pytest.raises(CheckpointError, match="no names of VGG-16 or DeconvNet"):
        fit(WeightFile("f", "NumPy", {"a": np.ones(3)}), shapes(models.FCN8s(**FCN)))


@pytest.mark.parametrize("naming", [None, "caffe"])
def test_a_convolution_of_another_width_is_an_error(naming):
    state = models.FCN8s(**{**FCN, "width": 3}).state_dict()
    state = {k: v for k, v in state.items() if k.startswith("conv")}
    weights = WeightFile("f", "Caffe", to_naming(state, naming) if naming else state)
    with pytest.raises(ShapeConflict, match=r"conv1_1\.layer\.weight is 3x3x3x3 in the file, 2x3"
                                            "x3x3 in the network") as caught:  # fmt: skip
        fit(weights, shapes(models.FCN8s(**FCN)))
    assert (caught.value.width, caught.value.batch_norm) == (3, False)
