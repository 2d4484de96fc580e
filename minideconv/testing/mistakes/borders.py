"""Wrong ways to pad an image that an operation pads with zeros."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import given, slip
from minideconv.testing.mistakes.guards import GUARDS
from minideconv.testing.mistakes.settings import size_is_given
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["border_mistakes"]

_BORDERS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("padded by repeating the border", "edge", {},
     "The border is padded with the nearest pixel; the padding is zeros."),
    ("padded by reflection", "reflect", {},
     "The border is padded with its mirror image, the border pixel itself left out; the padding is "
     "zeros."),
    ("padded by reflection", "symmetric", {},
     "The border is padded with its mirror image; the padding is zeros."),
    ("padded by wrapping around", "wrap", {},
     "The border is padded with the opposite side of the image; the padding is zeros."),
    ("padded with ones", "constant", {"constant_values": 1},
     "The border is padded with ones; the padding is zeros."),
    ("padded with minus infinity", "constant", {"constant_values": -np.inf},
     "The border is padded with -inf, as max pooling has it; the padding is zeros."),
)  # fmt: skip


def _padded_by(shares: tuple[int, int], how: dict[str, Any], x: Array, ph: int, pw: int) -> Array:
    """Pad by so many times the padding at the top and left, and at the bottom and right."""
    before, after = shares
    return np.pad(x, ((0, 0), (0, 0), (before * ph, after * ph), (before * pw, after * pw)), **how)


def _padded_if(guard: Callable[[Pair], bool], x: Array, ph: int, pw: int) -> Array:
    """Pad as it must be, where the guard lets it."""
    return _padded_by((1, 1), {}, x, ph, pw) if guard((ph, pw)) else x


def _put_between(x: Array, ph: int, pw: int) -> Array:
    """Pad with zeros, but put the image into a slice that is empty where the padding is 0."""
    padded = np.zeros((*x.shape[:2], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw))
    padded[:, :, ph:-ph, pw:-pw] = x
    return padded


def border_mistakes(operation: str, output: str, role: str) -> None:
    """Register wrong ways to pad one array, which the operation pads with zeros."""

    def padded(name: str, sentence: str, change: Callable[[Array, int, int], Array]) -> None:
        @slip(operation, output, name, sentence)
        def _padded(arrays: Arrays, settings: Settings) -> None:
            arrays[role] = change(given(arrays, role), *settings["padding"])
            settings["padding"] = (0, 0)

    for name, mode, extra, sentence in _BORDERS:
        padded(name, sentence,
               partial(_padded_by, (1, 1), dict(extra, mode=mode)))  # fmt: skip
    if size_is_given(operation):
        sides: tuple[tuple[str, tuple[int, int]], ...] = (
            ("twice the padding at the top and left", (2, 0)),
        )
        padded("padding ignored", "Windows begin at the first pixel; they begin in the padding.",
               partial(_padded_by, (0, 2), {}))  # fmt: skip
    else:
        sides = (
            ("padded at the top and left only", (2, 0)),
            ("padding counted once, at the top and left", (1, 0)),
            ("padded at the bottom and right only", (0, 2)),
            ("padding counted once, at the bottom and right", (0, 1)),
        )
    for name, shares in sides:
        sentence = "The padding is on one side; it goes to both sides of each axis."
        if "once" in name:
            sentence = (
                "The image is padded on one side, or the output size counts one side only; "
                "padding goes to both sides of each axis."
            )
        padded(name, sentence, partial(_padded_by, shares, {}))
    padded("image put into [p:-p], which is empty without padding",
           "A slice [0:-0] is empty; put the image into [p:p + size].", _put_between)  # fmt: skip
    if size_is_given(operation):
        return
    padded("padding pairs misread", "Each axis is padded by padding[0] before and padding[1] "
           "after; padding[0] stands on both sides of the rows.",
           lambda x, ph, pw: np.pad(x, ((0, 0), (0, 0), (ph, pw), (ph, pw))))  # fmt: skip
    padded("rows not padded", "Only the width is padded; padding is (height, width).",
           lambda x, _ph, pw: np.pad(x, ((0, 0), (0, 0), (0, 0), (pw, pw))))  # fmt: skip
    for words, why, guard in GUARDS:
        padded(f"padded {words}", why, partial(_padded_if, guard))
    padded("columns not padded", "Only the height is padded; padding is (height, width).",
           lambda x, ph, _pw: np.pad(x, ((0, 0), (0, 0), (ph, ph), (0, 0))))  # fmt: skip
