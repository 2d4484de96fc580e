"""Settings: one dataclass behind the options, the file and the notebook; mistakes are sentences."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import pickle
import re

import pytest

from minideconv import train
from minideconv.backend import as_device
from minideconv.errors import SettingError, UsageError
from minideconv.settings.options import add_options, given_options, read_toml
from minideconv.tasks import Segmentation
from minideconv.training import build
from minideconv.training.computing import computing
from minideconv.training.config import TrainConfig, read_config


def parse(*arguments: str) -> dict:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, TrainConfig.settings())
    return given_options(parser.parse_args(arguments), TrainConfig.settings())


def test_every_field_has_an_option_and_only_given_ones_are_returned():
    parser = argparse.ArgumentParser()
    add_options(parser, TrainConfig.settings())
    assert {action.dest for action in parser._actions} == {"help", *TrainConfig.settings()}
    assert parse() == {}
    assert parse("--width", "8", "-b", "4", "--lr", "1e-3", "-q") == {
        "width": 8,
        "batch_size": 4,
        "lr": 0.001,
        "quiet": True,
    }
    assert parse("--epochs-stage2", "3") == {"epochs_stage2": 3}


def test_toml_goes_out_and_comes_back(tmp_path):
    config = TrainConfig(
        data="voc", data_root='/a "b"/ü', lr=1e-5, epochs=3, quiet=True, stage="both", lr_stage2=0.5
    )
    path = tmp_path / "run.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert TrainConfig(**read_config(path)) == config


@pytest.mark.parametrize("workers", [None, 0, 1, 3])
def test_the_number_of_workers_comes_back(tmp_path, workers):
    config = TrainConfig(workers=workers)
    path = tmp_path / "run.toml"
    path.write_text(config.to_toml())
    assert TrainConfig(**read_toml(path)) == TrainConfig.from_dict(config.to_dict()) == config
    assert config.workers == workers


def test_toml_tables_only_group(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("width = 8\n[anything]\nbatch-size = 2\n[anything.else]\nlr = 1\n")
    assert read_config(path) == read_toml(path) == {"width": 8, "batch_size": 2, "lr": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("widht = 8", "there is no setting 'widht'; did you mean width?"),
        ("[network]\nbatchsize = 8", "there is no setting 'batchsize'; did you mean batch_size?"),
        ("qqqqqqqq = 8", "there is no setting 'qqqqqqqq'"),
        ("width = ", "is not valid TOML"),
        ("lr = 1\n[a]\nlr = 2", "lr is set twice"),
    ],
)
def test_mistakes_in_the_file(tmp_path, text, message):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        read_config(path)
    assert str(path) in str(caught.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(UsageError, match=r"^.*no\.toml: No such file or directory"):
        read_config(tmp_path / "no.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not text in UTF-8"):
        read_config(tmp_path / "binary.toml")


WRONG = [
    ({"lr": 0.0}, "--lr is 0.0; it must be > 0"),
    ({"lr": float("nan")}, "--lr is nan; it must be finite"),
    ({"lr": "fast"}, "--lr is 'fast'; it must be a number"),
    ({"width": 2.5}, "--width is 2.5; it must be a whole number"),
    ({"width": True}, "--width is True; it must be a whole number"),
    ({"quiet": 1}, "--quiet is 1; it must be true or false"),
    ({"data_root": 3}, "--data-root is 3; it must be a text"),
    ({"width": 0}, "--width is 0; it must be >= 1"),
    ({"momentum": 1.0}, "--momentum is 1.0; it must be in [0, 1)"),
    ({"image_size": 8}, "--image-size is 8; it must be in 16..16384"),
    ({"epochs": -1}, "--epochs is -1; it must be >= 0"),
    ({"optimizer": "sdg"}, "--optimizer is 'sdg'; it must be one of sgd, adam, adamw"),
    ({"stage": "3"}, "--stage is '3'; it must be one of 1, 2, both, whole"),
    ({"data": "voc"}, "--data voc needs --data-root DIR"),
    (
        {"stage": "1", "epochs_stage2": 2},
        "--epochs-stage2 is for --stage both, but",
    ),
    ({"stage": "2", "lr_stage2": 0.1}, "--lr-stage2 is for --stage both, but --stage is 2"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_illegal_values_are_one_sentence(values, message):
    """It names an argument; the command line makes an option of it."""
    with pytest.raises(SettingError) as caught:
        TrainConfig(**values)
    assert caught.value.as_options.startswith(message)
    named = re.sub("--([a-z0-9-]+)", lambda option: option[1].replace("-", "_"), message)
    assert str(caught.value).startswith(named)
    assert "--" not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.as_options) == (str(caught.value), caught.value.as_options)


def test_the_command_has_the_same_errors_for_its_options(tmp_path, capsys):
    path = tmp_path / "run.toml"
    path.write_text("lr = -1\nstage = '2'\nlr_stage2 = 0.5\n")
    assert train.main(["--config", str(path)]) == 2
    assert capsys.readouterr().err == "minideconv.train: --lr is -1; it must be > 0\n"
    assert train.main(["--config", str(path), "--lr", "1"]) == 2
    assert "--lr-stage2 is for --stage both, but --stage is 2; use --lr" in capsys.readouterr().err


def test_texts_that_are_no_numbers_are_refused_by_the_parser():
    with pytest.raises(argparse.ArgumentError, match="'many' is not a whole number"):
        parse("--width", "many")
    with pytest.raises(argparse.ArgumentError, match="'fast' is not a number"):
        parse("--lr", "fast")


def test_the_plan_of_stages():
    assert TrainConfig(stage="1", epochs=3, lr=0.1).plan == (("1", 3, 0.1),)
    assert TrainConfig(stage="whole", epochs=3, lr=0.1).plan == (("whole", 3, 0.1),)
    assert TrainConfig(stage="both", epochs=3, lr=0.1).plan == (("1", 3, 0.1), ("2", 3, 0.1))
    both = TrainConfig(stage="both", epochs=3, lr=0.1, epochs_stage2=7, lr_stage2=0.01)
    assert both.plan == (("1", 3, 0.1), ("2", 7, 0.01))


def test_settings_of_another_version():
    older = TrainConfig(width=9).to_dict()
    del older["momentum"]
    assert TrainConfig.from_dict(older) == TrainConfig(width=9)
    with pytest.raises(UsageError, match="has a setting 'colour', which this minideconv does not"):
        TrainConfig.from_dict({"colour": 1})


def test_a_configuration_cannot_change_under_a_run():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().lr = 1.0


def test_what_is_found_out_later_names_arguments_too():
    with pytest.raises(SettingError, match=r"^data_root /no/such: ") as caught:
        Segmentation.dataset(TrainConfig(data="voc", data_root="/no/such"), "train")
    assert caught.value.as_options.startswith("--data-root /no/such: ")
    with pytest.raises(SettingError, match=r"^depth is 2; with model fcn8s it") as caught:
        build.model(TrainConfig(model="fcn8s", depth=2), 3)
    assert caught.value.as_options == "--depth is 2; with --model fcn8s it must be in 3..5"
    with (
        pytest.raises(SettingError, match=r"^precision bf16 is for a GPU"),
        computing(as_device("cpu"), 1, None, "bf16"),
    ):
        pass


def test_an_option_of_the_network_is_read_as_before():
    config = TrainConfig(width=3)
    assert config.width == config.network.width == 3
    assert copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(AttributeError, match="wide"):
        config.wide  # noqa: B018 (reading it raises)
