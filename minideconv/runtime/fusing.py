"""From the operations of a graph to the steps of a plan: `fused`.

Four things are done on the way, none of which changes what is computed but for rounding:

* what does nothing in evaluation, such as dropout, is left out;
* what depends on no image, such as a weight that is itself computed, is computed now;
* a batch normalisation becomes part of the convolution before it, whose result nothing else reads
  (the formula is in `nn.folding`);
* a ReLU becomes part of the convolution or the normalisation before it, if nothing else reads what
  that gives: it is then applied to each number before the number is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minideconv.backend import Array
from minideconv.nn.folding import fold_arrays
from minideconv.nn.graph import Graph, Operation, Value
from minideconv.runtime.operations import OPERATIONS, computed, resolved, unknown

__all__ = ["CONVOLUTIONS", "Step", "fused"]

CONVOLUTIONS = ("conv2d", "conv_transpose2d")
_NOTHING = ("dropout", "dropout2d", "clone")
_OWN = (*CONVOLUTIONS, "batch_norm", "max_pool2d", "max_unpool2d", "relu")


@dataclass(eq=False)
class Step:
    """One step of a plan.

    Attributes
    ----------
    name : str
        The operation.
    inputs : tuple of Value or None
        Without the weights of a convolution, and the statistics of a normalisation.
    options : mapping of str to anything
        Those of the operation.
    result : Value
    constants : dict of str to array
        ``weight`` and ``bias``, and of a normalisation ``mean`` and ``var``.
    relu : bool
        Whether the result is rectified.
    modules : list of str
        The names of the modules that it computes.
    pool : Operation, optional
        Of a pooling whose switches are used, itself; of an unpooling, that pooling.
    """

    name: str
    inputs: tuple[Value | None, ...]
    options: Mapping[str, Any]
    result: Value
    constants: dict[str, Any] = field(default_factory=dict)
    relu: bool = False
    modules: list[str] = field(default_factory=list)
    pool: Operation | None = None


def fused(graph: Graph) -> tuple[list[Step], Value, dict[Value, Array]]:
    """Return the steps, the value that is the output, and all values that depend on no image.

    Raises
    ------
    UsageError
        If no plan can have one of the operations.
    """
    return _Fuser(graph).read()


class _Fuser:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.same: dict[Value, Value] = {}  # what does nothing: its result is its input
        for operation in graph.operations:
            if operation.name in _NOTHING and (x := operation.inputs[0]) is not None:
                self.same[operation.result] = self.real(x)
        self.output = self.real(graph.output)
        self.uses = Counter([self.output])
        for operation in graph.operations:
            if operation.result not in self.same:
                self.uses.update(self.real(x) for x in operation.inputs if x is not None)
        self.constants: dict[Value, Array] = {}
        self.steps: list[Step] = []
        self.made_by: dict[Value, Step] = {}

    def real(self, value: Value) -> Value:
        return self.same.get(value, value)

    def read(self) -> tuple[list[Step], Value, dict[Value, Array]]:
        for operation in self.graph.operations:
            if operation.result in self.same:
                continue
            inputs = tuple(None if x is None else self.real(x) for x in operation.inputs)
            for x in inputs:
                if x is not None and x.array is not None:
                    self.constants[x] = x.array
            self._enter(operation, inputs)
        if self.output.array is not None:
            self.constants[self.output] = self.output.array
        return self.steps, self.output, self.constants

    def _enter(self, operation: Operation, inputs: tuple[Value | None, ...]) -> None:
        name = operation.name
        arrays = [x for x in inputs if x is not None]
        if all(x in self.constants for x in arrays) and name not in ("max_pool2d", "max_unpool2d"):
            options = {k: resolved(v, _fixed, _array) for k, v in operation.options.items()}
            given = [None if x is None else self.constants[x] for x in inputs]
            result = computed(name, given, options, self.graph.title)
            self.constants[operation.result] = result
            return
        before = self._before(inputs[0])
        if name == "batch_norm_relu":
            self._normalise(operation, inputs, before, True)
        elif name == "batch_norm" and operation.options["running_mean"] is not None:
            self._normalise(operation, inputs, before, False)
        elif name == "relu" and before is not None:
            before.relu = True
            self._continue(before, operation)
        elif name in CONVOLUTIONS and self._all_constant(inputs[1:]):
            names = zip(("weight", "bias"), inputs[1:], strict=True)
            constants = {k: None if v is None else self.constants[v] for k, v in names}
            self._append(operation, inputs[:1], constants)
        elif name in OPERATIONS or name in _OWN:
            self._append(operation, inputs, {})
        else:
            raise unknown(name, self.graph.title)

    def _all_constant(self, values: tuple[Value | None, ...]) -> bool:
        return all(value is None or value in self.constants for value in values)

    def _before(self, x: Value | None) -> Step | None:
        """Return the step that made `x`, if it can do more, and nothing else reads `x`."""
        step = None if x is None else self.made_by.get(x)
        if step is None or x is None or self.uses[x] != 1 or step.relu or not step.constants:
            return None
        return step

    def _append(
        self, operation: Operation, inputs: tuple[Value | None, ...], constants: dict[str, Any]
    ) -> None:
        if len(inputs) == 2 and None in inputs and operation.name not in CONVOLUTIONS:
            operation.operands(lambda value: value)  # raises if one is neither Tensor nor number
        step = Step(operation.name, inputs, operation.options, operation.result, constants)
        step.modules.append(operation.module)
        if operation.name == "max_unpool2d":
            step.pool = operation.options["switches"]
        elif operation.gives_switches:
            step.pool = operation
        self.steps.append(step)
        self.made_by[operation.result] = step

    def _continue(self, step: Step, operation: Operation) -> None:
        """Let a step compute the operation behind it, too."""
        step.modules.append(operation.module)
        step.result = operation.result
        self.made_by[operation.result] = step

    def _normalise(
        self,
        operation: Operation,
        inputs: tuple[Value | None, ...],
        before: Step | None,
        relu: bool,
    ) -> None:
        options = operation.options
        statistics = (options["running_mean"], options["running_var"])
        if options["training"] or not self._all_constant(inputs[1:]):
            raise unknown(f"{operation.name} by statistics of its own batch", self.graph.title)
        scale, shift = (None if x is None else self.constants[x] for x in inputs[1:])
        mean, var = (_array(x) if isinstance(x, Value) else x for x in statistics)
        if before is None or before.name not in CONVOLUTIONS:
            constants = {"weight": scale, "bias": shift, "mean": mean, "var": var}
            self._append(operation, inputs[:1], constants)
            self.steps[-1].name, self.steps[-1].relu = "batch_norm", relu
            return
        transposed, kept = before.name == "conv_transpose2d", before.constants
        weight, bias = fold_arrays(
            kept["weight"], kept["bias"], mean, var, scale, shift, options["eps"],
            transposed, before.options["groups"],
        )  # fmt: skip
        before.constants, before.relu = {"weight": weight, "bias": bias}, relu
        self._continue(before, operation)


def _fixed(value: Value) -> tuple[int, ...]:
    return value.shapes[0]


def _array(value: Value) -> Any:
    return value.array
