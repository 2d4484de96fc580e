"""`trace`: a network's forward, written down as a `Graph`.

The network is called in evaluation mode with drawn images, of one and of two at a time and, where
the size is to stay open, of several sizes. All calls must be the same operations on the same
arrays; what differs are numbers that follow the shapes (`lengths`). A constant that differs was
computed outside of the tape, and is refused: written down, it would be right for one image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minideconv.autograd import Tensor
from minideconv.autograd.tracing import Call
from minideconv.backend import Array, get_xp, to_cpu
from minideconv.errors import UsageError
from minideconv.nn.graph import Graph, Operation, Value
from minideconv.nn.lengths import fit, fit_shape, fit_stop
from minideconv.nn.module import Module
from minideconv.nn.traced_run import Run, traced_run
from minideconv.ops.geometry import check_positive, pair
from minideconv.ops.switches import Switches

__all__ = ["trace"]

# What is added to the size for the calls with other sizes: with other remainders by 2, 4, .., 32.
_LARGER = ((0, 0), (9, 20), (33, 6), (18, 47), (27, 29))


def trace(
    network: Module,
    size: int | tuple[int, int],
    dynamic_size: bool = False,
    in_channels: int | None = None,
) -> Graph:
    """Return what a network computes from images (N, C, H, W), as a list of operations.

    Parameters
    ----------
    network : Module
        It is called in evaluation mode, and its mode put back.
    size : int or (int, int)
        Height and width of the images, in pixels.
    dynamic_size : bool
        Whether height and width may change later, to larger ones; otherwise only N may.
    in_channels : int, optional
        C; by default the network's attribute of that name, or 3.

    Raises
    ------
    UsageError
        If the network does not accept such images, does not return a Tensor, or computes something
        that no list of operations can say: for example with arrays instead of Tensors, or, where
        the size is to stay open, with numbers that follow it by no known rule.

    Examples
    --------
    >>> from minideconv import nn
    >>> graph = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 8)
    >>> [operation.name for operation in graph.operations], graph.operations[0].inputs[1].name
    (['conv2d', 'relu'], '0.weight')
    """
    height, width = pair(size, "size", "trace")
    channels = getattr(network, "in_channels", 3) if in_channels is None else in_channels
    check_positive("trace", height=height, width=width, in_channels=channels)
    rng = np.random.default_rng(0)
    runs = []
    for number, (more_h, more_w) in enumerate(_LARGER if dynamic_size else _LARGER[:1] * 2):
        shape = (1 + number % 2, channels, height + more_h, width + more_w)
        runs.append(traced_run(network, rng.standard_normal(shape)))
    return _Reader(network, runs).graph()


class _Reader:
    """Reads the calls of all runs side by side."""

    def __init__(self, network: Module, runs: Sequence[Run]) -> None:
        self.title, self.runs = type(network).__name__, runs
        self.names = {id(tensor): name for name, tensor in network.named_parameters()}
        self.names |= {id(array): name for name, array in network.named_buffers()}
        # For each run what an object of it is in the graph, by its id.
        self.known: list[dict[int, Any]] = [{} for _ in runs]
        self.values: list[Value] = []
        self.operations: list[Operation] = []

    def graph(self) -> Graph:
        """Return the graph."""
        image = self._made([run.input for run in self.runs])
        if len({len(run.calls) for run in self.runs}) > 1:
            raise UsageError(f"trace: {self.title} computes other operations for other images")
        for number, calls in enumerate(zip(*(run.calls for run in self.runs), strict=True)):
            self._read(calls)
            self.operations[-1].module = self.runs[0].modules[number]
        outputs = [run.output for run in self.runs]
        output = self._value("the output", outputs)
        return Graph(self.title, image, output, _needed(self.operations, output))

    def _read(self, calls: Sequence[Call]) -> None:
        """Append one operation."""
        first = calls[0]
        if any(c.name != first.name or len(c.inputs) != len(first.inputs) for c in calls):
            raise UsageError(f"trace: {self.title} computes other operations for other images")
        op = first.name
        inputs = tuple(
            None if all(tensor is None for tensor in tensors) else self._value(op, tensors)
            for tensors in zip(*(c.inputs for c in calls), strict=True)
        )
        if op == "max_unpool2d":
            self._read_unpooling(inputs, calls)
            return
        if op == "getitem":
            options: Any = {"key": self._key(calls, inputs[0])}
        elif op == "reshape" and len({len(c.options["shape"]) for c in calls}) == 1:
            shapes = [c.options["shape"] for c in calls]
            rule = self._fitted(op, "shape", shapes, lambda: fit_shape(shapes, self.values))
            options = {"shape": rule}
        else:
            options = {
                name: self._option(op, name, [c.options[name] for c in calls])
                for name in first.options
            }
        operation = Operation(op, inputs, options, self._made([c.result for c in calls]))
        self.operations.append(operation)
        for number, call in enumerate(calls):
            for item in call.saved:
                if isinstance(item, Switches):
                    self.known[number][id(item)] = operation

    def _made(self, tensors: Sequence[Tensor]) -> Value:
        """Return a new value of the graph: what the runs call by these tensors."""
        value = Value(tuple(tensor.shape for tensor in tensors), tensors[0].dtype)
        for known, tensor in zip(self.known, tensors, strict=True):
            known[id(tensor)] = value
        self.values.append(value)
        return value

    def _value(self, op: str, objects: Sequence[Any]) -> Value:
        """Return what the runs' tensors, or arrays, are in the graph."""
        found = [known.get(id(item)) for known, item in zip(self.known, objects, strict=True)]
        if found[0] is not None and all(value is found[0] for value in found):
            return found[0]
        arrays = [item.data if isinstance(item, Tensor) else item for item in objects]
        equal = all(item is not None for item in objects) and all(
            array is arrays[0] or _same(array, arrays[0]) for array in arrays[1:]
        )
        if any(value is not None for value in found) or not equal:
            raise UsageError(
                f"trace: {op} of {self.title} uses numbers that change with the image and that no"
                " operation on Tensors has computed; compute them with Tensors"
            )
        name = self.names.get(id(objects[0]), "")
        value = Value((arrays[0].shape,) * len(objects), arrays[0].dtype, name, arrays[0])
        for known, item in zip(self.known, objects, strict=True):
            known[id(item)] = value
        return value

    def _option(self, op: str, name: str, given: Sequence[Any]) -> Any:
        """Return an option: what is the same in all runs, or how it follows the size."""
        first = given[0]
        if isinstance(first, Tensor | get_xp(first).ndarray):
            return self._value(op, given)
        if isinstance(first, tuple | list) and all(len(item) == len(first) for item in given):
            parts = zip(*given, strict=True)
            return tuple([self._option(op, name, part) for part in parts])
        if type(first) is int and all(type(item) is int for item in given):
            return self._fitted(op, name, given, lambda: fit(given, self.values))
        if any(item is not first and item != first for item in given):
            raise self._changing(op, name, given)
        return first

    def _fitted(self, op: str, name: str, given: Sequence[Any], rule: Callable[[], Any]) -> Any:
        found = rule()
        if found is None:
            raise self._changing(op, name, given)
        return found

    def _changing(self, op: str, name: str, given: Sequence[Any]) -> UsageError:
        some = ", ".join(dict.fromkeys(map(str, given)))
        return UsageError(
            f"trace: {op} of {self.title} has {name} {some} for different images, which is no"
            " length of another array plus a constant; leave the size fixed, or change the network"
        )

    def _key(self, calls: Sequence[Call], x: Value | None) -> Any:
        """Return an index, in which slices have whole numbers: (start, stop, step)."""
        keys = [call.options["key"] for call in calls]
        keys = [key if isinstance(key, tuple) else (key,) for key in keys]
        if x is None or any([type(p) for p in key] != [type(p) for p in keys[0]] for key in keys):
            raise self._changing("getitem", "key", keys)
        taken = sum(part is not None and part is not Ellipsis for part in keys[0])
        read: list[Any] = []
        axis = 0
        for parts in zip(*keys, strict=True):
            if parts[0] is None:
                read.append(None)
            elif parts[0] is Ellipsis:
                read += [slice(0, True, 1)] * (x.ndim - taken)
                axis += x.ndim - taken
            else:
                read.append(self._part(parts, [shape[axis] for shape in x.shapes]))
                axis += 1
        return tuple(read)

    def _part(self, parts: Sequence[Any], lengths: Sequence[int]) -> Any:
        """Return a number or a slice of an index, its ends counted from the first pixel."""
        if not isinstance(parts[0], slice):
            return self._option("getitem", "key", parts)
        ends = [part.indices(n) for part, n in zip(parts, lengths, strict=True)]
        starts, stops, steps = zip(*ends, strict=True)
        if len(set(steps)) > 1 or steps[0] < 1:
            raise UsageError(f"trace: getitem of {self.title} has the step {steps[0]}, not above 0")
        start = self._fitted("getitem", "start", starts, lambda: fit(starts, self.values))
        stop = self._fitted("getitem", "stop", stops, lambda: fit_stop(stops, lengths, self.values))
        return slice(start, stop, steps[0])

    def _read_unpooling(self, inputs: tuple[Value | None, ...], calls: Sequence[Call]) -> None:
        """Append an unpooling by switches of a traced pooling, or to a pixel that is always one."""
        switches = [call.options["switches"] for call in calls]
        pools = [known.get(id(s)) for known, s in zip(self.known, switches, strict=True)]
        result = self._made([call.result for call in calls])
        if isinstance(pools[0], Operation) and all(pool is pools[0] for pool in pools):
            pools[0].gives_switches = True
            options = {"switches": pools[0], "duplicates": calls[0].options["duplicates"]}
            self.operations.append(Operation("max_unpool2d", inputs, options, result))
            return
        x = inputs[0]
        tap = _only_tap(switches)
        if tap is None or x is None or any(pool is not None for pool in pools):
            raise UsageError(
                f"trace: max_unpool2d of {self.title} has switches of no pooling of this forward"
            )
        # One pixel of each window: a transposed convolution with a single 1 for each channel.
        one = switches[0]
        kernel, channels = one.kernel_size, x.length(1)
        weight = np.zeros((channels, 1, *kernel), x.dtype)
        weight[:, :, tap // kernel[1], tap % kernel[1]] = 1
        extra = [
            tuple(
                side - ((n - 1) * step + k)
                for side, n, step, k in zip(
                    s.plane_shape, s.shape[2:], s.stride, kernel, strict=True
                )
            )
            for s in switches
        ]
        options = {
            "stride": one.stride,
            "padding": (0, 0),
            "output_padding": self._option("max_unpool2d", "output_padding", extra),
            "dilation": (1, 1),
            "groups": channels,
        }
        constant = Value((weight.shape,) * len(calls), x.dtype, "", weight)
        arguments = (x, constant, None)
        self.operations.append(Operation("conv_transpose2d", arguments, options, result))


def _same(a: Array, b: Array) -> bool:
    """Whether two arrays hold the same numbers, NaN included."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(get_xp(a).array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def _only_tap(switches: Sequence[Switches]) -> int | None:
    """Return the one tap that all switches are, of windows that do not overlap; else None."""
    found: set[int] = set()
    for each in switches:
        taps, kernel, stride = each.taps, each.kernel_size, each.stride
        if taps is None or kernel is None or stride is None:
            return None
        window = (kernel, stride, each.padding, each.dilation)
        overlapping = any(k > step for k, step in zip(kernel, stride, strict=True))
        if overlapping or window[2:] != ((0, 0), (1, 1)):
            return None
        found |= set(np.unique(to_cpu(taps)).tolist())
    return found.pop() if len(found) == 1 else None


def _needed(operations: Sequence[Operation], output: Value) -> list[Operation]:
    """Return the operations that the output needs, in their order."""
    wanted, kept = {id(output)}, []
    for operation in reversed(operations):
        if id(operation.result) in wanted:
            kept.append(operation)
            wanted |= {id(value) for value in operation.inputs}
            if operation.name == "max_unpool2d":
                wanted.add(id(operation.options["switches"].result))
    return kept[::-1]
