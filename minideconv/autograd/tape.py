"""The tape: what `autograd.record` writes down, and the walk back over it.

One `Node` stands for one operation that was carried out. Its ``edges`` lead to where its arguments
came from: the node that made an argument, or the leaf tensor that the argument is. Nodes point only
at older things, so the graph has no cycles. Nodes know no tensors but the leaves: an intermediate
result that no operation saved is freed as soon as the program drops it.

`backward_pass` sends a gradient from the end to the leaves (reverse accumulation; A. Griewank and
A. Walther, Evaluating Derivatives, 2nd ed. 2008, section 3.2). Nothing here calls itself, so a
chain may be as long as memory allows.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from minideconv.autograd.grad_mode import mode
from minideconv.backend import Array, get_xp
from minideconv.backend.device_guard import device_guard

__all__ = [
    "Backward",
    "GradHook",
    "Leaf",
    "Node",
    "Version",
    "backward_pass",
    "gradients_of",
]

Backward: TypeAlias = Callable[..., tuple[Array | None, ...]]
"""``backward(grad, needs, *saved)`` returns one gradient, or None, for each input."""

GradHook: TypeAlias = Callable[[Array], Array | None]
"""Sees a gradient and may return another one to use in its place."""

Version: TypeAlias = list[int]
"""How often memory was changed in place: a list of one number, shared by all views of it."""


class Leaf(Protocol):
    """What the tape needs of a leaf: a tensor that no recorded operation made."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the gradient it expects."""

    @property
    def dtype(self) -> Any:
        """Of the gradient it expects."""

    def _receive(self, grad: Array, exclusive: bool) -> None: ...


class Node:
    """One recorded operation.

    Attributes
    ----------
    name : str
        The operation, for messages.
    edges : tuple of Node, Leaf or None
        Where the gradient of each input goes; None where no gradient is needed.
    backward : callable or None
        See `Backward`; None once a backward pass has freed this node.
    saved : tuple
        What `backward` needs, normally arrays.
    versions : list of (Version, int, int)
        For each saved tensor: its version counter, the version that was saved, its place in
        `saved`.
    shape, dtype
        Those of the result, hence of the gradient that arrives here.
    hooks : dict of int to GradHook, or None
        See `Tensor.register_hook`.
    retained : callable or None
        See `Tensor.retain_grad`.
    origin : str
        The line that called the operation; known only under `detect_anomaly`.
    """

    __slots__ = (
        "__weakref__",
        "backward",
        "dtype",
        "edges",
        "hooks",
        "name",
        "origin",
        "retained",
        "saved",
        "shape",
        "versions",
    )

    edges: tuple[Node | Leaf | None, ...]
    backward: Backward | None
    hooks: dict[int, GradHook] | None
    retained: Callable[[Array], None] | None

    def __init__(
        self,
        name: str,
        edges: tuple[Node | Leaf | None, ...],
        backward: Backward,
        saved: tuple[Any, ...],
        versions: list[tuple[Version, int, int]],
        shape: tuple[int, ...],
        dtype: Any,
    ) -> None:
        self.name = name
        self.edges = edges
        self.backward = backward
        self.saved = saved
        self.versions = versions
        self.shape = shape
        self.dtype = dtype
        self.hooks = None
        self.retained = None
        self.origin = ""

    def release(self) -> None:
        """Forget what was saved and where the gradients go: this node has done its work."""
        self.backward = None
        self.saved = self.edges = ()
        self.versions = []


def backward_pass(
    root: Node | Leaf,
    grad: Array,
    retain_graph: bool = False,
    ends: dict[Node | Leaf, Array | None] | None = None,
) -> None:
    """Send `grad`, the gradient of `root`, back to every leaf that `root` was computed from.

    A node runs once all the nodes that used its result have sent their share, so each runs once
    however often its result was used. Unless `retain_graph`, it is released directly afterwards:
    memory falls as the walk goes on. At the keys of `ends` the walk stops, and leaves the gradient
    there.
    """
    ends = {} if ends is None else ends
    waiting = _count_users(root, ends)
    grads: dict[Node | Leaf, Array] = {root: grad}  # the sums that have arrived so far
    exclusive: set[Node | Leaf] = set()  # those whose sum lies in memory nobody else can see
    ready: list[Node | Leaf] = [root]
    while ready:
        target = ready.pop()
        arrived = grads.pop(target, None)
        if target in ends:
            own = arrived is None or isinstance(target, Node) or target in exclusive
            ends[target] = arrived if own else _copy(arrived)
            continue
        if not isinstance(target, Node):
            if arrived is not None:
                target._receive(arrived, target in exclusive)
            continue
        edges = target.edges
        if arrived is not None:
            _run(target, arrived, grads, exclusive)
        if not retain_graph:
            target.release()
        for edge in edges:
            if edge is not None:
                waiting[edge] -= 1
                if waiting[edge] == 0:
                    ready.append(edge)


def gradients_of(
    outputs: Sequence[Node | Leaf],
    grads: Sequence[Array],
    inputs: Sequence[Node | Leaf],
) -> list[Array | None]:
    """Return the gradient of each of `inputs`, given those of `outputs`, and go no further back."""
    ends: dict[Node | Leaf, Array | None] = dict.fromkeys(inputs)
    # Saved, because what comes from outside must not be taken for memory of this walk's own.
    saved = tuple(grads)
    join = Node("join", tuple(outputs), lambda _, needs, *grads: grads, saved, [], (), float)
    del grads, saved
    backward_pass(join, np.ones(()), ends=ends)
    return [ends[target] for target in inputs]


def _count_users(
    root: Node | Leaf, ends: dict[Node | Leaf, Array | None]
) -> dict[Node | Leaf, int]:
    """Return everything `root` was computed from, with how many gradients each will be sent."""
    users: dict[Node | Leaf, int] = {root: 0}
    unvisited = [root]
    while unvisited:
        node = unvisited.pop()
        if not isinstance(node, Node) or node in ends:
            continue
        if node.backward is None:
            raise RuntimeError(
                f"backward: an earlier backward() already passed {node.name} and freed what it had "
                "saved; run the forward pass again, or call the earlier one with retain_graph=True"
            )
        for edge in node.edges:
            if edge is None:
                continue
            if edge not in users:
                users[edge] = 0
                unvisited.append(edge)
            users[edge] += 1
    return users


@device_guard
def _run(
    node: Node, grad: Array, grads: dict[Node | Leaf, Array], exclusive: set[Node | Leaf]
) -> None:
    """Call `node`'s backward with `grad` and add what it returns to `grads`."""
    if node.hooks or node.retained:
        grad = apply_hooks(node, grad)
    for version, then, place in node.versions:
        if version[0] != then:
            raise RuntimeError(_changed_message(node, place, version[0] - then))
    assert node.backward is not None  # _count_users looked
    saved = node.saved
    needs = tuple([edge is not None for edge in node.edges])
    parts = node.backward(grad, needs, *saved)
    if len(parts) != len(needs):
        raise RuntimeError(
            f"{node.name}: its backward returned {len(parts)} gradients for {len(needs)} inputs"
        )
    checking = mode.anomaly
    for place, (edge, part) in enumerate(zip(node.edges, parts, strict=True)):
        if edge is None or part is None:
            continue
        if part.shape != edge.shape:
            raise RuntimeError(
                f"{node.name}: its backward returned a gradient of shape {part.shape} for input "
                f"{place} of shape {edge.shape}"
            )
        if checking:
            check_finite(
                part, f"the backward of {node.name} made", node.origin, f" for input {place}"
            )
        if part.dtype != edge.dtype:
            part = _converted(part, edge.dtype)  # float32 and float64 met in this operation
        if edge not in grads:
            # By reference: several inputs may be sent one array, so it is not changed from here on.
            grads[edge] = part
            if not isinstance(edge, Node) and _is_exclusive(part, (grad, *saved), parts):
                exclusive.add(edge)
        elif edge in exclusive:
            grads[edge] = _add(grads[edge], part)
        else:
            grads[edge] = _sum(grads[edge], part)
            exclusive.add(edge)


# A gradient may leave a node for another device than the node's own: `Tensor.to` sends it back.


@device_guard
def _sum(grad: Array, part: Array) -> Array:
    return grad + part


@device_guard
def _add(grad: Array, part: Array) -> Array:
    grad += part
    return grad


@device_guard
def _converted(grad: Array, dtype: Any) -> Array:
    return grad.astype(dtype)


@device_guard
def _copy(grad: Any) -> Array:
    return get_xp(grad).array(grad)


def apply_hooks(node: Node, grad: Array) -> Array:
    """Show `grad` to the hooks of `node`, in their order, and return what they make of it."""
    for hook in tuple((node.hooks or {}).values()):
        replacement = hook(grad)
        if replacement is not None:
            grad = replacement
    if node.retained is not None:
        node.retained(grad)
    return grad


def _is_exclusive(part: Array, others: Sequence[Any], parts: Sequence[Array | None]) -> bool:
    """Return whether `part` is a whole block of memory that none of the other arrays shares.

    A leaf may then keep it as its ``.grad`` without a copy; a parameter's gradient usually can be.
    """
    block = memory_of(part)
    return (
        type(block) is type(part)
        and block.nbytes == part.nbytes
        and _has_no_gaps(part)
        and all(memory_of(other) is not block for other in others)
        and sum(memory_of(other) is block for other in parts) == 1
    )


def _has_no_gaps(array: Array) -> bool:
    """Return whether the elements lie side by side, whatever the order of the axes in memory."""
    if array.flags.c_contiguous:
        return True
    order = sorted(range(array.ndim), key=array.strides.__getitem__, reverse=True)
    return bool(array.transpose(order).flags.c_contiguous)


def memory_of(array: Any) -> Any:
    """Return what owns the memory of `array`: the array itself unless it is a view.

    The first array on a block of `engine.cpu.memory` counts as its owner: the lease behind it
    serves that array alone.
    """
    while True:
        base = getattr(array, "base", None)
        if base is None or hasattr(base, "serves_one_array"):
            return array
        array = base


def _changed_message(node: Node, place: int, times: int) -> str:
    return (
        f"{node.name}: a tensor saved for backward (number {place} of those it saved, of shape "
        f"{getattr(node.saved[place], 'shape', ())}) was changed in place {times} "
        f"time{'s' if times > 1 else ''} since; change a copy, or change it after backward()"
    )


@device_guard
def check_finite(array: Array, what: str, line: str, where: str = "") -> None:
    """Raise the error of `detect_anomaly` if `array` holds a NaN or an infinity."""
    if array.dtype.kind != "f":
        return
    xp = get_xp(array)
    nans, infinities = int(xp.isnan(array).sum()), int(xp.isinf(array).sum())
    if not nans and not infinities:
        return
    found = [
        f"{count} {one if count == 1 else many}"
        for count, one, many in ((nans, "NaN", "NaNs"), (infinities, "infinity", "infinities"))
        if count
    ]
    raise RuntimeError(
        f"detect_anomaly: {what} {' and '.join(found)} among {array.size} values{where}{line}"
    )


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def calling_line() -> str:
    """Return the line of the program, outside this package, that is being run."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    name, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(name, number).strip()
    return f" ({name}, line {number}{': ' + text if text else ''})"
