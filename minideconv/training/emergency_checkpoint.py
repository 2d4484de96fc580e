"""The state after the last whole step, for a run that cannot finish the next one: `Rescue`.

Several processes take a step together. If one of them dies, the others stand in the middle of a
step: batch norm's running averages have moved, batches were taken from the loader, but the weights
have not changed, for they change last. So what a forward pass changes is put aside before each step
(it is small), and together with the weights as they are that is the state before the step. A
checkpoint of it goes on where the last whole step ended.

Figures that were still on their way between the processes are lost: of an epoch that was rescued on
GPUs, the mean loss and the training metrics leave out the steps since the last line of metrics.
"""

from __future__ import annotations

from typing import Any, Protocol

from minideconv import random
from minideconv.distributed import Mpi
from minideconv.nn import Module
from minideconv.nn.utils import get_buffers, set_buffers
from minideconv.training.interrupt import StopRequest
from minideconv.training.processes import Alone, Together
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.journal import RunProgress
from minideconv.training.stages import Stage

__all__ = ["Rescue"]


class Saving(Protocol):
    """What is needed of a trainer."""

    exchange: Alone
    stop: StopRequest
    model: Module
    run: RunFolder | None

    @property
    def progress(self) -> RunProgress: ...

    def write_checkpoint(self, stage: Stage) -> None: ...

    def command_to_go_on(self) -> str: ...


class Rescue:
    """Saves the last whole step of several processes; for one process it does nothing.

    Parameters
    ----------
    trainer : Saving
        In one process of the run, which need not be the one that writes.
    """

    def __init__(self, trainer: Saving) -> None:
        self.trainer = trainer
        self._stage: Stage | None = None  # under way, if its last whole step can be had
        self._before: tuple[Any, ...] = ()
        exchange = trainer.exchange
        self._needed = isinstance(exchange, Together)
        if isinstance(exchange, Together):
            exchange.changing = self.end
            if isinstance(exchange.talk, Mpi):
                exchange.talk.peers.rescue = self.save
                exchange.talk.waiting.stopping = lambda: trainer.stop.signal_number

    def begin(self, stage: Stage) -> None:
        """Put aside the state before a step, or before a validation."""
        if self._needed:
            counted = {n: s["step"] for n, s in stage.optimizer.state.items() if "step" in s}
            place = stage.place or stage.loader.state_dict()
            buffers = get_buffers(self.trainer.model)
            self._before = (buffers, random.get_state(), counted, place)
            self._stage = stage

    def end(self) -> None:
        """Say that the weights begin to change: until the next `begin` there is no whole state."""
        self._stage = None

    def save(self) -> str:
        """Write the checkpoint, whichever process this is; return a sentence about it."""
        trainer, stage = self.trainer, self._stage
        if trainer.run is None:
            return ""
        go_on = f"go on with: {trainer.command_to_go_on()}"
        if stage is None:
            return f"the last checkpoint stands; {go_on}" if trainer.run.last.exists() else ""
        buffers, chance, counted, stage.place = self._before
        set_buffers(trainer.model, buffers)
        random.set_state(chance)
        for number, step in counted.items():
            stage.optimizer.state[number]["step"] = step
        trainer.progress.metrics_lines = len(trainer.run.read_metrics())
        trainer.write_checkpoint(stage)
        return f"saved after step {trainer.progress.step}; {go_on}"
