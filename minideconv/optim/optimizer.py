"""What all optimisers share: a step over all groups, its state, saving and loading.

The *state* is what an optimiser remembers of each parameter (a momentum, a count of steps); it is
made at the parameter's first update, in float32 for a float16 parameter. `optim.groups` has what a
step does not change: the groups, their hyper-parameters and their gradients.

Gradients add up over backward passes until ``zero_grad``; a step uses the sum and never changes it.
To train on k micro-batches as on one batch, divide each loss by k, and call ``step`` once behind
the k-th ``backward``. Weight decay is applied inside ``step``, so once per step and at its full
strength however many backward passes there were. (DeconvNet's Caffe divides the learning rate by k
behind the decay: its effective decay is k times weaker than the number in its solver file.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from minideconv.autograd import Tensor
from minideconv.autograd.grad_mode import mode
from minideconv.backend import Array, check_writable, device_of, get_xp, to_device
from minideconv.backend.checks import shown
from minideconv.backend.dispatch import on_device_of
from minideconv.backend.sums import sum_type
from minideconv.engine.layout import assign
from minideconv.optim.blocks import in_memory_order
from minideconv.optim.flat import FlatParameters
from minideconv.optim.groups import Group, ParameterGroups
from minideconv.optim.saving import State, read, stored_like, write

__all__ = ["Arrays", "Group", "Numbers", "Optimizer", "Skip", "State"]

Numbers = tuple[Any, Any] | Array
"""The two numbers that are of one step alone: Python's, or a row of float32 on the weights' device.

Either is unpacked alike: ``lr, t = numbers``.
"""

Arrays = Sequence[Array]

Skip = Array | None
"""`Optimizer.skip` where the numbers of a step are on the device, and None where they are not."""


_NOTHING: State = {}


def _can_change(weight: Array, grad: Array, memory: State) -> bool:
    """Return whether a step can change `weight` and `memory` in place; fast, as it mostly can."""
    shape, host = weight.shape, get_xp(weight) is np
    if grad.shape != shape or 0 in weight.strides or (host and not weight.flags.writeable):
        return False
    for name, array in memory.items():
        if name != "step" and (array.shape != shape or (host and not array.flags.writeable)):
            return False
    return True


class Optimizer(ParameterGroups):
    """Base class: a subclass names its hyper-parameters, checks them, and updates one parameter.

    Attributes
    ----------
    param_groups : list of dict
        The groups; change ``group["lr"]`` and the next step uses it.
    state : dict of int to dict
        What is remembered of each parameter, by its number in the order of the groups.
    skip : array of two float32, or None
        For ``step(numbers)``: whether it shall change nothing (not 0), and how many such steps
        there were. On the parameters' device, where `GradScaler` writes it.
    """

    counts: ClassVar[bool] = False
    """Whether the second of a step's numbers is how many there were, those left out excepted."""

    def __init__(self, params: Iterable[Tensor] | Iterable[Group], **defaults: Any) -> None:
        self.state: dict[int, State] = {}
        self.skip: Array | None = None
        self.scheduled_lrs: list[float] = []  # what a schedule set, so that it sees other changes
        super().__init__(params, defaults)

    # What a subclass provides

    def remembers(self, group: Group) -> tuple[str, ...]:
        """Return the names of the arrays that are kept from step to step for each parameter."""
        raise NotImplementedError

    def numbers(self, group: Group, state: State, new: bool) -> tuple[float, float]:
        """Count a step in `state`, and return the two numbers that are of this step alone.

        `new`: what is remembered was made just now, all zeros.
        """
        raise NotImplementedError

    def update(
        self, weight: Array, grad: Array, memory: Arrays, numbers: Numbers, group: Group, skip: Skip
    ) -> None:
        """Change `weight` and `memory` in place; leave `grad` as it is.

        With `skip` the `numbers` are on the device too, and nothing changes if ``skip[0]`` is not
        0.
        """
        raise NotImplementedError

    # What a user calls

    def step(
        self,
        numbers: Any = None,
        obey_skip: bool = False,
        *,
        closure: Callable[[], Any] | None = None,
    ) -> Any:
        """Update every parameter that has a gradient, in place.

        Parameters
        ----------
        closure : function without arguments, optional
            Called first, while gradients are recorded: it computes a loss, calls its ``backward()``
            and returns it. May stand first, as in PyTorch.
        numbers : array of float32 on the parameters' device, or None
            What `next_numbers` returned for this step. Without it they are computed here; with it
            the step is the same for each set of numbers, so that a CUDA graph can hold it.
        obey_skip : bool
            Change nothing if ``skip[0]`` is not 0, as a step with `numbers` always does. On a GPU
            the numbers are then sent there, 8 bytes for each group.

        Returns
        -------
        What `closure` returned, or None.

        Raises
        ------
        RuntimeError
            If there are `numbers` and a parameter has no gradient; none is changed then.
        TypeError
            If `numbers` is no array, or `closure` cannot be called.
        ValueError
            If a parameter that has a gradient is read-only; none is changed then either.
        """
        if callable(numbers) and closure is None:
            numbers, closure = None, numbers
        if closure is not None:
            return self._step_behind(closure, numbers, obey_skip)
        self._renumber()
        if self._flat is not None:
            self._flat.check()
        if numbers is not None and not hasattr(numbers, "dtype"):
            raise TypeError(
                f"{self.name}: step() got {shown(numbers)}; it must be a function that computes the"
                " loss, or what next_numbers() returned"
            )
        if numbers is not None and self.skip is None:
            raise RuntimeError(f"{self.name}: step(numbers) comes behind next_numbers()")
        skip = self.make_skip() if obey_skip or numbers is not None else None
        if skip is not None and get_xp(skip) is np:
            if skip[0]:
                return
            skip = None
        self._check_arrays("step()")
        rows = [None] * len(self.param_groups) if numbers is None else self._rows(numbers)
        for g, (members, row) in enumerate(zip(self._numbered(), rows, strict=True)):
            having = [(number, p) for number, p in members if p.grad is not None]
            if having:
                self._step_group(g, having, row, skip)

    def _step_behind(self, closure: Any, numbers: Any, obey_skip: bool) -> Any:
        """Let `closure` compute loss and gradients, take a step, and return the loss."""
        if not callable(closure) or numbers is not None:
            raise TypeError(
                f"{self.name}: step() got closure={shown(closure)}; it must be a function that"
                " computes the loss, and there must be no numbers beside it"
            )
        before, mode.recording = mode.recording, True
        try:
            loss = closure()
        finally:
            mode.recording = before
        self.step(obey_skip=obey_skip)
        return loss

    def _step_group(
        self, g: int, having: list[tuple[int, Tensor]], row: Numbers | None, skip: Array | None
    ) -> None:
        """Update the parameters of a group that have a gradient; at once if they are flat."""
        group = self.param_groups[g]
        names = self.remembers(group)
        each: list[Any]
        if row is None:
            each = [self._advance(number, p, g) for number, p in having]
            alike = each.count(each[0]) == len(each)
        else:
            each, alike = [row] * len(having), True
        if skip is not None and isinstance(each[0], tuple):
            each = list(to_device(np.array(each, np.float32), device_of(skip)))
        if self._flat is not None and len(having) == len(group["params"]) and alike:
            weight, grad, memory = self._flat.arrays(g, names)
            with on_device_of(weight):
                self._update(weight, grad, memory, each[0], group, skip)
            having[0][1].bump_version()  # and so all: they are views of one memory
            return
        for (number, p), now in zip(having, each, strict=True):
            assert p.grad is not None
            arrays = (p.data, p.grad.data, *(self.state[number][name] for name in names))
            with on_device_of(p.data):
                weight, grad, *memory = in_memory_order(*arrays)
                self._update(weight, grad, memory, now, group, skip)
            p.bump_version()

    def _update(
        self, weight: Array, grad: Array, memory: Arrays, numbers: Numbers, group: Group, skip: Skip
    ) -> None:
        """Call `update` on numbers of one type: float32 for float16 weights, else the weights'.

        float16 holds neither Adam's eps nor the squares of a gradient.
        """
        kind = weight.dtype
        if kind.char != "e":
            if grad.dtype != kind:
                grad = grad.astype(kind)
            self.update(weight, grad, memory, numbers, group, skip)
            return
        wide = weight.astype(np.float32)
        self.update(wide, grad.astype(np.float32), memory, numbers, group, skip)
        weight[...] = wide

    # For a step that is one launch, or part of a recorded graph

    def make_skip(self) -> Array:
        """Return `skip`, made if it is not there yet."""
        weight = next(self._parameters()).data
        if self.skip is None or device_of(self.skip) != device_of(weight):
            self.skip = to_device(np.zeros(2, np.float32), device_of(weight))
        return self.skip

    def next_numbers(self) -> np.ndarray:
        """Count a step and return the numbers that are of this step alone, float32, (groups, 2).

        They are small, and the only part of a step that the host computes and not the device: send
        them there, and call ``step(numbers)``. A learning rate is rounded to float32, 6e-8 of
        it, also where weights are float64. Other hyper-parameters become part of a recorded graph.

        Raises
        ------
        RuntimeError
            If parameters of one group have taken different numbers of steps; none is counted.
        """
        self._renumber()
        self._check_arrays("next_numbers()")
        self.make_skip()
        rows: list[tuple[float, float]] = []
        for g, members in enumerate(self._numbered()):
            ahead = {self._ahead(number, g) for number, _ in members}
            if len(ahead) > 1:
                raise RuntimeError(
                    f"{self.name}: parameters of group {g} have taken different numbers of steps;"
                    " next_numbers() needs them alike: call step() without numbers"
                )
            rows += ahead or {(0.0, 0.0)}  # of a group that was emptied by hand
        for g, members in enumerate(self._numbered()):
            for number, p in members:
                self._advance(number, p, g)
                p.bump_version()
        return np.array(rows, np.float32)

    def state_dict(self, copy: bool = True) -> dict[str, Any]:
        """Return hyper-parameters and state as a flat dict of plain values and NumPy arrays.

        The keys are ``kind``, ``groups.G.NAME`` and ``state.N.NAME``: ready for JSON and ``.npz``.
        With ``copy=False`` the arrays on the CPU are the optimiser's own: the next step changes
        them.
        """
        self._renumber()
        left_out = 0 if self.skip is None else int(self.skip[1])
        return write(self.name, self.param_groups, self.defaults, self.state, left_out, copy)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; nothing changes if it does not fit.

        Raises
        ------
        ValueError
            If it is another optimiser's, or of other numbers or shapes of parameters.
        TypeError
            If it is no mapping, or something in it is of a wrong type.
        """
        self._renumber()
        groups, self.state = read(
            self.name, state, self.param_groups, self.check, self.remembers, self.counts
        )
        for group, new in zip(self.param_groups, groups, strict=True):
            group.pop("initial_lr", None)
            group.update(new)
        if self.skip is not None:
            with on_device_of(self.skip):
                self.skip.fill(0)
        if self._flat is not None:
            self._flat.forget()
            self._move_state(self._flat)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become a copy, and store the state as the parameters are: pickles forget their order."""
        super().__setstate__(state)
        for number, p in enumerate(self._parameters()):
            memory = self.state.get(number, {})
            for name in memory.keys() - {"step"}:
                if memory[name].strides != p.data.strides:
                    memory[name] = stored_like(p, memory[name])

    def _advance(self, number: int, p: Tensor, group: int) -> tuple[float, float]:
        """Count a step of one parameter; make what is remembered of it if there is nothing yet."""
        options = self.param_groups[group]
        state = self.state.setdefault(number, {})
        missing = [name for name in self.remembers(options) if name not in state]
        for name in missing:
            if self._flat is not None:
                state[name] = self._flat.memory_of(number, name)
            else:
                with on_device_of(p.data):
                    state[name] = get_xp(p.data).zeros_like(p.data, sum_type(p.dtype))
        return self.numbers(options, state, bool(missing))

    def _ahead(self, number: int, group: int) -> tuple[float, float]:
        """Return what `_advance` will, and change nothing."""
        options = self.param_groups[group]
        state = dict(self.state.get(number, {}))
        missing = any(name not in state for name in self.remembers(options))
        return self.numbers(options, state, missing)

    def _keep(self, before: list[int | None]) -> None:
        kept = {n: self.state.get(old) for n, old in enumerate(before) if old is not None}
        self.state = {number: state for number, state in kept.items() if state is not None}

    def _check_arrays(self, what: str) -> None:
        """Raise unless all that a step changes may be changed, and is of one shape."""
        for number, p in enumerate(self._parameters()):
            memory = self.state.get(number, _NOTHING)
            if p._grad is None or _can_change(p.data, p._grad.data, memory):
                continue
            shape, given = p.data.shape, {f"parameter {number}": p.data}
            for name, array in memory.items():
                if name != "step":
                    given[f"{name} of parameter {number}"] = array
            check_writable(f"{self.name}: {what}", given.items())
            given[f"the gradient of parameter {number}"] = p._grad.data
            for name, array in given.items():
                if array.shape != shape:
                    raise ValueError(
                        f"{self.name}: {what}: {name} has shape {array.shape} but the parameter has"
                        f" {shape}; for an array of another shape make a new parameter"
                    )

    def _move_state(self, flat: FlatParameters) -> None:
        for number, p in enumerate(self._parameters()):
            state = self.state.get(number, {})
            for name in state.keys() - {"step"}:
                place = flat.memory_of(number, name)
                assign(place, to_device(state[name], p.device))
                state[name] = place

    def _rows(self, numbers: Array) -> Sequence[Numbers]:
        """Return the numbers of each group: Python's if they are on the host, rows if not."""
        for g, group in enumerate(self.param_groups):
            missing = sum(p.grad is None for p in group["params"])
            if missing:
                raise RuntimeError(
                    f"{self.name}: step(numbers) needs a gradient for each parameter;"
                    f" {missing} of {len(group['params'])} in group {g} have none"
                )
        rows = numbers.reshape(len(self.param_groups), 2)
        if get_xp(rows) is not np:
            return list(rows)
        left_out = float(self.make_skip()[1]) if self.counts else 0.0
        return [(float(first), float(second) - left_out) for first, second in rows]
