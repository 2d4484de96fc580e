"""The receptive field of a unit: the box of pixels that its value can depend on.

    receptive_field    output, source, (row, column)  ->  rows r0..r1, columns c0..c1 of the source

It is found by walking back over the tape, whose operations say what they are. An operation turns
the range a..b of rows (or columns) of its result into the range of its input that this is computed
from. With window k, stride s, padding p, dilation d, so that the window spans d (k - 1) + 1:

| operation                           | from                                                    |
|-------------------------------------|---------------------------------------------------------|
| convolution, pooling                | a s - p  to  b s - p + d (k - 1)                        |
| transposed convolution, unpooling   | ceil((a + p - d (k - 1)) / s)  to  floor((b + p) / s)   |
| resizing from n to m, bilinear      | one pixel around ((a + 1/2) n / m - 1/2 to that of b)   |
| cutting out from row t on           | a + t  to  b + t                                        |
| padding by t rows at the top        | a - t  to  b - t                                        |
| pointwise                           | a  to  b                                                |
| anything else                       | all                                                     |

Where two ways lead to one tensor, the box holds both of theirs; boxes end at the border. Where the
stride of a transposed convolution is above its window, some of its results depend on nothing; their
range, whose end comes before its begin, becomes the two places beside the gap.
Source: Zeiler and Fergus (2014), section 4.1, for showing a projection in its receptive field;
Araujo, Norris, Sim, "Computing receptive fields of convolutional neural networks" (2019), for the
first row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from minideconv.autograd import Node, Tensor, graph

__all__ = ["Box", "receptive_field"]

Range = tuple[int, int]
"""First and last row, or column."""

_ROUNDING = 1e-4  # of a pixel: places that resizing rounds

_POINTWISE = {
    *("relu", "batch_norm", "batch_norm_relu", "dropout", "add", "sub", "mul", "div", "neg"),
    *("exp", "log", "sqrt", "tanh", "sigmoid", "pow", "abs", "maximum", "minimum", "clip"),
    *("where", "to", "astype", "softmax", "log_softmax"),
}


class Box(NamedTuple):
    """Rows `top` to `bottom` and columns `left` to `right`, both ends inside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts the box out of (H, W)."""
        return slice(self.top, self.bottom + 1), slice(self.left, self.right + 1)


def receptive_field(output: Tensor, source: Tensor, place: Sequence[int]) -> Box:
    """Return the box of `source` that a unit of `output` can depend on.

    Parameters
    ----------
    output : Tensor (..., H', W')
        On a tape that leads to `source`, as from `projection.forward_to`.
    source : Tensor (..., H, W)
        The image, a leaf.
    place : (int, int)
        The unit's row and column; empty for a unit that has none, whose box is the whole image.

    Raises
    ------
    ValueError
        If `output` was not computed from `source`.

    Examples
    --------
    >>> import numpy as np
    >>> from minideconv import functional as F
    >>> x = Tensor(np.zeros((1, 1, 9, 9)), requires_grad=True)
    >>> w = Tensor(np.ones((1, 1, 3, 3)))
    >>> y = F.max_pool2d(F.conv2d(x, w, padding=1), 2)
    >>> receptive_field(y, x, (1, 3))
    Box(top=1, left=5, bottom=4, right=8)
    """
    steps = graph(output)
    if not any(step is source for step in steps):  # == of tensors is elementwise
        raise ValueError("receptive_field: the output was not computed from the source")
    start = [(at, at) for at in place] if len(place) == 2 else _whole(output)
    boxes: dict[Node | Tensor, list[Range]] = {steps[-1]: start}
    for step in reversed(steps):
        if not isinstance(step, Node):
            continue
        for edge in step.edges:
            if edge is not None:
                found = _behind(step, boxes[step], edge)
                boxes[edge] = _around(boxes.get(edge, found), found)
    (top, bottom), (left, right) = boxes[source]
    return Box(top, left, bottom, right)


def _whole(target: Node | Tensor) -> list[Range]:
    return [(0, side - 1) for side in target.shape[-2:]]


def _around(one: list[Range], other: list[Range]) -> list[Range]:
    """Return the ranges that hold both."""
    return [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(one, other, strict=True)]


def _behind(node: Node, ranges: list[Range], edge: Node | Tensor) -> list[Range]:
    """Return what an operation computes a range of its result from, cut at the border."""
    sides = edge.shape[-2:]
    if _is_pointwise(node) and node.shape[-2:] == sides:
        return ranges
    walk = _WALKS.get(node.name)
    if walk is None or len(edge.shape) != 4:
        return _whole(edge)
    found = [sorted(walk(node, axis, *ranges[axis], side)) for axis, side in enumerate(sides)]
    return [
        (min(max(a, 0), side - 1), min(max(b, 0), side - 1))
        for (a, b), side in zip(found, sides, strict=True)
    ]


def _is_pointwise(node: Node) -> bool:
    """Whether each value is computed from what is at the same row and column alone."""
    if node.name.startswith("batch_norm") and node.options["training"]:
        return False
    if node.name.endswith("softmax"):
        return len(node.shape) == 4 and node.options["dim"] == 1
    return node.name in _POINTWISE


# For each operation: (node, axis 0 or 1, first, last, side of the input) -> first, last.


def _gathered(window: tuple[int, int, int, int], first: int, last: int) -> Range:
    kernel, stride, padding, dilation = window
    start = first * stride - padding
    return start, last * stride - padding + dilation * (kernel - 1)


def _spread(window: tuple[int, int, int, int], first: int, last: int) -> Range:
    kernel, stride, padding, dilation = window
    start = -((dilation * (kernel - 1) - first - padding) // stride)
    return start, (last + padding) // stride


def _window(node: Node, axis: int) -> tuple[int, int, int, int]:
    """Return kernel, stride, padding and dilation along an axis."""
    kernel = node.options.get("kernel_size") or node.saved[1].shape[2:]
    dilation = node.options.get("dilation", (1, 1))
    stride, padding = node.options["stride"], node.options["padding"]
    return kernel[axis], stride[axis], padding[axis], dilation[axis]


def _conv(node: Node, axis: int, first: int, last: int, side: int) -> Range:
    return _gathered(_window(node, axis), first, last)


def _conv_transpose(node: Node, axis: int, first: int, last: int, side: int) -> Range:
    return _spread(_window(node, axis), first, last)


def _unpool(node: Node, axis: int, first: int, last: int, side: int) -> Range:
    switches = node.options["switches"]
    if switches.kernel_size is None:
        return 0, side - 1
    parts = (switches.kernel_size, switches.stride, switches.padding, switches.dilation)
    kernel, stride, padding, dilation = (part[axis] for part in parts)
    return _spread((kernel, stride, padding, dilation), first, last)


def _resize(node: Node, axis: int, first: int, last: int, side: int) -> Range:
    options, factor = node.options, node.options["scale_factor"]
    size = node.shape[-2:][axis]
    if factor is None:
        scale = side / size
    else:
        scale = 1 / (factor[axis] if isinstance(factor, Sequence) else factor)
    if options["mode"] == "nearest":
        return math.floor(first * scale - _ROUNDING), math.floor(last * scale + _ROUNDING)
    shift = 0.5
    if options["align_corners"]:
        scale, shift = (side - 1) / max(1, size - 1), 0.0
    a, b = ((at + shift) * scale - shift for at in (first, last))
    return math.floor(a + _ROUNDING), math.ceil(b - _ROUNDING)


def _cut(node: Node, axis: int, first: int, last: int, side: int) -> Range:
    key = node.options["key"]
    key = key if isinstance(key, tuple) else (key,)
    part = key[2 + axis] if len(key) > 2 + axis else slice(None)
    if len(node.shape) != 4 or not isinstance(part, slice) or part.step not in (None, 1):
        return 0, side - 1
    start = part.indices(side)[0]
    return first + start, last + start


def _pad(node: Node, axis: int, first: int, last: int, side: int) -> Range:
    pad = node.options["pad"]
    if node.options["mode"] != "constant":
        return 0, side - 1
    before = (pad[2:3] or (0,))[0] if axis == 0 else pad[0]
    return first - before, last - before


_WALKS: dict[str, Callable[[Node, int, int, int, int], Range]] = {
    "conv2d": _conv,
    "max_pool2d": _conv,
    "batch_norm_relu_pool": _conv,
    "avg_pool2d": _conv,
    "conv_transpose2d": _conv_transpose,
    "max_unpool2d": _unpool,
    "interpolate": _resize,
    "getitem": _cut,
    "pad": _pad,
}
