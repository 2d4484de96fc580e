"""PyTorch: a module that computes what a network of this library computes, and states both ways.

    torch_twin         network -> torch.fx.GraphModule with the same names and numbers
    torch_state        network -> state_dict of tensors
    load_torch_state   state_dict of tensors -> network

The twin is built from the operations of one traced forward (`nn.trace`), not from a network's
class: a layer whose weight is called ``conv1_1.layer.weight`` becomes the module ``conv1_1.layer``
of PyTorch's own kind. So ``state_dict()`` has our names, ``train()`` normalises by the batch,
``twin.code`` prints the forward as Python, and ``torch.save`` takes it.

PyTorch is imported when it is needed, and no requirement of this library.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from minideconv.backend import to_cpu
from minideconv.errors import UsageError
from minideconv.interop.torch_operations import OPERATIONS
from minideconv.nn import Module
from minideconv.nn.graph import Graph, Length, Operation, Value
from minideconv.nn.trace import trace

__all__ = ["load_torch_state", "torch_state", "torch_twin"]


def torch_twin(
    network: Module, size: int | tuple[int, int] | None = None, dynamic_size: bool = True
) -> Any:
    """Return a ``torch.nn.Module`` that computes what `network` computes, with the same weights.

    Parameters
    ----------
    network : Module
        Its forward takes one Tensor (N, C, H, W) and returns one; `nn.trace.trace` says more. It is
        left as it is; the twin has copies of its numbers, on the CPU.
    size : int or (int, int), optional
        Height and width of the images, in pixels; by default the network's ``input_size``, or 64.
    dynamic_size : bool
        Whether larger images may be given to the twin, too.

    Returns
    -------
    torch.fx.GraphModule
        In evaluation mode.

    Raises
    ------
    UsageError
        If PyTorch is not installed, or an operation has no counterpart there.
    """
    torch = _torch()
    if size is None:
        size = getattr(network, "input_size", 64)
    twin = _Twin(torch, trace(network, size, dynamic_size)).module()
    state = torch_state(network)
    twin.load_state_dict({name: state[name] for name in twin.state_dict()}, assign=True)
    return twin


def torch_state(network: Module) -> dict[str, Any]:
    """Return a network's state as tensors of PyTorch, by the same names: copies, on the CPU.

    Raises
    ------
    UsageError
        If PyTorch is not installed.
    """
    torch = _torch()
    return {name: _tensor(torch, array) for name, array in network.state_dict().items()}


def load_torch_state(network: Module, state: Mapping[str, Any]) -> None:
    """Load a state_dict of PyTorch's tensors into a network of this library, bit by bit.

    Parameters
    ----------
    network : Module
    state : mapping of str to torch.Tensor
        By the network's own names, as `torch_twin` and `torch_state` have them, on any device.

    Raises
    ------
    ValueError
        If names or shapes are not those of the network; nothing is changed then.
    """
    network.load_state_dict({name: tensor.detach().cpu().numpy() for name, tensor in state.items()})


def _torch() -> Any:
    try:
        import torch
        import torch.fx
    except ImportError as error:
        raise UsageError(
            "interop.torch: PyTorch is not installed here (pip install torch)"
        ) from error
    return torch


def _tensor(torch: Any, array: Any) -> Any:
    return torch.from_numpy(np.array(to_cpu(array), order="C"))


class _Twin:
    """Turns a graph into modules, and a graph of PyTorch's that calls them."""

    def __init__(self, torch: Any, graph: Graph) -> None:
        self.torch, self.source = torch, graph
        self.root, self.graph = torch.nn.Module(), torch.fx.Graph()
        self.nodes: dict[Value, Any] = {}
        self.indices: dict[Operation, Any] = {}
        self.constants: list[str] = []
        self.uses = Counter(
            value.name
            for operation in graph.operations
            for value in (*operation.inputs, *operation.options.values())
            if isinstance(value, Value) and value.name
        )

    def module(self) -> Any:
        """Return the twin."""
        self.nodes[self.source.input] = self.graph.placeholder("x")
        for operation in self.source.operations:
            build = OPERATIONS.get(operation.name)
            if build is None:
                raise UsageError(
                    f"interop.torch: the operation {operation.name} of {self.source.title} has no"
                    " counterpart in PyTorch that is known here"
                )
            self.nodes[operation.result] = build(self, operation)
        self.graph.output(self.node(self.source.output))
        twin = self.torch.fx.GraphModule(self.root, self.graph, self.source.title)
        for name in self.constants:  # numbers of the forward, and no part of the state
            tensor = getattr(twin, name)
            delattr(twin, name)
            twin.register_buffer(name, tensor, persistent=False)
        return twin.eval()

    # --- what the table of operations uses -------------------------------------------------------

    def call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        """Append a call of a function of PyTorch's."""
        return self.graph.call_function(function, arguments, options)

    def node(self, value: Value | None) -> Any:
        """Return what stands for an array in PyTorch's graph; parameters enter it as they come."""
        if value is None:
            return None
        if value not in self.nodes:
            name = value.name
            if not name:
                name = f"constant_{len(self.constants) + 1}"
                self.constants.append(name)
            tensor = _tensor(self.torch, value.array)
            owner, _, last = name.rpartition(".")
            if value.name and tensor.is_floating_point():
                setattr(self._owner(owner), last, self.torch.nn.Parameter(tensor))
            else:
                self._owner(owner).register_buffer(last, tensor)
            self.nodes[value] = self.graph.get_attr(name)
        return self.nodes[value]

    def size(self, size: Any) -> Any:
        """Return numbers as arguments: those that follow the input's size are computed."""
        if isinstance(size, Length):
            length = self.graph.call_method("size", (self.node(size.value), size.axis))
            if size.times != 1:
                length = self.call(operator.mul, length, size.times)
            return self.call(operator.add, length, size.plus) if size.plus else length
        if isinstance(size, tuple):
            return tuple([self.size(part) for part in size])
        return size

    def layer(self, operation: Operation, make: Any, **arrays: Value | None) -> Any | None:
        """Append a call of a module that owns these arrays; None if no module can.

        Parameters
        ----------
        operation : Operation
            Its first input goes into the module.
        make : callable
            Returns the module; its numbers are loaded later.
        **arrays : Value or None
            What the module calls ``weight``, ``bias`` and so on.
        """
        owner = _owner_of(arrays)
        if not owner or any(self.uses[f"{owner}.{name}"] > 1 for name in arrays):
            return None
        if any(value in self.nodes for value in arrays.values() if value is not None):
            return None
        self.put(owner, make())
        return self.graph.call_module(owner, (self.node(operation.inputs[0]),))

    def put(self, name: str, module: Any) -> None:
        """Enter a module by its name, with dots."""
        owner, _, last = name.rpartition(".")
        setattr(self._owner(owner), last, module)

    def _owner(self, path: str) -> Any:
        """Return the module of a path; those that are missing are made."""
        module = self.root
        for part in path.split(".") if path else ():
            if not hasattr(module, part):
                module.add_module(part, self.torch.nn.Module())
            module = getattr(module, part)
        return module


def _owner_of(arrays: Mapping[str, Value | None]) -> str:
    """Return what the names of a module's arrays have in front of ``.weight`` and so on; or ""."""
    owners = set()
    for name, value in arrays.items():
        if value is not None:
            owner, _, last = value.name.rpartition(".")
            owners.add(owner if last == name else "")
    return owners.pop() if len(owners) == 1 else ""
