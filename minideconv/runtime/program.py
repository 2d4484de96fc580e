"""`Program`: the steps of a network for inputs of one shape, with their arrays.

    input -> steps, in order -> output

What a kernel writes (`steps.Kernel`) has a place in one block of memory that all calls use again
(`lifetimes`), so that a kernel is bound to its arrays once. What a call returns is an array of its
own, dropped behind the last step that reads it. So is the output: no later call changes it.

The block, and the functions that are bound to it, are a `_Lane`. Two threads that call at once have
a lane each: a call takes a free one, or makes another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from minideconv.autograd.tensor import wrap
from minideconv.backend import Array
from minideconv.engine.cpu.memory import empty
from minideconv.engine.layout import from_channels_last, to_channels_last
from minideconv.errors import UsageError
from minideconv.nn.graph import Operation, Value
from minideconv.runtime.fusing import Step
from minideconv.runtime.lifetimes import Life, arrange
from minideconv.runtime.operations import OPERATIONS, resolved
from minideconv.runtime.steps import Kernel, call_of, kernel_of

__all__ = ["Program", "WrongShape"]

Shape = tuple[int, ...]
Key = Value | Operation | Step
"""What has a place: a value, or the taps of a pooling, whose switches are used or not."""

Run = Callable[[], object]

_PAGE = 2 << 20  # scratch memory begins on a large page, where the system has them
_LINE = 64


class WrongShape(UsageError):
    """A step got an array of another shape than two traces had led to expect."""


class Program:
    """A network for inputs of one shape.

    Parameters
    ----------
    steps : sequence of Step
    input, output : Value
    constants : dict of Value to array
        What depends on no image.
    count : int
        Images in the input.

    Attributes
    ----------
    kernels : list of Kernel or None
        Of each step; None for a call.
    places : dict
        Where in the block each array is, in bytes.
    nbytes : int
        Of the block.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        input: Value,
        output: Value,
        constants: dict[Value, Array],
        count: int,
    ) -> None:
        self.steps, self.constants = steps, constants
        self.input, self.output, self.count = input, output, count
        self.kernels = [self._kernel(step) for step in steps]
        self._keep_pairs()
        self._arrange()
        self.scratch = max((kernel.scratch for kernel in self.kernels if kernel), default=0)
        self._free: deque[_Lane] = deque()

    def __call__(self, x: Array) -> Array:
        """Return the output, an array that no later call changes."""
        try:
            lane = self._free.pop()
        except IndexError:
            lane = _Lane(self)
        try:
            return lane(x)
        finally:
            self._free.append(lane)

    def shape_of(self, value: Value | None) -> Shape:
        """Return a value's shape for so many images; it was traced for one and for two."""
        if value is None:
            return ()
        if value in self.constants:
            return tuple(self.constants[value].shape)
        pairs = zip(value.shapes[0], value.shapes[1], strict=True)
        return tuple([one + (self.count - 1) * (two - one) for one, two in pairs])

    def _kernel(self, step: Step) -> Kernel | None:
        pooled = None if step.pool is None else self.shape_of(step.pool.inputs[0])
        x, y = self.shape_of(step.inputs[0]), self.shape_of(step.result)
        return kernel_of(step, x, y, step.result.dtype, pooled)

    def _keep_pairs(self) -> None:
        """Let a pooling and its unpoolings all be kernels, or all calls: they share the taps."""
        pairs = [(step.pool, i) for i, step in enumerate(self.steps) if step.pool is not None]
        calls = {pool for pool, i in pairs if self.kernels[i] is None}
        for pool, i in pairs:
            if pool in calls:
                self.kernels[i] = None

    def _arrange(self) -> None:
        """Find places for what kernels write, and for the input if a kernel reads it."""
        first: dict[Key, int] = {}
        last: dict[Key, int] = {self.output: len(self.steps)}
        for i, (step, kernel) in reversed(
            list(enumerate(zip(self.steps, self.kernels, strict=True)))
        ):
            # What a call returns may be a view of what it was given.
            end = i if kernel else max(i, last.get(step.result, i))
            for x in step.inputs:
                if x is not None:
                    last[x] = max(last.get(x, end), end)
            if kernel is None:
                continue
            first[step.result] = i
            if step.inputs[0] is self.input:
                first[self.input] = -1
            if (taps := taps_of(step)) is not None:
                last.setdefault(taps, i)
                first[taps] = i
        first.pop(self.output, None)  # an array of its own, for each call
        self.last = last
        lives = [
            Life(self.size_of(key), start, last.get(key, start)) for key, start in first.items()
        ]
        places, self.nbytes = arrange(lives)
        self.places = dict(zip(first, places, strict=True))

    def size_of(self, key: Key) -> int:
        """Return how many bytes an array has: numbers are float32, taps bytes."""
        if isinstance(key, Value):
            return 4 * prod(self.shape_of(key))
        return prod(self.shape_of(key.result))


def taps_of(step: Step) -> Key | None:
    """Return what stands for the taps that a step writes or reads."""
    if step.name not in ("max_pool2d", "max_unpool2d"):
        return None
    return step if step.pool is None else step.pool


class _Lane:
    """One block of memory, and the functions that are bound to it: for one call at a time."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.block = _aligned(program.nbytes, _LINE)
        self.scratch = _aligned(4 * program.scratch, _PAGE).view(np.float32)
        self.values: dict[Any, Any] = dict(program.constants)
        self.flat: dict[Key, np.ndarray] = {}
        for key, place in program.places.items():
            size = program.size_of(key)
            flat = self.block[place : place + size]
            if isinstance(key, Value):
                flat = flat.view(np.float32)
                n, c, h, w = program.shape_of(key)
                self.values[key] = from_channels_last(flat.reshape(n, h, w, c))
            self.flat[key] = flat
        self.kept = frozenset(self.values)
        self.runs = [self._bound(i) for i in range(len(program.steps))]

    def __call__(self, x: Array) -> Array:
        values, program = self.values, self.program
        if program.input in self.kept:
            np.copyto(values[program.input], x)
        else:
            values[program.input] = x
        try:
            for run in self.runs:
                run()
            y: Array = values[program.output]
        finally:
            for key in values.keys() - self.kept:
                del values[key]
        own = program.output not in self.kept and not np.may_share_memory(y, self.block)
        return y if own else y.copy(order="K")

    def _bound(self, number: int) -> Run:
        """Return a function without arguments that carries out a step."""
        step, kernel = self.program.steps[number], self.program.kernels[number]
        return self._call(number, step) if kernel is None else self._run(step, kernel)

    def _run(self, step: Step, kernel: Kernel) -> Run:
        x, y, taps, flat = step.inputs[0], step.result, taps_of(step), self.flat
        others = (None if taps is None else flat[taps], self.scratch)
        if x in flat and y in flat:
            return kernel.bind(flat[x], flat[y], *others)
        expected, (n, c, h, w) = self.program.shape_of(x), self.program.shape_of(y)

        def run() -> None:
            given = flat.get(x)  # type: ignore[arg-type]
            if given is None:
                array = self.values[x]
                if array.shape != expected:  # a kernel would read what is not there
                    raise _wrong_shape(step, array.shape, expected)
                given = to_channels_last(array).reshape(-1)
            made = flat.get(y)
            if made is None:
                images = empty((n, h, w, c))
                made, self.values[y] = images.reshape(-1), from_channels_last(images)
            kernel.bind(given, made, *others)()

        return run

    def _call(self, number: int, step: Step) -> Run:
        program, values = self.program, self.values
        function = call_of(step, program.shape_of(step.inputs[0])) or self._operation(step)
        inputs, result, pool = step.inputs, step.result, step.pool
        ending = [
            key
            for key in {*inputs, step.pool}
            if key is not None and program.last.get(key) == number and key not in self.kept
        ]
        two = step.name == "max_pool2d" and pool is not None

        def run() -> None:
            made = function(*[None if x is None else values[x] for x in inputs])
            if two:
                values[result], values[pool] = made
            else:
                values[result] = made
            for key in ending:
                values.pop(key, None)

        return run

    def _operation(self, step: Step) -> Callable[..., Array]:
        """Return one of `OPERATIONS` as a function of arrays."""
        carry, program = OPERATIONS[step.name], self.program
        options = {
            name: resolved(option, program.shape_of, lambda value: value.array)
            for name, option in step.options.items()
            if name != "switches"
        }

        def compute(*arrays: Any) -> Array:
            given = (
                options if step.pool is None else {**options, "switches": self.values[step.pool]}
            )
            tensors = [None if array is None else wrap(array) for array in arrays]
            made: Array = carry(tensors, given).data
            return made

        return compute


def _wrong_shape(step: Step, found: Shape, expected: Shape) -> WrongShape:
    return WrongShape(f"inference: {step.name} got {found} where two traces foretold {expected}")


def _aligned(nbytes: int, line: int) -> np.ndarray:
    """Return so many bytes that begin at a multiple of `line`."""
    owner = np.empty(nbytes + line, np.uint8)
    start = -owner.__array_interface__["data"][0] % line
    return owner[start : start + nbytes]
