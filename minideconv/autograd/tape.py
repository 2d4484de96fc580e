"""The tape: what `autograd.record` writes down, and the walk back over it.

One `Node` stands for one operation that was carried out. Its ``edges`` lead to where its arguments
came from: the node that made an argument, or the leaf tensor that the argument is. Nodes point only
at older things, so the graph has no cycles. Nodes refer to no tensors but the leaves: an
intermediate result that no operation saved is freed as soon as the program drops it.

`backward_pass` sends a gradient from the end to the leaves (reverse accumulation; A. Griewank and
A. Walther, Evaluating Derivatives, 2nd ed. 2008, section 3.2). Nothing here calls itself, so a
chain may be as long as memory allows.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from sys import modules
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minideconv.autograd.grad_mode import check_finite, mode
from minideconv.autograd.hooks import GradHook, apply_hooks
from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import device_guard

if TYPE_CHECKING:
    from minideconv.autograd.tensor import Tensor

__all__ = [
    "Backward", "Differentiable", "Node", "Source", "Version", "backward_pass", "changed_in_place",
    "check_part", "gradients_of", "graph", "in_order", "wrong_number", "wrong_shape",
]  # fmt: skip

Backward: TypeAlias = Callable[..., tuple[Array | None, ...]]
"""``backward(grad, needs, *saved)`` returns one gradient, or None, for each input."""

Differentiable: TypeAlias = Callable[..., tuple[Any, ...]]
"""The same on Tensors, by recorded operations; see `record`."""

Version: TypeAlias = list[int]
"""How often memory was changed in place: a list of one number, shared by all views of it."""

Source: TypeAlias = "Node | Tensor | EllipsisType | None"
"""Where a saved tensor came from: as an edge; None for a constant; ... for the result itself."""


@dataclass(slots=True, eq=False, repr=False, weakref_slot=True)
class Node:
    """One recorded operation.

    Attributes
    ----------
    name : str
        The operation: that of its function in `functional`, or of its method of `Tensor`.
    options : mapping of str to anything
        What the function was given besides its inputs, by parameter name and in full: a size as the
        pair (along height, along width), an axis counted from the first, the shape that a -1 stood
        for. ``{"stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "groups": 1}``. An operand
        that is a number is here too: ``x ** 3`` has ``{"b": 3}``.
    edges : sequence of Node, Tensor or None
        For each input where its gradient goes: the node that made it, or the leaf that it is; None
        where no gradient is needed, of which the tape keeps nothing.
    backward : callable or None
        See `Backward`; None once a backward pass has freed this node.
    saved : sequence
        What `backward` needs, normally arrays.
    versions : sequence of (Version, int, int, Source)
        For each saved tensor: its version counter, the version that was saved, its place in
        `saved`, and where it came from.
    shape, dtype
        Those of the result, hence of the gradient that arrives here.
    fresh, differentiable
        See `record`.
    retained : weak reference to a Tensor, or None
        The result, where `Tensor.retain_grad` asks for its gradient.
    origin : str
        The line that called the operation; known only under `detect_anomaly`.
    """

    name: str
    options: Mapping[str, Any]
    edges: Sequence[Node | Tensor | None]
    backward: Backward | None
    saved: Sequence[Any]
    versions: Sequence[tuple[Version, int, int, Source]]
    shape: tuple[int, ...]
    dtype: Any
    fresh: bool
    differentiable: Differentiable | None = None
    retained: weakref.ref[Tensor] | None = None
    origin: str = ""
    _hooks: dict[int, GradHook] | None = None  # see `Tensor.register_hook`

    def release(self) -> None:
        """Forget what was saved and where the gradients go: this node has done its work."""
        self.backward = self.differentiable = None
        self.options, self.saved, self.edges, self.versions = {}, (), (), ()


def graph(tensor: Tensor) -> list[Node | Tensor]:
    """Return everything `tensor` was computed from, each after what it was itself made of.

    Parameters
    ----------
    tensor : Tensor
        The result of recorded operations that no backward pass has freed.

    Returns
    -------
    list of Node and Tensor
        A `Node` for each operation, a Tensor for each leaf that requires gradients. The last one
        made `tensor`. The edges of a node are members of the list.

    Raises
    ------
    RuntimeError
        If a backward pass has freed the graph.

    Examples
    --------
    >>> from minideconv import Tensor
    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> steps = graph((x.sum(axis=-1) * 2.0) ** 3)
    >>> steps[0] is x
    True
    >>> [(step.name, step.options) for step in steps[1:]]
    [('sum', {'axis': (1,), 'keepdims': False}), ('mul', {'b': 2.0}), ('pow', {'b': 3})]
    """
    return in_order(tensor._node or tensor)[::-1]


def backward_pass(
    root: Node | Tensor,
    grad: Array,
    retain_graph: bool = False,
    ends: dict[Node | Tensor, Array | None] | None = None,
) -> None:
    """Send `grad`, the gradient of `root`, back to every leaf that `root` was computed from.

    A node runs once all the nodes that used its result have sent their share, so each runs once
    however often its result was used. Unless `retain_graph`, it is released directly afterwards:
    memory falls as the walk goes on. At the keys of `ends` the walk stops, and leaves the gradient
    there.
    """
    ends = {} if ends is None else ends
    # The sums that have arrived so far. That of a leaf is an array that nothing else refers to.
    grads = {root: grad if isinstance(root, Node) else _converted(grad, grad.dtype)}
    run = _run if modules.get("cupy") is None else device_guard(_run)
    for target in in_order(root, ends):
        arrived = grads.pop(target, None)
        if target in ends:
            ends[target] = arrived
        elif isinstance(target, Node):
            if arrived is not None:
                run(target, arrived, grads)
            if not retain_graph:
                target.release()
        elif arrived is not None:
            target._receive(arrived)


def gradients_of(
    outputs: Sequence[Node | Tensor],
    grads: Sequence[Array],
    inputs: Sequence[Node | Tensor],
) -> list[Array | None]:
    """Return the gradient of each of `inputs`, given those of `outputs`, and go no further back.

    That of a leaf is an array that nothing else refers to.
    """
    ends: dict[Node | Tensor, Array | None] = dict.fromkeys(inputs)
    saved = tuple(grads)
    join = Node("join", {}, outputs, lambda _, needs, *grads: grads, saved, (), (), None, False)
    del grads, saved  # freed as the walk passes
    backward_pass(join, np.ones(()), ends=ends)
    return [ends[target] for target in inputs]


def in_order(root: Node | Tensor, ends: Collection[Node | Tensor] = ()) -> list[Node | Tensor]:
    """Return what `root` was computed from up to `ends`, each behind all that used its result."""
    users, unvisited = {root: 0}, [root]
    edges_of: dict[Node | Tensor, Sequence[Node | Tensor | None]] = {}
    while unvisited:
        target = unvisited.pop()
        edges_of[target] = edges = _edges(target, ends)
        for edge in edges:
            if edge is None:
                continue
            if edge not in users:
                users[edge] = 0
                unvisited.append(edge)
            users[edge] += 1
    order, ready = [], [root]
    while ready:
        target = ready.pop()
        order.append(target)
        for edge in edges_of[target]:
            if edge is None:
                continue
            users[edge] -= 1
            if users[edge] == 0:
                ready.append(edge)
    return order


def _edges(
    target: Node | Tensor, ends: Collection[Node | Tensor]
) -> Sequence[Node | Tensor | None]:
    if not isinstance(target, Node) or target in ends:
        return ()
    if target.backward is None:
        raise RuntimeError(
            f"backward: an earlier backward() already passed {target.name} and freed what it had "
            "saved; run the forward pass again, or call the earlier one with retain_graph=True"
        )
    return target.edges


def _run(node: Node, grad: Array, grads: dict[Node | Tensor, Array]) -> None:
    """Call `node`'s backward with `grad` and add what it returns to `grads`."""
    if node._hooks:
        grad = apply_hooks(node._hooks, grad)
    if node.retained is not None and (result := node.retained()) is not None:
        result._receive(_converted(grad, grad.dtype))
    for version, then, place, _ in node.versions:
        if version[0] != then:
            raise changed_in_place(node, place, version[0] - then)
    assert node.backward is not None  # `_edges` looked
    parts = node.backward(grad, tuple([edge is not None for edge in node.edges]), *node.saved)
    if len(parts) != len(node.edges):
        raise wrong_number(node, len(parts))
    anomaly = mode.now().anomaly
    for place, (edge, part) in enumerate(zip(node.edges, parts, strict=True)):
        if edge is None or part is None:
            continue
        if part.shape != edge.shape:
            raise wrong_shape(node, place, part.shape)
        if anomaly:
            check_part(node, place, part)
        here = edge in grads
        # A node's gradient is passed on by reference, to several inputs maybe; a leaf's is its own.
        shared = isinstance(edge, Node)
        if part.dtype != edge.dtype or not (here or shared or node.fresh):
            part = _converted(part, edge.dtype)  # float32 and float64 may meet in one operation
        grads[edge] = _sum(grads[edge], part, shared) if here else part


def changed_in_place(node: Node, place: int, times: int) -> RuntimeError:
    """Return the error for a saved tensor that is no longer what was saved."""
    return RuntimeError(
        f"{node.name}: a tensor saved for backward (number {place} of those it saved, of shape "
        f"{node.saved[place].shape}) was changed in place {times} time{'s' if times > 1 else ''} "
        "since; change a copy, or change it after backward()"
    )


def wrong_number(node: Node, number: int) -> RuntimeError:
    """Return the error for a backward that returned `number` gradients."""
    return RuntimeError(
        f"{node.name}: its backward returned {number} gradients for {len(node.edges)} inputs"
    )


def wrong_shape(node: Node, place: int, shape: tuple[int, ...]) -> RuntimeError:
    """Return the error for a backward that returned a gradient of `shape` for input `place`."""
    return RuntimeError(
        f"{node.name}: its backward returned a gradient of shape {shape} for input {place} of "
        f"shape {node.edges[place].shape}"  # type: ignore[union-attr]  # where one goes
    )


def check_part(node: Node, place: int, part: Array) -> None:
    """Raise the error of `detect_anomaly` if the gradient for input `place` is not finite."""
    made = f"the backward of {node.name} made"
    check_finite(part, made, f" for input {place}{node.origin}")


# A gradient may leave a node for another device than the node's own: `Tensor.to` sends it back.


@device_guard
def _sum(total: Array, part: Array, shared: bool) -> Array:
    if shared:
        return total + part
    total += part
    return total


@device_guard
def _converted(grad: Array, dtype: Any) -> Array:
    """Return a copy of the type `dtype`."""
    return get_xp(grad).array(grad, dtype)
