"""Wrong versions of the tiny DeconvNet, of its loss and of its training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.mistakes.bank import Right, mistake
from minideconv.testing.operations.deconvnet import in_one
from minideconv.testing.operations.deconvnet_layers import (
    PARAMETERS,
    backward,
    convolved,
    entropy,
    forward,
    given,
    pooled,
    scatter,
    transposed,
)
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

_Unpool = Callable[[Array, Array, tuple[int, int]], Array]


def _network(
    arrays: Arrays, relus: tuple[bool, bool, bool] = (True,) * 3, unpool: _Unpool = scatter
) -> Array:
    """Return the scores, with some ReLUs left out, or another unpooling."""
    x, *parameters = (given(arrays, role) for role in ("x", *PARAMETERS))
    w1, b1, w2, b2, v2, c2, v1, c1 = parameters

    def relu(array: Array, number: int) -> Array:
        return np.maximum(array, 0) if relus[number] else array

    e1 = relu(convolved(x, w1, b1), 0)
    p1, switches1 = pooled(e1)
    e2 = relu(convolved(p1, w2, b2), 1)
    p2, switches2 = pooled(e2)
    d2 = relu(transposed(unpool(p2, switches2, e2.shape[2:]), v2, c2), 2)
    return transposed(unpool(d2, switches1, x.shape[2:]), v1, c1)


@mistake("deconvnet", "scores", "first ReLU left out",
         "There is no ReLU behind the first convolution.")  # fmt: skip
def _no_first_relu(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _network(arrays, (False, True, True))


@mistake("deconvnet", "scores", "third ReLU left out",
         "There is no ReLU behind the first transposed convolution.")  # fmt: skip
def _no_third_relu(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _network(arrays, (True, True, False))


@mistake("deconvnet", "scores", "ReLU behind the scores",
         "Negative scores are set to 0; there is no ReLU behind the last layer.")  # fmt: skip
def _relu_of_scores(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return np.maximum(right(arrays, settings), 0)


@mistake("deconvnet", "scores", "switches ignored",
         "Each value goes to the top left pixel of its window; it belongs where its switch "
         "points.")  # fmt: skip
def _top_left(arrays: Arrays, settings: Settings, right: Right) -> Array:
    def unpool(y: Array, switches: Array, size: tuple[int, int]) -> Array:
        large = np.zeros((*y.shape[:2], *size))
        large[:, :, : 2 * y.shape[2] : 2, : 2 * y.shape[3] : 2] = y
        return large

    return _network(arrays, unpool=unpool)


@mistake("deconvnet", "scores", "unpooled by repeating each value",
         "Each value fills its window; unpooling puts it at its switch, 0 around "
         "it.")  # fmt: skip
def _repeated(arrays: Arrays, settings: Settings, right: Right) -> Array:
    def unpool(y: Array, switches: Array, size: tuple[int, int]) -> Array:
        large = np.zeros((*y.shape[:2], *size))
        large[:, :, : 2 * y.shape[2], : 2 * y.shape[3]] = y.repeat(2, axis=2).repeat(2, axis=3)
        return large

    return _network(arrays, unpool=unpool)


def _relu_passes_at_zero(place: int) -> None:
    @mistake("deconvnet_backward", f"d{PARAMETERS[place]}", "ReLU passes the gradient at 0",
             "The slope of ReLU at 0 is taken to be 1; its gradient is 0 wherever the input is not "
             "positive.")  # fmt: skip
    def _passes(arrays: Arrays, settings: Settings, right: Right) -> Array:
        f = forward(arrays)
        w1, b1, w2, b2, v2, c2 = (given(arrays, role) for role in PARAMETERS[:6])
        open_at_zero = f._replace(
            mask1=convolved(f.x, w1, b1) >= 0,
            mask2=convolved(f.p1, w2, b2) >= 0,
            mask3=transposed(f.u2, v2, c2) >= 0,
        )
        return backward(given(arrays, "dscores"), arrays, open_at_zero)[place]


for _place in range(2):  # the inputs of the other two are never 0 on the probes
    _relu_passes_at_zero(_place)


# The loss -----------------------------------------------------------------------------------


@mistake("cross_entropy", "loss", "summed over the pixels",
         "The loss is the sum over all pixels; it is their mean.")  # fmt: skip
def _summed(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right(arrays, settings) * given(arrays, "labels").size


@mistake("cross_entropy", "loss", "of the wrong sign",
         "The logarithms of probabilities are negative; the loss is minus their mean.")  # fmt: skip
def _negative(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return -right(arrays, settings)


@mistake("cross_entropy", "dscores", "not divided by the number of pixels",
         "The loss is a mean over the pixels, so its gradient is divided by their "
         "number.")  # fmt: skip
def _not_divided(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right(arrays, settings) * given(arrays, "labels").size


@mistake("cross_entropy", "dscores", "gradient divided by the pixels twice",
         "The gradient of the mean is divided by the number of pixels once.")  # fmt: skip
def _divided_twice(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right(arrays, settings) / given(arrays, "labels").size


@mistake("cross_entropy", "dscores", "1 not taken off at the right class",
         "The gradient is p for every class; it is p - 1 for the right one.")  # fmt: skip
def _only_p(arrays: Arrays, settings: Settings, right: Right) -> Array:
    labels = given(arrays, "labels")
    gradient = right(arrays, settings)
    classes = np.arange(gradient.shape[1])[:, None, None]
    return gradient + (labels[:, None] == classes) / labels.size


# Training -----------------------------------------------------------------------------------


def _stepped(arrays: Arrays, settings: Settings, *, again: bool, sign: float) -> Array:
    """Return the parameters after training with the first gradient throughout, or uphill."""
    now = dict(arrays)
    gradients: tuple[Array, ...] = ()
    for step in range(settings["steps"]):
        if again or step == 0:
            network = forward(now)
            _, dscores = entropy(network.scores, given(arrays, "labels"))
            gradients = backward(dscores, now, network)
        for parameter, gradient in zip(PARAMETERS, gradients, strict=True):
            now[parameter] = given(now, parameter) - sign * settings["rate"] * gradient
    return in_one(given(now, name) for name in PARAMETERS)


@mistake("train", "parameters", "gradient not taken again after the first step",
         "Every step uses the gradient at the first parameters; it belongs to the present "
         "ones.")  # fmt: skip
def _stale(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _stepped(arrays, settings, again=False, sign=1)


@mistake("train", "parameters", "steps go uphill",
         "The gradient is added; a step goes against it.")  # fmt: skip
def _uphill(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _stepped(arrays, settings, again=True, sign=-1)
