"""When a GPU's memory is not enough: where it happened, and which batch would fit.

The place is found in the traceback: the innermost module whose ``forward`` was running, or, in
backward, the node of the tape whose turn it was. Nothing is recorded while all goes well.

The batch is measured: the peaks of steps with one and with two images give a line, ``base + images
* each``, and the largest batch that fits is on it, or nearly: it is tried, and the line is drawn
anew through what it took.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from minideconv.autograd.tape import Node
from minideconv.engine.cuda import memory
from minideconv.errors import MinideconvError, TrainingError
from minideconv.nn import Module
from minideconv.settings.setting import refusal
from minideconv.settings.sizes import format_size

__all__ = ["explain", "forget_frames", "largest_batch", "shortage", "where"]

_TRIALS = 8
"""At most, behind the two smallest: a step of a GPU takes less than a second."""

Trial = Callable[[int], int]
"""Takes a step with so many images, returns the most bytes that arrays had; raises if too many."""


def where(error: BaseException, model: Module) -> str:
    """Return which layer was at work, and in which direction.

    >>> where(MemoryError(), Module())
    'a step'
    """
    names = {id(module): name for name, module in model.named_modules()}
    owners = {id(p): name.rpartition(".")[0] for name, p in model.named_parameters()}
    layer, backward = "", False
    step: TracebackType | None = error.__traceback__
    while step is not None:
        inside = step.tb_frame.f_locals
        node, module = inside.get("node"), inside.get("self")
        if step.tb_frame.f_code.co_name == "_run" and isinstance(node, Node):
            layer, backward = _of_node(node, owners), True
        elif isinstance(module, Module) and names.get(id(module)):
            layer = names[id(module)]
        step = step.tb_next
    if not layer:
        return "a step"
    return f"the {'backward' if backward else 'forward'} of {layer}"


def _of_node(node: Node, owners: dict[int, str]) -> str:
    """Return the layer whose parameters the node used, or the nearest one in front of it."""
    nodes: list[Any] = [node]
    for near in nodes:
        leaves = [owners[id(edge)] for edge in near.edges if id(edge) in owners]
        if leaves:
            return leaves[0] if near is node else f"{node.name} behind {leaves[0]}"
        nodes += [edge for edge in near.edges if isinstance(edge, Node)][: 1000 - len(nodes)]
    return node.name


def forget_frames(error: BaseException) -> None:
    """Let go of the arrays that a failed step has left in the frames of its traceback."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen.__traceback__ = None  # a frame that was looked at keeps a copy of its variables
        seen = seen.__cause__ or seen.__context__
    gc.collect()
    memory.release()


def largest_batch(trial: Trial, images: int, room: int) -> int:
    """Return the largest batch, below `images`, whose step was seen to stay within `room` bytes.

    A twentieth of `room` is left free, for gaps between arrays. 0 if there is none.
    """
    room -= room // 20
    points: list[tuple[int, int]] = []
    for count in range(1, min(4, images)):
        try:
            peak = _try(trial, count)
        except ValueError:  # batch norm: one value has no variance
            continue
        if peak is None or peak > room:
            break
        points.append((count, peak))
        if len(points) == 2:
            break
    if len(points) < 2:
        return points[0][0] if points else 0
    best, too_many, guess = points[1][0], images, _on_line(points, room)
    for _ in range(_TRIALS):
        count = min(guess, too_many - 1)
        if count <= best:
            break
        peak = _try(trial, count)
        if peak is None or peak > room:
            # It is no line after all, or arrays found no gap of their length: halve the distance.
            too_many, guess = count, (best + count) // 2
        else:
            best, points = count, [points[-1], (count, peak)]
            guess = _on_line(points, room)
    return best


def _on_line(points: list[tuple[int, int]], room: int) -> int:
    """Return the images at which the line through two points reaches `room` bytes."""
    one, other = points
    each = max(1.0, (other[1] - one[1]) / (other[0] - one[0]))
    return int(other[0] + (room - other[1]) / each)


def _try(trial: Trial, count: int) -> int | None:
    """Return what a step with `count` images takes; None if that was too much."""
    try:
        return trial(count)
    except Exception as error:
        if memory.bytes_asked(error) is None:
            raise
        forget_frames(error)
    finally:
        memory.release()
    return None


def shortage(asked: int, room: int) -> str:
    """Return how many bytes were not there, 0 if unknown, and how many there are in all.

    >>> shortage(0, 1 << 30)
    'asked for more than is left of 1.00 GiB'
    """
    size = format_size(asked) if asked >= 2**20 else f"{asked} bytes"
    wanted = f"{size} more" if asked else "more"
    return f"asked for {wanted} than is left of {format_size(room)}"


def explain(
    layer: str, asked: int, room: int, images: int, fits: int, with_recompute: int
) -> MinideconvError:
    """Return the `TrainingError` for the user.

    Parameters
    ----------
    layer : str
        From `where`.
    asked : int
        Bytes that were not there; 0 if unknown.
    room : int
        Bytes that there are in all.
    images : int
        The batch that was too large.
    fits : int
        The largest one that is not; 0 for none.
    with_recompute : int
        The same if activations are computed twice; 0 also if they already are.
    """
    short = f"{layer} {shortage(asked, room)}"
    advice = f"a batch of {fits} would fit" if fits else "not even the smallest batch would fit"

    def say(name: Callable[[str], str]) -> str:
        text = f"out of the GPU's memory: with {name('batch_size')} {images}, {short}; {advice}"
        if with_recompute > fits:
            text += f", with {name('recompute')} one of {min(with_recompute, images)}"
        return text

    return refusal(say, TrainingError)
