"""All parameters of an optimiser in one array, and their gradients in another.

    weights     | w0 .. 0 | w1 ....... 0 | w2 . 0 | b0 0 | b1 0 | b2 0 |
    gradients   | g0 .. 0 | g1 ....... 0 | g2 . 0 | h0 0 | h1 0 | h2 0 | extra |
                  group 0                           group 1

A network has a hundred parameters, most of them small. What treats them one by one (a step, a norm,
a sum over processes) starts a hundred times; on a GPU each start costs as much as a million
additions. Side by side in memory they are one array, and each of these is done once.

Nothing else changes: ``p.data`` and ``p.grad.data`` are views with the parameter's own shape, and
its own order in memory (a convolution's weight is still stored taps first). Each parameter begins
at a multiple of `ALIGN` elements, as if it had been allocated alone; between them there are zeros,
which any update keeps. `EXTRA` elements behind the gradients have no weight: they are for numbers
that are to be summed over processes together with the gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minideconv.autograd import Tensor
from minideconv.autograd.tensor import wrap
from minideconv.backend import Array, Device, device_of, get_xp, memory_order
from minideconv.backend.dispatch import device_guard, on_device_of
from minideconv.backend.sums import sum_type
from minideconv.engine.layout import TAPS_FIRST

__all__ = ["ALIGN", "EXTRA", "FlatParameters", "ParamSlice"]

ALIGN = 64
"""Elements between two beginnings: 256 bytes of float32, what the GPU's own allocations keep to."""

EXTRA = 64
"""Elements behind the gradients that belong to no parameter."""


@dataclass(frozen=True, slots=True)
class ParamSlice:
    """Where a parameter is in a flat array: the range, and the order of its axes in it."""

    start: int
    stop: int
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    """The parameter's axes, from the one with the largest steps in memory to the smallest."""

    @classmethod
    def of(cls, array: Array, start: int) -> ParamSlice:
        """Return the place of an array that shall begin at `start`.

        It keeps its order in memory; a weight of a convolution that is stored as its shape says
        gets the engine's, taps first.
        """
        as_its_shape = array.ndim == 4 and array.flags.c_contiguous
        axes = TAPS_FIRST if as_its_shape else tuple(memory_order(array))
        return cls(start, start + int(array.size), array.shape, axes)

    def dense(self, flat: Array) -> Array:
        """Return the range as a contiguous array, its axes in the order of memory."""
        part = flat[self.start : self.stop]
        return part.reshape([self.shape[axis] for axis in self.axes])

    def view(self, flat: Array) -> Array:
        """Return the range in the parameter's shape."""
        back = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return self.dense(flat).transpose(back)


class GradBuffer:
    """Where the gradient of one parameter is kept; `Tensor` hands every gradient to it."""

    def __init__(self, gradients: Array, param_slice: ParamSlice, flat: tuple[Array, int]) -> None:
        self.flat = flat
        self.axes = param_slice.axes
        self.dense = param_slice.dense(gradients)
        self.grad = wrap(param_slice.view(gradients))

    @device_guard
    def store(self, grad: Array, first: bool) -> Tensor:
        """Write `grad` over what is there, or add it; return what is there.

        Both walk along memory, not along axes.
        """
        view = grad.transpose(self.axes)
        if not first:
            self.dense += view
        elif grad is not self.grad.data:
            get_xp(self.dense).copyto(self.dense, view)
        self.grad.bump_version()
        return self.grad


class FlatParameters:
    """The flat arrays of an optimiser's groups, and where each parameter is in them.

    Making one moves the parameters, and the gradients they have, into it.

    Parameters
    ----------
    name : str
        The optimiser's, for messages.
    groups : sequence of sequences of parameters

    Attributes
    ----------
    weights : array (size,)
    gradients : array (size + EXTRA,)
    slices : list of ParamSlice
        One for each parameter, in the order of the groups.
    ranges : list of (int, int)
        Where each group begins and ends.

    Raises
    ------
    ValueError
        If the parameters are not all on one device and of one type.
    """

    def __init__(self, name: str, groups: Sequence[Sequence[Tensor]]) -> None:
        self.name = name
        self.parameters = [p for group in groups for p in group]
        kinds = sorted({f"{p.dtype} on {p.device}" for p in self.parameters})
        if len(kinds) > 1:
            raise ValueError(
                f"{name}: flatten() needs all parameters of one type and on one device; these are"
                f" {' and '.join(kinds)}"
            )
        self._known = [[id(p) for p in group] for group in groups]
        self.slices: list[ParamSlice] = []
        self.ranges: list[tuple[int, int]] = []
        end = 0
        for group in groups:
            begin = end
            for p in group:
                self.slices.append(ParamSlice.of(p.data, end))
                end = -(-self.slices[-1].stop // ALIGN) * ALIGN
            self.ranges.append((begin, end))
        with on_device_of(self.parameters[0].data):
            self._move(end)

    def _move(self, end: int) -> None:
        """Make the arrays, of `end` elements, and move the parameters into them."""
        first = self.parameters[0].data
        xp = get_xp(first)
        self.weights: Array = xp.zeros(end, first.dtype)
        self.gradients: Array = xp.zeros(end + EXTRA, first.dtype)
        self._memory: dict[str, Array] = {}
        self._views: list[Array] = []
        self._buffers: list[GradBuffer] = []
        flat = self.gradients[:end], len(self.parameters)
        version = [0]
        for p, param_slice in zip(self.parameters, self.slices, strict=True):
            xp.copyto(param_slice.dense(self.weights), p.data.transpose(param_slice.axes))
            self._views.append(param_slice.view(self.weights))
            self._buffers.append(GradBuffer(self.gradients, param_slice, flat))
            p._move(self._views[-1], version, self._buffers[-1])

    @property
    def device(self) -> Device:
        """Where they are; `device_guard` looks for it."""
        return device_of(self.weights)

    def holds(self, groups: Sequence[Sequence[Tensor]]) -> bool:
        """Return whether these are exactly the parameters of `groups`, all of them still here."""
        given = [[id(p) for p in group] for group in groups]
        return given == self._known and next(self._left(), None) is None

    def check(self) -> None:
        """Raise RuntimeError if a parameter was moved away from its place here."""
        for p in self._left():
            raise RuntimeError(
                f"{self.name}: a parameter of shape {p.shape} got another array after flatten(),"
                " as Module.to() gives it; call flatten() again"
            )

    def _left(self) -> Iterator[Tensor]:
        pairs = zip(self.parameters, self._views, strict=True)
        return (p for p, view in pairs if p.data is not view)

    @device_guard
    def memory(self, name: str) -> Array:
        """Return what is remembered under `name` of all weights; zeros at first."""
        if name not in self._memory:
            kind = sum_type(self.weights.dtype)
            self._memory[name] = get_xp(self.weights).zeros(self.weights.size, kind)
        return self._memory[name]

    def memory_of(self, number: int, name: str) -> Array:
        """Return the part of it that is of one parameter, in the parameter's shape."""
        return self.slices[number].view(self.memory(name))

    @device_guard
    def forget(self) -> None:
        """Set everything that is remembered to zero, in place."""
        for array in self._memory.values():
            array.fill(0)

    def arrays(self, group: int, names: Sequence[str]) -> tuple[Array, Array, list[Array]]:
        """Return a group's weights, gradients and memories, each as one array."""
        part = slice(*self.ranges[group])
        return self.weights[part], self.gradients[part], [self.memory(n)[part] for n in names]

    @device_guard
    def clear_missing(self) -> None:
        """Write zeros where a parameter has received no gradient."""
        for p, param_slice, buffer in zip(self.parameters, self.slices, self._buffers, strict=True):
            if p.grad is None:
                self.gradients[param_slice.start : param_slice.stop].fill(0)
                buffer.grad.bump_version()  # the program may have kept it

    def complete(self) -> None:
        """Give each parameter that has received no gradient one of zeros."""
        self.clear_missing()
        for p, buffer in zip(self.parameters, self._buffers, strict=True):
            p.grad = buffer.grad
