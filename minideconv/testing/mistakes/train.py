"""Wrong training loops of the tiny DeconvNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minideconv.testing.mistakes.bank import given
from minideconv.testing.mistakes.network import Placed, put
from minideconv.testing.operations.deconvnet import in_one
from minideconv.testing.operations.deconvnet_layers import (
    PARAMETERS,
    backward,
    entropy,
    forward,
)
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

OP, OUT = "train", "parameters"
Gradients = Sequence[Array]
Parameters = Sequence[Array]
Loop = Callable[["_Training"], Parameters]


class _Training:
    """What a training loop is given: the first parameters, and the gradient at any."""

    def __init__(self, arrays: Arrays, settings: Settings) -> None:
        self.arrays, self.steps, self.rate = arrays, settings["steps"], settings["rate"]
        self.first = [given(arrays, name) for name in PARAMETERS]
        self.images = len(given(arrays, "x"))
        self.pixels = given(arrays, "labels").size

    def gradients(self, parameters: Parameters) -> Gradients:
        now = {**self.arrays, **dict(zip(PARAMETERS, parameters, strict=True))}
        network = forward(now)
        _, dscores = entropy(network.scores, given(self.arrays, "labels"))
        return backward(dscores, now, network)

    def run(self, steps: int, rate: float, only: Sequence[str] = PARAMETERS) -> Parameters:
        """Return the parameters after so many steps, of which only some are trained."""
        parameters = list(self.first)
        for _ in range(steps):
            gradients = self.gradients(parameters)
            for i, name in enumerate(PARAMETERS):
                if name in only:
                    parameters[i] = parameters[i] - rate * gradients[i]
        return parameters


def _way(loop: Loop, place: str = "") -> Placed:
    return Placed(OUT, place, lambda arrays, settings: {
        OUT: in_one(loop(_Training(arrays, settings)))
    })  # fmt: skip


def _put(name: str, sentence: str, *loops: Loop) -> None:
    put(OP, OUT, name, sentence, [_way(loop) for loop in loops])


# The number of steps ------------------------------------------------------------------------

put(OP, OUT, "wrong number of steps", "The loop makes `steps` steps: range(steps).", [
    _way(lambda t, count=count: t.run(count(t), t.rate), f"({words})")  # type: ignore[misc]
    for words, count in (
        ("one too few", lambda t: t.steps - 1),
        ("one too many", lambda t: t.steps + 1),
        ("only one", lambda t: 1),
        ("none is kept", lambda t: 0),
    )
])  # fmt: skip


# The step -----------------------------------------------------------------------------------

_put("steps go uphill", "The gradient is added; a step goes against it.",
     lambda t: t.run(t.steps, -t.rate))  # fmt: skip
put(OP, OUT, "wrong rate",
    "A step is rate times the gradient of the mean over the pixels.",
    [
        _way(lambda t, rate=rate: t.run(t.steps, rate(t)), f"({words})")  # type: ignore[misc]
        for words, rate in (
            ("divided by the number of images", lambda t: t.rate / t.images),
            ("divided by the number of pixels", lambda t: t.rate / t.pixels),
            ("multiplied by the number of pixels", lambda t: t.rate * t.pixels),
            ("multiplied by the pixels of an image", lambda t: t.rate * t.pixels / t.images),
            ("multiplied by the number of images", lambda t: t.rate * t.images),
            ("divided by the number of steps", lambda t: t.rate / t.steps),
            ("halved", lambda t: t.rate / 2),
            ("doubled", lambda t: 2 * t.rate),
            ("1 in its place", lambda t: 1.0),
            ("0.1 in its place", lambda t: 0.1),
            ("0.01 in its place", lambda t: 0.01),
            ("0.001 in its place", lambda t: 0.001),
        )
    ])  # fmt: skip

put(OP, OUT, "some parameters not trained",
    "All eight parameters take part in every step.",
    [
        _way(lambda t, only=only: t.run(t.steps, t.rate, only), f"({words})")  # type: ignore[misc]
        for words, only in (
            ("the biases stay", PARAMETERS[::2]),
            ("the kernels stay", PARAMETERS[1::2]),
            ("only the last layer is", PARAMETERS[6:]),
            ("only the first layer is", PARAMETERS[:2]),
            ("the transposed convolutions stay", PARAMETERS[:4]),
            ("the convolutions stay", PARAMETERS[4:]),
            *((f"{name} stays", [p for p in PARAMETERS if p != name]) for name in PARAMETERS),
        )
    ])  # fmt: skip


# The gradients ------------------------------------------------------------------------------


def _stale(t: _Training) -> Parameters:
    gradients = t.gradients(t.first)
    parameters = t.first
    for _ in range(t.steps):
        parameters = [p - t.rate * g for p, g in zip(parameters, gradients, strict=True)]
    return parameters


def _added_up(keep: float, fresh: float) -> Loop:
    """Go along a sum of all gradients so far, the earlier ones times `keep`."""

    def loop(t: _Training) -> Parameters:
        parameters = t.first
        total = [np.zeros_like(p) for p in parameters]
        for _ in range(t.steps):
            found = t.gradients(parameters)
            total = [keep * s + fresh * g for s, g in zip(total, found, strict=True)]
            parameters = [p - t.rate * s for p, s in zip(parameters, total, strict=True)]
        return parameters

    return loop


def _one_after_the_other(order: Sequence[int]) -> Loop:
    def loop(t: _Training) -> Parameters:
        parameters = list(t.first)
        for _ in range(t.steps):
            for i in order:
                parameters[i] = parameters[i] - t.rate * t.gradients(parameters)[i]
        return parameters

    return loop


def _from_the_first(t: _Training) -> Parameters:
    parameters = t.first
    for _ in range(t.steps):
        found = t.gradients(parameters)
        parameters = [p - t.rate * g for p, g in zip(t.first, found, strict=True)]
    return parameters


def _image_by_image(t: _Training) -> Parameters:
    """Make a step for every image."""
    x, labels = given(t.arrays, "x"), given(t.arrays, "labels")
    parameters = t.first
    for _ in range(t.steps):
        for i in range(len(x)):
            one = {**t.arrays, "x": x[i : i + 1], "labels": labels[i : i + 1]}
            found = _Training(one, {"steps": 1, "rate": t.rate}).gradients(parameters)
            parameters = [p - t.rate * g for p, g in zip(parameters, found, strict=True)]
    return parameters


_put("gradient not taken again after the first step",
     "Every step uses the gradient at the first parameters; it belongs to the present ones.",
     _stale)  # fmt: skip
_put("gradients not reset between steps",
     "The gradients of the steps before are added to those of a step; it takes its own only.",
     _added_up(1.0, 1.0))  # fmt: skip
_put("momentum added", "A step goes along its own gradient only; the steps before leave nothing.",
     _added_up(0.9, 1.0), _added_up(0.9, 0.1), _added_up(0.5, 1.0))  # fmt: skip
_put("parameters updated one after the other",
     "The gradient of each parameter is taken after the ones before it have changed; all eight "
     "belong to the same parameters.",
     _one_after_the_other(range(8)), _one_after_the_other(range(7, -1, -1)))  # fmt: skip
_put("every step made from the first parameters",
     "A step begins where the one before ended.", _from_the_first)  # fmt: skip
_put("a step for every image", "A step takes the gradient of the whole batch.",
     _image_by_image)  # fmt: skip
