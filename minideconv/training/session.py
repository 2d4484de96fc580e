"""One sitting of a run, as the command line does it: train, evaluate, report.

A notebook uses `Trainer` itself; this file adds the run folder, the output and the final figures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from minideconv import _version
from minideconv.backend import Device, describe_device, parallel
from minideconv.backend.algorithms import compiled, get_algorithm
from minideconv.backend.precisions import get_precision
from minideconv.distributed import Communicator, Single, check_same, equip, from_first
from minideconv.errors import UsageError
from minideconv.segmentation.metrics import ConfusionMatrix
from minideconv.settings.command_line import naming_device_option
from minideconv.training.computing import computing
from minideconv.training.config import TrainConfig
from minideconv.training.pictures import draw_activations, draw_board, draw_samples
from minideconv.training.run.folder import RunFolder, write_text
from minideconv.training.run.progress import format_seconds, make_progress
from minideconv.training.run.report import write_report
from minideconv.training.trainer import Trainer

__all__ = ["figures_table", "run_session"]


def run_session(
    config: TrainConfig,
    run: RunFolder,
    resume: Path | None = None,
    talk: Communicator | None = None,
) -> int:
    """Train (or go on training) into a run folder; return the exit code 0 or raise.

    With several processes `talk`, every one of them calls this with the same arguments.
    """
    with naming_device_option():
        talk, device = equip(talk or Single(), config.device, config.communication)
    _check_same(talk, config)
    with computing(device, config.threads, config.algorithm, config.precision):
        return _run(config, run, resume, talk, device)


def _check_same(talk: Communicator, config: TrainConfig) -> None:
    """Refuse processes that would not compute the same thing, or cannot do so together."""
    if talk.size > 1 and config.graph == "on":
        raise UsageError(
            f"--graph on is for one process, but there are {talk.size}, whose sums are not"
            " recorded; leave it out"
        )
    own = ("data_root", "workers", "threads", "output_dir", "quiet")
    settings = {name: v for name, v in config.to_dict().items() if name not in own}
    options = {"--" + name.replace("_", "-"): value for name, value in settings.items()}
    check_same(talk, {"minideconv": _version.__version__, "NumPy": np.__version__, **options})


def _run(
    config: TrainConfig, run: RunFolder, resume: Path | None, talk: Communicator, device: Device
) -> int:
    progress = make_progress(config.quiet or talk.rank > 0)
    try:
        trainer = Trainer(
            config,
            run=run,
            progress=progress,
            after_validation=_draw,
            talk=talk,
            device=device,
        )
        if resume is not None:
            trainer.resume(resume)
            check_same(talk, {"a checkpoint after step": trainer.progress.step})
        from_first(talk, lambda: run.create(config))
        _introduce(trainer, resume)
        try:
            trainer.fit()
        except Exception as error:
            error.add_note(_how_to_go_on(trainer))
            raise
        _finish(trainer)
    finally:
        progress.close()  # leave the terminal as it was, whatever happened
    return 0


def _how_to_go_on(trainer: Trainer) -> str:
    """Return what to do when training broke off."""
    assert trainer.run is not None
    if trainer.run.last.exists():
        return f"the last checkpoint stands; go on with: {trainer.command_to_go_on()}"
    return "there is no checkpoint yet; --save-every N writes one every N steps"


def _draw(trainer: Trainer) -> None:
    """Draw predictions and bring the report up to date, so that a run can be watched."""
    assert trainer.run is not None
    draw_board(trainer, trainer.run)
    write_report(trainer.run)


def _introduce(trainer: Trainer, resume: Path | None) -> None:
    config, model = trainer.config, trainer.model
    trainer.say(
        f"minideconv {_version.__version__}: {config.model} with {model.num_parameters():,} "
        f"parameters, input {config.input_size}x{config.input_size}, on {_machine(trainer)}"
        f"{_processes(trainer)}"
    )
    trainer.say(
        f"data: {config.data}, {len(trainer.train_data)} training and {len(trainer.val_data)} "
        f"validation images, {len(trainer.classes)} classes"
    )
    for images in (trainer.train_data, trainer.val_data):
        if note := getattr(images, "note", ""):
            trainer.say(note)
    if resume is not None:
        trainer.say(f"going on from {resume}, after step {trainer.progress.step}")


def _machine(trainer: Trainer) -> str:
    """Say where and how it computes."""
    asked = trainer.config.device
    if trainer.device.type != "cpu":
        return describe_device(asked, trainer.device, get_precision())
    threads = parallel.get_num_threads()
    notes = [get_algorithm(), f"{threads} thread{'s' if threads > 1 else ''}"]
    if compiled() and get_algorithm() != "reference":
        notes.insert(1, "compiled kernels")
    return describe_device(asked, trainer.device, *notes)


def _processes(trainer: Trainer) -> str:
    """Say how many processes there are, if there are several."""
    _, size = trainer.exchange.part
    return f", {size} processes" if size > 1 else ""


def _finish(trainer: Trainer) -> None:
    """Evaluate both sets with the final network, write evaluation.json, print the table.

    Several processes evaluate together; one writes.
    """
    run, config = trainer.run, trainer.config
    assert run is not None
    results: dict[str, Any] = {"classes": trainer.classes, "epoch": trainer.progress.epoch}
    confusions: dict[str, ConfusionMatrix] = {}
    sets = [("val", trainer.val_data, 0)]
    if config.final_images:
        sets.insert(0, ("train", trainer.train_data, config.final_images))
    for name, images, limit in sets:
        confusion, loss = trainer.evaluate(images, limit)
        confusions[name] = confusion
        results[name] = {
            "images": min(limit or len(images), len(images)),
            "loss": loss,
            **confusion.figures(),
            "confusion": confusion.counts.tolist(),
        }
    if not trainer.writes:
        return
    results["samples"] = draw_samples(trainer, run)
    draw_activations(trainer, run)
    write_text(run.evaluation, json.dumps(results) + "\n")
    write_report(run)
    trainer.say(figures_table(trainer.classes, confusions))
    trainer.say(
        f"done in {format_seconds(trainer.progress.elapsed)}; best validation IoU "
        f"{trainer.progress.best_mean_iou:.3f} in epoch {trainer.progress.best_epoch}; "
        f"{trainer.memory.summary()}; everything is in {run.path}"
    )


def figures_table(classes: list[str], confusions: dict[str, ConfusionMatrix]) -> str:
    """Return the per-class IoU and the four figures of one or more sets as a text table."""
    width = max(len(name) for name in [*classes, "frequency weighted IoU"])
    lines = [" " * width + "".join(f"{name:>9}" for name in confusions)]
    for index, name in enumerate(classes):
        values = [confusion.iou[index] for confusion in confusions.values()]
        lines.append(f"{name:<{width}}" + "".join(_cell(value) for value in values))
    for title, attribute in (
        ("mean IoU", "mean_iou"),
        ("pixel accuracy", "pixel_accuracy"),
        ("mean accuracy", "mean_accuracy"),
        ("frequency weighted IoU", "frequency_weighted_iou"),
    ):
        values = [getattr(confusion, attribute) for confusion in confusions.values()]
        lines.append(f"{title:<{width}}" + "".join(_cell(value) for value in values))
    shown = [f"{c.classes_in_truth} of {len(classes)}" for c in confusions.values()]
    lines.append(f"{'classes in the truth':<{width}}" + "".join(f"{text:>9}" for text in shown))
    lines += [
        f"note: the truth of {name} shows {_only(classes, confusion)}, so these figures do not tell"
        " whether the network finds objects"
        for name, confusion in confusions.items()
        if confusion.classes_in_truth < 2
    ]
    return "\n".join(lines)


def _only(classes: list[str], confusion: ConfusionMatrix) -> str:
    """Name the one class of the truth, or none."""
    shown = [classes[k] for k in np.flatnonzero(confusion.counts.sum(axis=1))]
    return f"{shown[0]} alone" if shown else "void alone"


def _cell(value: float) -> str:
    return f"{value:9.3f}" if value == value else f"{'-':>9}"
