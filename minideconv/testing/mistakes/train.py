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

_put("one step too few", "The loop makes steps - 1 steps; range(steps) makes `steps`.",
     lambda t: t.run(t.steps - 1, t.rate))  # fmt: skip
_put("one step too many", "The loop makes steps + 1 steps; range(steps) makes `steps`.",
     lambda t: t.run(t.steps + 1, t.rate))  # fmt: skip
_put("only one step made", "The loop is left after its first step; it makes `steps`.",
     lambda t: t.run(1, t.rate))  # fmt: skip
_put("parameters returned as they came", "What is returned is the parameters as they were given: "
     "no step is kept.", lambda t: t.first)  # fmt: skip


# The step -----------------------------------------------------------------------------------

_put("steps go uphill", "The gradient is added; a step goes against it.",
     lambda t: t.run(t.steps, -t.rate))  # fmt: skip
for _name, _sentence, _rates in (
    ("rate divided by the number of images", "The gradient is that of a mean already.",
     [lambda t: t.rate / t.images]),
    ("rate divided by the number of pixels", "The gradient is that of a mean already.",
     [lambda t: t.rate / t.pixels]),
    ("gradient of the sum over the pixels", "The loss is a mean over the pixels, and so is its "
     "gradient.", [lambda t: t.rate * t.pixels]),
    ("rate ignored", "The step is another one than rate times the gradient.",
     [lambda t: 1.0, lambda t: 0.1, lambda t: 0.01, lambda t: 0.001]),
    ("rate halved", "The step is rate times the gradient.", [lambda t: t.rate / 2]),
    ("rate doubled", "The step is rate times the gradient.", [lambda t: 2 * t.rate]),
    ("rate divided by the number of steps", "Each step has the rate that is given.",
     [lambda t: t.rate / t.steps]),
):  # fmt: skip
    _put(_name, _sentence, *(
        lambda t, rate=rate: t.run(t.steps, rate(t)) for rate in _rates
    ))  # type: ignore[misc]  # fmt: skip

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
