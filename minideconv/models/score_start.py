"""A decoder that begins as an enlargement of coarse scores: `start_from_scores`.

A decoder of random weights must first learn to bring the classes that fc7 sees through six layers
and four unpoolings; with a few hundred photographs it may not get far. Here it begins with weights
that do this and no more: the network then scores about as well as the FCN-32s whose scores it was
given, and what it learns from there on is detail. Its layers are the same, and no skip connection
is added.

    fc6_deconv    channel j*K + k = relu(score of class k), for every copy j of the K classes
    deconv        channel j*K + k = the mean over the copies i of the blurred channels i*K + k
    seg_score     class k         = the mean over the copies j of the channels j*K + k

Copies of one score pass through unpoolings with different switches, which put it to different
places; their mean, blurred by (1 2 1), is close to a bilinear enlargement. A blur of sum 4 makes up
for the three zeros that an unpooling adds to each value.

Source: the idea of weights that keep a function is Chen, Goodfellow, Shlens, "Net2Net: accelerating
learning via knowledge transfer" (ICLR 2016); to start the decoder by it is this library's.
"""

from __future__ import annotations

import numpy as np

from minideconv.backend import get_xp
from minideconv.models.deconvnet import DeconvNet
from minideconv.nn import Module

__all__ = ["start_from_scores"]

_BLUR = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 4


def start_from_scores(
    network: Module, weight: np.ndarray, bias: np.ndarray, random_part: float = 0.2
) -> None:
    """Let a DeconvNet's decoder begin as an enlargement of the scores of fc7's values.

    Parameters
    ----------
    network : DeconvNet
        Without batch normalisation in its decoder, and with a map of fc7 that is as large as the
        one in front of fc6.
    weight : array (K, fc, 1, 1)
        Of the convolution that scores the K classes, ``score_fr`` of an FCN.
    bias : array (K,)
    random_part : float
        Share of the random weights, which the network has now, that is added. Without them the
        copies would differ by their switches alone.

    Raises
    ------
    ValueError
        If the network is none such, has other sizes than the scores, or too few channels for one
        copy of the classes.
    """
    if not isinstance(network, DeconvNet):
        raise ValueError(f"start_from_scores: {type(network).__name__} has no decoder to start")
    classes, fc = network.num_classes, network.fc
    if weight.shape != (classes, fc, 1, 1) or bias.shape != (classes,):
        raise ValueError(
            f"start_from_scores: weight has shape {weight.shape} and bias {bias.shape}; for this"
            f" network they must be ({classes}, {fc}, 1, 1) and ({classes},)"
        )
    if network.upsampling not in ("switches", "fixed"):
        raise ValueError(
            f"start_from_scores: upsampling is {network.upsampling!r}, but the weights are for a"
            " decoder that unpools; it must be 'switches' or 'fixed'"
        )
    layers = network.decoder_layers()
    kernel = layers[0][0].weight.shape[2:]
    if network.padding != "same" and kernel != (1, 1):
        raise ValueError(
            f"start_from_scores: fc6 has a window of {kernel[0]}x{kernel[1]} pixels and no padding,"
            " so its map does not cover the image; padding must be 'same'"
        )
    if any(layer.bias is None for layer, _ in layers) or network.fc6_deconv.bn is not None:
        raise ValueError(
            "start_from_scores: batch normalisation in the decoder would change the scores;"
            " batch_norm must be 'encoder', 'fc' or 'none'"
        )
    least = min(layer.weight.shape[1] for layer, _ in layers)
    if least < classes:
        raise ValueError(
            f"start_from_scores: a layer of the decoder has {least} channels, but there are"
            f" {classes} classes; a larger width is needed"
        )
    for index, (layer, unpooled) in enumerate(layers):
        inputs, outputs, *window = layer.weight.shape
        if index == 0:
            copies = outputs // classes
            mixing = np.zeros((inputs, outputs))
            mixing[:, : copies * classes] = np.tile(weight[:, :, 0, 0].T, (1, copies))
            shift = np.zeros(outputs)
            shift[: copies * classes] = np.tile(bias, copies)
        else:
            mixing, shift = _mean_of_copies(inputs, outputs, classes), np.zeros(outputs)
        taps = _BLUR if unpooled else _centre(tuple(window))
        _start(layer, mixing[:, :, None, None] * taps, shift, random_part)
    score = network.seg_score
    mixing = _mean_of_copies(score.weight.shape[1], classes, classes).T
    _start(score, mixing[:, :, None, None], np.zeros(classes), random_part)


def _mean_of_copies(inputs: int, outputs: int, classes: int) -> np.ndarray:
    """Return the matrix (inputs, outputs) that gives each copy the mean of all copies before."""
    before, behind = inputs // classes, outputs // classes
    mixing = np.zeros((inputs, outputs))
    mean = np.tile(np.eye(classes), (before, behind)) / before
    mixing[: before * classes, : behind * classes] = mean
    return mixing


def _centre(window: tuple[int, ...]) -> np.ndarray:
    """Return a kernel of zeros with a one in its middle."""
    taps = np.zeros(window)
    taps[tuple(side // 2 for side in window)] = 1.0
    return taps


def _start(layer: Module, weight: np.ndarray, bias: np.ndarray, random_part: float) -> None:
    """Set the weights of a layer, and add to them a share of those that it has."""
    for parameter, values in ((layer.weight, weight), (layer.bias, bias)):
        xp = get_xp(parameter.data)
        start = xp.asarray(values, dtype=parameter.dtype)
        parameter.data[...] = start + random_part * parameter.data
