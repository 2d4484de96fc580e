"""One score of a network, and what each method says it depends on: `saliency_board`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minideconv.autograd import no_grad
from minideconv.backend import Array, get_xp, to_cpu
from minideconv.backend.dispatch import device_guard
from minideconv.errors import UsageError, some
from minideconv.models import stages_of
from minideconv.visualize import attribution
from minideconv.visualize.boards import Image, board, enlarged, titled
from minideconv.visualize.projection import Seed, at_unit, forward_to, project
from minideconv.visualize.signals import heat_over, magnitude_picture, signed_picture
from minideconv.visualize.subject import Subject

__all__ = ["METHODS", "Target", "choose_target", "last_maps", "saliency_board", "saliency_maps"]

METHODS = (
    *("gradient", "guided", "deconvnet"),
    *("gradient-x-input", "integrated-gradients", "grad-cam"),
)
_COLUMNS = 4
_LEAST = 224  # pixels of a cell's side


@dataclass(frozen=True)
class Target:
    """The score that is explained."""

    layer: str
    """``""`` for the network's output."""
    seed: Seed
    text: str
    score: float


def choose_target(
    subject: Subject, square: Image, wanted: str | None = None, layer: str | None = None
) -> Target:
    """Choose a score, and compute it.

    Parameters
    ----------
    subject : Subject
    square : (S, S, 3) uint8
    wanted : str, optional
        A class by name or number, or with `layer` a unit of that layer. Left out: of a network that
        scores every pixel the class with most pixels, background (class 0) aside; of one that
        scores the image its highest class; of a layer the unit with the largest activation.
    layer : str, optional
        A layer in the place of the output. Its unit is taken where it is most active.

    Returns
    -------
    Target
        Of a network that scores every pixel, the sum of the class's scores over the pixels where
        it is the most likely one, or over all if there is none.

    Raises
    ------
    UsageError
        If there is no such class, layer or unit.
    """
    if layer is None and not subject.has_output:
        layer = last_maps(subject)
    if layer is not None:
        subject.check_layer(layer)
    x = subject.numbers(square)
    with no_grad():
        _, outputs = forward_to(subject.network, x, layer or "")
    values = to_cpu(outputs[layer or ""].data)[0]
    if layer is not None:
        flat = values.reshape(len(values), -1)
        unit = int(flat.max(axis=1).argmax()) if wanted is None else _number(wanted)
        subject.check_unit(layer, unit, len(values))
        place = np.unravel_index(int(flat[unit].argmax()), values.shape[1:])
        where = tuple(int(at) for at in place)
        text = f"{layer}, unit {unit}" + (f", place {where[0]}, {where[1]}" if where else "")
        return Target(layer, at_unit(unit, where or None, 1.0), text, float(values[unit][where]))
    if values.ndim == 1:
        index = int(values.argmax()) if wanted is None else _class(subject, wanted, len(values))
        return Target(
            "", at_unit(index, None, 1.0), _class_name(subject, index), float(values[index])
        )
    labels = values.argmax(axis=0)
    if wanted is None:
        pixels = np.bincount(labels.ravel(), minlength=len(values))
        pixels[0] = 0
        index = int(pixels.argmax())
    else:
        index = _class(subject, wanted, len(values))
    region = labels == index
    region = region if region.any() else np.ones_like(region)
    text = f"{_class_name(subject, index)}, {int(region.sum())} pixels"
    return Target("", _over(index, region), text, float(values[index][region].sum()))


def _over(channel: int, region: Any) -> Seed:
    """Return the seed of a class's score summed over a region (H, W)."""

    @device_guard
    def seed(values: Array) -> Array:
        xp = get_xp(values)
        signal = xp.zeros_like(values)
        signal[:, channel] = xp.asarray(region)
        return signal

    return seed


def _number(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--target is {text!r}; with --layer it is the number of a unit")
    return int(text)


def _class(subject: Subject, wanted: str, count: int) -> int:
    names = list(subject.classes)
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and int(wanted) < count:
        return int(wanted)
    known = f" or one of {some(names, 99)}" if names else ""
    raise UsageError(f"--target is {wanted!r}; it must be a class in 0..{count - 1}{known}")


def _class_name(subject: Subject, index: int) -> str:
    return subject.classes[index] if index < len(subject.classes) else f"class {index}"


def last_maps(subject: Subject) -> str:
    """Return the last convolution of VGG-16's stages that the network has, for Grad-CAM.

    Raises
    ------
    UsageError
        If it has none of them.
    """
    stages = stages_of(subject.network)
    if not stages:
        raise UsageError(f"{subject.name} has no stage of VGG-16's; name a layer by --cam-layer")
    return next(
        name for name, module in subject.network.named_children() if module is stages[-1][-1]
    )


def saliency_maps(
    subject: Subject,
    square: Image,
    target: Target,
    methods: Sequence[str] = METHODS,
    cam_layer: str | None = None,
    steps: int = 32,
    done: Callable[[str], None] = lambda method: None,
) -> tuple[dict[str, Image], dict[str, Any]]:
    """Compute and draw each method's map.

    Parameters
    ----------
    subject : Subject
    square : (S, S, 3) uint8
    target : Target
    methods : sequence of str
        Of `METHODS`.
    cam_layer : str, optional
        The layer whose maps Grad-CAM shows; `last_maps` if left out.
    steps : int
        Points of the integral of integrated gradients.
    done : callable
        Called with the name of each method that has been computed.

    Returns
    -------
    pictures : dict of str to (S, S, 3) uint8
    facts : dict
        What was measured: the score, and how exactly integrated gradients add up.
    """
    net, x = subject.network, subject.numbers(square)
    score = (net, x, target.layer, target.seed)
    facts: dict[str, Any] = {"target": target.text, "score": target.score}
    pictures: dict[str, Image] = {}
    for method in methods:
        if method == "grad-cam":
            layer = last_maps(subject) if cam_layer is None else subject.check_layer(cam_layer)
            level = to_cpu(attribution.grad_cam(*score, layer))[0]
            pictures[f"{method} of {layer}"] = heat_over(square, level)
        elif method == "gradient-x-input":
            found = attribution.gradient_times_input(*score)
            pictures[method] = signed_picture(subject.colours(to_cpu(found)[0]))
        elif method == "integrated-gradients":
            found = attribution.integrated_gradients(*score, steps=steps)
            pictures[method] = signed_picture(subject.colours(to_cpu(found)[0]))
            black = get_xp(x).zeros_like(x)
            start = attribution.score(net, black, target.layer, target.seed)
            facts["score of the mean colour"] = float(to_cpu(start)[0])
            facts["sum of integrated gradients"] = float(to_cpu(found).sum(dtype=np.float64))
        else:
            found = project(*score, rule=method)
            pictures[method] = magnitude_picture(subject.colours(to_cpu(found)[0]))
        done(method)
    return pictures, facts


def saliency_board(heading: str, square: Image, pictures: dict[str, Image]) -> Image:
    """Lay the photograph and each method's map out in rows of four, with their names."""
    cells = [
        titled(name, enlarged(picture, max(_LEAST, len(picture))))
        for name, picture in {"photograph": square, **pictures}.items()
    ]
    rows = [cells[at : at + _COLUMNS] for at in range(0, len(cells), _COLUMNS)]
    return titled(heading, board(rows))
