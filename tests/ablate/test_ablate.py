"""``python -m minideconv.ablate``: what is trained, what is left behind, stopping, resuming."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from device_tier import DEVICE

from minideconv import models, tasks
from minideconv.ablate import ABLATIONS
from minideconv.ablate.__main__ import main
from minideconv.ablate.folder import Folder, RunSet
from minideconv.ablate.picture import draw
from minideconv.ablate.results import markdown
from minideconv.ablate.variants import configurations, equal_updates, run_name
from minideconv.errors import DivergenceError, UsageError
from minideconv.run_sets import training
from minideconv.training import TrainConfig
from minideconv.training.interrupt import Interrupted
from minideconv.training.run.checkpoint import load_checkpoint, read_header
from minideconv.training.stages import Plan
from minideconv.training.trainer import Trainer

pytestmark = pytest.mark.cpu

TINY = [
    *("--train-images", "6", "--val-images", "3", "--image-size", "32", "--class-balance", "0"),
    *("--input-size", "16", "--width", "2", "--fc", "8", "--depth", "2", "-b", "2"),
    *("--recalibrate", "1", "--seeds", "2", "--epochs", "2", "--seed", "5"),
    *("--device", "cpu" if DEVICE == "cpu" else "gpu"),
]


def run(*arguments) -> int:
    return main([*map(str, arguments)])


def test_one_ablation_with_two_seeds(tmp_path, capsys):
    folder = tmp_path / "set"
    assert run(*TINY, "--only", "upsampling", "--output", folder) == 0
    printed = capsys.readouterr().out
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert table in printed
    assert "8/8  upsampling-learned, seed 6: IoU" in printed
    results = json.loads((folder / "results.json").read_text())
    (found,) = results["results"]
    variants = found["variants"]
    assert [v["name"] for v in variants] == ["switches", "fixed", "bilinear", "learned"]
    assert {v["updates"] for v in variants} == {6}
    for variant in variants:
        options = "switches" if variant["run"] == "base" else variant["name"]
        values = []
        for seed in (5, 6):
            header = read_header(folder / "runs" / f"{variant['run']}-{seed}/checkpoints/last.npz")
            assert header["config"]["seed"] == seed
            assert header["model"]["arguments"]["upsampling"] == options
            evaluation = folder / "runs" / f"{variant['run']}-{seed}" / "evaluation.json"
            values.append(json.loads(evaluation.read_text())["val"]["mean_iou"])
        assert variant["values"] == {"5": values[0], "6": values[1]}
        assert variant["mean"] == pytest.approx(np.mean(values))
        assert variant["spread"] == pytest.approx(np.std(values, ddof=1))
        network = models.build("deconvnet", header["model"]["arguments"])
        assert variant["parameters"] == network.num_parameters()
        assert f"{network.num_parameters():,}" in table
    assert variants[3]["parameters"] > variants[0]["parameters"]
    assert variants[0]["difference"] is None
    by_hand = [variants[1]["values"][s] - variants[0]["values"][s] for s in "56"]
    assert variants[1]["difference"]["mean"] == pytest.approx(np.mean(by_hand))


def base(**values) -> TrainConfig:
    small = {"train_images": 12, "val_images": 3, "image_size": 32, "input_size": 16, "depth": 2}
    return TrainConfig(**{**small, "batch_size": 2, "epochs": 3, "width": 4, "fc": 16, **values})


def test_variants_differ_in_their_thing_alone():
    start = base()
    configs = configurations(start, list(ABLATIONS))
    plain = start.to_dict()
    allowed = {
        "stages": {"stage", "epochs", "epochs_stage2"},
        "batch-norm": {"batch_norm", "lr"},
        "upsampling": {"upsampling"},
        "bottleneck": {"fc"},
    }
    for name, ablation in ABLATIONS.items():
        seen = []
        for variant in ablation.variants:
            config = configs[run_name(name, variant, start)].to_dict()
            changed = {key: value for key, value in config.items() if value != plain[key]}
            assert changed.keys() <= allowed[name]
            assert changed not in seen
            seen.append(changed)
    assert sum(name == "base" for name in configs) == 1


def test_all_variants_have_as_many_updates():
    configs = configurations(base(), list(ABLATIONS))

    def updates(configs):
        kind = tasks.get("segmentation")
        data = kind.dataset(base(), "train", 12)
        task = kind.from_config(base(), data)
        return {Plan(config, task, data).steps for config in configs.values()}

    assert len(updates(configs)) > 1  # a pass over the crops has another length
    assert len(updates(equal_updates(configs))) == 1
    limited = configurations(base(epoch_steps=2), list(ABLATIONS))
    assert updates(equal_updates(limited)) == {6}
    with pytest.raises(UsageError, match=r"epoch_steps is 50, but the shortest pass .* has \d+"):
        equal_updates(configurations(base(epoch_steps=50), ["stages"]))


@pytest.mark.cpu  # files; a run that is resumed on a device has tests of its own
def test_a_set_that_was_stopped_goes_on(tmp_path, capsys, monkeypatch):
    """Ctrl-C between runs and within one; finished runs stay as they are; seeds can be added."""
    folder = tmp_path / "set"
    session = training.run_session
    calls = []

    def stopped(kind, after):
        def run_session(config, run, resume=None):
            calls.append((run.path.name, resume is not None))
            if len(calls) == after:
                if kind is KeyboardInterrupt:
                    raise KeyboardInterrupt
                raise Interrupted("stopped in epoch 1; go on with: another", signal.SIGTERM)
            return session(config, run, resume)

        monkeypatch.setattr(training, "run_session", run_session)

    stopped(Interrupted, 2)
    arguments = [*TINY, "--only", "bottleneck", "--output", folder]
    assert run(*arguments) == 143
    hint = f"python -m minideconv.ablate --resume {folder}"
    assert capsys.readouterr().err == f"minideconv.ablate: stopped in epoch 1; go on with: {hint}\n"
    assert (folder / "table.md").exists()
    first = (folder / "runs/base-5/checkpoints/last.npz").read_bytes()
    calls.clear()
    stopped(KeyboardInterrupt, 3)
    assert run("--resume", folder) == 130
    assert hint in capsys.readouterr().err
    assert [name for name, _ in calls] == [
        "bottleneck-eighth-5",
        "bottleneck-quadruple-5",
        "base-6",
    ]
    calls.clear()
    stopped(None, 0)
    assert run("--resume", folder, "--seeds", 3, "--threads", 1, "-q") == 0
    assert capsys.readouterr().out == ""
    assert calls[0] == ("base-6", False)
    assert len(calls) == 6
    assert (folder / "runs/base-5/checkpoints/last.npz").read_bytes() == first
    results = json.loads((folder / "results.json").read_text())
    assert [v["values"].keys() for v in results["results"][0]["variants"]] == [{*"567"}] * 3


@pytest.mark.cpu  # files; a run that is resumed on a device has tests of its own
def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch):
    """The set goes on from the run's own checkpoint, and ends with the same bytes."""
    arguments = [*TINY, "--only", "bottleneck", "--save-every", 1]
    assert run(*arguments, "--output", tmp_path / "whole", "-q") == 0
    step = Trainer._step

    def last_step(trainer, stage):
        step(trainer, stage)
        trainer.stop.ask()

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", last_step)
        assert run(*arguments, "--output", tmp_path / "parts", "-q") == 130
    assert not (tmp_path / "parts/runs/base-5/outcome.json").exists()
    assert run("--resume", tmp_path / "parts", "-q") == 0
    whole, parts = (
        load_checkpoint(tmp_path / name / "runs/base-5/checkpoints/last.npz").model_state
        for name in ("whole", "parts")
    )
    for name, values in whole.items():
        assert np.array_equal(values, parts[name]), name


def test_a_variant_that_diverges_is_a_result(tmp_path, capsys, monkeypatch):
    session = training.run_session

    def run_session(config, run, resume=None):
        if config.batch_norm == "none" and config.lr > 0.05:
            run.create(config)
            raise DivergenceError("the loss (nan) stopped being finite")
        return session(config, run, resume)

    monkeypatch.setattr(training, "run_session", run_session)
    folder = tmp_path / "set"
    assert run(*TINY, "--only", "batch-norm", "--output", folder) == 0
    assert "batch-norm-none, seed 5: diverged: the loss (nan)" in capsys.readouterr().out
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert re.search(r"\| nowhere \|.*\| diverged in 2 of 2 \| - \|", table)
    assert "nowhere, learning rate 0.01" in table
    assert "diverged in 2 of 2" in (folder / "ablations.svg").read_text(encoding="utf-8")


def results(values) -> dict:
    """Results of one ablation whose variants have these values."""
    rows = [
        {
            **{"label": f"variant <{i}>", "run": str(i), "done": len(found), "parameters": 1234},
            **{"updates": 10, "seconds": 1.5, "values": found, "diverged": []},
            **{"mean": np.mean([*found.values()]), "spread": np.std([*found.values()], ddof=1)},
            "difference": {"mean": -0.05, "half_width": 0.02, "seeds": 2, "above": 0}
            if i
            else None,
        }
        for i, found in enumerate(values)
    ]
    return {"metric": "mean IoU", "seeds": 2, "results": [{"title": "t & u", "variants": rows}]}


@pytest.mark.cpu  # text
def test_the_table_and_the_picture_show_all_values():
    found = results([{"0": 0.50, "1": 0.54}, {"0": 0.45, "1": 0.49}])
    row = "|  | variant <1> | 1,234 | 10 | 2 | 0.470 ± 0.028 | -0.050 [-0.070, -0.030] | 0 of 2 |"
    assert row in markdown(found)
    picture = ElementTree.fromstring(draw(found))
    space = "{http://www.w3.org/2000/svg}"
    dots = [float(dot.get("cx")) for dot in picture.iter(f"{space}circle")]
    assert len(dots) == 4
    # In the order of their values, and to scale.
    scale = (dots[1] - dots[0]) / 0.04
    assert scale > 0
    assert dots[2] - dots[0] == pytest.approx(-0.05 * scale, abs=0.2)
    texts = [text.text for text in picture.iter(f"{space}text")]
    assert {"t & u", "variant <1>", "mean IoU"} <= set(texts)


@pytest.mark.cpu  # text
def test_the_page_says_what_the_stored_table_says():
    root = Path(__file__).resolve().parents[2]
    stored = json.loads((root / "benchmarks/results/ablations.json").read_text(encoding="utf-8"))
    decided = {}
    for ablation in stored["results"]:
        for variant in ablation["variants"][1:]:
            found = variant["difference"]
            if abs(found["mean"]) > found["half_width"]:
                decided[variant["run"]] = found["mean"] > 0
    assert decided == {
        **{"stages-one": False, "batch-norm-none-lower-lr": False, "upsampling-bilinear": True}
    }
    page = (root / "docs/ablations.md").read_text(encoding="utf-8")
    compared = sum(len(ablation["variants"]) - 1 for ablation in stored["results"])
    words = {3: "three", 9: "nine"}
    assert f"With three seeds, {words[len(decided)]} of {words[compared]} differences" in page
    assert stored["seeds"] == 3


def test_the_picture_of_one_value_or_none():
    assert "<circle" in draw(results([{"0": 0.25, "1": 0.25}]))
    empty = results([{"0": 0.0, "1": 0.0}])
    empty["results"][0]["variants"][0] |= {"values": {}, "mean": None, "spread": None}
    assert "<circle" not in draw(empty)
    assert "| - | reference |  |" in markdown(empty)


@pytest.mark.cpu  # files and sentences
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--seeds", "1"], "--seeds is 1; a spread over seeds needs at least 2"),
        (["--only", "stages", "--epochs", "1"], "--epochs is 1; two stages need at least 2"),
        (["--only", "magic"], "invalid choice: 'magic'"),
        (["--upsampling", "fixed"], "unrecognized arguments: --upsampling fixed"),
        (["--lr", "-1"], "--lr is -1.0; it must be > 0"),
        (["--epoch-steps", "99"], "--epoch-steps is 99, but the shortest pass over the data has"),
        (["--resume", "absent"], "--resume absent is no folder of a set of ablations"),
    ],
)
def test_wrong_usage(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    try:
        code = run(*TINY, *arguments)
    except SystemExit as ended:  # argparse's own
        code = ended.code
    assert code == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "runs" / "ablations").exists()  # the corrected command can make it


@pytest.mark.cpu  # files and sentences
def test_a_folder_that_is_taken(tmp_path, capsys):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "table.md").write_text("mine")
    assert run(*TINY, "--output", folder) == 2
    assert "already holds table.md, which the set would overwrite" in capsys.readouterr().err
    (folder / "table.md").unlink()
    with Folder(folder).new(RunSet(base(seed=3), ("bottleneck",), 4)):
        assert run("--resume", folder) == 2
        assert "is in use" in capsys.readouterr().err
    for arguments, sentence in [
        (["--output", folder], f"go on with it by --resume {folder}"),
        (
            ["--resume", folder, "--only", "stages"],
            "--only is bottleneck in this set and cannot",
        ),
        (["--resume", folder, "--lr", "0.5"], "--lr is 0.1 in this set and cannot become 0.5"),
        (["--resume", folder, "--epochs", "9"], "--epochs is 3 in this set and cannot become 9"),
        (["--resume", folder, "--seeds", "2"], "is a set of 4; it can only become more"),
    ]:
        assert run(*arguments) == 2
        assert sentence in capsys.readouterr().err
    (folder / "ablation.json").write_text("{")
    assert run("--resume", folder) == 2
    assert "is no folder of a set of ablations" in capsys.readouterr().err
