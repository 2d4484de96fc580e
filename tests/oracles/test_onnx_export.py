"""Exported networks in onnxruntime, and in the interpreter of the onnx package: the same scores."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import small_networks
from small_networks import NETWORKS, OPERATIONS, inputs, network

from minideconv import Tensor, models, nn
from minideconv import functional as F
from minideconv.export import Preprocessing, export_onnx, onnx_model
from minideconv.export.check import agreement, scores_of, second_look, session
from minideconv.export.onnx_model import Port
from minideconv.export.onnx_operations import OPERATIONS as EXPORTED
from minideconv.ops import max_pool2d

pytestmark = [pytest.mark.usefixtures("onnx", "onnxruntime"), pytest.mark.cpu]


def run(model, given, outputs=("scores",)):
    running = session(b"".join(model.message().parts), threads=1)
    return running.run(list(outputs), {running.get_inputs()[0].name: given})


@pytest.fixture
def interpreter(onnx):
    """What computes a model in the onnx package itself, operator by operator in NumPy."""
    return importlib.import_module("onnx.reference").ReferenceEvaluator


def close(theirs, ours):
    """Within 1e-5 of the range of ours."""
    assert theirs.shape == ours.shape
    assert theirs.dtype == ours.dtype
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5 * np.ptp(ours))


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_and_masks_of_batches_that_were_not_traced(onnx, interpreter, name, tmp_path):
    example = NETWORKS[name]
    net = network(example)
    export_onnx(net, tmp_path / "net.onnx", example.size, example.dynamic)
    read = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(read, full_check=True)
    assert [(o.domain, o.version) for o in read.opset_import] == [("", 17)]
    running = session(tmp_path / "net.onnx", threads=1)
    reference = interpreter(read)
    for number, x in enumerate(inputs(example)):
        ours = scores_of(net, x)
        assert np.ptp(ours) > 1e-3
        (theirs,) = running.run(None, {"input": x})
        close(theirs, ours)
        assert (theirs.argmax(1) == ours.argmax(1)).all()
        if number != 1:
            close(reference.run(None, {"input": x})[0], ours)


@pytest.mark.parametrize("name", ["fcn8s", "fcn16s", "fcn32s", "fcn8s same", "deconvnet"])
def test_every_remainder_of_the_size_is_right(name):
    """FCN cuts its maps to each other: which one is larger depends on the size."""
    example = NETWORKS[name]
    net = network(example)
    running = session(b"".join(onnx_model(net, example.size, True).message().parts), threads=1)
    rng = np.random.default_rng(0)
    for more in range(33):
        x = rng.standard_normal((1, 3, example.size[0] + more, example.size[1] + (7 * more) % 33))
        x = x.astype(np.float32)
        close(running.run(None, {"input": x})[0], scores_of(net, x))


def test_each_operation_that_is_exported_has_an_example():
    assert {name.split()[0] for name in OPERATIONS} == EXPORTED.keys()


NOT_INTERPRETED = {
    "conv_transpose2d": "groups together with output_padding: a reshape fails",
    "pad": "negative amounts: NumPy's pad has none",
}
"""What the interpreter of onnx 1.23 cannot compute; onnxruntime does."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation(onnx, interpreter, name):
    example = OPERATIONS[name]
    net = network(example)
    model = onnx_model(net, example.size, example.dynamic)
    read = onnx.load_from_string(b"".join(model.message().parts))
    onnx.checker.check_model(read, full_check=True)
    reference = interpreter(read)
    for x in inputs(example):
        ours = scores_of(net, x)
        close(run(model, x)[0], ours)
        if name not in NOT_INTERPRETED:
            close(reference.run(None, {"input": x})[0], ours)


# --- ties -----------------------------------------------------------------------------------------

WINDOWS = [
    {"kernel_size": (2, 2)},
    {"kernel_size": (2, 3), "stride": (3, 3)},
    {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 1)},
    {"kernel_size": (3, 3), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)},
    {"kernel_size": (2, 3), "stride": (2, 3), "ceil_mode": True},
    {"kernel_size": (4, 4), "stride": (3, 2), "padding": (2, 1)},
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize(
    "kind", ["constant", "zero", "minus infinity", "two values", "signed zeros"]
)
def test_of_equal_pixels_the_same_one_wins(window, kind):
    """Constant images have a tie in every window; after a ReLU windows of zeros are common."""
    rng = np.random.default_rng(3)
    x = {
        "constant": np.full((2, 3, 9, 14), 0.7),
        "zero": np.zeros((2, 3, 9, 14)),
        "minus infinity": np.full((2, 3, 9, 14), -np.inf),
        "two values": rng.integers(0, 2, (2, 3, 9, 14)),
        "signed zeros": np.where(rng.integers(0, 2, (2, 3, 9, 14)), 0.0, -0.0),
    }[kind].astype(np.float32)
    _y, switches = max_pool2d(x, **window, return_switches=True)

    class Pooled(nn.Module):
        def forward(self, x):
            y, switches = F.max_pool2d(x, **window, return_switches=True)
            return y + 0 * F.max_unpool2d(y, switches, "add").sum()

    model = onnx_model(Pooled(), (9, 14))
    model.outputs.append(Port("MaxPool_1.indices", "int64", ("n", "c", "h", "w")))
    (indices,) = run(model, x, ["MaxPool_1.indices"])
    np.testing.assert_array_equal(indices, switches.to_tensor())


@pytest.mark.parametrize("value", [0.0, 0.4, -1.3])
def test_a_constant_image_through_deconvnet(value):
    net = network(NETWORKS["deconvnet"])
    x = np.full((2, 3, 32, 32), value, np.float32)
    model = onnx_model(net, 32)
    assert "MaxUnpool" in [node.op_type for node in model.nodes]
    ours = scores_of(net, x)
    close(run(model, x)[0], ours)
    found = second_look(net, model, x, x, threads=1)
    assert found.others == 0
    assert found.switches == 2 * (2 * 256 + 4 * 64 + 8 * 16)


@pytest.mark.parametrize("dynamic", [False, True])
def test_overlapping_windows_add_up(dynamic):
    window = {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)}

    class Net(nn.Module):
        def forward(self, x):
            y, switches = F.max_pool2d(x, **window, return_switches=True)
            return F.max_unpool2d(y * 1.5, switches, "add")

    x = np.random.default_rng(0).standard_normal((2, 3, 7, 9)).astype(np.float32)
    close(run(onnx_model(Net(), (7, 9), dynamic), x)[0], scores_of(Net().eval(), x))


# --- the check ------------------------------------------------------------------------------------


def test_the_second_look_takes_ties_up_to_rounding_and_nothing_else():
    net = network(NETWORKS["deconvnet"])
    x = inputs(NETWORKS["deconvnet"])[1]
    good = second_look(net, onnx_model(net, 32), x, x, threads=1)
    assert good.good
    assert good.switches == 3 * (2 * 256 + 4 * 64 + 8 * 16)

    other = onnx_model(net, 32)  # one weight behind all poolings is a little off
    weight = other.initialisers["seg_score.weight"].copy()
    weight[0, 0] += 1e-2
    other.initialisers["seg_score.weight"] = weight
    assert not second_look(net, other, x, x, threads=1).good

    other = onnx_model(net, 32)  # one in front of them: pixels that are not the largest are taken
    weight = other.initialisers["conv1_1.layer.weight"].copy()
    weight *= 1.05
    other.initialisers["conv1_1.layer.weight"] = weight
    found = second_look(net, other, x, x, threads=1)
    assert found.gap > 1e-5
    assert not found.good


def test_a_network_without_switches_has_no_second_look():
    net = network(NETWORKS["vgg16"])
    x = inputs(NETWORKS["vgg16"])[0]
    assert second_look(net, onnx_model(net, (40, 33)), x, x, threads=1) is None


@pytest.mark.parametrize("wrong", [np.nan, 3e-5])
def test_agreement_sees_one_score(wrong):
    ours = np.linspace(0, 1, 24).reshape(2, 3, 4)
    theirs = ours.copy()
    assert agreement(ours, theirs).good
    theirs[1, 2, 0] += wrong
    assert agreement(ours, theirs).far == 1


# --- around the network ---------------------------------------------------------------------------


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_grey_levels_in_probabilities_and_labels_out(bgr, layout, dtype):
    from minideconv.data.transforms import Normalize

    example = NETWORKS["fcn8s"] if dtype == np.float32 else OPERATIONS["add"]
    net = network(example, dtype)
    steps = Preprocessing((123.68, 116.78, 103.94), 57.0, bgr, layout)
    model = onnx_model(net, example.size, True, steps, ("softmax", "argmax"))
    images = np.random.default_rng(0).integers(0, 256, (2, 43, 50, 3), np.uint8)
    given = images if layout == "nhwc" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    scores, probabilities, labels = run(model, given, ["scores", "probabilities", "labels"])
    x = Normalize(steps.mean, steps.scale, bgr).batch(images)
    ours = scores_of(net, x.astype(dtype))
    close(scores, ours)
    close(probabilities, F.softmax(Tensor(ours), 1).numpy())
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, ours.argmax(1))


def test_more_classes_than_bytes_have_large_labels():
    net = models.vgg16(300, width=1, fc=3, input_size=32).eval()
    model = onnx_model(net, 32, postprocessing=("argmax",))
    x = np.random.default_rng(0).standard_normal((5, 3, 32, 32)).astype(np.float32)
    (labels,) = run(model, x, ["labels"])
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, scores_of(net, x).argmax(1))


# --- the paper's size -----------------------------------------------------------------------------


@pytest.mark.slow
def test_deconvnet_of_the_papers_size(onnx, tmp_path):
    """252 million parameters, fc 4096, drawn weights: one image at 224 pixels.

    Where rounding decided a switch otherwise, the scores must be equal with the same switches.
    """
    net = models.deconvnet().eval()
    small_networks.draw_state(net, np.random.default_rng(0))
    model = export_onnx(net, tmp_path / "net.onnx", 224)
    onnx.checker.check_model(str(tmp_path / "net.onnx"))
    assert [n.op_type for n in model.nodes].count("MaxUnpool") == 5
    x = np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype(np.float32)
    ours = scores_of(net, x)
    (theirs,) = session(tmp_path / "net.onnx").run(None, {"input": x})
    found = agreement(ours, theirs)
    print(found)
    if not found.good:
        again = second_look(net, model, x, x)
        print(again)
        assert again.good
        assert again.others < again.switches / 1e5
