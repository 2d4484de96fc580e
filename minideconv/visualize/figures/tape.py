"""The computation graph of a Tensor as a picture: operations, shapes, values, gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from minideconv.autograd.tape import Node
from minideconv.autograd.tape import graph as steps_of
from minideconv.autograd.tensor import Tensor
from minideconv.visualize.figures.layers_of_nodes import layout
from minideconv.visualize.figures.picture import Picture, text_width
from minideconv.visualize.figures.style import ACCENT, FILLS, INK

__all__ = ["graph"]

_MOST = 40
_SIZE, _LINE = 12.0, 17.0
_VALUES = 4  # numbers of an array that are written out


def graph(
    tensor: Tensor,
    *,
    names: Mapping[str, Tensor] | None = None,
    values: bool = True,
    most: int = _MOST,
) -> Picture:
    """Draw what a tensor was computed from: leaves at the top, the tensor at the bottom.

    Blue boxes are leaves that require gradients, pale ones operations with their options and the
    shape of their result, the green one is `tensor`. Arrows run from what was used to where it was
    used; where a result is used more than once they are red, because there gradients are added
    up. Constants are on no tape, so they are not drawn, except as an operation's options.

    Parameters
    ----------
    tensor : Tensor
        Made by recorded operations that no backward pass has freed: to see gradients, call
        ``tensor.backward(retain_graph=True)`` before.
    names : mapping of str to Tensor, optional
        Names of leaves and of results. Of a named result the value is known too; its gradient if
        `Tensor.retain_grad` kept it.
    values : bool
        Write values and gradients of up to four numbers, of larger arrays the largest size.
    most : int
        More steps than that are refused.

    Raises
    ------
    ValueError
        If it took more than `most` steps, or `tensor` was not recorded.
    RuntimeError
        If a backward pass has freed the graph.

    Notes
    -----
    Laid out in rows by the method of Sugiyama, Tagawa and Toda (1981); no arrow crosses a box.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> picture = graph((x * x).sum(), names={"x": x})
    >>> round(picture.width) > 0
    True
    """
    if not tensor.requires_grad:
        raise ValueError(
            "graph: the tensor was not recorded:"
            " nothing that it was computed from requires gradients"
        )
    steps = steps_of(tensor)
    if len(steps) > most:
        raise ValueError(
            f"graph: the tensor was computed in {len(steps)} steps, and at most {most} are drawn;"
            " draw an intermediate result, or a network of fewer layers"
        )
    # Steps go by their numbers: Tensors compare their elements.
    number = {step: place for place, step in enumerate(steps)}
    known: dict[int, tuple[str, Tensor]] = {}
    for name, named in (names or {}).items():
        if (step := named._node or named) in number:
            known[number[step]] = (name, named)
    known.setdefault(len(steps) - 1, ("", tensor))
    lines = [_lines(step, known.get(place), values) for place, step in enumerate(steps)]
    titles = [text[0].partition(" = ")[0] for text in lines]
    sizes: dict[Hashable, tuple[float, float]] = {
        place: (max(text_width(line, _SIZE) for line in text) + 18, _LINE * len(text) + 10)
        for place, text in enumerate(lines)
    }
    edges: list[tuple[Hashable, Hashable]] = [
        (number[edge], place)
        for place, step in enumerate(steps)
        if isinstance(step, Node)
        for edge in step.edges
        if edge is not None
    ]
    placed = layout(sizes, edges)
    picture = Picture(placed.width + 8, placed.height + 8)
    uses = Counter(start for start, _ in edges)
    for start, end, points in placed.arrows:
        several = uses[start] > 1
        picture.line(
            [(x + 4, y + 4) for x, y in points], colour=ACCENT if several else INK, arrow=True,
            line=2.0 if several else 1.5, about=f"{start} -> {end}",
        )  # fmt: skip
    for place, step in enumerate(steps):
        x, y = placed.corners[place]
        width, height = sizes[place]
        fill = FILLS["blue"] if isinstance(step, Tensor) else FILLS["pale"]
        fill = FILLS["green"] if place == len(steps) - 1 else fill
        picture.box(x + 4, y + 4, width, height, fill=fill, about=f"{place} {titles[place]}")
        for row, line in enumerate(lines[place]):
            middle = y + 4 + 5 + _LINE * (row + 0.5)
            picture.words(x + 4 + width / 2, middle, line, size=_SIZE, bold=row == 0)
    return picture


def _lines(step: Node | Tensor, named: tuple[str, Tensor] | None, values: bool) -> list[str]:
    """Return what is written into a box."""
    name, tensor = named if named is not None else ("", None)
    if isinstance(step, Tensor):
        tensor, heading = step, name or "leaf"
    else:
        heading = f"{name} = {step.name}" if name else step.name
        if tensor is None and step.retained is not None:
            tensor = step.retained()
    text = [heading]
    if isinstance(step, Node) and step.options:
        text += _options(step.options)
    text.append("shape " + (" × ".join(map(str, step.shape)) if step.shape else "()"))
    if tensor is not None and values:
        text.append("value " + _numbers(tensor))
        kept = isinstance(step, Tensor) or step.retained is not None
        if kept and tensor.grad is not None:
            text.append("grad " + _numbers(tensor.grad))
    return text


def _options(options: Mapping[str, Any]) -> list[str]:
    """Return options in a few short lines: pairs of equal numbers as one."""

    def short(value: Any) -> str:
        if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]:
            value = value[0]
        text = f"{value:g}" if isinstance(value, float) else str(value)
        return text if len(text) <= 18 else text[:17] + "…"

    usual = {"dilation": "1", "groups": "1", "padding": "0", "output_padding": "0",
             "keepdims": "False"}  # fmt: skip
    parts = [
        f"{name} {short(value)}"
        for name, value in options.items()
        # Switches and running averages are arrays: no options that fit into a box.
        if isinstance(value, int | float | str | tuple) and short(value) != usual.get(name)
    ]
    return [", ".join(parts[i : i + 2]) for i in range(0, min(len(parts), 4), 2)]


def _numbers(tensor: Tensor) -> str:
    array = np.asarray(tensor.detach().numpy())
    if array.size <= _VALUES:
        written = ", ".join(f"{number:.3g}" for number in array.ravel())
        return written if array.size == 1 else f"[{written}]"
    return f"up to {np.abs(array).max():.3g} in size"
