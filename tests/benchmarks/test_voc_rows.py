"""The recipe of the comparison on photographs: its commands are legal, its results are of it."""

from __future__ import annotations

import importlib
import json
import shlex
from itertools import pairwise

import pytest

from benchmarks import voc_rows
from benchmarks.voc_recipe import DOCUMENTED, GROUPS, ROWS, needed
from benchmarks.voc_rows import RESULTS, commands
from minideconv import train
from minideconv.errors import UsageError
from minideconv.settings.options import given_options
from minideconv.training import TrainConfig

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize("name", ROWS)
def test_every_command_is_legal(name):
    for command in commands(name, DOCUMENTED).values():
        program, *options = command
        if program == "minideconv.train":
            model = options[options.index("--model") + 1]
            parser, settings = train.make_parser(model), TrainConfig.settings(model)
            config = TrainConfig(**given_options(parser.parse_args(options), settings))
            assert config.output_dir == f"runs/voc/{name}"
        else:
            parser = importlib.import_module(program)
            if hasattr(parser, "__path__"):
                parser = importlib.import_module(f"{program}.__main__")
            parser.make_parser().parse_args(options)


def test_a_row_comes_behind_what_it_begins_with():
    order = list(ROWS)
    for name, row in ROWS.items():
        assert all(order.index(other) < order.index(name) for other in row.begins_with)
    assert needed("deconvnet") == ["fcn32s", "deconvnet"]


def test_the_list_shows_commands_that_can_be_typed(capsys):
    assert voc_rows.main(["--list", "--only", "fcn8s", "--output", "my runs"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) < 100
    title, training, plain, flip = printed.replace(" \\\n   ", "").splitlines()
    assert title == "# FCN-8s at 448 pixels, frozen trunk"
    assert shlex.split(training)[:3] == ["python", "-m", "minideconv.train"]
    assert training.endswith("--output-dir 'my runs/fcn8s'")
    assert plain == "python -m minideconv.evaluate 'my runs/fcn8s' --which last"
    assert flip == f"{plain} --flip"


def test_the_stored_results_are_of_this_recipe():
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    assert set(stored) <= set(ROWS)
    tables = [voc_rows.table(stored, group) for group in GROUPS]
    assert sum(text.count("\n") - 2 for text in tables) == len(stored)
    for name, found in stored.items():
        folder = shlex.split(found["commands"][0])
        places = dict(pairwise(folder))
        # What another machine may have elsewhere is taken from the command itself.
        there = {
            "data": places.get("--data-root", ""),
            "trunk": places.get("--pretrained", ""),
            "output": (places.get("--output-dir") or places["--output"]).rsplit("/", 1)[0],
        }
        expected = commands(name, there).values()
        assert found["commands"] == [shlex.join(["python", "-m", *each]) for each in expected]
        log = (voc_rows.LOGS / f"{name}.log").read_text(encoding="utf-8")
        for command in found["commands"]:
            assert f"$ {command}\n" in log
        for home in ("/root/", "/home/"):
            assert home not in log
        if ROWS[name].is_network:
            assert found["metrics"]["plain"]["images"] == 120


def test_the_table_adds_the_time_of_what_a_row_begins_with():
    def row(seconds, plain, flip):
        metrics = {"plain": {"mean_iou": plain}, "flip": {"mean_iou": flip}}
        return {"seconds": {"1": seconds, "plain": 30, "flip": 30}, "metrics": metrics, "date": "D"}

    stored = {"fcn32s": row(540, 0.25, 0.26), "deconvnet-tuned": row(1140, 0.3, 0.315)}
    *_, first, second = voc_rows.table(stored, "comparison").splitlines()
    assert first == "| FCN-32s, frozen trunk | 25.0 | 26.0 | 10 | D |"
    # The evaluations of what it begins with are not needed for it.
    assert second == "| DeconvNet, conv5 tuned, no skip | 30.0 | 31.5 | 29 | D |"

    def comparison(seconds, inference):
        metrics = {"rows": {"ensemble + CRF": {"mean_iou": 0.456}}, "inference": inference}
        return {"seconds": seconds, "metrics": metrics, "date": "D"}

    stored["fcn8s"] = row(900, 0.3, 0.31)
    stored["comparison"] = comparison({"1": 300, "2": 360}, {"flip": True})
    stored["comparison-paper"] = comparison({"1": 120}, {})
    *_, one, other = (
        line.split(" | ")[1:] for line in voc_rows.table(stored, "comparison").splitlines()
    )
    assert one == ["", "45.6", "54", "D |"]  # (540 + 1140 + 900 + 660) / 60
    assert other == ["45.6", "", "45", "D |"]


def test_a_command_that_fails_ends_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(voc_rows, "RESULTS", tmp_path / "voc_rows.json")
    monkeypatch.setattr(voc_rows, "LOGS", tmp_path / "voc_rows")
    arguments = ["--only", "fcn8s", "--data-root", str(tmp_path / "none"), "--output"]
    with pytest.raises(UsageError, match=r"minideconv\.train ended with exit code 2"):
        voc_rows.main([*arguments, str(tmp_path / "runs")])
    assert not list(tmp_path.glob("voc_rows*"))
    assert f"--data-root {tmp_path / 'none'}" in capsys.readouterr().out
