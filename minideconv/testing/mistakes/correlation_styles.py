"""conv2d by means of a library: of transforms, or of a function with modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from minideconv.testing.error_kinds import OTHER, Fails
from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Mistake, given, pad, register
from minideconv.testing.mistakes.indices import forward, tables
from minideconv.testing.operations.conv import group_channels
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["slid_over", "style_mistakes"]


def style_mistakes(operation: str, output: str) -> None:
    """Register what goes wrong with transforms and with the modes of a library's correlation."""

    def wrong(name: str, sentence: str, *ways: Callable[[Arrays, Settings], Array]) -> None:
        register(Mistake(operation, output, name, sentence, ways[0], variants=ways[1:]))

    wrong("transformed back without the size",
          "irfft2 makes an even number of columns of what it is given, unless s tells the size.",
          partial(_transformed, conjugate=True, sized=False))  # fmt: skip
    wrong("transforms multiplied without the conjugate",
          "That is a convolution that wraps around; a correlation has the conjugate of the "
          "kernel's transform.", partial(_transformed, conjugate=False, sized=True))  # fmt: skip
    wrong("as many windows as pixels",
          "Windows are centred on every pixel, as with mode='same'; those count that fit "
          "(mode='valid').",
          *(partial(_in_mode, full=False, padded=padded, late=late)
            for padded in (True, False) for late in (False, True)))  # fmt: skip
    wrong("windows that hang over the edge",
          "Windows that reach over the edge are there, too, as with mode='full'; those count that "
          "fit (mode='valid').",
          *(partial(_in_mode, full=True, padded=padded) for padded in (True, False)))  # fmt: skip
    for name, axes in (("", (0, 1)), (" along the height", (0,)), (" along the width", (1,))):
        wrong(f"windows begin at stride - 1{name}",
              "Of the windows one pixel apart every stride-th is kept, but not the first.",
              partial(_begun_late, axes=axes))  # fmt: skip


def slid_over(arrays: Arrays, settings: Settings) -> Array:
    """Return conv2d by scipy.signal.correlate2d(mode="valid").

    Where the kernel is larger than the image along both axes, that slides the image over the
    kernel and turns the result round.
    """
    x, w, (ph, pw), groups = _parts(arrays, settings)
    x = pad(x, ph, ph, pw, pw)
    extent = _extent(w, settings)
    larger = [e > n for e, n in zip(extent, x.shape[2:], strict=True)]
    if not any(larger):
        where = tables({**settings, "stride": (1, 1), "padding": (0, 0)}, w.shape[2:],
                       [n - e + 1 for n, e in zip(x.shape[2:], extent, strict=True)])  # fmt: skip
        return _strided(forward(x, w, groups, where), arrays, settings)
    if any(e < n for e, n in zip(extent, x.shape[2:], strict=True)):
        raise Fails(OTHER)
    wide = np.zeros((*w.shape[:2], *extent))
    wide[:, :, :: settings["dilation"][0], :: settings["dilation"][1]] = w
    y = np.zeros((len(x), len(w), *(e - n + 1 for n, e in zip(x.shape[2:], extent, strict=True))))
    where = tables({"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}, x.shape[2:],
                   y.shape[2:])  # fmt: skip
    for cs, ks in group_channels(groups, x.shape[1], len(w)):
        y[:, ks] = forward(wide[ks], x[:, cs], 1, where).swapaxes(0, 1)[:, :, ::-1, ::-1]
    return _strided(y, arrays, settings)


def _parts(arrays: Arrays, settings: Settings) -> tuple[Array, Array, Pair, int]:
    return given(arrays, "x"), given(arrays, "w"), settings["padding"], settings["groups"]


def _extent(w: Array, settings: Settings) -> Pair:
    rows, columns = (
        d * (k - 1) + 1 for k, d in zip(w.shape[2:], settings["dilation"], strict=True)
    )
    return rows, columns


def _strided(y: Array, arrays: Arrays, settings: Settings, begin: Sequence[int] = (0, 0)) -> Array:
    (sh, sw), b = settings["stride"], arrays["b"]
    y = y[:, :, begin[0] :: sh, begin[1] :: sw]
    return y if b is None else y + b[:, None, None]


def _transformed(arrays: Arrays, settings: Settings, conjugate: bool, sized: bool) -> Array:
    x, w, (ph, pw), groups = _parts(arrays, settings)
    x, extent = pad(x, ph, ph, pw, pw), _extent(w, settings)
    wide = np.zeros((*w.shape[:2], *extent))
    wide[:, :, :: settings["dilation"][0], :: settings["dilation"][1]] = w
    fx, fw = np.fft.rfft2(x), np.fft.rfft2(wide, s=x.shape[2:])
    fy = np.zeros((len(x), len(w), *fx.shape[2:]), complex)
    for cs, ks in group_channels(groups, x.shape[1], len(w)):
        kernels = np.conj(fw[ks]) if conjugate else fw[ks]
        fy[:, ks] = np.einsum("nchw,kchw->nkhw", fx[:, cs], kernels)
    y = np.fft.irfft2(fy, s=x.shape[2:]) if sized else np.fft.irfft2(fy)
    rows, columns = (n - e + 1 for n, e in zip(x.shape[2:], extent, strict=True))
    return _strided(y[:, :, :rows, :columns], arrays, settings)


def _in_mode(
    arrays: Arrays, settings: Settings, full: bool, padded: bool, late: bool = False
) -> Array:
    x, w, (ph, pw), groups = _parts(arrays, settings)
    if padded:
        x = pad(x, ph, ph, pw, pw)
    extent = _extent(w, settings)
    before = [e - 1 if full else (e - 1 + (not late)) // 2 for e in extent]
    count = [n + (e - 1 if full else 0) for n, e in zip(x.shape[2:], extent, strict=True)]
    where = tables({**settings, "stride": (1, 1), "padding": before}, w.shape[2:], count)
    return _strided(forward(x, w, groups, where), arrays, settings)


def _begun_late(arrays: Arrays, settings: Settings, axes: Sequence[int]) -> Array:
    x, w, (ph, pw), groups = _parts(arrays, settings)
    x = pad(x, ph, ph, pw, pw)
    count = [n - e + 1 for n, e in zip(x.shape[2:], _extent(w, settings), strict=True)]
    where = tables({**settings, "stride": (1, 1), "padding": (0, 0)}, w.shape[2:], count)
    begin = [(s - 1) * (axis in axes) for axis, s in enumerate(settings["stride"])]
    return _strided(forward(x, w, groups, where), arrays, settings, begin)
