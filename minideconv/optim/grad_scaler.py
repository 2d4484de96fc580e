"""Loss scaling: gradients too small for a half-precision number are made larger on their way.

    L' = s L        so every gradient comes out s times as large        g = g' / s

A float16 number below 6e-8 is zero. Where the factors of products are rounded to float16, small
gradients would vanish; times s they do not, and s is taken out again before the step. If s is too
large, a gradient overflows: that step is left out and s is reduced; after many good steps it grows:

    found an infinity or NaN     s = backoff s, and nothing else happens
    `growth_interval` good steps in a row     s = growth s

bfloat16 has the range of float32 and needs none of this.

Source: Micikevicius et al., "Mixed precision training" (2018), section 3.2; names and rules are
those of ``torch.amp.GradScaler``. There the host reads at each step from the device whether it was
a good one, and waits for all work that is under way. Here the answer stays on the device: the
step's kernel reads it and does nothing (`Optimizer.skip`), and so the whole step can be a CUDA
graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minideconv.autograd import Tensor
from minideconv.autograd.tensor import wrap
from minideconv.backend import Array, check_state, check_writable, get_xp
from minideconv.backend.checks import check_flag
from minideconv.backend.dispatch import accelerated, device_guard, on_device_of
from minideconv.backend.sums import sum_type
from minideconv.engine.cuda import gradients as cuda
from minideconv.optim.blocks import in_memory_order
from minideconv.optim.checks import check_count, check_range
from minideconv.optim.optimizer import Optimizer

__all__ = ["GradScaler"]


class GradScaler:
    """Scales a loss, takes the scale out of the gradients, and finds a scale that fits.

    Parameters
    ----------
    init_scale : float > 0
        The scale to begin with. Powers of two change no digit of a gradient.
    growth_factor : float > 1
    backoff_factor : float in (0, 1)
    growth_interval : int >= 1
        Good steps in a row after which the scale grows.
    enabled : bool
        With False nothing is scaled, and `step` is ``optimizer.step``.

    Raises
    ------
    ValueError, TypeError
        If a parameter is out of its range.

    Notes
    -----
    A step that was left out does not count for Adam's bias corrections. For SGD with dampening it
    does: if the very first step on a GPU is left out, the next one is dampened.

    Examples
    --------
    >>> from minideconv.optim import SGD
    >>> w = Tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer, scaler = SGD([w], lr=0.25), GradScaler(init_scale=8.0)
    >>> scaler.scale((w * w).sum()).backward()
    >>> w.grad
    Tensor([ 16., -32.])
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> w.numpy().tolist()
    [0.5, -1.0]
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._enabled = check_flag("GradScaler", "enabled", enabled)
        self._start = (_positive("init_scale", init_scale), 0.0)
        self._state: Array | None = None  # the scale, and the good steps since it last changed
        self._stages: dict[Optimizer, str] = {}
        if not _number(growth_factor) > 1:
            raise ValueError(f"GradScaler: growth_factor is {growth_factor!r}; it must be above 1")
        check_range("GradScaler", "backoff_factor", backoff_factor, below=1.0)
        self._growth = float(growth_factor)
        self._backoff = _positive("backoff_factor", backoff_factor)
        self._interval = check_count("GradScaler", "growth_interval", growth_interval)

    # What a step calls, in this order

    def scale(self, loss: Tensor) -> Tensor:
        """Return the loss times the scale: call ``backward`` on that."""
        if not self._enabled:
            return loss
        return loss * wrap(self._on_device_of(loss.data)[:1].reshape(()))

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale in place, and note whether all of them are finite.

        `step` does this, unless it was done: call it yourself to clip gradients in between.

        Raises
        ------
        RuntimeError
            If it was called before for this step, or there are no gradients.
        """
        if not self._enabled:
            return
        stage = self._stages.get(optimizer)
        if stage is not None:
            raise RuntimeError(
                f"GradScaler: unscale_() was called after {stage} of this optimizer; each step has"
                " one unscale_(), one step() and then update()"
            )
        gradients = optimizer.gradients()
        if not gradients:
            raise RuntimeError("GradScaler: the optimizer's parameters have no gradients")
        named = ((f"gradient {number}", array) for number, array in enumerate(gradients))
        check_writable("GradScaler: unscale_()", named)
        state, skip = self._on_device_of(gradients[0]), optimizer.make_skip()
        for gradient in gradients:
            unscale(in_memory_order(gradient, gradient)[0], state, skip)
        optimizer.bump_grad_versions()
        self._stages[optimizer] = "unscale_()"

    def step(self, optimizer: Optimizer, numbers: Array | None = None) -> None:
        """Call ``optimizer.step``, which changes nothing if a gradient was not finite.

        Parameters
        ----------
        optimizer : Optimizer
        numbers : array or None
            See `Optimizer.step`.
        """
        if not self._enabled:
            optimizer.step(numbers)
            return
        if self._stages.get(optimizer) != "unscale_()":
            self.unscale_(optimizer)
        given = numbers is not None or get_xp(optimizer.make_skip()) is not np
        optimizer.step(numbers, obey_skip=True)
        self._stages[optimizer] = "step() on the device" if given else "step()"

    def update(self, new_scale: float | None = None) -> None:
        """Change the scale by the rule of this file, or to `new_scale`.

        Raises
        ------
        RuntimeError
            If there was no step.
        """
        if not self._enabled:
            return
        if not self._stages or self._state is None:
            raise RuntimeError("GradScaler: update() comes behind step()")
        steps = [
            (optimizer.make_skip(), stage == "step() on the device")
            for optimizer, stage in self._stages.items()
        ]
        update_scale(self._state, steps, self._growth, self._backoff, self._interval)
        self._stages.clear()
        if new_scale is not None:
            with on_device_of(self._state):
                self._state[:1].fill(_positive("new_scale", new_scale))

    # What it is

    def is_enabled(self) -> bool:
        """Return whether anything is scaled."""
        return self._enabled

    def get_scale(self) -> float:
        """Return the scale; reads it from the device, and so waits for it."""
        if not self._enabled:
            return 1.0
        return self._start[0] if self._state is None else float(self._state[0])

    def state_dict(self) -> dict[str, Any]:
        """Return scale and counters under PyTorch's names; empty if not enabled."""
        if not self._enabled:
            return {}
        scale, good = self._start if self._state is None else self._state.tolist()
        return {
            "scale": scale,
            "growth_factor": self._growth,
            "backoff_factor": self._backoff,
            "growth_interval": self._interval,
            "_growth_tracker": int(good),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, in place: a recorded graph reads the new scale.

        Nothing changes if it does not fit.

        Raises
        ------
        ValueError, TypeError
            If it is the state of a scaler that was not enabled, or something in it is missing or
            out of its range.
        """
        if not self._enabled:
            return
        check_state("GradScaler", state)
        if "scale" not in state:
            raise ValueError("GradScaler: the saved state has no scale; it was not enabled")
        if missing := [name for name in self.state_dict() if name not in state]:
            raise ValueError(f"GradScaler: the saved state has no {missing[0]}")
        scale = _positive("scale", state["scale"])
        options = [state[name] for name in ("growth_factor", "backoff_factor", "growth_interval")]
        new = GradScaler(scale, *options)  # checks all of them
        good = check_count("GradScaler", "_growth_tracker", state["_growth_tracker"], least=0)
        self._growth, self._backoff, self._interval = new._growth, new._backoff, new._interval
        self._start = (scale, float(good))
        if self._state is not None:
            with on_device_of(self._state):
                self._state[...] = get_xp(self._state).asarray(self._start, np.float32)

    @device_guard
    def _on_device_of(self, array: Array) -> Array:
        if self._state is None:
            self._state = get_xp(array).array(self._start, np.float32)
        return self._state


@accelerated
def unscale(grad: Array, scale: Array, skip: Array) -> None:
    """Divide `grad` by ``scale[0]`` in place; set ``skip[0]`` if a number of it is not finite."""
    xp = get_xp(grad)
    grad *= 1 / scale[0].astype(sum_type(grad.dtype))
    xp.maximum(skip[0], ~xp.isfinite(grad).all(), out=skip[:1].reshape(()))


@accelerated
def update_scale(
    state: Array, steps: list[tuple[Array, bool]], growth: float, backoff: float, interval: int
) -> None:
    """Change the scale and the count of good steps behind the steps of some optimisers.

    `steps` has each optimiser's `skip`, and whether the device alone can see that it was obeyed:
    then it is counted there. All of them begin anew.
    """
    xp = get_xp(state)
    found = sum(skip[0] for skip, _ in steps) != 0
    scale = state[0].astype(np.float64)
    with np.errstate(over="ignore"):
        grown = (scale * growth).astype(np.float32)
    good = xp.where(found, 0, state[1] + 1)
    grows = (good == interval) & xp.isfinite(grown)
    state[0] = xp.where(found, scale * backoff, xp.where(grows, grown, scale))
    state[1] = xp.where(good == interval, 0, good)
    for skip, counts in steps:
        if counts:
            skip[1] += skip[0]
        skip[0] = 0


unscale.faster("gpu")(cuda.unscale)
update_scale.faster("gpu")(cuda.update_scale)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _positive(name: str, value: Any) -> float:
    """Return a finite number above 0, or raise."""
    number = _number(value)
    if not 0 < number < float("inf"):
        raise ValueError(f"GradScaler: {name} is {value!r}; it must be a finite number above 0")
    return number
