"""The training loop: `Trainer` takes a `TrainConfig` and leaves a run folder behind.

What one epoch does, top to bottom, is `Trainer._epoch`; what one optimiser step does is
`Trainer._step`. Everything that decides the numbers (weights, momenta, schedule, random generators,
place in the data) is in the checkpoint, so a run that was stopped and resumed ends with the same
bytes as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from minideconv import functional as F
from minideconv import random
from minideconv.autograd import Tensor
from minideconv.backend import Array, as_device, to_cpu, to_device
from minideconv.errors import TrainingError
from minideconv.nn.utils import clip_grad_norm_
from minideconv.segmentation import ConfusionMatrix, Segmenter
from minideconv.training import build
from minideconv.training.checkpoint import (
    Checkpoint,
    check_model_state,
    load_checkpoint,
    save_checkpoint,
)
from minideconv.training.config import TrainConfig
from minideconv.training.interrupt import Interrupted, StopRequest
from minideconv.training.meters import Clock, LossMeter
from minideconv.training.progress import Progress, StepInfo
from minideconv.training.recalibrate import get_buffers, recalibrate, set_buffers
from minideconv.training.run_folder import RunFolder

__all__ = ["RunProgress", "Trainer"]


@dataclass
class RunProgress:
    """How far a run is: all of it goes into the checkpoint's header as it stands."""

    epoch: int = 0
    """Epochs finished, over all stages."""
    step: int = 0
    """Optimiser steps taken, over all stages."""
    epoch_step: int = 0
    """Optimiser steps taken in the epoch under way."""
    best_mean_iou: float = -1.0
    best_epoch: int = 0
    metrics_lines: int = 0
    """Lines of metrics.jsonl that this state has seen."""
    elapsed: float = 0.0
    """Seconds, over all sessions."""


@dataclass
class _Stage:
    """One stage under way: its data and what moves the weights."""

    name: str
    loader: Any
    optimizer: Any
    schedule: Any
    steps_per_epoch: int
    lr: float
    """The rate of the step taken last."""
    loss: LossMeter = field(default_factory=LossMeter)


class Trainer:
    """Trains a network as a `TrainConfig` says.

    Parameters
    ----------
    config : TrainConfig
        Every setting of the run.
    run : RunFolder, optional
        Where it keeps its files; without one nothing is written.
    progress : Progress, optional
        What it prints; nothing if left out.
    train_data, val_data : data sets, optional
        Instead of those that the configuration names.
    after_validation : callable, optional
        Called with the trainer after each validation, to draw pictures, say.

    Examples
    --------
    ::

        trainer = Trainer(TrainConfig(width=8, epochs=2))
        trainer.fit()
        trainer.segmenter().labels(image)
    """

    def __init__(
        self,
        config: TrainConfig,
        run: RunFolder | None = None,
        progress: Progress | None = None,
        train_data: Any = None,
        val_data: Any = None,
        after_validation: Callable[[Trainer], None] | None = None,
    ) -> None:
        self.config = config
        self.run = run
        self.after_validation = after_validation
        self.show = Progress(quiet=True) if progress is None else progress
        self.device = as_device(config.device)
        self.train_data = build.dataset(config, "train") if train_data is None else train_data
        self.val_data = build.dataset(config, "val") if val_data is None else val_data
        self.classes: list[str] = list(self.train_data.classes)
        random.manual_seed(config.seed)
        self.model = build.model(config, len(self.classes)).to(self.device)
        self.normalize = build.normalize(config)
        self.progress = RunProgress()
        self.stop = StopRequest(self._say_stopping)
        self._clock = Clock()
        self._resumed: dict[str, Any] = {}
        self._train_confusion = ConfusionMatrix(len(self.classes))
        self._plan = self._make_plan()

    # ---------------------------------------------------------------------------------------
    # The plan: which epochs belong to which stage.

    def _make_plan(self) -> list[tuple[str, int, float, Any]]:
        """Return (stage, epochs, learning rate, loader) of every stage that has epochs."""
        return [
            (stage, epochs, lr, build.loader(self.config, self.train_data, stage, self.normalize))
            for stage, epochs, lr in self.config.plan
            if epochs > 0
        ]

    @property
    def epochs(self) -> int:
        """Epochs of the whole run."""
        return sum(epochs for _, epochs, _, _ in self._plan)

    def _stage_of(self, epoch: int) -> tuple[int, int]:
        """Return the number of the stage that holds `epoch`, and the stage's own epoch."""
        for number, (_, epochs, _, _) in enumerate(self._plan):
            if epoch < epochs:
                return number, epoch
            epoch -= epochs
        raise IndexError("the run is over")

    def _steps(self, loader: Any) -> int:
        return math.ceil(len(loader) / self.config.accumulate)

    def _enter(self, number: int) -> _Stage:
        """Begin stage `number` with an optimiser of its own, as the paper's two solvers do."""
        name, epochs, lr, loader = self._plan[number]
        steps = self._steps(loader)
        optimizer = build.optimizer(self.config, self.model, lr)
        schedule = build.schedule(self.config, optimizer, steps * epochs)
        return _Stage(name, loader, optimizer, schedule, steps, lr)

    def _steps_left(self) -> int:
        total = sum(epochs * self._steps(loader) for _, epochs, _, loader in self._plan)
        return total - self.progress.step

    # ---------------------------------------------------------------------------------------
    # The loop.

    def fit(self) -> RunProgress:
        """Train to the end of the plan, from the start or from where `resume` put it.

        Raises
        ------
        TrainingError
            If the loss or a weight stops being finite.
        Interrupted
            If SIGINT or SIGTERM arrived; the state is saved (when there is a run folder).
        """
        self._clock = Clock(self.progress.elapsed)
        stage: _Stage | None = None
        current = -1
        try:
            with self.stop:
                while self.progress.epoch < self.epochs:
                    number, stage_epoch = self._stage_of(self.progress.epoch)
                    if number != current:
                        stage, current = self._enter(number), number
                        self._restore(stage, number)
                        self._announce(stage)
                    assert stage is not None
                    self._epoch(stage, number, stage_epoch)
        finally:
            self.show.close()
        return self.progress

    def _epoch(self, stage: _Stage, number: int, stage_epoch: int) -> None:
        """Train one epoch (or the rest of it), validate, write down, save."""
        if self.progress.epoch_step == 0:
            stage.loader.set_epoch(stage_epoch)
            stage.loss.start_epoch()
            self._train_confusion.reset()
        self.model.train()
        self._clock.lap()
        batches = iter(stage.loader)
        while self.progress.epoch_step < stage.steps_per_epoch:
            self._check_stop(stage, number)
            self._step(stage, stage_epoch, batches)
            every = self.config.save_every
            if every and self.progress.step % every == 0:
                self.save(stage, number)
        self._check_stop(stage, number)
        last_of_stage = stage_epoch + 1 == self._plan[number][1]
        line = self._epoch_line(stage)
        if (stage_epoch + 1) % self.config.val_every == 0 or last_of_stage:
            line["val"] = self._validate(stage, number)
        self._finish_epoch(stage, number, line)

    def _step(self, stage: _Stage, stage_epoch: int, batches: Any) -> None:
        """Take one optimiser step from the next ``accumulate`` batches."""
        done = self.progress.epoch_step * self.config.accumulate
        count = min(self.config.accumulate, len(stage.loader) - done)
        loss, images = 0.0, 0
        stage.lr = float(stage.optimizer.param_groups[0]["lr"])
        stage.optimizer.zero_grad()
        for _ in range(count):
            x, truth = next(batches)
            loss += self._backward(x, truth, 1.0 / count)
            images += len(x)
        if not math.isfinite(loss):
            raise TrainingError(self._not_finite(f"the loss ({loss})", stage.lr))
        if self.config.clip_grad > 0:
            clip_grad_norm_(self.model.parameters(), self.config.clip_grad)
        stage.optimizer.step()
        if self.config.lr_schedule != "plateau":
            stage.schedule.step()
        self.progress.step += 1
        self.progress.epoch_step += 1
        stage.loss.add(loss)
        self._after_step(stage, images)

    def _backward(self, x: Array, truth: Array, share: float) -> float:
        """Add one batch's gradient, weighted by `share`; return its part of the loss."""
        target = to_device(truth.astype(np.int64), self.device)
        scores = self.model(Tensor(to_device(x, self.device)))
        loss = F.cross_entropy(
            scores, target, ignore_index=255, label_smoothing=self.config.label_smoothing
        )
        (loss * share).backward()
        self._train_confusion.update(truth, to_cpu(scores.data.argmax(axis=1)))
        return float(loss.item()) * share

    # ---------------------------------------------------------------------------------------
    # Writing down.

    def _after_step(self, stage: _Stage, images: int) -> None:
        speed = self._clock.step(images)
        self.show.step(
            StepInfo(
                stage=stage.name,
                epoch=self.progress.epoch + 1,
                epochs=self.epochs,
                step=self.progress.epoch_step,
                steps=stage.steps_per_epoch,
                loss=stage.loss.interval_mean(),
                mean_iou=self._train_confusion.mean_iou,
                lr=stage.lr,
                images_per_second=speed,
                seconds_left=self._clock.left(self._steps_left()),
            )
        )
        if self.progress.step % self.config.print_freq == 0:
            self._add_metrics(
                {
                    "kind": "step",
                    "step": self.progress.step,
                    "epoch": self.progress.epoch + 1,
                    "stage": stage.name,
                    "loss": stage.loss.interval_mean(),
                    "lr": stage.lr,
                    "images_per_second": round(speed, 2),
                    "elapsed": round(self._clock.elapsed(), 2),
                }
            )
            stage.loss.start_interval()

    def _epoch_line(self, stage: _Stage) -> dict[str, Any]:
        confusion = self._train_confusion
        return {
            "kind": "epoch",
            "step": self.progress.step,
            "epoch": self.progress.epoch + 1,
            "stage": stage.name,
            "lr": stage.lr,
            "train": {
                "loss": stage.loss.epoch_mean(),
                "pixel_accuracy": _plain(confusion.pixel_accuracy),
                "mean_iou": _plain(confusion.mean_iou),
            },
        }

    def _add_metrics(self, line: dict[str, Any]) -> None:
        if self.run is not None:
            self.run.add_metrics(line)
            self.progress.metrics_lines = self.run.metrics_lines

    def say(self, text: str) -> None:
        """Show a line and keep it in log.txt."""
        self.show.message(text)
        if self.run is not None:
            self.run.add_log(text)

    def _announce(self, stage: _Stage) -> None:
        self.say(
            f"stage {stage.name}: {len(stage.loader)} batches of {self.config.batch_size}, "
            f"{stage.steps_per_epoch} steps an epoch"
        )

    def _say_stopping(self, signal_number: int) -> None:
        self.show.message("stopping after this step (Ctrl-C again stops at once, without saving)")

    def _finish_epoch(self, stage: _Stage, number: int, line: dict[str, Any]) -> None:
        """Write the epoch's line, save last.npz, and best.npz if it is the best so far."""
        line["elapsed"] = round(self._clock.elapsed(), 2)
        self._add_metrics(line)
        self.progress.epoch += 1
        self.progress.epoch_step = 0
        text = (
            f"epoch {self.progress.epoch}/{self.epochs} (stage {stage.name})  "
            f"loss {line['train']['loss']:.4f}  train IoU {_show(line['train']['mean_iou'])}"
        )
        better = False
        if "val" in line:
            found = line["val"]["mean_iou"]
            text += f"  val loss {line['val']['loss']:.4f}  val IoU {_show(found)}"
            better = found is not None and found > self.progress.best_mean_iou
            if better:
                self.progress.best_mean_iou = found
                self.progress.best_epoch = self.progress.epoch
                text += "  best so far"
        self.say(text)
        self.save(stage, number, best=better)

    # ---------------------------------------------------------------------------------------
    # Validation.

    def segmenter(self) -> Segmenter:
        """Return the network as it is now, ready to use on photographs."""
        return Segmenter(self.model, self.config.input_size, self.normalize)

    def _validate(self, stage: _Stage, number: int) -> dict[str, Any]:
        """Recalibrate batch norm and evaluate the validation images at their own sizes."""
        buffers = get_buffers(self.model)
        try:
            self.recalibrate()
            confusion, loss = self.evaluate(self.val_data)
        except Interrupted as request:
            # Nothing of a validation cut short may stay: the resumed run does all of it again.
            set_buffers(self.model, buffers)
            self._stop_now(stage, number, request.signal_number)
        figures = confusion.figures()
        if self.config.lr_schedule == "plateau":
            stage.schedule.step(figures["mean_iou"] or 0.0)
        if self.after_validation is not None:
            self.after_validation(self)
        return {"loss": loss, **figures}

    def recalibrate(self) -> None:
        """Average batch norm's statistics over ``config.recalibrate`` batches of training crops."""
        if self.config.recalibrate == 0 or not self._plan:
            return
        number, _ = self._stage_of(min(self.progress.epoch, self.epochs - 1))
        stage = self._plan[number][0]
        # Its own seed: neither the order of the training crops nor their augmentations are touched.
        loader = build.loader(
            replace(self.config, seed=self.config.seed + 1, workers=0),
            self.train_data,
            stage,
            self.normalize,
        )
        count = min(self.config.recalibrate, len(loader))
        batches = (images for (images, _), _ in zip(loader, range(count), strict=False))
        recalibrate(self.model, batches)

    def evaluate(self, data: Any, limit: int = 0) -> tuple[ConfusionMatrix, float]:
        """Return the confusion matrix over a data set, at full size, and the mean loss per pixel.

        Parameters
        ----------
        data : data set
        limit : int
            Number of images, spread evenly over the set; 0 takes all.
        """
        confusion = ConfusionMatrix(len(self.classes))
        loss, pixels = 0.0, 0
        chosen = spread(len(data), limit or len(data))
        all_scores = self.segmenter().scores_of(data[index][0] for index in chosen)
        for done, (index, scores) in enumerate(zip(chosen, all_scores, strict=True)):
            if self.stop.signal_number:
                raise Interrupted("stopped while validating", self.stop.signal_number)
            self.show.work("validating", done, len(chosen))
            truth = data[index][1]
            confusion.update(truth, scores.argmax(axis=0))
            # The loss is for the curve only: a grid of some 64 x 64 pixels of each image will do.
            grid = (slice(None, None, max(1, max(truth.shape) // 64)),) * 2
            sample = truth[grid][None].astype(np.int64)
            counted = int((sample != 255).sum())
            entropy = F.cross_entropy(
                Tensor(scores[(slice(None), *grid)][None]), to_device(sample, self.device)
            )
            loss += float(entropy.item()) * counted
            pixels += counted
        return confusion, loss / max(1, pixels)

    # ---------------------------------------------------------------------------------------
    # Stopping, saving, resuming.

    def _check_stop(self, stage: _Stage, number: int) -> None:
        if self.stop.signal_number:
            self._stop_now(stage, number, self.stop.signal_number)

    def _stop_now(self, stage: _Stage, number: int, signal_number: int) -> None:
        place = f"stopped in epoch {self.progress.epoch + 1}, after step {self.progress.step}"
        if self.run is None:
            raise Interrupted(place, signal_number)
        self.save(stage, number)
        self.run.add_log(place)
        command = f"python -m minideconv.train --resume {self.run.path}"
        raise Interrupted(f"{place}; go on with: {command}", signal_number)

    def save(self, stage: _Stage, number: int, best: bool = False) -> None:
        """Write last.npz (and best.npz), unless a weight is not finite."""
        if self.run is None:
            return
        model_state = self.model.state_dict()
        for name, array in model_state.items():
            if not np.isfinite(array).all():
                raise TrainingError(self._not_finite(f"a value of {name}", stage.lr))
        self.progress.elapsed = self._clock.elapsed()
        checkpoint = Checkpoint(model_state, self.header(), self._state(stage, number))
        save_checkpoint(self.run.last, checkpoint)
        if best:
            save_checkpoint(self.run.best, checkpoint)

    def header(self) -> dict[str, Any]:
        """Return what a checkpoint says about the network and the run."""
        return {
            "model": {"name": self.config.model, "arguments": self.model.config()},
            "input_size": self.config.input_size,
            "classes": self.classes,
            "normalization": build.normalization_to_dict(self.normalize),
            "config": self.config.to_dict(),
            "progress": asdict(self.progress),
        }

    def _state(self, stage: _Stage, number: int) -> dict[str, Any]:
        return {
            "stage": number,
            "optimizer": stage.optimizer.state_dict(),
            "schedule": stage.schedule.state_dict(),
            "loader": stage.loader.state_dict(),
            "loss": stage.loss.state_dict(),
            "lr": stage.lr,
            "confusion": self._train_confusion.counts,
            "random": random.get_state(),
        }

    def resume(self, path: str | Path) -> None:
        """Put the trainer where a checkpoint left off; `fit` goes on from there.

        Raises
        ------
        CheckpointError
            If the file cannot be read or holds another network.
        """
        checkpoint = load_checkpoint(path)
        check_model_state(self.model.state_dict(), checkpoint.model_state, path)
        self.model.load_state_dict(checkpoint.model_state)
        self.progress = RunProgress(**checkpoint.header["progress"])
        self._resumed = checkpoint.state
        random.set_state(checkpoint.state["random"])
        if self.run is not None:
            self.run.keep_metrics(self.progress.metrics_lines)

    def _restore(self, stage: _Stage, number: int) -> None:
        """Load the resumed state into the stage, if it was saved in this stage.

        At the boundary it was saved in the stage before; the new one starts fresh, as it would
        have without the stop.
        """
        state, self._resumed = self._resumed, {}
        if not state or state["stage"] != number:
            return
        stage.optimizer.load_state_dict(state["optimizer"])
        stage.schedule.load_state_dict(state["schedule"])
        stage.loader.load_state_dict(state["loader"])
        stage.loss.load_state_dict(state["loss"])
        stage.lr = state["lr"]
        self._train_confusion.counts[:] = state["confusion"]

    def _not_finite(self, what: str, lr: float) -> str:
        kept = ""
        if self.run is not None and self.run.last.exists():
            kept = f"; the last good checkpoint is {self.run.last}"
        return (
            f"{what} stopped being finite at step {self.progress.step + 1} (epoch "
            f"{self.progress.epoch + 1}) with learning rate {lr:.3g}: try a lower --lr, a longer "
            f"--warmup or --clip-grad 1{kept}"
        )


def spread(length: int, count: int) -> list[int]:
    """Return `count` indices spread evenly over ``0..length-1`` (all of them if there are fewer).

    >>> spread(10, 3)
    [0, 4, 9]
    """
    if count >= length:
        return list(range(length))
    return [round(i * (length - 1) / max(1, count - 1)) for i in range(count)]


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
