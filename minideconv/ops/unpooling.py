"""Max unpooling: every value goes back to the pixel that its maximum came from, zeros elsewhere.

    max_unpool2d    (N, C, H', W') and switches -> (N, C, H, W)

Let G gather the pixels at the switches; for the image that was pooled, G x is the max pooling
itself. Its transpose G* adds every value to the pixel that it came from. With ``duplicates="add"``
unpooling is G*: it is the backward pass of pooling, and G is its own backward pass.

Where windows overlap, two of them may have chosen one pixel. Noh's Caffe code and PyTorch then
write both values and the later one stays. That is ``duplicates="assign"``, here G* M: the mask M
keeps, for each pixel, the last window in row-major order that chose it. Its transpose is M G: a
value that was overwritten gets no gradient. (Both libraries use G instead, which is not the
transpose.) Windows that do not overlap, such as all of DeconvNet's, have no duplicates: both agree.

Both maps loop over the taps of the window. Each pixel receives its sums in the order of the taps,
so the result does not depend on the device or on the order in which threads run.

Source: Noh, Hong, Han, "Learning deconvolution network for semantic segmentation" (2015), section
3.2.1.
"""

from __future__ import annotations

from typing import Any, Literal

from minideconv.backend import Array, device_of, get_xp
from minideconv.backend.dispatch import accelerated, device_guard
from minideconv.backend.masks import bits, selected
from minideconv.ops.geometry import Pair, Window
from minideconv.ops.pool_window import check_images
from minideconv.ops.switch_numbers import plane_starts
from minideconv.ops.switches import Switches

__all__ = [
    "check_planes",
    "check_values",
    "gather",
    "gather_taps",
    "last_of_indices",
    "max_unpool2d",
    "max_unpool2d_backward",
    "scatter_add",
    "scatter_indices",
    "scatter_taps",
]

Duplicates = Literal["assign", "add"]


@device_guard
def max_unpool2d(x: Array, switches: Switches, duplicates: Duplicates = "assign") -> Array:
    """Put every value at its switch: ``(N, C, H', W') -> (N, C, H, W)``, zeros elsewhere.

    Parameters
    ----------
    x : array, shape (N, C, H', W')
        Values, one for each switch.
    switches : Switches, shape (N, C, H', W')
        From ``max_pool2d(..., return_switches=True)``; they contain H and W.
    duplicates : {"assign", "add"}
        What happens to a pixel that several windows chose: ``"assign"`` keeps the last one's value
        in row-major order, as the paper's code and PyTorch do, ``"add"`` sums them.

    Returns
    -------
    array, shape (N, C, H, W)

    Raises
    ------
    ValueError, TypeError
        If `x` is not shaped like the switches, or `duplicates` is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from minideconv.ops import max_pool2d
    >>> image = np.array(
    ...     [[[[0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]]]]
    ... )
    >>> y, switches = max_pool2d(image, 3, stride=2, return_switches=True)  # both windows see the 9
    >>> max_unpool2d(np.array([[[[4.0, 7.0]]]]), switches)[0, 0, 1]
    array([0., 0., 7., 0., 0.])
    >>> max_unpool2d(np.array([[[[4.0, 7.0]]]]), switches, duplicates="add")[0, 0, 1]
    array([ 0.,  0., 11.,  0.,  0.])
    """
    check_values("max_unpool2d", "x", x, switches)
    winners = _winners("max_unpool2d", switches, duplicates)
    return scatter_add(x if winners is None else selected(x, winners), switches)


@device_guard
def max_unpool2d_backward(
    dy: Array, switches: Switches, duplicates: Duplicates = "assign"
) -> Array:
    """Return the gradient with respect to x: ``(N, C, H, W) -> (N, C, H', W')``.

    The exact transpose of `max_unpool2d` with the same switches and `duplicates`.

    Raises
    ------
    ValueError, TypeError
        If `dy` is not shaped like the unpooled planes, or `duplicates` is neither.
    """
    check_planes("max_unpool2d_backward", "dy", dy, switches)
    winners = _winners("max_unpool2d_backward", switches, duplicates)
    dx = gather(dy, switches)
    return dx if winners is None else selected(dx, winners)


# ---------------------------------------------------------------------------------------------
# G and its transpose


def gather(planes: Array, switches: Switches) -> Array:
    """G: take the pixel at every switch, ``(N, C, H, W) -> (N, C, H', W')``."""
    taps, window = switches._taps, switches._window
    if window is not None:
        return gather_taps(planes, taps, window)
    n, c, ho, wo = switches.shape
    pixels, indices = planes.reshape(n, c, -1), switches.indices.reshape(n, c, -1)
    return get_xp(planes).take_along_axis(pixels, indices, axis=2).reshape(n, c, ho, wo)


@accelerated
def gather_taps(planes: Array, taps: Array, window: Window) -> Array:
    """G for switches with their window."""
    y: Array = get_xp(planes).zeros_like(planes, shape=taps.shape)
    for tap, outputs, pixels_under_tap in window.taps():
        chosen = taps[:, :, *outputs] == tap  # (N, C, H', W'), for every window true at one tap
        bits(y[:, :, *outputs])[...] |= bits(planes[:, :, *pixels_under_tap]) * chosen
    return y


def scatter_add(values: Array, switches: Switches) -> Array:
    """G*: add every value to the pixel at its switch, ``(N, C, H', W') -> (N, C, H, W)``."""
    taps, window = switches._taps, switches._window
    if window is not None:
        return scatter_taps(values, taps, window)
    return scatter_indices(values, switches.indices, switches.plane_shape)


@accelerated
def scatter_taps(values: Array, taps: Array, window: Window) -> Array:
    """G* for switches with their window."""
    xp = get_xp(values)
    planes: Array = xp.zeros_like(values, shape=(*values.shape[:2], *window.size))
    overlaps = window.overlaps
    for tap, outputs, pixels in window.taps():
        chosen = taps[:, :, *outputs] == tap
        target = planes[:, :, *pixels]
        if overlaps:
            target += selected(values[:, :, *outputs], chosen)
        else:  # no other window writes these pixels
            xp.multiply(bits(values[:, :, *outputs]), chosen, out=bits(target))
    return planes


# ---------------------------------------------------------------------------------------------
# M: which value stays where several windows chose one pixel


def check_duplicates(op: str, duplicates: Any) -> None:
    """Raise ValueError unless this is one of the two rules."""
    if not isinstance(duplicates, str) or duplicates not in ("assign", "add"):
        raise ValueError(
            f"{op}: duplicates is {duplicates!r}; it must be 'assign' or 'add'; a window is not"
            " given, the switches know it"
        )


def _winners(op: str, switches: Switches, duplicates: str) -> Array | None:
    """Mask of the switches whose value stays, or None if all of them do."""
    check_duplicates(op, duplicates)
    window = switches._window
    if duplicates == "add" or (window is not None and not window.overlaps):
        return None
    if switches._winners is None:
        if window is None:
            switches._winners = last_of_indices(switches.indices, switches.plane_shape)
        else:
            switches._winners = _last_of_taps(switches._taps, window)
    return switches._winners


def _last_of_taps(taps: Array, window: Window) -> Array:
    """Give each pixel to the first tap that chose it, which belongs to the last window that did."""
    xp = get_xp(taps)
    winners = xp.zeros_like(taps, dtype=bool)
    taken = xp.zeros_like(taps, dtype=bool, shape=(*taps.shape[:2], *window.size))
    for tap, outputs, pixels in window.taps():
        chosen = taps[:, :, *outputs] == tap
        winners[:, :, *outputs] |= chosen & ~taken[:, :, *pixels]
        taken[:, :, *pixels] |= chosen
    return winners


# ---------------------------------------------------------------------------------------------
# Switches without their window: sort by pixel, so that duplicates are neighbours


def _sorted_pixels(indices: Array, plane: Pair) -> tuple[Array, Array, Array]:
    """Sort the switches by pixel, stably: the order, the pixels in it, and where each run ends."""
    xp = get_xp(indices)
    pixels = (indices + plane_starts(indices, plane[0] * plane[1])).ravel()
    order = xp.argsort(pixels, kind="stable")
    pixels = pixels[order]
    ends = xp.ones(pixels.shape, dtype=bool)
    ends[:-1] = pixels[1:] != pixels[:-1]
    return order, pixels, ends


@accelerated
def last_of_indices(indices: Array, plane: Pair) -> Array:
    """Return which switches are the last, in row-major order, at their pixel: a mask."""
    order, _, ends = _sorted_pixels(indices, plane)
    winners: Array = get_xp(order).zeros(order.shape, dtype=bool)
    winners[order[ends]] = True
    return winners.reshape(indices.shape)


@accelerated
def scatter_indices(values: Array, indices: Array, plane: Pair) -> Array:
    """G*: sum each run by doubling; after step s a total holds 2 s neighbours, in a fixed order."""
    order, pixels, ends = _sorted_pixels(indices, plane)
    totals, step = values.ravel()[order], 1
    while step < totals.size:
        same = pixels[step:] == pixels[:-step]
        if not same.any():
            break
        totals[step:] += selected(totals[:-step], same)
        step *= 2
    planes: Array = get_xp(values).zeros_like(values, shape=(*values.shape[:2], *plane))
    flat = get_xp(values).zeros(planes.size, dtype=values.dtype)
    flat[pixels[ends]] = totals[ends]
    planes[...] = flat.reshape(planes.shape)
    return planes


# ---------------------------------------------------------------------------------------------
# Refusals


def check_values(op: str, name: str, values: Any, switches: Switches) -> None:
    """Raise unless `values` are images with one value for each switch."""
    check_images(op, name, values)
    if values.shape != switches.shape:
        raise ValueError(
            f"{op}: {name} has shape {values.shape} but the switches have shape {switches.shape}; "
            "there must be one value for each switch"
        )
    _check_device(op, name, values, switches)


def check_planes(op: str, name: str, planes: Any, switches: Switches) -> None:
    """Raise unless `planes` are images of the size that the switches point into."""
    check_images(op, name, planes)
    wanted = (*switches.shape[:2], *switches.plane_shape)
    if planes.shape != wanted:
        raise ValueError(
            f"{op}: {name} has shape {planes.shape}; "
            f"these switches point into planes of shape {wanted}"
        )
    _check_device(op, name, planes, switches)


def _check_device(op: str, name: str, array: Any, switches: Switches) -> None:
    if device_of(array) != switches.device:
        raise ValueError(
            f"{op}: {name} is on {device_of(array)} but the switches are on {switches.device}; "
            f"move them with switches.to({str(device_of(array))!r})"
        )
