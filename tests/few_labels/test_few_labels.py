"""``python -m minideconv.few_labels``: what is trained, what is compared, stopping, resuming."""

from __future__ import annotations

import json
import signal
from xml.etree import ElementTree

import numpy as np
import pytest
from device_tier import DEVICE

from minideconv import tasks
from minideconv.errors import UsageError
from minideconv.few_labels import STARTS, FewLabels
from minideconv.few_labels.__main__ import main
from minideconv.few_labels.picture import draw
from minideconv.few_labels.plan import PretextSettings
from minideconv.few_labels.results import markdown
from minideconv.run_sets import training
from minideconv.training import TrainConfig
from minideconv.training.interrupt import Interrupted
from minideconv.training.run.checkpoint import load_checkpoint, read_header
from minideconv.training.stages import Plan

TINY = [
    *("--val-images", "3", "--image-size", "32", "--input-size", "16", "--width", "2", "-b", "2"),
    *("--recalibrate", "1", "--unlabelled", "6", "--pretext-epochs", "1", "--seed", "5"),
    *("--epoch-steps", "3", "--seeds", "2", "--labels", "2", "4"),
    *("--device", "cpu" if DEVICE == "cpu" else "gpu"),
]


def run(*arguments) -> int:
    return main([*map(str, arguments)])


def weights_of(folder, name):
    return load_checkpoint(folder / "runs" / name / "checkpoints/last.npz").model_state


@pytest.mark.long_on_fakecuda
def test_a_set_with_two_seeds(tmp_path, capsys):
    folder = tmp_path / "set"
    assert run(*TINY, "--fc", "4", "--output", folder) == 0
    printed = capsys.readouterr().out
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert table in printed
    assert "1/16  autoencoder, seed 5: PSNR" in printed
    assert "16/16  swwae-4, seed 6: IoU" in printed
    results = json.loads((folder / "results.json").read_text())
    assert [group["labels"] for group in results["results"]] == [2, 4]
    for group in results["results"]:
        labels = group["labels"]
        assert list(group["starts"]) == ["random", "autoencoder", "swwae"]
        for start, found in group["starts"].items():
            values = []
            for seed in (5, 6):
                path = folder / "runs" / f"{start}-{labels}-{seed}"
                header = read_header(path / "checkpoints/last.npz")
                assert header["progress"]["step"] == 3  # as many updates, whatever the labels
                assert header["config"]["train_images"] == labels
                assert header["config"]["seed"] == seed
                begun = header["config"]["pretrained"]
                own = folder / f"runs/{start}-{seed}/checkpoints/last.npz"
                assert begun == (None if start == "random" else str(own))
                values.append(json.loads((path / "evaluation.json").read_text())["val"]["mean_iou"])
            assert found["values"] == {"5": values[0], "6": values[1]}
            assert found["mean"] == pytest.approx(np.mean(values))
            assert found["spread"] == pytest.approx(np.std(values, ddof=1))
            if start == "random":
                assert found["difference"] is None
                reference = values
            else:
                assert found["difference"]["mean"] == pytest.approx(
                    np.mean(np.subtract(values, reference))
                )
    assert {"autoencoder", "swwae"} == results["pretexts"].keys()
    assert ElementTree.fromstring((folder / "few_labels.svg").read_text()) is not None


def planned(**more) -> FewLabels:
    base = TrainConfig(
        **{"width": 2, "depth": 2, "fc": 4, "input_size": 16, "image_size": 32, "batch_size": 2,
           "epoch_steps": 5, "epochs": 2, "val_images": 3, **more}
    )  # fmt: skip
    return FewLabels(base, PretextSettings(unlabelled=6), (1, 3, 8), ("random", "swwae"), 2)


@pytest.mark.cpu  # settings
def test_runs_differ_in_start_and_labels_alone(tmp_path):
    found = planned()
    one = found.config("random", 3, 0, None).to_dict()
    other = found.config("swwae", 8, 0, tmp_path / "w").to_dict()
    changed = {name for name in one if one[name] != other[name]}
    assert changed == {"pretrained", "train_images", "repeats"}
    assert found.config("imagenet", 3, 0, None).pretrained == "vgg16-trunk-onnx"
    pretext = found.pretext_config("swwae", 1)
    assert (pretext.task, pretext.model, pretext.width, pretext.depth) == ("autoencode", "swwae", 2, 2)  # fmt: skip  # noqa: E501
    assert (pretext.train_images, pretext.seed, pretext.pretrained) == (6, 1, None)


@pytest.mark.cpu  # data
def test_updates_are_equal_and_small_sets_are_parts_of_large_ones():
    found = planned()
    kind, steps, seen = tasks.get("segmentation"), set(), {}
    for seed in (0, 1):
        for labels in found.labels:
            config = found.config("random", labels, seed, None)
            data = kind.dataset(config, "train", labels)
            assert len(data) == labels
            task = kind.from_config(config, data)
            steps.add(Plan(config, task, data).steps)
            seen[seed, labels] = {data.name(index) for index in range(labels)}
            assert len(kind.dataset(config, "val", 3)) == 3
    assert steps == {10}
    assert seen[0, 1] < seen[0, 3] < seen[0, 8]
    assert seen[0, 8] != seen[1, 8]


@pytest.mark.cpu  # settings
def test_a_probe_s_features_stay_as_they_begin(tmp_path):
    folder = tmp_path / "set"
    assert run(*TINY, "--network", "probe", "--starts", "swwae", "--output", folder, "-q") == 0
    begun, ended = weights_of(folder, "swwae-5"), weights_of(folder, "swwae-4-5")
    same = [name for name in ended if name.startswith("conv")]
    assert len(same) == 28
    for name in same:
        np.testing.assert_array_equal(ended[name], begun[name], err_msg=name)
    assert "random" not in (folder / "table.md").read_text().split("\n\n")[0]


@pytest.mark.cpu  # files; a run that is resumed on a device has tests of its own
def test_a_set_that_was_stopped_goes_on(tmp_path, capsys, monkeypatch):
    arguments = [*TINY, "--fc", "4", "--starts", "random", "swwae"]
    assert run(*arguments, "--output", tmp_path / "whole", "-q") == 0
    outcome_of, calls = training.outcome_of, []

    def stopped(kind, after):
        def outcome(config, folder):
            calls.append(folder.path.name)
            if len(calls) == after:
                raise kind("stopped in epoch 1; go on with: another", signal.SIGTERM)
            return outcome_of(config, folder)

        monkeypatch.setattr(training, "outcome_of", outcome)

    folder = tmp_path / "parts"
    hint = f"go on with: python -m minideconv.few_labels --resume {folder}"
    stopped(Interrupted, 2)
    assert run(*arguments, "--output", folder) == 143
    assert capsys.readouterr().err == f"minideconv.few_labels: stopped in epoch 1; {hint}\n"
    stopped(KeyboardInterrupt, 4)
    assert run("--resume", folder) == 130
    assert hint in capsys.readouterr().err
    monkeypatch.setattr(training, "outcome_of", outcome_of)
    assert run("--resume", folder, "-q", "--threads", 1) == 0
    for name in ("swwae-6", "swwae-4-6"):
        whole, parts = (weights_of(tmp_path / part, name) for part in ("whole", "parts"))
        for key, values in whole.items():
            np.testing.assert_array_equal(parts[key], values, err_msg=key)
    one, two = (
        json.loads((tmp_path / part / "results.json").read_text())["results"]
        for part in ("whole", "parts")
    )
    for first, second in zip(one, two, strict=True):
        for start in first["starts"]:
            assert first["starts"][start]["values"] == second["starts"][start]["values"]
    # Seeds can be added; what is done stays.
    assert run("--resume", folder, "--seeds", 3, "-q") == 0
    results = json.loads((folder / "results.json").read_text())
    assert set(results["results"][0]["starts"]["swwae"]["values"]) == {"5", "6", "7"}


def results(values) -> dict:
    """Results for two numbers of labels; `values` are those of each start, by number."""
    groups = []
    for labels, starts in values.items():
        found = {}
        for name, seeds in starts.items():
            mean = np.mean([*seeds.values()]) if seeds else None
            spread = np.std([*seeds.values()], ddof=1) if seeds else None
            pair = {"mean": 0.05, "half_width": 0.02, "seeds": 2, "above": 2}
            found[name] = {
                **{"values": seeds, "mean": mean, "spread": spread, "seconds": 3.2, "done": 2},
                **{"diverged": [] if seeds else [0, 1]},
                "difference": None if name == "random" else pair,
            }
        groups.append({"labels": labels, "starts": found})
    return {"metric": "mean IoU", "seeds": 2, "results": groups, "pretexts": {}}


@pytest.mark.cpu  # text
def test_the_table_and_the_picture_show_all_values():
    found = results(
        {
            10: {"random": {"0": 0.10, "1": 0.14}, "swwae": {"0": 0.15, "1": 0.19}},
            50: {"random": {"0": 0.20, "1": 0.24}, "swwae": {}},
        }
    )
    table = markdown(found)
    assert "| 10 | random weights | 3 | 0.120 ± 0.028 | 0.100, 0.140 | reference |  |" in table
    shown = "0.170 ± 0.028 | 0.150, 0.190 | +0.050 [+0.030, +0.070] | 2 of 2 |"
    assert f"|  | what-where auto-encoder | 3 | {shown}" in table
    assert "| diverged in 2 of 2 |  |" in table
    decided = "Decided (the interval leaves 0 out): 2 of 2 differences."
    assert f"{decided} If no start made a difference" in table
    assert "by chance in 10 % of such experiments.\n\n- what-where" in table
    assert table.endswith("\n- what-where auto-encoder: better with 10, 50 labels\n")
    for half, mean, words, counts in (
        (
            0.06,
            0.05,
            "not told apart from random weights with 10 labels; better with 50 labels",
            "1 of 2",
        ),
        (0.02, -0.05, "worse with 10 labels; better with 50 labels", "2 of 2"),
        (None, 0.05, "better with 50 labels", "1 of 1"),  # a single seed
    ):
        found["results"][0]["starts"]["swwae"]["difference"] |= {"half_width": half, "mean": mean}
        table = markdown(found)
        assert table.endswith(f"\n- what-where auto-encoder: {words}\n")
        assert f"leaves 0 out): {counts} differences." in table
    picture = ElementTree.fromstring(draw(found))
    space = "{http://www.w3.org/2000/svg}"
    dots = [(float(d.get("cx")), float(d.get("cy"))) for d in picture.iter(f"{space}circle")]
    assert len(dots) == 6
    scale = (dots[0][1] - dots[1][1]) / 0.04  # upwards, to scale
    assert scale > 0
    assert dots[0][1] - dots[2][1] == pytest.approx(0.10 * scale, abs=0.3)
    texts = {text.text for text in picture.iter(f"{space}text")}
    assert {"mean IoU", "labelled images", "10", "50", *map(STARTS.get, ("random", "swwae"))} <= texts  # fmt: skip  # noqa: E501


@pytest.mark.cpu  # text
def test_the_picture_of_nothing_yet():
    assert "<circle" not in draw({"metric": "mean IoU", "results": []})


@pytest.mark.cpu  # files and sentences
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--seeds", "1"], "seeds is 1; a spread over seeds needs at least 2"),
        (["--labels", "3", "3"], "argument --labels: 3 is named twice; name each once"),
        (["--labels", "7000"], "labels: 7000 images are asked for, but shapes train has 6000"),
        (["--epoch-steps", "0"], "epoch_steps is 0; it must be the updates of an epoch"),
        (["--starts", "magic"], "invalid choice: 'magic'"),
        (["--network", "probe", "--fc", "3"], "unrecognized arguments: --fc 3"),
        (["--lr", "-1"], "--lr is -1.0; it must be > 0"),
        (["--data", "voc"], "--data voc needs --data-root DIR"),
        (["--resume", "absent"], "--resume absent is no folder of a set of starts and labels"),
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
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


@pytest.mark.cpu  # files and sentences
def test_a_folder_that_is_taken(tmp_path, capsys):
    folder = tmp_path / "set"
    assert run(*TINY, "--fc", "4", "--starts", "random", "--output", folder, "-q") == 0
    for arguments, sentence in [
        (["--output", folder], f"go on with it by --resume {folder}"),
        (["--resume", folder, "--labels", "3"], "--labels is 2 4 in this set and cannot become 3"),
        (["--resume", folder, "--lr", "0.5"], "--lr is 0.002 in this set and cannot become 0.5"),
        (["--resume", folder, "--epochs", "9"], "--epochs is 1 in this set and cannot become 9"),
    ]:
        assert run(*arguments) == 2
        assert sentence in capsys.readouterr().err
    (folder / "few_labels.json").write_text("{")
    assert run("--resume", folder) == 2
    assert "is no folder of a set of starts and labels" in capsys.readouterr().err


@pytest.mark.cpu  # of no device
def test_a_start_that_is_not_known():
    with pytest.raises(UsageError, match="starts are random, random; they must be different"):
        FewLabels(TrainConfig(epoch_steps=1), PretextSettings(), (1,), ("random", "random"), 2)
    with pytest.raises(UsageError, match="starts: 'x' is not known; there are random, autoencoder"):
        FewLabels(TrainConfig(epoch_steps=1), PretextSettings(), (1,), ("x",), 2)
