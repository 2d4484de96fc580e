"""What a run writes down about itself: how far it is, its lines of metrics, its log.

A `Journal` without a run folder prints everything all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from minideconv.errors import DivergenceError, MinideconvError
from minideconv.settings.output import output_problem
from minideconv.settings.setting import refusal
from minideconv.tasks import Task
from minideconv.training.meters import Clock
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.progress import Progress, StepInfo, format_loss
from minideconv.training.run.run_progress import RunProgress
from minideconv.training.stages import Plan, Stage

__all__ = ["Journal", "RunProgress"]


@dataclass
class Journal:
    """Keeps the lines of one run."""

    plan: Plan
    """What there is to do."""
    task: Task
    """Which metrics a line contains, and which are better."""
    print_freq: int
    """Steps between two lines of metrics."""
    run: RunFolder | None
    """Where the lines go."""
    show: Progress
    """What is printed."""
    writes: bool = True
    """Whether it is this process that writes to the run folder."""
    progress: RunProgress = field(default_factory=RunProgress)
    clock: Clock = field(default_factory=Clock)
    _lost: bool = False

    def log(self, text: str) -> None:
        """Show a line and keep it in log.txt."""
        self.show.message(text)
        if self.run is not None and self.writes:
            self.run.add_log(text)
            problem = output_problem(self.show.stream)
            if problem and not self._lost:
                self._lost = True
                self.run.add_log(f"the standard output is lost ({problem}); the run goes on")

    def note(self, text: str) -> None:
        """Keep a line in log.txt alone, with the time."""
        if self.run is not None and self.writes:
            now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
            self.run.add_log(f"{now}: {text}")

    def step(self, stage: Stage, images: int) -> None:
        """Show the metrics after a step, and write a line every ``print_freq`` steps."""
        speed = self.clock.step(images)
        info = StepInfo(
            stage=stage.name,
            epoch=self.progress.epoch + 1,
            epochs=self.plan.epochs,
            step=self.progress.epoch_step,
            steps=stage.planned.steps_per_epoch,
            loss=stage.loss.interval_mean(),
            metric=lambda: self.task.format_metric(self._training_metrics(stage)),
            lr=stage.lr,
            images_per_second=speed,
            seconds_left=self.clock.left(self.plan.steps - self.progress.step),
        )
        self.show.step(info)
        self._tell(info)
        if self.line_is_due():
            self._add_metrics(
                {
                    "kind": "step",
                    "step": self.progress.step,
                    "epoch": info.epoch,
                    "stage": stage.name,
                    "loss": info.loss,
                    "lr": info.lr,
                    "images_per_second": round(speed, 2),
                    "elapsed": round(self.clock.elapsed(), 2),
                }
            )
            stage.loss.start_interval()

    def line_is_due(self) -> bool:
        """Return whether the step taken last gets a line of metrics."""
        return self.progress.step % self.print_freq == 0

    def epoch_line(self, stage: Stage, memory: dict[str, int]) -> dict[str, Any]:
        """Return the line of the epoch that was just trained, still without a validation."""
        return {
            "kind": "epoch",
            "step": self.progress.step,
            "epoch": self.progress.epoch + 1,
            "stage": stage.name,
            "lr": stage.lr,
            "data_wait": round(self.clock.waiting(), 4),
            "memory": memory,
            "train": {"loss": stage.loss.epoch_mean(), **self._training_metrics(stage)},
        }

    def finish_epoch(self, stage: Stage, line: dict[str, Any]) -> bool:
        """Write the epoch's line; return whether its validation is the best so far."""
        line["elapsed"] = round(self.clock.elapsed(), 2)
        self._add_metrics(line)
        self._tell_epoch(line)
        self.progress.epoch += 1
        self.progress.epoch_step = 0
        text = (
            f"epoch {self.progress.epoch}/{self.plan.epochs} (stage {stage.name})  loss "
            f"{format_loss(line['train']['loss'])}  train {self.task.format_metric(line['train'])}"
        )
        better, val = False, line.get("val")
        if val is not None:
            text += f"  val loss {format_loss(val['loss'])}  val {self.task.format_metric(val)}"
            better = self.task.is_better(val, self.progress.best)
            if better:
                self.progress.best = val[self.task.main_metric.key]
                self.progress.best_epoch = self.progress.epoch
                text += "  best so far"
        self.log(text + f"  (waited {line['data_wait']:.1%} of the time for data)")
        return better

    def end(self, state: str) -> None:
        """Let open pages of the report know that the run has ended: "done" or "stopped"."""
        if self.run is not None and self.writes:
            self.run.live.end(state)

    def _tell(self, info: StepInfo) -> None:
        """Let open pages of the report know about a step."""
        if self.run is None or not self.writes:
            return
        total = self.plan.steps
        self.run.live.tell(
            lambda: {
                "text": f"{info.where()}, step {info.step} of {info.steps} · {info.summary()}",
                "share": round(self.progress.step / total, 4) if total else 1.0,
            }
        )

    def _tell_epoch(self, line: dict[str, Any]) -> None:
        """Let open pages of the report know that an epoch is over."""
        if self.run is not None and self.writes:
            text = f"epoch {line['epoch']} of {self.plan.epochs} is over, stage {line['stage']}"
            share = round(line["step"] / self.plan.steps, 4) if self.plan.steps else 1.0
            self.run.live.tell(lambda: {"text": text, "share": share}, at_once=True)

    def _training_metrics(self, stage: Stage) -> dict[str, Any]:
        return self.task.training_metrics(stage.metrics.compute())

    def not_finite(self, what: str, step: int, lr: float) -> MinideconvError:
        """Return the error for a number that is not finite, first seen in `step`."""
        done = step <= self.progress.step and self.progress.epoch_step == 0  # its epoch is over
        epoch = self.progress.epoch + (not done)
        kept = ""
        if self.run is not None and self.run.last.exists():
            kept = f"; the last good checkpoint is {self.run.last}"
        return refusal(
            lambda name: (
                f"{what} stopped being finite at step {step} (epoch {epoch}) "
                f"with learning rate {lr:.3g}: try a lower {name('lr')}, a longer "
                f"{name('warmup')} or {name('clip_grad')} 1{kept}"
            ),
            DivergenceError,
        )

    def _add_metrics(self, line: dict[str, Any]) -> None:
        if self.run is not None and self.writes:
            self.run.add_metrics(line)
            self.progress.metrics_lines = self.run.metrics_lines
