"""``python -m minideconv.export``: what it writes, and what it refuses in a sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from small_networks import NETWORKS, Function, network
from tiny_run import TINY

from minideconv import functional as F
from minideconv import models, nn, train
from minideconv.errors import CheckpointError, UsageError
from minideconv.export import OPSET_VERSION, Preprocessing, export_onnx, listing, onnx_model
from minideconv.export.__main__ import main
from minideconv.export.onnx_model import OnnxModel, write_model
from minideconv.interop import read_weights
from minideconv.training.run.checkpoint import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    return folder


def state_of(checkpoint):
    return read_weights(checkpoint).arrays


def test_the_file_has_the_weights_of_the_checkpoint_bit_by_bit(run, tmp_path, capsys):
    file = tmp_path / "net.onnx"
    assert main([str(run), "--onnx", str(file), "--which", "last"]) == 0
    assert f"opset {OPSET_VERSION}" in capsys.readouterr().out
    found = read_weights(file)
    assert found.format == "ONNX"
    assert found.metadata["producer"] == "minideconv"
    state = state_of(run / "checkpoints" / "last.npz")
    kept = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert kept.keys() <= found.arrays.keys()
    for key, array in kept.items():
        assert found.arrays[key].dtype == array.dtype
        assert found.arrays[key].tobytes() == array.tobytes(), key


def spoilt(run, path):
    """Write the checkpoint with a NaN in two arrays."""
    found = load_checkpoint(run / "checkpoints" / "last.npz")
    for name in ("conv1_1.layer.weight", "conv1_2.layer.bias"):
        found.model_state[name].flat[0] = np.nan
    save_checkpoint(path, found)
    return str(path)


def test_weights_that_are_not_finite_are_written_only_if_asked_for(run, tmp_path, capsys):
    from minideconv import weights

    bad = spoilt(run, tmp_path / "bad.npz")
    words = "conv1_1.layer.weight, conv1_2.layer.bias have values that are NaN or infinite"
    onnx, tensors = tmp_path / "net.onnx", tmp_path / "net.safetensors"
    for program, arguments, output in (
        (main, [bad, "--onnx", str(onnx)], onnx),
        (weights.main, ["convert", bad, str(tensors)], tensors),
    ):
        assert program(arguments) == 1
        assert f"bad.npz: {words}; give --allow-non-finite" in capsys.readouterr().err
        assert not output.exists()
        assert program([*arguments, "--allow-non-finite"]) == 0
        assert np.isnan(state_of(output)["conv1_1.layer.weight"]).sum() == 1
    net = nn.Sequential(nn.Conv2d(3, 2, 1))
    net.arrays()["0.weight"].flat[0] = np.inf
    with pytest.raises(CheckpointError, match=r"^export: 0\.weight has values that are NaN or inf"):
        export_onnx(net, tmp_path / "n.onnx", 8)
    export_onnx(net, tmp_path / "n.onnx", 8, allow_non_finite=True)


def test_no_program_uses_weights_that_are_not_finite(run, tmp_path, capsys):
    """Their masks would be of one class, and say nothing of why."""
    from minideconv import evaluate, predict

    bad = spoilt(run, tmp_path / "bad.npz")
    Image.new("RGB", (20, 20)).save(tmp_path / "p.png")
    given = [bad, str(tmp_path / "p.png"), "-o", str(tmp_path / "o"), "--device", "cpu"]
    for program, arguments in ((predict, given), (evaluate, [bad, "--device", "cpu"])):
        assert program.main(arguments) == 1
        assert "have values that are NaN or infinite\n" in capsys.readouterr().err


def test_safetensors_of_a_checkpoint_too(run, tmp_path):
    from minideconv import weights

    checkpoint = run / "checkpoints" / "last.npz"
    assert weights.main(["convert", str(checkpoint), str(tmp_path / "net.safetensors")]) == 0
    found, state = state_of(tmp_path / "net.safetensors"), state_of(checkpoint)
    assert found.keys() == state.keys()
    assert all(found[k].tobytes() == v.tobytes() for k, v in state.items())


def test_listing_names_modules_inputs_and_outputs(run, tmp_path, capsys):
    arguments = ["--with-preprocessing", "--with-postprocessing", "--dynamic-size", "--list"]
    assert main([str(run), "--onnx", str(tmp_path / "net.onnx"), *arguments]) == 0
    text = capsys.readouterr().out
    assert "in   images  uint8  batch x height x width x 3\n" in text
    assert "out  scores  float32  batch x 5 x height x width\n" in text
    assert "out  labels  uint8  batch x height x width\n" in text
    for name in ("conv1_1.layer", "pool2, pool2.indices", "unpool1", "deconv1_2.relu"):
        assert name in text


def test_the_same_checkpoint_gives_the_same_bytes(run, tmp_path):
    for name in ("a", "b"):
        assert main([str(run), "--onnx", str(tmp_path / name), "-q"]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nothing.npz", "--onnx", "n.onnx"], 2, "nothing.npz: no such run folder or checkpoint"),
        (["RUN", "--onnx", "missing/n.onnx"], 2, "would be in one that does not exist"),
        (["RUN", "--onnx", "."], 2, "is a folder"),
        (["RUN", "--onnx", "there.onnx"], 2, "--overwrite"),
        (["RUN/checkpoints/best.npz", "--onnx", "RUN/checkpoints/best.npz"], 2, "overwritten"),
        (["RUN", "--onnx", "n.onnx", "--size", "8"], 2, "does not accept images of shape (1, 3, 8"),
        (["RUN", "--onnx", "n.onnx", "--size", "10000000"], 2, "--size 10000000 needs about "),
        (["RUN", "--onnx", "n.onnx", "--check", "no.jpg"], 1, "no.jpg does not exist"),
        (["broken.npz", "--onnx", "n.onnx"], 1, "broken.npz cannot be read"),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_is_written(
    run, tmp_path, monkeypatch, capsys, arguments, code, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").write_text("mine")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04")
    best = (run / "checkpoints" / "best.npz").read_bytes()
    assert main([a.replace("RUN", str(run)) for a in arguments]) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.npz", "there.onnx"]
    assert (tmp_path / "there.onnx").read_text() == "mine"
    assert (run / "checkpoints" / "best.npz").read_bytes() == best


@pytest.mark.parametrize("size", ["0", "12x", "axb", "-4", "8x0"])
def test_a_size_that_is_none_is_refused(run, size, capsys):
    with pytest.raises(SystemExit) as caught:
        main([str(run), "--onnx", "n.onnx", f"--size={size}"])
    assert caught.value.code == 2
    assert "is no size; it must be like 320 or 240x320" in capsys.readouterr().err


# --- what cannot be exported ----------------------------------------------------------------------


def _overlapping(module, x):
    y, switches = F.max_pool2d(x, 3, 2, return_switches=True)
    return F.max_unpool2d(y, switches)


def _elsewhere(module, x):
    _, switches = F.max_pool2d(Function(lambda m, x: x)(x).detach(), 2, return_switches=True)
    return F.max_unpool2d(F.avg_pool2d(x, 2), switches)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda m, x: x.var(axis=1), "the operation var of Function cannot be exported"),
        (_overlapping, "its windows overlap"),
        (lambda m, x: F.interpolate(x, (7, 11)), "a factor that is no whole number"),
        (lambda m, x: F.interpolate(x, (7, 11), mode="bicubic"), "the image's border in different"),
        (lambda m, x: F.pad(x, (1, 1), "circular"), "opset 17 has no mode 'circular'"),
        (lambda m, x: F.avg_pool2d(x, 2, ceil_mode=True), "with ceil_mode"),
        (lambda m, x: F.dropout(x, 0.5), "numbers that change|drops values in evaluation"),
        (lambda m, x: F.batch_norm(x, None, None, training=True), "statistics of its own batch"),
        (lambda m, x: x * x.numpy().mean(), "b .* for different images"),
        (lambda m, x: x + x.detach(), "no operation on Tensors has computed"),
        (lambda m, x: x * x.numpy(), "one operand is an array and no Tensor"),
        (lambda m, x: x[:, [True, False, True]], "not one of whole numbers that stay the same"),
        (lambda m, x: x[:, np.array([[0, 2], [1, 1]])], "not one of whole numbers that stay"),
        (lambda m, x: x[:, [0, 2], 1:, [1, 2]], "an array beside another or a number"),
        (lambda m, x: x[:, [0, 2], 1], "an array beside another or a number"),
        (lambda m, x: F.pad(x, (1, -1), "reflect"), "crops with the mode 'reflect'"),
        (lambda m, x: (x, x), "returns a tuple"),
        (_elsewhere, "switches of no pooling of this forward|no operation on Tensors"),
    ],
)
def test_what_cannot_be_exported_is_named_and_nothing_is_written(tmp_path, function, sentence):
    with pytest.raises(UsageError, match=sentence):
        export_onnx(Function(function), tmp_path / "n.onnx", (6, 8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("upsampling", ["learned", "fixed"])
def test_padding_that_follows_the_size_needs_a_fixed_one(upsampling):
    net = models.deconvnet(3, width=2, input_size=32, fc=3, stages=2, upsampling=upsampling)
    with pytest.raises(UsageError, match=r"conv_transpose2d .*output_padding|output_padding 0, 1"):
        onnx_model(net, 32, dynamic_size=True)
    onnx_model(net, 32)


def test_a_network_that_branches_is_refused():
    def branching(module, x):
        return x.exp() if x.shape[0] == 1 else x.tanh()

    with pytest.raises(UsageError, match="computes other operations for other images"):
        onnx_model(Function(branching), 4)


def test_preprocessing_is_for_colours():
    steps = Preprocessing((1.0, 2.0, 3.0), 1.0)
    net = nn.Conv2d(2, 3, 1)
    net.in_channels = 2
    with pytest.raises(UsageError, match="has 2 input channels"):
        onnx_model(net, 4, preprocessing=steps)


@pytest.mark.parametrize("about", [{}, {"mean": 3}, {"mean": [1, 2, 3], "scale": 1}])
def test_a_checkpoint_without_normalisation_is_refused(about):
    with pytest.raises(UsageError, match="does not say how its network's input is normalised"):
        Preprocessing.of(about, "nhwc")


# --- the file -------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "n.onnx"
    file.write_bytes(b"old")
    net = network(NETWORKS["vgg16"])
    written = []

    def full(message, stream):
        stream.write(b"half of it")
        written.append(True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minideconv.interop.protobuf.Message.write", full)
    with pytest.raises(CheckpointError, match="the disk is full"):
        export_onnx(net, file, (40, 33))
    assert written
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["n.onnx"]


def test_more_than_two_gibibytes_are_refused(tmp_path):
    model = OnnxModel("large", initialisers={"w": np.ones(1, np.float32)})
    message = model.message()
    message.size = 1 << 31
    model.message = lambda: message
    with pytest.raises(UsageError, match=r"takes 2,147,483,648 bytes"):
        write_model(tmp_path / "n.onnx", model)
    assert not list(tmp_path.iterdir())


def test_metadata_and_listing_of_a_model(tmp_path):
    net = network(NETWORKS["vgg16"])
    model = export_onnx(net, tmp_path / "n.onnx", (40, 33), metadata={"classes": json.dumps(["a"])})
    assert model.metadata == {"classes": '["a"]'}
    text = listing(model)
    assert text.splitlines()[0].startswith("VGG16: opset 17")
    assert "ReduceMean" in text


def test_check_without_onnxruntime_is_one_sentence(run, tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main([str(run), "--onnx", str(tmp_path / "n.onnx"), "--check", "-q"]) == 2
    assert "--check needs onnxruntime" in capsys.readouterr().err
