"""Gradients as Tensors: `grad`, and gradients that have gradients themselves (``create_graph``).

`tape.backward_pass` sends plain arrays back, as fast as it can. The walk in this file sends Tensors
back. With ``create_graph=True`` every operation that the walk comes to computes its part by
operations on Tensors (the `differentiable` of its `record`). These are recorded in their turn, so
that the gradients which come out have a history and can be differentiated once more, and so on. An
operation that has no such rule stops the walk with a sentence that names it.

The source of the idea is any system whose derivatives are ordinary programs: A. Griewank and A.
Walther, Evaluating Derivatives, 2nd ed. 2008, chapter 5; B. Pearlmutter, "Fast exact multiplication
by the Hessian" (1994), for what it is good for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from minideconv.autograd.broadcasting import as_tensor
from minideconv.autograd.conversions import astype
from minideconv.autograd.grad_mode import mode
from minideconv.autograd.record import record
from minideconv.autograd.tape import (
    Node,
    Source,
    Version,
    changed_in_place,
    check_part,
    in_order,
    wrong_number,
    wrong_shape,
)
from minideconv.autograd.tensor import Tensor, receiving, wrap
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_flag
from minideconv.backend.dispatch import device_guard

__all__ = ["backward_with_graph", "grad", "with_history"]

Target: TypeAlias = Node | Tensor


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    *,
    only_inputs: bool = True,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradient of `outputs` with respect to each of `inputs`; no ``.grad`` changes.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensors
        Results of recorded operations.
    inputs : Tensor or sequence of Tensors
        What they were computed from: leaves, or results on the way.
    grad_outputs : Tensor, array or a sequence of them, optional
        The gradient of something with respect to each of `outputs`, of its shape; None means 1 and
        is allowed for a single number only.
    retain_graph : bool, optional
        Keep what the operations saved, so that a walk can pass here again; by default as
        `create_graph`, which needs it.
    create_graph : bool, default False
        Record how the gradients are computed, so that they have gradients themselves. It is on then
        also inside ``no_grad()``.
    only_inputs : bool, default True
        Accepted for PyTorch's sake; it must be True.
    allow_unused : bool, default False
        Return None for an input that no output depends on; by default that is an error.

    Returns
    -------
    tuple of Tensor or None
        One for each of `inputs`, of its shape and type: the sum over the outputs of
        ``grad_output * d output / d input``.

    Raises
    ------
    RuntimeError
        If an output or an input does not require gradients, no output depends on an input, a
        gradient is missing, with `create_graph` an operation states no differentiable backward, or
        for the reasons of ``backward()``.
    ValueError
        If a gradient has the wrong shape, or there are not as many as `outputs`.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (slope,) = grad((x**3).sum(), x, create_graph=True)
    >>> (second,) = grad(slope.sum(), x)
    >>> slope.numpy().tolist(), second.numpy().tolist()
    ([3.0, 12.0], [6.0, 12.0])
    """
    if retain_graph is not None:
        check_flag("grad", "retain_graph", retain_graph)
    check_flag("grad", "create_graph", create_graph)
    check_flag("grad", "allow_unused", allow_unused)
    if only_inputs is not True:
        raise ValueError(
            f"grad: only_inputs is {only_inputs!r}; it must be True: no .grad changes here, "
            "and backward() is what adds to them"
        )
    ends, starts = _tensors("inputs", inputs), _tensors("outputs", outputs)
    given = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs]
    if grad_outputs is None:
        given *= len(starts)
    if len(given) != len(starts):
        raise ValueError(
            f"grad: there are {len(given)} grad_outputs for {len(starts)} outputs; give one for "
            "each, or None"
        )
    seeds = [_seed("grad", start, each) for start, each in zip(starts, given, strict=True)]
    targets = [end._node or end for end in ends]
    keep = create_graph if retain_graph is None else retain_graph
    with _recording(create_graph):
        found = _walk(starts, seeds, targets, create_graph, keep, unused=allow_unused)
    return tuple(found.get(target) for target in targets)


def backward_with_graph(
    output: Tensor, gradient: Any = None, retain_graph: bool | None = None
) -> None:
    """Do what ``output.backward(gradient, create_graph=True)`` is documented to do."""
    seed = _seed("backward", output, gradient)
    leaves = [target for target in in_order(output._node or output) if isinstance(target, Tensor)]
    for leaf in leaves:
        if leaf._grad_buffer is not None:
            raise RuntimeError(
                "backward: create_graph=True must store gradients with a history, and those of a "
                "parameter after optimizer.flatten() have a fixed place in memory; use grad(...), "
                "which stores nothing"
            )
    keep = True if retain_graph is None else retain_graph
    with _recording(True):
        found = _walk([output], [seed], leaves, True, keep, unused=True, retained=True)
        for leaf in leaves:
            if leaf in found:
                _receive(leaf, found[leaf])


@contextmanager
def _recording(wanted: bool) -> Iterator[None]:
    before, mode.recording = mode.recording, wanted
    try:
        yield
    finally:
        mode.recording = before


def _tensors(name: str, given: Any) -> list[Tensor]:
    tensors = [given] if isinstance(given, Tensor) else list(given)
    for place, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise TypeError(f"grad: {name} must be Tensors, and number {place} is a {kind}")
        if not tensor._requires_grad:
            raise RuntimeError(
                f"grad: number {place} of {name} does not require gradients; create it with "
                "requires_grad=True, or compute it outside no_grad() from one that does"
            )
    if not tensors:
        raise ValueError(f"grad: {name} is empty; give at least one Tensor")
    return tensors


def _seed(caller: str, output: Tensor, given: Any) -> Tensor:
    """Return the gradient that a walk from `output` begins with; a Tensor keeps its history."""
    array = output._seed(given, caller)
    if not isinstance(given, Tensor) or not given._requires_grad:
        return wrap(array)
    return given if given.data is array else astype(given.to(output.device), output.dtype)


def _walk(
    outputs: Sequence[Tensor],
    seeds: Sequence[Tensor],
    ends: Collection[Target],
    create_graph: bool,
    retain_graph: bool,
    unused: bool,
    retained: bool = False,
) -> dict[Target, Tensor]:
    """Send `seeds` back from `outputs` and return what arrives at `ends`.

    Only operations on the way to one of `ends` are asked for gradients. With `retained` the results
    for which `Tensor.retain_grad` asks are served.
    """
    join = Node("join", {}, [output._node or output for output in outputs], _no_backward, (), (),
                (), None, False)  # fmt: skip
    order = in_order(join)[1:]
    reached = _reached(order, ends)
    if not unused and not reached.issuperset(ends):
        place = [end in reached for end in ends].index(False)
        raise RuntimeError(
            f"grad: no output depends on number {place} of inputs; leave it out, or pass "
            "allow_unused=True to get None for it"
        )
    sums: dict[Target, Tensor] = {}
    found: dict[Target, Tensor] = {}
    wanted = frozenset(ends)
    for edge, seed in zip(join.edges, seeds, strict=True):
        if edge in reached:
            _add(sums, edge, seed)
    for target in order:
        arrived = sums.pop(target, None)
        if arrived is not None:
            arrived = _shown_to_hooks(target, arrived)
            if target in wanted:
                found[target] = _owned(arrived)
            if isinstance(target, Node):
                _serve_retained(target, arrived, retained)
        if isinstance(target, Node) and any(edge in reached for edge in target.edges):
            if arrived is not None:
                _run(target, arrived, reached, create_graph, sums)
            if not retain_graph:
                target.release()
    return found


def _no_backward(*_: Any) -> tuple[()]:
    return ()  # never called: the node in front of the outputs only holds them together


def _reached(order: Sequence[Target], ends: Iterable[Target]) -> set[Target]:
    """Return those of `order` that were computed from `ends`, with the ends themselves."""
    wanted, reached = set(ends), set()
    for target in reversed(order):
        if target in wanted or (
            isinstance(target, Node) and any(edge in reached for edge in target.edges)
        ):
            reached.add(target)
    return reached


@device_guard
def _run(
    node: Node,
    grad: Tensor,
    reached: Collection[Target],
    create_graph: bool,
    sums: dict[Target, Tensor],
) -> None:
    """Compute `node`'s gradients by its inputs, and add them to `sums`."""
    for version, then, place, _ in node.versions:
        if version[0] != then:
            raise changed_in_place(node, place, version[0] - then)
    needs = tuple(edge in reached for edge in node.edges)
    parts: Sequence[Any]
    if not create_graph:
        assert node.backward is not None  # `in_order` looked
        parts = node.backward(grad.data, needs, *node.saved)
    elif node.differentiable is None:
        raise RuntimeError(
            f"{node.name}: it states no backward in recorded operations, so there are no gradients "
            "of its gradients; leave create_graph=True out, or compute it by operations that do"
        )
    else:
        parts = node.differentiable(grad, needs, *_saved_tensors(node))
    if len(parts) != len(node.edges):
        raise wrong_number(node, len(parts))
    for place, (edge, part) in enumerate(zip(node.edges, parts, strict=True)):
        if edge is None or part is None or not needs[place]:
            continue
        if part.shape != edge.shape:
            raise wrong_shape(node, place, part.shape)
        tensor = as_tensor(part) if create_graph else wrap(part)
        if mode.anomaly:
            check_part(node, place, tensor.data)
        _add(sums, edge, astype(tensor, edge.dtype))


def _saved_tensors(node: Node) -> list[Any]:
    """Return what `node` saved; its tensors as Tensors again, with their history."""
    saved = list(node.saved)
    for version, _, place, source in node.versions:
        saved[place] = with_history(saved[place], version, node if source is ... else source)
    return saved


def with_history(array: Array, version: Version, source: Source) -> Tensor:
    """Return `array` as the Tensor that `source` made, or is, or a constant if that is None."""
    if isinstance(source, Tensor):
        if source.data is array:
            return source
        # The leaf has other memory by now (`optimizer.flatten`): the numbers from before are its.
        moved = record("saved", array, (source,), _same, differentiable=_same)
        moved._version = version
        return moved
    tensor = wrap(array, version)
    if isinstance(source, Node):
        tensor._requires_grad, tensor._node = True, source
    return tensor


def _same(grad: Any, needs: Sequence[bool]) -> tuple[Any]:
    return (grad,)


def _owned(grad: Tensor) -> Tensor:
    """Return a copy: what arrives at two ends may be one array, and the program may change it."""
    return record("copy", _copy(grad.data), (grad,), _same, differentiable=_same)


@device_guard
def _copy(array: Array) -> Array:
    return get_xp(array).array(array)


def _add(sums: dict[Target, Tensor], edge: Any, part: Tensor) -> None:
    sums[edge] = sums[edge] + part if edge in sums else part


def _shown_to_hooks(target: Target, grad: Tensor) -> Tensor:
    for hook in tuple((target._hooks or {}).values()):
        grad = hook.on_tensor(grad)
    return grad


def _serve_retained(node: Node, grad: Tensor, retained: bool) -> None:
    """Leave the gradient in the ``.grad`` of `node`'s result, if `Tensor.retain_grad` asked."""
    result = None if node.retained is None or not retained else node.retained()
    if result is not None:
        _receive(result, _owned(grad))


def _receive(tensor: Tensor, grad: Tensor) -> None:
    """Add `grad` to ``tensor.grad``; the sum has a history too."""
    with receiving:
        tensor._grad = grad if tensor._grad is None else tensor._grad + grad
