"""What a step of training takes in memory, and what is done if that is more than the budget.

A budget bounds the process: interpreter, data, network, momenta, gradients, activations. What a
step must have cannot be known without taking it, and a system gives out memory without asking us,
so the budget is kept by looking after each step:

1. the first step does without anything it could do without (`engine.cpu.memory.room`);
2. if a step takes more than the budget, activations are computed twice from then on
   (`autograd.checkpoint`); if one of the first steps still does, the run stops, with what would
   fit;
3. validation and drawing, which make arrays of other sizes, begin by giving back what is kept for
   the next step; images go through in batches no larger than in training (`Trainer.predictor`),
   and their maps are computed some rows at a time (`ScoreMap`);
4. what is left below the budget is given to `room`, less if a step shows that it was too much.

Source of the estimate: a peak is either that of the end of the forward, when the activations of all
layers are there, or that of the backward, when the gradients of the weights are there and part of
the activations still is. Both grow in proportion to the images in a batch, the rest does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minideconv.engine.cpu import memory, resident
from minideconv.errors import MinideconvError, TrainingError
from minideconv.settings.setting import refusal
from minideconv.settings.sizes import format_size, parse_size

__all__ = ["FIRST_STEPS", "MemoryWatch"]

FIRST_STEPS = 3
"""The first makes the momenta, the second is the first to have them during its forward."""


class MemoryWatch:
    """Measures the memory of each step.

    Parameters
    ----------
    model : Module
        The network; it can compute its activations twice if it has an attribute ``recompute``.
    budget : str or None
        Of the process; None for no bound.
    log : callable
        Takes a sentence for the user.
    all_reduce_max : callable
        Takes a number of this process and returns the largest of all processes.

    Attributes
    ----------
    process_peak, arrays_peak : int
        Bytes at most, over all steps done in the way now in use: of the process (0 where the system
        does not measure it), and of the arrays that steps made with `engine.cpu.memory`.
    validation_peak : int
        Bytes of the process at most, in the blocks of `validation`.
    """

    def __init__(
        self,
        model: Any,
        budget: str | None,
        log: Callable[[str], None],
        all_reduce_max: Callable[[int], int] = int,
    ) -> None:
        self.model = model
        self.all_reduce_max = all_reduce_max
        self.budget = None if budget is None else parse_size(budget)
        self.log = log
        self.process_peak = self.arrays_peak = self.validation_peak = 0
        self._steps = 0
        self._spare: int | None = None if self.budget is None else 0
        self._after_forward = 0

    def begin_step(self) -> None:
        """Begin to measure a step."""
        memory.allow(self._spare)
        memory.reset_peak()
        resident.reset_peak()

    def forward_done(self) -> None:
        """Measure what the forward pass has left, before the backward pass begins."""
        self._after_forward = memory.use().allocated

    def end_step(self, images: int) -> None:
        """End the measurement of a step with batches of `images`.

        Raises
        ------
        TrainingError
            If one of the first steps took more than the budget and nothing can be done about it.
        """
        self._steps += 1
        peak, use = resident.peak(), memory.use()
        self.process_peak = max(self.process_peak, peak)
        self.arrays_peak = max(self.arrays_peak, use.peak)
        if self._steps == FIRST_STEPS:
            self.log(f"memory: {self.summary()}")
        if self.budget is None:
            return
        # What one process does without, all do without: they keep step.
        peak = self.all_reduce_max(peak)
        if peak <= self.budget:
            if self._steps >= FIRST_STEPS and self._spare == 0:
                self._spare = self.budget - peak
            return
        if self._spare:
            self._spare = max(0, self._spare - (peak - self.budget))
        elif not getattr(self.model, "recompute", True):
            self.model.recompute = True
            self._steps = self.process_peak = self.arrays_peak = 0  # look at the first steps again
            memory.trim()
            self.log(
                f"memory: a step took {format_size(peak)}, more than the memory budget of "
                f"{format_size(self.budget)}; from now on activations are computed twice "
                "instead of kept (recompute)"
            )
        elif self._steps <= FIRST_STEPS:
            raise self._over_budget(peak, images, use)

    @contextmanager
    def validation(self) -> Iterator[None]:
        """Measure what the block, in which images are evaluated or drawn, takes.

        It holds neither gradients nor activations of several layers, but arrays of other sizes than
        a step's: with a budget, what is kept for the next step is given back before.
        """
        if self.budget is not None:
            memory.trim()
            resident.give_back()
        resident.reset_peak()
        try:
            yield
        finally:
            peak = resident.peak()
            over = self.budget is not None and max(self.validation_peak, self.budget) < peak
            self.validation_peak = max(self.validation_peak, peak)
            if over and self.budget is not None:
                self.log(
                    f"memory: validation took {format_size(peak)}, more than the memory budget of"
                    f" {format_size(self.budget)};"
                    " smaller images or a smaller --batch-size take less"
                )

    def peaks(self) -> dict[str, int]:
        """Return the peaks, for a line of metrics."""
        return {"process": self.process_peak, "arrays": self.arrays_peak}

    def summary(self) -> str:
        """Return the peaks as a short text."""
        arrays = f"{format_size(self.arrays_peak)} in its arrays"
        if not self.process_peak:
            return f"a step takes at most {arrays}"
        process, validation = format_size(self.process_peak), ""
        if self.validation_peak:
            validation = f"; validation at most {format_size(self.validation_peak)}"
        return f"a step takes at most {process}, of which {arrays}{validation}"

    def end(self) -> None:
        """End the watch, when training has ended: nothing is bounded any more."""
        memory.allow(None)

    def _over_budget(self, peak: int, images: int, use: memory.MemoryUse) -> MinideconvError:
        """Return the error of a step with batches of `images`, and which batch would fit."""
        assert self.budget is not None
        grads = sum(p.data.nbytes for p in self.model.parameters() if p.requires_grad)
        base = max(peak - use.peak, resident.now() - use.reserved - use.allocated)
        forward = self._after_forward / images
        backward = max(0, use.peak - grads) / images
        room = min(
            (self.budget - base) / max(1.0, forward),
            (self.budget - base - grads) / max(1.0, backward),
        )
        fits = min(int(room), images - 1)
        advice = f"a batch of {fits} would fit" if fits > 0 else "not even a batch of 1 would fit"
        needed, budget = format_size(peak), format_size(self.budget)
        return refusal(
            lambda name: (
                f"a step with {name('batch_size')} {images} needs about {needed} though "
                f"activations are computed twice, and {name('memory_budget')} is {budget}; {advice}"
            ),
            TrainingError,
        )
