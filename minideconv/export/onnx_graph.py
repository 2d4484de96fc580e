"""From a `Graph` to an ONNX model: `OnnxBuilder` keeps the names, the table knows the operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minideconv.backend import to_cpu
from minideconv.errors import UsageError
from minideconv.export.onnx_model import OnnxModel, OnnxNode, Port
from minideconv.nn.graph import Graph, Length, Operation, Value

__all__ = ["OnnxBuilder"]


class OnnxBuilder:
    """Builds a model node by node.

    Parameters
    ----------
    graph : Graph
        The network.

    Attributes
    ----------
    model : OnnxModel
        What has been built; parameters have their names in the network's state.
    module : str
        The name of the module whose operation is being written.
    indices : dict of Operation to str
        What holds the indices of the poolings whose switches are used.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.model = OnnxModel(graph.title)
        self.module = ""
        self.indices: dict[Operation, str] = {}
        self._names: dict[Value, str] = {}
        self._lengths: dict[Length, str] = {}
        self._constants: dict[tuple[Any, ...], str] = {}
        self._counts = Counter(("input", "images", "scores", "probabilities", "labels"))

    def enter(self, value: Value, name: str) -> None:
        """Say under which name an array is known."""
        self._names[value] = name

    def name(self, value: Value | None) -> str:
        """Return the name of an array, "" for None; parameters and constants come in as needed."""
        if value is None:
            return ""
        if value not in self._names:
            assert value.array is not None
            name = value.name or self.unique("constant")
            self.model.initialisers[name] = to_cpu(value.array)
            self._names[value] = name
        return self._names[value]

    def unique(self, base: str, numbered: bool = True) -> str:
        """Return a name that nothing has yet: `base` with a number, or alone the first time."""
        self._counts[base] += 1
        count = self._counts[base]
        return base if count == 1 and not numbered else f"{base}_{count}"

    def add(self, op_type: str, *inputs: str, second: str = "", **attributes: Any) -> str:
        """Append a node that has the name of the module that is computed; return that.

        With `second` it has another output, which is called so behind the name and a dot.
        """
        name = self.unique(self.module or op_type, numbered=not self.module)
        return self._append(op_type, name, inputs, second, attributes)

    def step(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Append a node on the way to the one that `add` will append."""
        base = f"{self.module}.{op_type}" if self.module else op_type
        name = self.unique(base, numbered=not self.module)
        return self._append(op_type, name, inputs, "", attributes)

    def _append(
        self, op_type: str, name: str, inputs: tuple[str, ...], second: str, attributes: Any
    ) -> str:
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        outputs = (name, f"{name}.{second}") if second else (name,)
        self.model.nodes.append(OnnxNode(op_type, inputs, outputs, attributes))
        return name

    def constant(self, array: Any, dtype: Any = None) -> str:
        """Return the name of an initialiser with these numbers; equal ones are one."""
        array = np.asarray(array, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.unique("constant")
            self.model.initialisers[self._constants[key]] = array
        return self._constants[key]

    def size(self, sizes: Sequence[Any]) -> str:
        """Return the name of a vector of whole numbers, which may follow the input's size."""
        if not any(isinstance(size, Length) for size in sizes):
            return self.constant(list(sizes), np.int64)
        parts = [
            self._length(size) if isinstance(size, Length) else self.constant([size], np.int64)
            for size in sizes
        ]
        return parts[0] if len(parts) == 1 else self.step("Concat", *parts, axis=0)

    def _length(self, length: Length) -> str:
        """Return the name of a vector of one number."""
        if length not in self._lengths:
            at = {"start": length.axis, "end": length.axis + 1}
            name = self.step("Shape", self.name(length.value), **at)
            if length.times != 1:
                name = self.step("Mul", name, self.constant([length.times], np.int64))
            if length.plus:
                name = self.step("Add", name, self.constant([length.plus], np.int64))
            self._lengths[length] = name
        return self._lengths[length]

    def port(self, value: Value, name: str) -> Port:
        """Return an input or output; axes whose length is open have names, equal ones the same."""
        image = self.graph.input
        known = {
            tuple(shape[axis] for shape in image.shapes): dim
            for axis, dim in zip((3, 2, 0), ("width", "height", "batch"), strict=True)
        }
        dims: list[int | str] = []
        for axis in range(value.ndim):
            fixed = value.length(axis)
            lengths = tuple(shape[axis] for shape in value.shapes)
            dims.append(known.get(lengths, f"{name}_{axis}") if fixed is None else fixed)
        return Port(name, np.dtype(value.dtype).name, tuple(dims))

    def finish(self, name: str, wanted: str) -> None:
        """Let the output of the model that is called `name` be called `wanted`."""
        made = any(name in node.outputs for node in self.model.nodes)
        if not made:
            self.model.nodes.append(OnnxNode("Identity", (name,), (wanted,)))
            return
        self.model.nodes = [
            replace(
                node,
                inputs=tuple(wanted if n == name else n for n in node.inputs),
                outputs=tuple(wanted if n == name else n for n in node.outputs),
            )
            for node in self.model.nodes
        ]

    def unsupported(self, operation: Operation, reason: str = "") -> UsageError:
        """Return the error for an operation that ONNX cannot say."""
        why = reason or "it is in none of ONNX's operators that are written here"
        return UsageError(
            f"export: the operation {operation.name} of {self.graph.title} cannot be exported:"
            f" {why}"
        )
