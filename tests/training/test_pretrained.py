"""A run that begins with weights of others: the network, its input, its checkpoints, its errors."""

from __future__ import annotations

import numpy as np
import pytest
from stopped_runs import assert_same_run, run

from minideconv import Tensor, models, no_grad, train
from minideconv.backend import to_cpu
from minideconv.errors import SettingError
from minideconv.interop import (
    CAFFE,
    DECONVNET,
    NAMINGS,
    TORCHVISION,
    InputConvention,
    to_naming,
    write_safetensors,
)
from minideconv.training import TrainConfig, Trainer, pretrained
from minideconv.training.pretrained import find_weights, normalization_for
from minideconv.training.run.trained import load_trained

FCN = {"model": "fcn8s", "width": 2, "fc": 4, "batch_norm": "none", "input_size": 32, "views": 1}


@pytest.fixture
def settings(tiny):
    """One epoch of FCN-8s, whose trunk is frozen."""
    kept = {k: v for k, v in tiny.items() if k not in ("depth", "epochs_stage2", "fc_kernel")}
    return {**kept, **FCN, "stage": "whole", "epochs": 1, "freeze": 5}


@pytest.fixture
def source():
    """A network whose convolutions are VGG-16's, two channels wide, with biases that matter."""
    network = models.FCN8s(3, width=2, fc=4, fc_kernel=3, padding="same").to("cpu")
    for number, p in enumerate(network.parameters()):
        p.data[...] += np.random.default_rng(number).standard_normal(p.shape) * 0.1
    return network.eval()


@pytest.fixture
def trunk(source, tmp_path):
    """Write the convolutions under some names; return the file."""

    def write(naming="caffe", metadata=None):
        arrays = {k: v for k, v in source.state_dict().items() if k.startswith("conv")}
        path = tmp_path / "trunk.safetensors"
        write_safetensors(path, to_naming(arrays, naming), metadata or {})
        return str(path)

    return write


def features(network, x):
    with no_grad():
        return network.eval().encode(Tensor(x, device="cpu"), 5).maps[-1].numpy()


def picture():
    return np.random.default_rng(1).integers(0, 256, (40, 36, 3), np.uint8)


CONVENTIONS = {"caffe": CAFFE, "pytorch-fcn": DECONVNET, "torchvision vgg16": TORCHVISION}


@pytest.mark.parametrize("naming", CONVENTIONS)
def test_a_checkpoint_sees_photographs_as_the_weights_were_trained(
    settings, source, trunk, tmp_path, naming
):
    run(tmp_path / "run", settings | {"pretrained": trunk(naming)})
    x = CONVENTIONS[naming].apply(picture())[None]
    expected = features(source, x)
    assert np.ptp(expected) > 0.1
    # All from the checkpoint: the weights, and what they are fed.
    trained = load_trained(tmp_path / "run", prefer="last")
    found = features(trained.predictor.model, trained.task.normalize.image(picture())[None])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(trained.predictor.normalize.mean, trained.task.normalize.mean)
    about = trained.header["pretrained"]
    assert (about["file"], about["network"]) == ("trunk.safetensors", NAMINGS[naming].title)


def test_another_input_gives_other_features(source):
    """The comparison above is able to fail."""
    one, two, three = (
        features(source, c.apply(picture())[None]) for c in (CAFFE, DECONVNET, TORCHVISION)
    )
    for other in (two, three):
        assert not np.allclose(one, other, rtol=1e-3, atol=1e-4 * np.abs(one).max())


@pytest.mark.parametrize(
    "convention",
    [
        CAFFE,
        DECONVNET,
        TORCHVISION,
        InputConvention("BGR", 1.0, (0.1, 0.5, 0.3), (0.2, 0.3, 0.4)),
        InputConvention("RGB", 255.0, (1.0, 2.0, 3.0), (58.0, 58.0, 58.0)),
    ],
)
@pytest.mark.cpu  # of the host alone
def test_the_normalisation_is_the_target(convention):
    normalize, target = normalization_for(convention)
    np.testing.assert_allclose(
        normalize.image(picture()), target.apply(picture()), rtol=1e-5, atol=1e-4
    )
    if len(set(convention.std)) == 1:
        assert target == convention
    else:
        np.testing.assert_allclose(target.black_at, convention.black_at, atol=1e-9)


def test_a_resumed_run_needs_no_file(settings, trunk, tmp_path):
    settings |= {"pretrained": trunk("torchvision vgg16"), "epochs": 2, "freeze": 2}
    run(tmp_path / "whole", settings)
    with pytest.raises(Exception, match="stopped"):
        run(tmp_path / "part", settings, stop_at=2)
    (tmp_path / "trunk.safetensors").unlink()
    trainer = run(tmp_path / "part", settings, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "part")
    assert trainer.pretrained is None
    # Nor does a command that goes on: it says the same as the run's own settings.
    folder = str(tmp_path / "part")
    assert train.main(["--resume", folder, "--pretrained", "other.npz"]) == 2


def test_a_run_begins_where_another_ended(settings, trunk, tmp_path, source):
    run(tmp_path / "a", settings | {"pretrained": trunk("torchvision vgg16"), "data": "shapes"})
    # The file alone, or the folder; what it was fed is in the checkpoint.
    for name in (tmp_path / "a", tmp_path / "a" / "checkpoints" / "last.npz"):
        trainer = Trainer(TrainConfig(**{**settings, "pretrained": str(name), "seed": 3}))
        old = load_trained(tmp_path / "a", prefer="best" if name.is_dir() else "last")
        for key, array in old.predictor.model.state_dict().items():
            found = to_cpu(trainer.model.state_dict()[key])
            np.testing.assert_array_equal(found, array, err_msg=key)
        normalize = trainer.task.normalize
        np.testing.assert_array_equal(normalize.mean, old.task.normalize.mean)
        assert normalize.scale == pytest.approx(old.task.normalize.scale, rel=1e-12)
        assert normalize.bgr is False
        assert trainer.pretrained.about["network"] == "this library's network"


def test_the_input_can_be_said(settings, trunk):
    config = TrainConfig(
        **settings, pretrained=trunk("torchvision vgg16"), pretrained_input="caffe"
    )
    trainer = Trainer(config)
    np.testing.assert_allclose(trainer.task.normalize.mean, [123.68, 116.779, 103.939], rtol=1e-6)
    assert (trainer.task.normalize.scale, trainer.task.normalize.bgr) == (1.0, True)


def test_a_file_may_say_its_own_input(settings, trunk):
    own = InputConvention("RGB", 255.0, (1.0, 2.0, 3.0), (50.0, 50.0, 50.0))
    trainer = Trainer(TrainConfig(**settings, pretrained=trunk("minideconv", {"input": own.to_json()})))  # fmt: skip  # noqa: E501
    assert trainer.task.normalize.mean.tolist() == [1.0, 2.0, 3.0]
    assert trainer.task.normalize.scale == 50.0


def test_the_file_draws_no_random_number(settings, trunk):
    """What the file has not begins as without it."""
    with_file = Trainer(TrainConfig(**settings, pretrained=trunk())).model.state_dict()
    without = Trainer(TrainConfig(**settings)).model.state_dict()
    for name in without:
        same = np.array_equal(to_cpu(with_file[name]), to_cpu(without[name]))
        assert same != name.startswith("conv"), name


def test_frozen_stages_keep_the_file_and_the_others_learn(settings, trunk, tmp_path):
    path = trunk()
    start = Trainer(TrainConfig(**settings, pretrained=path)).model.state_dict()
    learned = run(tmp_path / "r", settings | {"pretrained": path, "freeze": 3}).model.state_dict()
    for name in (n for n in learned if n.startswith("conv") and n.endswith("layer.weight")):
        same = np.array_equal(to_cpu(learned[name]), to_cpu(start[name]))
        assert same == (int(name[4]) <= 3), name


DECODER = {
    **{"model": "deconvnet", "depth": 5, "fc_kernel": 3, "padding": "same", "batch_norm": "fc"},
    **{"width": 10, "decoder_init": "scores"},
}


def test_a_decoder_begins_with_the_scores_of_an_fcn(settings, tmp_path):
    fcn = run(tmp_path / "fcn", {**settings, "model": "fcn32s", "width": 10, "batch_norm": "fc"})
    state = {name: to_cpu(array) for name, array in fcn.model.state_dict().items()}
    config = TrainConfig(**{**settings, **DECODER, "pretrained": str(tmp_path / "fcn")})
    trainer = Trainer(config)
    assert (
        "the decoder begins as an enlargement of the file's score_fr" in trainer.pretrained.report
    )
    begun = {name: to_cpu(array) for name, array in trainer.model.state_dict().items()}
    for name in ("conv5_3.layer.weight", "fc6.layer.weight", "fc7.bn.running_mean"):
        np.testing.assert_array_equal(begun[name], state[name])
    plain = Trainer(TrainConfig(**{**settings, **DECODER, "decoder_init": "he"})).model
    random_part = to_cpu(plain.state_dict()["fc6_deconv.layer.weight"])
    classes = len(state["score_fr.bias"])
    # Without the share of random weights: the scores, once for each copy, in the middle.
    centre = (begun["fc6_deconv.layer.weight"] - 0.2 * random_part)[:, :classes, 1, 1]
    np.testing.assert_allclose(centre, state["score_fr.weight"][:, :, 0, 0].T, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "--decoder-init is scores, but the weights {} have no score_fr; it must be a run of"),
        (
            {"padding": "paper", "input_size": 96},
            "--decoder-init scores: fc6 has a window of 3x3 pixels and no padding",
        ),
        (
            {"batch_norm": "all"},
            "--decoder-init is scores, which batch normalisation in the decoder",
        ),
        (
            {"pretrained": None},
            "--decoder-init is scores, but --pretrained is not given; it must be",
        ),
    ],
)
def test_a_decoder_that_cannot_begin_so(settings, source, tmp_path, capsys, more, message):
    path, arrays = tmp_path / "f.safetensors", dict(source.state_dict())
    arrays |= {"score_fr.weight": np.zeros((9, 4, 1, 1), np.float32), "score_fr.bias": np.zeros(9)}
    if "padding" not in more:
        arrays = {k: v for k, v in arrays.items() if not k.startswith("score")}
    write_safetensors(path, arrays, {"input": CAFFE.to_json()})
    chosen = {**settings, **DECODER, "width": 2, "pretrained": path, **more}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    assert train.main(options(chosen, output_dir=tmp_path / "run")) == 2
    error = capsys.readouterr().err
    assert message.format(path) in error
    assert error.count("\n") == 1


# -- From an auto-encoder -----------------------------------------------------------------------


@pytest.fixture
def autoencoder(tiny, tmp_path):
    """Train an auto-encoder for an epoch; return its folder."""

    def make(model, **more):
        without = ("fc", "fc_kernel", "epochs_stage2")
        kept = {name: value for name, value in tiny.items() if name not in without}
        own = {"task": "autoencode", "model": model, "stage": "whole", "epochs": 1}
        run(tmp_path / model, {**kept, **own, "width": 3, "train_images": 8, **more})
        return tmp_path / model

    return make


@pytest.mark.long_on_fakecuda  # which weights are taken is decided on the host
@pytest.mark.parametrize(
    ("model", "more", "upsampling", "taken"),
    [
        ("swwae", {}, "switches", {"conv", "deconv"}),
        ("swwae", {}, "bilinear", {"conv"}),
        ("autoencoder", {}, "switches", {"conv"}),
        ("autoencoder", {"upsampling": "fixed"}, "fixed", {"conv", "deconv"}),
        ("autoencoder", {"upsampling": "learned"}, "learned", {"conv", "deconv", "unpool"}),
    ],
)
def test_a_deconvnet_begins_with_an_auto_encoder(tiny, autoencoder, model, more, upsampling, taken):
    """Its encoder; its decoder if that undoes poolings in the same way."""
    path = autoencoder(model, **more)
    settings = {**tiny, "width": 3, "upsampling": upsampling}
    trainer = Trainer(TrainConfig(**settings, pretrained=str(path)))
    plain = Trainer(TrainConfig(**settings)).model.state_dict()
    theirs = load_trained(path).predictor.model.state_dict()
    kinds = set()
    for name, array in trainer.model.state_dict().items():
        block = name.partition(".")[0]
        kind = block.rstrip("0123456789_") if block.startswith(("conv", "deconv", "unpool")) else ""
        if kind in taken:
            kinds.add(kind)
            np.testing.assert_array_equal(to_cpu(array), theirs[name], err_msg=name)
        else:
            np.testing.assert_array_equal(to_cpu(array), to_cpu(plain[name]), err_msg=name)
    assert kinds == taken
    report, how = trainer.pretrained.report, more.get("upsampling", "learned")
    there = "switches" if model == "swwae" else how
    note = f"left out: the decoder, which undoes poolings by {there} in the file, by {upsampling}"
    assert (note in report) == ("deconv" not in taken)
    assert "missing in the file, so the network keeps its own" in report


@pytest.mark.cpu  # a name
def test_init_from_is_another_name_of_pretrained(tiny, autoencoder, tmp_path, capsys):
    path = autoencoder("swwae")
    settings = {**tiny, "width": 3, "epochs": 1, "epochs_stage2": 0}
    arguments = options(settings, init_from=path, output_dir=tmp_path / "run")
    assert train.main(arguments) == 0
    assert f"pretrained weights {path}/checkpoints/best.npz" in capsys.readouterr().out
    assert load_trained(tmp_path / "run").header["config"]["pretrained"] == str(path)
    assert train.main(options({**settings, "width": 2}, init_from=path)) == 2
    error = capsys.readouterr().err
    assert "conv1_1.layer.weight is 3x3x3x3 in the file, 2x3x3x3 in the network; --width 3" in error


@pytest.mark.long_on_fakecuda
def test_a_probe_of_an_auto_encoder_keeps_its_features(tiny, autoencoder, tmp_path):
    path = autoencoder("autoencoder")
    kept = {k: v for k, v in tiny.items() if k not in ("fc", "fc_kernel", "epochs_stage2")}
    own = {"model": "probe", "width": 3, "stage": "whole", "freeze": 2, "epochs": 1}
    learned = run(tmp_path / "probe", {**kept, **own, "pretrained": str(path)}).model.state_dict()
    theirs = load_trained(path).predictor.model.state_dict()
    for name, array in learned.items():
        if name.startswith("conv"):
            np.testing.assert_array_equal(to_cpu(array), theirs[name], err_msg=name)
    assert np.any(to_cpu(learned["score.bias"]))


# -- What a user reads --------------------------------------------------------------------------


def options(settings, **more):
    chosen = {**settings, **more}
    flags = {True: "--{}", False: "--no-{}"}
    arguments = []
    for name, value in chosen.items():
        option = name.replace("_", "-")
        arguments += [flags[value].format(option)] if isinstance(value, bool) else [f"--{option}", str(value)]  # fmt: skip  # noqa: E501
    return arguments


def test_the_report_is_printed_and_logged(settings, trunk, tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = options(settings, pretrained=trunk(), output_dir=folder)
    assert train.main(arguments) == 0
    out = capsys.readouterr().out
    for line in (
        f"pretrained weights {tmp_path / 'trunk.safetensors'}",
        "Oxford's VGG-16 in Caffe: 26 parameters",
        "feed: BGR, 0..255, less (103.939, 116.779, 123.68)",
        "missing in the file, so the network keeps its own (8): fc6, fc7, score_fr",
    ):
        assert line in out
        assert line in (folder / "log.txt").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"pretrained": "nowhere.pth"},
            "--pretrained is 'nowhere.pth', which is no file, and no file is known by that name",
        ),
        ({"pretrained": "fcn8s-pytorch-fcn"}, "fcn8s_from_caffe.pth must be fetched by hand"),
        (
            {"width": 3},
            "conv1_1.layer.weight is 2x3x3x3 in the file, 3x3x3x3 in the network; --width 2 would"
            " fit",
        ),
        ({"width": 3, "batch_norm": "all"}, "; --width 2 --batch-norm fc would fit"),
        ({"pretrained_input": "rgb"}, "--pretrained-input is 'rgb'; it must be one of caffe, "),
    ],
)
def test_errors_of_usage(settings, trunk, tmp_path, capsys, more, message):
    chosen = options(settings, **{"pretrained": trunk(), "output_dir": tmp_path / "run", **more})
    assert train.main(chosen) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arrays", "code", "message"),
    [
        ({"weight": np.ones(3, np.float32)}, 2, "--pretrained: weights {}: no names of VGG-16"),
        (None, 1, "weights {}: it is of no format that is read"),
        ("own", 2, "it is not known what input they were trained with; say it with"
                   " --pretrained-input"),
    ],
)  # fmt: skip
def test_errors_about_the_file(settings, source, tmp_path, capsys, arrays, code, message):
    path = tmp_path / "f.safetensors"
    if arrays is None:
        path.write_bytes(b"nothing that is known" * 30)
    else:
        write_safetensors(path, source.state_dict() if arrays == "own" else arrays, {})
    assert train.main(options(settings, pretrained=path, output_dir=tmp_path / "run")) == code
    error = capsys.readouterr().err
    assert message.format(path) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_arguments_are_named_to_a_library():
    with pytest.raises(SettingError, match="pretrained_input is about the file of pretrained"):
        TrainConfig(pretrained_input="caffe")


def test_the_hint_to_a_library(settings, trunk):
    with pytest.raises(SettingError, match=r"; width 2 batch_norm fc would fit"):
        Trainer(TrainConfig(**settings | {"pretrained": trunk(), "width": 3, "batch_norm": "all"}))


@pytest.mark.cpu  # of the host alone
def test_a_known_file_is_taken_from_the_cache(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrained, "fetch", lambda *a: asked.append(a) or tmp_path / "found")
    assert find_weights("vgg16-trunk-onnx", print) == tmp_path / "found"
    assert asked == [("vgg16-trunk-onnx", tmp_path / "cache", print)]
