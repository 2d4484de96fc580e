"""Which pixels a score depends on: saliency, gradient x input, integrated gradients, Grad-CAM.

Let F(x) be the score: the sum of a layer's outputs A, weighted by a signal g that `seed` chooses
(for example 1 at a class, or at the pixels of one class), and R the gradient dF/dx.

| method               | map                                         | source                   |
|----------------------|---------------------------------------------|--------------------------|
| saliency             | R                                           | Simonyan et al. (2013)   |
| gradient x input     | x R(x)                                      | Shrikumar et al. (2016)  |
| integrated gradients | (x - x') mean over t of R(x' + t (x - x'))  | Sundararajan, Taly, Yan  |
|                      |                                             | (2017), equation 1       |
| Grad-CAM             | max(sum_k mean_ij(dF/dA_kij) A_k, 0)        | Selvaraju et al. (2017), |
|                      |                                             | equations 1 and 2        |

All but Grad-CAM have the shape of the image; it has that of the map A_k of a layer. The values of
integrated gradients add up to F(x) - F(x'): the rest that is missing shows how exact the integral,
a sum over midpoints here, is. `projection.project` has the other two rules for the ReLU.
"""

from __future__ import annotations

from minideconv.backend import Array, device_of, get_xp, to_device
from minideconv.backend.dispatch import device_guard, on_device_of
from minideconv.errors import UsageError
from minideconv.nn import Module
from minideconv.visualize.projection import Seed, forward_to, project, signal_between

__all__ = ["grad_cam", "gradient_times_input", "integrated_gradients", "saliency", "score"]


def score(net: Module, x: Array, layer: str, seed: Seed) -> Array:
    """Return F(x) of each image, (N,): the layer's output, weighted by the seed's signal."""
    _, outputs = forward_to(net, x, layer)
    values = outputs[layer].data
    with on_device_of(values):
        product = values * seed(values)
        return product.reshape(len(values), -1).sum(axis=1)


def saliency(net: Module, x: Array, layer: str, seed: Seed) -> Array:
    """Return the gradient of F at the image: (N, C, H, W) -> (N, C, H, W)."""
    return project(net, x, layer, seed, "gradient")


def gradient_times_input(net: Module, x: Array, layer: str, seed: Seed) -> Array:
    """Return the image times the gradient at it: (N, C, H, W) -> (N, C, H, W).

    The input is what the network is given: with the mean subtracted, zero is the mean colour.
    """
    gradient = saliency(net, x, layer, seed)
    with on_device_of(gradient):
        return gradient * _beside(x, gradient)


def integrated_gradients(
    net: Module, x: Array, layer: str, seed: Seed, baseline: Array | None = None, steps: int = 32
) -> Array:
    """Return the mean gradient on the way from a baseline to the image, times that way.

    Parameters
    ----------
    net, x, layer
        See `forward_to`.
    seed : callable
        Gives the same signal whatever the output is: for example `at_unit` with a strength.
    baseline : array, optional
        x', of the image's shape; zeros, the mean colour, if left out.
    steps : int
        Points at which the gradient is computed: (i + 1/2) / steps of the way.

    Returns
    -------
    array (N, C, H, W)

    Raises
    ------
    UsageError
        If `steps` is less than 1.
    """
    if steps < 1:
        raise UsageError(f"integrated_gradients: steps is {steps}; it must be at least 1")
    xp = get_xp(x)
    with on_device_of(x):
        start = xp.zeros_like(x) if baseline is None else baseline
        way = x - start
    total = None
    for i in range(steps):
        with on_device_of(x):
            point = start + x.dtype.type((i + 0.5) / steps) * way
        gradient = saliency(net, point, layer, seed)
        with on_device_of(gradient):
            total = gradient if total is None else total + gradient
    assert total is not None
    with on_device_of(total):
        return total / total.dtype.type(steps) * _beside(way, total)


def grad_cam(net: Module, x: Array, layer: str, seed: Seed, maps: str) -> Array:
    """Return where a layer's maps speak for F: (N, C, H, W) -> (N, H', W'), all values >= 0.

    Parameters
    ----------
    net, x, layer, seed
        See `project`.
    maps : str
        The layer whose maps A_k are summed, in front of `layer` or that layer: mostly the last
        convolution, where maps still have places.

    Raises
    ------
    UsageError
        If `maps` is not computed before `layer`, or its output has no places.
    """
    _, outputs = forward_to(net, x, layer, also=[maps])
    if maps not in outputs or outputs[maps].ndim != 4:
        behind = repr(layer) if layer else "the output"
        raise UsageError(f"Grad-CAM: layer {maps!r} has no maps in front of {behind}")
    output, middle = outputs[layer], outputs[maps]
    gradient = signal_between(output, middle, seed(output.data))
    return _weighted_maps(middle.data, gradient)


@device_guard
def _weighted_maps(maps: Array, gradient: Array) -> Array:
    weights = gradient.mean(axis=(2, 3), keepdims=True)
    return get_xp(maps).maximum((weights * maps).sum(axis=1), 0)


def _beside(x: Array, other: Array) -> Array:
    """Return `x` where `other` is."""
    return to_device(x, device_of(other))
