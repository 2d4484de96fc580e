"""``python -m minideconv.train --device gpu`` from end to end: it follows the run on the CPU.

The same seed is the same run: weights are drawn on the host, batches are the same bytes. What may
differ is the rounding of sums made in another order.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from minideconv import evaluate, predict, report, train
from minideconv.backend import default_device, to_cpu
from minideconv.backend.precisions import precision
from minideconv.data.shapes import Shapes
from minideconv.training.config import TrainConfig
from minideconv.training.interrupt import Interrupted
from minideconv.training.run.checkpoint import load_checkpoint
from minideconv.training.run.folder import RunFolder
from minideconv.training.trainer import Trainer

TINY = {
    **{"train_images": 16, "val_images": 3, "image_size": 16, "input_size": 16, "width": 4},
    **{"fc": 6, "depth": 2, "batch_size": 4, "stage": "whole", "difficulty": "easy", "images": 1},
    **{"recalibrate": 2, "print_freq": 1, "final_images": 2, "warmup": 2, "quiet": True},
}
WAYS = {
    "sgd": {"epochs": 3, "lr": 0.01},
    "adamw": {"epochs": 2, "optimizer": "adamw", "lr": 0.003, "clip_grad": 1.0, "graph": "off"},
    "accumulate": {"epochs": 3, "accumulate": 3, "lr": 0.01, "label_smoothing": 0.1},
    "two stages": {"stage": "both", "epochs": 1, "epochs_stage2": 1, "recompute": True, "lr": 0.01},
}


@pytest.fixture(autouse=True)
def _a_program(cupy_device):
    """As a program that was just started: tensors are made on the CPU."""
    with default_device("cpu"):
        yield


def options(settings):
    text = []
    for name, value in settings.items():
        option = "--" + name.replace("_", "-")
        text += [option] if value is True else [f"{option}={value}"]
    return text


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("way", WAYS)
def test_every_logged_loss_is_that_of_the_cpu(way, tmp_path):
    settings = {**TINY, **WAYS[way]}
    for device in ("cpu", "gpu"):
        arguments = [*options(settings), f"--device={device}"]
        assert train.main([*arguments, f"--output-dir={tmp_path / device}"]) == 0
    one, two = lines(tmp_path / "cpu"), lines(tmp_path / "gpu")
    assert len(one) == len(two) > 4
    for host, device in zip(one, two, strict=True):
        for name in ("kind", "step", "epoch", "stage", "lr"):
            assert host[name] == device[name]
        if host["kind"] == "step":
            assert device["loss"] == pytest.approx(host["loss"], rel=1e-5)
        else:
            for subset in ("train", "val"):
                assert device[subset]["loss"] == pytest.approx(host[subset]["loss"], rel=1e-5)
                for name in ("pixel_accuracy", "mean_iou"):
                    assert device[subset][name] == pytest.approx(host[subset][name], abs=0.01)
    states = [load_checkpoint(tmp_path / d / "checkpoints" / "last.npz") for d in ("cpu", "gpu")]
    for name, array in states[0].model_state.items():
        if name.endswith(("layer.bias", "running_mean")):
            continue  # batch norm takes a bias out again: its gradient is nothing but rounding
        np.testing.assert_allclose(states[1].model_state[name], array, rtol=1e-3, atol=1e-4)
    assert states[1].header["progress"]["step"] == states[0].header["progress"]["step"]


def test_another_seed_is_another_run(tmp_path):
    """The comparison above is able to fail."""
    settings = {**TINY, "epochs": 1, "recalibrate": 0}
    for seed in (0, 1):
        arguments = [*options(settings), "--device=gpu", f"--seed={seed}"]
        assert train.main([*arguments, f"--output-dir={tmp_path / str(seed)}"]) == 0
    one, two = (lines(tmp_path / seed)[0]["loss"] for seed in "01")
    assert two != pytest.approx(one, rel=1e-5)


def test_a_run_leaves_its_folder_behind_and_its_network_can_be_used(tmp_path, capsys):
    folder = tmp_path / "run"
    settings = {**TINY, "epochs": 1, "quiet": False}
    del settings["quiet"]
    assert train.main([*options(settings), "--device=gpu", f"--output-dir={folder}"]) == 0
    assert "on gpu:0 (fp32, " in capsys.readouterr().out
    names = {path.name for path in folder.rglob("*")}
    assert {"last.npz", "best.npz", "report.html", "activations.json", "epoch_001.png"} <= names
    last = lines(folder)[-1]
    assert last["memory"]["device"] >= last["memory"]["arrays"] > 0
    results = []
    for device in ("cpu", "gpu"):
        out = tmp_path / f"{device}.json"
        arguments = [str(folder), f"--device={device}", "--json", str(out), "-q"]
        assert evaluate.main(arguments) == 0
        results.append(json.loads(out.read_text()))
    assert results[1]["pixel_accuracy"] == pytest.approx(results[0]["pixel_accuracy"], abs=0.01)
    picture = tmp_path / "picture.png"
    Image.fromarray(Shapes("val", length=1, size=16)[0][0]).save(picture)
    masks = []
    for device, bits in (("cpu", "fp32"), ("gpu", "fp32"), ("gpu", "fp16")):
        out = tmp_path / f"{device}-{bits}"
        arguments = [str(folder), str(picture), f"--device={device}", f"--precision={bits}"]
        assert predict.main([*arguments, "-q", "-o", str(out)]) == 0
        masks.append(np.asarray(Image.open(out / "picture.png")))
    assert (masks[0] == masks[1]).mean() > 0.98
    assert (masks[0] == masks[2]).mean() > 0.8
    (folder / "report.html").unlink()
    assert report.main([str(folder)]) == 0
    assert (folder / "report.html").exists()


@pytest.mark.parametrize("program", [train, evaluate, predict])
def test_the_cpu_has_one_precision(program, tmp_path, capsys):
    folder = tmp_path / "run"
    settings = {**TINY, "epochs": 1}
    assert train.main([*options(settings), "--device=cpu", f"--output-dir={folder}"]) == 0
    where = [f"--output-dir={tmp_path / 'other'}"] if program is train else [str(folder)]
    where += ["picture.png"] if program is predict else []
    chosen = [*where, "--device=cpu", "--precision=bf16"]
    assert program.main([*(options(settings) if program is train else []), *chosen]) == 2
    assert "--precision bf16 is for a GPU" in capsys.readouterr().err


def session(folder, settings, stop_at=None, resume=False):
    """Train into `folder`; stop after step `stop_at`."""
    config = TrainConfig(**settings)
    run = RunFolder(folder)
    trainer = Trainer(config, run=run, resume=run.last if resume else None)
    run.create(config)

    def step(info):
        if trainer.progress.step == stop_at:
            trainer.stop.ask()

    trainer.show.step = step
    with precision(config.precision):
        trainer.fit()


def content(folder):
    """Return the last checkpoint and the metrics, without times and what the GPU's pool held."""
    saved = load_checkpoint(folder / "checkpoints" / "last.npz")
    saved.header["progress"].pop("elapsed")

    def plain(tree):
        if isinstance(tree, np.ndarray):
            return (str(tree.dtype), tree.shape, tree.tobytes())
        if isinstance(tree, dict):
            return {key: plain(value) for key, value in tree.items()}
        return [plain(value) for value in tree] if isinstance(tree, list) else tree

    times = {"elapsed", "images_per_second", "data_wait", "memory"}
    metrics = [{k: v for k, v in line.items() if k not in times} for line in lines(folder)]
    return plain(saved.model_state), plain(saved.state), saved.header, metrics


@pytest.mark.parametrize(
    ("graph", "bits"),
    [
        ("off", "fp32"),
        ("on", "fp32"),
        pytest.param("on", "fp16", marks=pytest.mark.long_on_fakecuda),
    ],
)
def test_stopping_and_resuming_changes_no_byte(graph, bits, tmp_path):
    """In the middle of an epoch, between two readings, with batches on their way."""
    settings = {**TINY, "epochs": 3, "optimizer": "adamw", "lr": 0.003, "print_freq": 3}
    settings |= {"device": "gpu", "graph": graph, "workers": 1, "precision": bits}
    session(tmp_path / "whole", settings)
    with pytest.raises(Interrupted):
        session(tmp_path / "part", settings, stop_at=5)
    with pytest.raises(Interrupted):
        session(tmp_path / "part", settings, stop_at=8, resume=True)
    session(tmp_path / "part", settings, resume=True)
    assert content(tmp_path / "whole") == content(tmp_path / "part")


def test_a_run_of_the_gpu_goes_on_on_the_cpu_and_back(tmp_path):
    settings = {**TINY, "epochs": 3, "precision": "fp16"}
    for stop_at, resume, device in ((5, False, "gpu"), (8, True, "cpu"), (None, True, "gpu")):
        here = {**settings, "device": device}
        if device == "cpu":
            here["precision"] = "fp32"
        if stop_at is None:
            session(tmp_path, here, resume=resume)
        else:
            with pytest.raises(Interrupted):
                session(tmp_path, here, stop_at, resume)
    losses = [line["train"]["loss"] for line in lines(tmp_path) if line["kind"] == "epoch"]
    assert losses[2] < losses[0]


def test_pictures_drawn_by_processes_are_the_same_run(monkeypatch):
    """With the default number of threads there are processes, where there are cores for them."""
    settings = {**TINY, "train_images": 300, "batch_size": 10, "epochs": 2, "device": "gpu"}
    draw, here, processes, weights = Shapes._draw, [], [], []

    def counted(shapes, index):
        here.append(shapes.split)
        return draw(shapes, index)

    monkeypatch.setattr(Shapes, "_draw", counted)
    for workers in (1, 2):
        trainer = Trainer(TrainConfig(**settings, workers=workers))
        helpers = trainer.plan.stages[0].loader._processes

        def step(info, helpers=helpers):
            helpers.wait()
            processes.extend(helpers.running)

        trainer.show.step = step
        trainer.fit()
        weights.append({name: to_cpu(a) for name, a in trainer.model.arrays().items()})
        assert helpers.running == []
        assert all(process.poll() is not None for process in processes)
        assert bool(processes) == (workers == 2)
        assert (here.count("train") < 300) == (workers == 2)
        here.clear()
    for name, array in weights[0].items():
        np.testing.assert_array_equal(weights[1][name], array)
