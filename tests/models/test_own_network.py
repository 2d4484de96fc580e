"""A network that this file registers: trained, resumed, evaluated and reported by the commands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from device_tier import DEVICE
from PIL import Image

from minideconv import evaluate, models, nn, predict, report, train
from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.errors import CheckpointError, SettingError, UsageError
from minideconv.models import NetworkOptions
from minideconv.settings.setting import AT_LEAST_1, setting
from minideconv.training import TrainConfig, load_checkpoint, load_trained

RUN = [
    *("--train-images", "6", "--val-images", "3", "--image-size", "32", "--input-size", "16"),
    *("-b", "2", "--epochs", "1", "--images", "1", "--model", "tiny"),
    *("--device", "cpu" if DEVICE == "cpu" else "gpu"),
]


@dataclass(frozen=True, kw_only=True)
class TinyOptions(NetworkOptions):
    channels: int = setting(5, "channels of the hidden layer", metavar="N", **AT_LEAST_1)
    leaky: bool = setting(False, "let a little of the negative side through")
    rate: float | None = setting(None, "share that dropout takes away", metavar="SHARE")


class Tiny(nn.Module):
    def __init__(self, num_classes: int, channels: int, leaky: bool, rate: float | None) -> None:
        super().__init__()
        self.arguments = f"{num_classes} {channels} {leaky} {rate}"
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.first(x)))

    def config(self) -> dict[str, Any]:
        classes, channels, leaky, _ = self.arguments.split()
        own = {"channels": int(channels), "leaky": leaky == "True", "rate": None}
        return {"num_classes": int(classes), **own}


@pytest.fixture(autouse=True)
def tiny(own_networks):
    models.register("tiny", TinyOptions, title="Tiny")(Tiny)


def text_of(page: str) -> str:
    return re.sub(r"<[^>]+>", "", page)


def test_the_commands_train_it_and_use_it(tmp_path, capsys):
    folder = tmp_path / "run"
    assert train.main([*RUN, "--channels", "4", "--leaky", "--output-dir", str(folder)]) == 0
    assert "tiny with" in capsys.readouterr().out
    written = json.loads((folder / "config.json").read_text())
    assert (written["channels"], written["leaky"], written["rate"]) == (4, True, None)
    assert "width" not in written
    last = folder / "checkpoints" / "last.npz"
    described = load_checkpoint(last).header["model"]
    assert described["name"] == "tiny"
    assert described["arguments"] == {
        **{"num_classes": len(load_checkpoint(last).header["classes"])},
        **{"channels": 4, "leaky": True, "rate": None},
    }

    assert train.main(["--resume", str(folder), "--epochs", "2", "-q", "--reschedule"]) == 0
    assert load_checkpoint(last).header["progress"]["epoch"] == 2
    assert load_trained(folder).segmenter.model.first.weight.shape[0] == 4
    assert evaluate.main([str(folder), "--device", "cpu"]) == 0
    picture = tmp_path / "picture.png"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(picture)
    made = ["-o", str(tmp_path / "made"), "--device", "cpu"]
    assert predict.main([str(folder), str(picture), *made]) == 0
    (folder / "report.html").unlink()
    assert report.main([str(folder)]) == 0
    page = (folder / "report.html").read_text()
    assert "<h1>Tiny on drawn shapes</h1>" in page
    assert "channels 4, leaky True, input 16×16" in text_of(page)
    assert '<tr class="changed"><td>channels</td><td>4</td></tr>' in page
    assert "depth" not in text_of(page)

    toml = ["--config", str(folder / "config.toml"), "--epochs", "0", "-q"]
    assert train.main([*toml, "--output-dir", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert {**again, "epochs": 2, "output_dir": str(folder), "quiet": True} == {
        **json.loads((folder / "config.json").read_text()),
        "quiet": True,
    }


def test_a_run_that_goes_on_keeps_its_network(tmp_path, capsys):
    folder = str(tmp_path / "run")
    assert train.main([*RUN, "-q", "--output-dir", folder]) == 0
    for changes, message in (
        (["--channels", "6"], "--channels is 5 in this run and cannot become 6"),
        (["--model", "deconvnet"], "--model is tiny in this run and cannot become deconvnet"),
        (["--deconvolutions", "2"], "--deconvolutions is an option of deconvnet, not of tiny"),
    ):
        assert train.main(["--resume", folder, *changes]) == 2
        assert message in capsys.readouterr().err


def test_help_shows_the_options_of_one_network(tmp_path, capsys):
    path = tmp_path / "run.toml"
    path.write_text("model = 'tiny'\n")
    for arguments, shown, hidden in (
        ([], "--fc-kernel", "--channels"),
        (["--model", "tiny"], "--channels", "--fc-kernel"),
        (["--config", str(path)], "--channels", "--fc-kernel"),
        (["--config", str(path), "--model", "deconvnet"], "--fc-kernel", "--channels"),
    ):
        with pytest.raises(SystemExit) as stop:
            train.main([*arguments, "--help"])
        assert stop.value.code == 0
        out = capsys.readouterr().out
        assert shown in out
        assert hidden not in out
        assert "--model deconvnet|fcn32s|fcn16s|fcn8s|autoencoder|swwae|probe|tiny" in " ".join(
            out.split()
        )
        assert "--input-size" in out
    train.main(["--model", "tiny", "--print-config"])
    assert '["options of Tiny"]\nchannels = 5\nleaky = false\n# rate is not set' in (
        capsys.readouterr().out
    )


def test_an_option_of_another_network_is_one_sentence(tmp_path, capsys):
    wrong = (
        "--deconvolutions is an option of deconvnet, not of tiny,"
        " which has --channels, --leaky, --rate"
    )
    for option in (["--deconvolutions", "2"], ["--deconvolutions=2"]):
        assert train.main([*RUN, *option]) == 2
        assert capsys.readouterr().err == f"minideconv.train: {wrong}\n"
    assert train.main(["--channels", "3"]) == 2
    assert "--channels is an option of tiny, not of deconvnet, which has --width, --depth" in (
        capsys.readouterr().err
    )
    path = tmp_path / "run.toml"
    path.write_text("width = 8\n")
    assert train.main(["--config", str(path), "--model", "tiny"]) == 2
    assert (
        f"--config {path}: width is an option of deconvnet, fcn32s, fcn16s, fcn8s and 3 more, not"
        in capsys.readouterr().err
    )
    with pytest.raises(
        SettingError, match=r"^upsampling is an option of deconvnet, .* has channels"
    ):
        TrainConfig(model="tiny", upsampling="fixed")
    with pytest.raises(UsageError, match="no setting 'chanels'; did you mean channels"):
        TrainConfig(model="tiny", chanels=8)
    with pytest.raises(UsageError, match="has a setting 'width', which this minideconv does not"):
        TrainConfig.from_dict({"model": "tiny", "width": 8})


def test_options_are_checked_as_settings_are():
    config = TrainConfig(model="tiny", channels=7)
    assert config.network == TinyOptions(channels=7)
    assert TrainConfig(model="tiny", network=TinyOptions(channels=7)) == config
    assert TrainConfig(model="tiny", network=TinyOptions(channels=2), channels=7) == config
    assert TrainConfig.from_dict(config.to_dict()) == config
    for values, message in (
        ({"channels": 0}, "^channels is 0; it must be >= 1"),
        ({"rate": "much"}, "^rate is 'much'; it must be a number"),
        ({"network": TrainConfig().network}, "tiny has TinyOptions"),
        ({"recompute": True}, "^recompute is not for model tiny"),
        (
            {"model": "tinny"},
            "^model is 'tinny'; it must be one of deconvnet, fcn32s, fcn16s, fcn8s, autoencoder,"
            " swwae, probe, tiny",
        ),
        ({"model": ["tiny"]}, r"^model is \['tiny'\]; it must be a text"),
    ):
        with pytest.raises(UsageError, match=message):
            TrainConfig(**{"model": "tiny", **values})


def test_a_network_gets_of_the_run_what_it_has_an_argument_for():
    config = TrainConfig(model="tiny", channels=7, input_size=20)
    assert config.model_arguments(3) == {
        **{"num_classes": 3, "channels": 7, "leaky": False, "rate": None},
    }
    assert TrainConfig(input_size=20, fc_kernel=0, depth=2).model_arguments(3) == {
        **{"num_classes": 3, "in_channels": 3, "input_size": 20, "recompute": False},
        **{"width": 16, "fc": 256, "stages": 2, "fc_kernel": None, "padding": "paper"},
        **{"batch_norm": "all", "dropout": 0.0, "deconvolutions": None, "output_stride": 1},
        **{"coarse_scores": False, "upsampling": "switches"},
    }


def test_a_wrong_declaration_is_an_error_when_it_is_registered():
    with pytest.raises(ValueError, match=r"'deconvnet' is already minideconv\.models\.deconvnet"):
        models.register("deconvnet")(Tiny)
    models.register("tiny", TinyOptions)(Tiny)  # a cell of a notebook that is run again

    class Bare(NetworkOptions):
        channels: int = setting(5, "of the hidden layer")

    with pytest.raises(TypeError, match="Bare must be a dataclass"):
        models.register("other", Bare)(Tiny)

    @dataclass(frozen=True, kw_only=True)
    class Colour(NetworkOptions):
        colour: str = setting("red", "of the network")

    with pytest.raises(TypeError, match="other does not take the argument 'colour'"):
        models.register("other", Colour)(Tiny)

    @dataclass(frozen=True, kw_only=True)
    class Plain(NetworkOptions):
        channels: int = 5

    @dataclass(frozen=True, kw_only=True)
    class Several(NetworkOptions):
        channels: tuple[int, ...] = setting((), "of the hidden layers")

    for options in (Plain, Several):
        with pytest.raises(TypeError, match=f"{options.__name__}: channels must be a bool, int"):
            models.register("other", options)(Tiny)
    assert "other" not in models.MODELS


def test_an_option_may_not_have_the_name_of_a_setting():
    @dataclass(frozen=True, kw_only=True)
    class Options(NetworkOptions):
        lr: float = setting(0.5, "of the network")

    models.register("other", Options)(lambda lr: nn.Module())
    with pytest.raises(ValueError, match="other: every run has a setting 'lr' already"):
        TrainConfig(model="other")


def test_a_network_holds_how_it_is_built_again():
    models.register("silent")(lambda: nn.Module())
    with pytest.raises(TypeError, match=r"silent needs a method config\(\)"):
        models.build("silent", {})
    assert TrainConfig(model="silent").network.summary() == ""


def test_a_checkpoint_of_a_network_that_is_not_registered(tmp_path, capsys):
    folder = str(tmp_path / "run")
    assert train.main([*RUN, "-q", "--output-dir", folder]) == 0
    del models.MODELS["tiny"]
    with pytest.raises(CheckpointError, match="no network is called 'tiny'; there are deconvnet"):
        load_trained(folder, prefer="last")
    for command in (train.main, report.main):
        arguments = ["--resume", folder] if command is train.main else [folder]
        assert command(arguments) == 2
        assert "model is 'tiny'; it must be one of deconvnet" in capsys.readouterr().err
