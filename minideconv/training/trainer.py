"""The training loop: `Trainer` takes a `TrainConfig` and leaves a run folder behind.

What one epoch does, top to bottom, is `Trainer._epoch`; what one optimiser step does is in
`step`; what is written down about it, in `journal`. Everything that decides the numbers
(weights, momenta, schedule, random generators, position in the data) is in the checkpoint, so a run
that was stopped and resumed ends with the same bytes as one that was not.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minideconv import random, tasks
from minideconv.backend import Device, as_device, to_cpu
from minideconv.backend.precisions import get_precision
from minideconv.data.fingerprint import fingerprint
from minideconv.data.shard import shard_of, spread
from minideconv.data.transforms import Normalize
from minideconv.distributed import Communicator, Single, on_rank_zero
from minideconv.engine.cuda.streams import computing_on
from minideconv.errors import MagnitudeError, TrainingError
from minideconv.nn.utils import get_buffers, set_buffers
from minideconv.optim import GradScaler
from minideconv.settings.setting import refusal
from minideconv.tasks import Metrics
from minideconv.tasks.data import normalization_to_dict
from minideconv.training import build
from minideconv.training.computing import loader_workers
from minideconv.training.config import TrainConfig
from minideconv.training.data_parallel import data_parallel_for
from minideconv.training.feature_step import FeatureStep
from minideconv.training.first_step import check_one_image
from minideconv.training.images import open_images
from minideconv.training.interrupt import Interrupted, StopRequest
from minideconv.training.meters import Clock
from minideconv.training.pretrained import Pretrained, find_weights, load_pretrained
from minideconv.training.recalibrate import recalibrate_batch_norm
from minideconv.training.resuming import check_data, check_epochs
from minideconv.training.run.checkpoint import (
    Checkpoint,
    check_model_state,
    check_run_state,
    load_checkpoint,
    not_much_larger,
)
from minideconv.training.run.commit import commit, settle
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.journal import Journal, RunProgress
from minideconv.training.run.progress import Progress
from minideconv.training.stages import Plan, Stage
from minideconv.training.steps import memory_and_steps

__all__ = ["Trainer"]


class Trainer:
    """Trains a network with the settings of a `TrainConfig`.

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
        Called with the trainer after each validation, once all is saved, for example to draw.
        Of several processes, rank 0 does it, and rank 0 alone writes to the run folder.
    comm : Communicator, optional
        The processes that train together, each with its part of every batch.
    device : Device, optional
        Where this process computes; by default the configuration's.
    resume : str or Path, optional
        A checkpoint of the run; `fit` goes on from there.
    reschedule : bool
        Accept that with another number of epochs the learning rate of the next step rises.
    other_data : bool
        Accept that the images are not those of the checkpoint.

    Attributes
    ----------
    pretrained : Pretrained or None
        What became of the weight file that the network began with, in the run's first session.
    notes : list of str
        What is to be said about a run that goes on: another learning rate, other data.

    Raises
    ------
    UsageError
        If settings do not go together with the data, the network or the weight file.
    CheckpointError
        If the checkpoint cannot be read or holds another network.

    Examples
    --------
    ::

        trainer = Trainer(TrainConfig(width=8, epochs=2))
        trainer.fit()
        trainer.predictor().labels(image)
    """

    def __init__(
        self,
        config: TrainConfig,
        run: RunFolder | None = None,
        progress: Progress | None = None,
        train_data: Any = None,
        val_data: Any = None,
        after_validation: Callable[[Trainer], None] | None = None,
        comm: Communicator | None = None,
        device: Device | None = None,
        resume: str | Path | None = None,
        reschedule: bool = False,
        other_data: bool = False,
    ) -> None:
        alone = comm is None or comm.rank == 0
        if resume is not None and run is not None and alone and Path(resume) == run.last:
            settle(run)
        checkpoint = None if resume is None else load_checkpoint(resume)
        self.config = config
        self.run = run
        self.strategy = data_parallel_for(comm or Single())
        self.show = Progress(quiet=True) if progress is None else progress
        self.after_validation = after_validation
        self.device = as_device(config.device) if device is None else device
        if config.cache_features is not None and self.device.type == "gpu":
            raise refusal(
                lambda name: (
                    f"{name('cache_features')} is for the CPU, but the run computes on the GPU, "
                    f"which does without; leave it out or give {name('device')} cpu"
                )
            )
        self.train_data, self.val_data = open_images(
            config, train_data, val_data, self.show.message
        )
        train_data = self.train_data
        self._fingerprints = {"train": fingerprint(train_data), "val": fingerprint(self.val_data)}
        self.task = tasks.get(config.task).from_config(config, train_data)
        random.manual_seed(config.seed)
        with contextlib.nullcontext() if checkpoint is None else not_much_larger(checkpoint):
            self.model = build.model(config, self.task.outputs)
        self.pretrained: Pretrained | None = None
        self._about_weights: dict[str, Any] = {}
        if checkpoint is not None:  # a weight file is not needed again
            self.task.normalize = Normalize(**checkpoint.header["normalization"])
            self._about_weights = checkpoint.header.get("pretrained", {})
        elif config.pretrained is not None:
            name, say = config.pretrained, self.show.message
            path = on_rank_zero(comm or Single(), lambda: str(find_weights(name, say)))
            self.pretrained = load_pretrained(self.model, config, path)
            self.task.normalize = self.pretrained.normalize
            self._about_weights = self.pretrained.about
        self.model.to(self.device)
        self.strategy.prepare(self.model)
        on_gpu = self.device.type == "gpu"
        shard = self.strategy.rank, self.strategy.world_size
        self.workers = loader_workers(config.workers, self.device, (comm or Single()).cores)
        self.plan = Plan(
            config,
            self.task,
            train_data,
            as_bytes=on_gpu,
            shard=shard,
            workers=self.workers,
            processes=self.workers if on_gpu and self.workers > 1 else 0,
        )
        self.journal = Journal(self.plan, self.task, config.print_freq, run, self.show, self.writes)
        stopping = "stopping after this step (Ctrl-C again stops at once, without saving)"
        self.stop = StopRequest(lambda signal_number: self.show.message(stopping))
        self.memory, self.steps = memory_and_steps(
            self.model, self.task, config, self.journal, self.strategy, self.device
        )
        if config.batch_size == 1 and self.strategy.world_size == 1:
            check_one_image(self.model, config, self.device)
        self._resumed: dict[str, Any] | None = None
        self._saved: tuple[int, int] | None = None
        self._stage: Stage | None = None
        self._half_done = False
        self._stopped_at: tuple[dict[str, Any], dict[str, Any]] | None = None
        self.notes: list[str] = []
        if checkpoint is not None and resume is not None:
            self._go_on_from(checkpoint, resume)
            self._check_same_run(checkpoint, reschedule, other_data)

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes down what happens."""
        return self.strategy.rank == 0

    @property
    def progress(self) -> RunProgress:
        """How far the run is."""
        return self.journal.progress

    def log(self, text: str) -> None:
        """Show a line and keep it in log.txt."""
        self.journal.log(text)

    def __getattr__(self, name: str) -> Any:
        """Return what the task offers under a name of its own (`Task.trainer_attributes`)."""
        offered = vars(self)["task"].trainer_attributes if "task" in vars(self) else {}
        if name not in offered:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return offered[name](self)

    # -- The loop -------------------------------------------------------------------------------

    def fit(self) -> RunProgress:
        """Train to the end of the plan, from the start or from where `resume` put it.

        After `Interrupted`, which a notebook's stop button raises, or an error between two steps,
        another call goes on where this one stopped, and ends with the same bytes as one that was
        not stopped.

        Raises
        ------
        TrainingError
            If the loss or a weight stops being finite, or an earlier call ended inside of a step
            or of what is written down about it.
        Interrupted
            If SIGINT, SIGTERM or SIGHUP arrived; the state is saved (when there is a run folder).
        """
        if self._half_done:
            raise TrainingError(self._cannot_go_on())
        self.journal.clock = Clock(self.progress.elapsed)
        if self._stopped_at is not None and self._stage is not None:
            loader_state, random_state = self._stopped_at
            self._stage.loader.load_state_dict(loader_state)
            random.set_state(random_state)
        self._stopped_at = None
        with self.stop, computing_on(self.device):
            try:
                while self.progress.epoch < self.plan.epochs:
                    number, stage_epoch = self.plan.find(self.progress.epoch)
                    if self._stage is None or self._stage.number != number:
                        self._stage = self._enter(number)
                    self._epoch(self._stage, stage_epoch)
            except Interrupted:
                self.stop.signal_number = 0  # it is answered: another call is not stopped by it
                raise
            except MagnitudeError as error:
                assert self._stage is not None
                step, lr = self.progress.step + 1, self._stage.lr
                raise self.journal.not_finite("the variance in a layer", step, lr) from error
            finally:
                self.progress.elapsed = self.journal.clock.elapsed()
                self.plan.close()
                self.memory.end()
                self.steps.close(done=self.progress.epoch >= self.plan.epochs)
        return self.progress

    def _cannot_go_on(self) -> str:
        """Return why `fit` cannot go on after an error or a second Ctrl-C inside of a step."""
        go_on = "make a new Trainer"
        if self.run is not None and self.run.last.exists():
            go_on += f" with resume={str(self.run.last)!r}"
        return f"fit was ended inside of a step or of its record, a part of which is done; {go_on}"

    def _enter(self, number: int) -> Stage:
        """Begin a stage, or go on with the one that was resumed."""
        stage = Stage.begin(self.config, self.plan, number, self.model, self.task)
        if self.device.type == "gpu" or self.strategy.world_size > 1:
            stage.optimizer.flatten()
            stage.scaler = GradScaler() if get_precision() == "fp16" else None
        if self._resumed is not None:
            stage.load_state_dict(self._resumed)
            self._resumed = None
        self.log(
            f"stage {stage.name}: {len(stage.loader)} batches of {self.config.batch_size}, "
            f"{stage.planned.steps_per_epoch} steps an epoch"
        )
        return stage

    def _epoch(self, stage: Stage, stage_epoch: int) -> None:
        """Train one epoch (or the rest of it), validate, write down, save."""
        if self.progress.epoch_step == 0:
            stage.start_epoch(stage_epoch)
        self.model.train()
        self.journal.clock.lap()
        self.steps.begin(stage)
        try:
            while self.progress.epoch_step < stage.planned.steps_per_epoch:
                self._check_stop(stage)
                self._step(stage)
                if self.config.save_every and self.progress.step % self.config.save_every == 0:
                    self.save(stage)
            self._check_stop(stage)
        except BaseException:
            self._keep_position(stage)
            raise
        finally:
            self.steps.end()
        self.steps.read(stage)
        line = self.journal.epoch_line(stage, self.memory.peaks())
        last_of_stage = stage_epoch + 1 == stage.planned.epochs
        if (stage_epoch + 1) % self.config.val_every == 0 or last_of_stage:
            self.save(stage)  # a validation that fails, or is killed, loses no epoch
            line["val"] = self._validate(stage)
        self._finish_epoch(stage, line)

    def _finish_epoch(self, stage: Stage, line: dict[str, Any]) -> None:
        """Write the epoch's line, and save it, also as best.npz if it is the best so far."""
        self._half_done = True
        better = self.journal.finish_epoch(stage, line)
        self._half_done = False
        self.save(stage, best=better)
        if "val" in line and self.after_validation is not None and self.writes:
            self.after_validation(self)

    def _step(self, stage: Stage) -> None:
        """Take one optimiser step from the next ``accumulate`` batches, or what is left of them."""
        self._half_done = True
        done = self.progress.epoch_step * self.config.accumulate
        count = min(self.config.accumulate, len(stage.loader) - done)
        stage.lr = float(stage.optimizer.param_groups[0]["lr"])
        self.steps.take(stage, count)
        images = count * stage.loader.batch_size  # of all processes; batches are full
        if self.config.lr_schedule != "plateau":
            stage.schedule.step()
        self.progress.step += 1
        self.progress.epoch_step += 1
        if self.journal.line_is_due():
            self.steps.read(stage)
        self.journal.step(stage, images)
        self._half_done = False

    # -- Validation -----------------------------------------------------------------------------

    def predictor(self) -> Any:
        """Return the network as it is now, ready to use on photographs: see `Task.predictor`."""
        size = 16 if self.memory.budget is None else min(16, self.config.batch_size)
        return self.task.predictor(self.model, self.config.input_size, batch_size=size)

    def recalibrate(self) -> None:
        """Average batch norm's statistics over ``config.recalibrate`` training batches."""
        if self.config.recalibrate == 0 or not self.plan.stages:
            return
        number, _ = self.plan.find(min(self.progress.epoch, self.plan.epochs - 1))
        # A loader of its own, with its own seed: the training samples, their order and their
        # augmentation stay as they are.
        loader = self.task.loader(
            self.config,
            self.plan.stages[number].loader.dataset,
            # With views, the same ones as in training: their features may be there.
            self.config.seed + (self.config.views_in_use == 0),
            cache_mb=0,
            as_bytes=True,
            shard=(self.strategy.rank, self.strategy.world_size),
            workers=self.workers,
        )
        batches = itertools.islice(loader, self.config.recalibrate)
        inputs = (self.task.inputs(images, self.device) for images, _ in batches)
        # Behind a cache of features only what is behind the frozen stages is computed.
        forward = self.steps.outputs if isinstance(self.steps, FeatureStep) else None
        with computing_on(self.device):
            recalibrate_batch_norm(self.model, inputs, forward)

    def evaluate(
        self, data: Any, limit: int = 0, qualities: dict[int, float] | None = None
    ) -> tuple[Metrics, float | None]:
        """Return the task's metrics and mean loss of `limit` images (0: all), spread over `data`.

        The loss is None where no target counts. `qualities` is filled with the
        `Task.image_quality` of each image, by its number.

        Several processes share the images.
        """

        def each(done: int, total: int) -> None:
            if self.stop.signal_number:
                raise Interrupted("stopped while validating", self.stop.signal_number)
            self.show.work("validating", done, total)

        chosen = spread(len(data), limit or len(data))
        mine = shard_of(range(len(chosen)), self.strategy.rank, self.strategy.world_size)
        metrics, loss, terms = self.task.metrics(), 0.0, 0.0
        known = np.zeros((2, len(data)))  # qualities, and whether there is one

        def seen(index: int, outputs: Any, target: np.ndarray) -> None:
            if qualities is not None:
                found = self.task.image_quality(outputs, target)
                known[:, index] = (0, 0) if found is None else (found, 1)

        watch = self.memory.validation()
        with contextlib.suppress(Interrupted), computing_on(self.device), watch:
            predictor, shard = self.predictor(), chosen[mine.start : mine.stop]
            metrics, loss, terms = self.task.evaluate(predictor, data, shard, each, seen)
        if stopped := self.strategy.all_reduce_max(self.stop.signal_number):
            raise Interrupted("stopped while validating", stopped)
        metrics.counts = self.strategy.all_reduce_sum(metrics.counts)
        loss, terms = self.strategy.all_reduce_sum(np.array([loss, terms])).tolist()
        if qualities is not None:
            known = self.strategy.all_reduce_sum(known)
            qualities.update((int(at), float(known[0, at])) for at in np.flatnonzero(known[1]))
        return metrics, loss / terms if terms else None

    def _validate(self, stage: Stage) -> dict[str, Any]:
        """Recalibrate batch norm and evaluate the validation images."""
        buffers = get_buffers(self.model)
        try:
            self.recalibrate()
            metrics, loss = self.evaluate(self.val_data)
        except BaseException as error:
            # Nothing of a validation cut short may stay: who goes on does all of it again.
            set_buffers(self.model, buffers)
            self._keep_position(stage)
            if isinstance(error, Interrupted):
                self._stop_now(stage, error.signal_number)
            raise
        values = metrics.compute()
        if self.config.lr_schedule == "plateau":
            found = values[self.task.main_metric.key]
            stage.schedule.step(math.nan if found is None else found)  # NaN is no better
        return {"loss": loss, **values}

    # -- Stopping, saving, resuming -------------------------------------------------------------

    def _check_stop(self, stage: Stage) -> None:
        signal_number = self.strategy.all_reduce_max(self.stop.signal_number)
        if signal_number:
            self._stop_now(stage, signal_number)

    def _keep_position(self, stage: Stage) -> None:
        """Keep where `fit` is, for its next call; batches that lie ready are prepared again."""
        self._stopped_at = stage.loader_state or stage.loader.state_dict(), random.get_state()

    def _stop_now(self, stage: Stage, signal_number: int) -> None:
        message = f"stopped in epoch {self.progress.epoch + 1}, after step {self.progress.step}"
        if self.run is None:
            raise Interrupted(message, signal_number)
        self.save(stage)
        if self.writes:
            self.run.add_log(message)
        raise Interrupted(f"{message}; go on with: {self.resume_command()}", signal_number)

    def resume_command(self) -> str:
        """Return what a user types to go on with the run."""
        assert self.run is not None
        return f"{self.strategy.command} --resume {shlex.quote(str(self.run.path))}"

    def save(self, stage: Stage, best: bool = False) -> None:
        """Write last.npz (and best.npz, see `commit`), unless a weight is not finite.

        A state that is saved already is not saved again.

        Raises
        ------
        TrainingError
            If one is not finite; the files stay as they were.
        CheckpointError
            If a file cannot be written; the older one stays.
        """
        self.steps.read(stage)
        position = self.progress.epoch, self.progress.step
        if self.run is None or not self.writes or self._saved == position:
            return
        model_state = {name: to_cpu(array) for name, array in self.model.arrays().items()}
        for name, array in model_state.items():
            if not np.isfinite(array).all():
                raise self.journal.not_finite(f"a value of {name}", self.progress.step, stage.lr)
        self.progress.elapsed = self.journal.clock.elapsed()
        state = {"stage": stage.state_dict(), "random": random.get_state()}
        commit(self.run, Checkpoint(model_state, self.header(), state), best)
        self._saved = position

    def header(self) -> dict[str, Any]:
        """Return what a checkpoint stores about the network and the run, as plain JSON."""
        return {
            "model": {"name": self.config.model, "arguments": self.model.config()},
            "input_size": self.config.input_size,
            "normalization": normalization_to_dict(self.task.normalize),
            **self.task.metadata(),
            "config": self.config.to_dict(),
            "progress": asdict(self.progress),
            "fingerprints": self._fingerprints,
            **({"pretrained": self._about_weights} if self._about_weights else {}),
        }

    def _go_on_from(self, checkpoint: Checkpoint, path: str | Path) -> None:
        """Put the trainer where a checkpoint left off."""
        check_run_state(checkpoint, path)
        check_model_state(self.model.arrays(), checkpoint.model_state, path)
        self.model.load_state_dict(checkpoint.model_state)
        self.journal.progress = RunProgress.from_dict(checkpoint.header["progress"])
        self._resumed = checkpoint.state["stage"]
        random.set_state(checkpoint.state["random"])

    def _check_same_run(self, checkpoint: Checkpoint, reschedule: bool, other_data: bool) -> None:
        """Refuse other epochs or other data that would harm the run; then take its folder over."""
        header, state, progress = checkpoint.header, checkpoint.state["stage"], self.progress
        saved = TrainConfig.from_dict(header["config"])
        better = self.task.main_metric.higher_is_better
        at = (state["number"], progress.epoch, progress.epoch_step, state["lr"])
        finished = progress.epoch >= self.plan.epochs
        notes = [
            check_epochs(saved, self.config, self.plan, *at, better, reschedule),
            check_data(header.get("fingerprints"), self._fingerprints, finished, other_data),
        ]
        if self.run is None:
            return
        if progress.best_epoch and not self.run.best.exists():
            # What cannot be used is not the best: the next validation's is, whatever it is.
            notes.append(f"the best epoch, {progress.best_epoch}, is not there any more")
            progress.best, progress.best_epoch = None, 0
        if self.writes:
            self.run.keep_metrics(progress.metrics_lines)
        self.notes = [note for note in notes if note]
