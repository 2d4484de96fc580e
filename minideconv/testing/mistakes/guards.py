"""Guards of a padding that ask for one of its two numbers, or for both."""

from __future__ import annotations

from collections.abc import Callable

from minideconv.testing.geometry import Pair
from minideconv.testing.operations.operation import Array

__all__ = ["GUARDS", "guarded_crops"]

Crop = Callable[[Array, Pair, Pair], Array]
"""``crop(canvas, padding, size)``: what is left of it."""

GUARDS: tuple[tuple[str, str, Callable[[Pair], bool]], ...] = (
    ("only where both paddings are > 0", "Where one padding is 0, the other axis is left out, too.",
     lambda p: min(p) > 0),
    ("only where padding[0] > 0", "`if` asks for the height's padding; the width has its own.",
     lambda p: p[0] > 0),
    ("only where padding[1] > 0", "`if` asks for the width's padding; the height has its own.",
     lambda p: p[1] > 0),
)  # fmt: skip
"""(words, sentence, whether it is padded or cropped)."""


def guarded_crops(guard: Callable[[Pair], bool]) -> tuple[Crop, Crop]:
    """Return what crops by the size and by [p:-p], where the guard lets it."""

    def by_size(c: Array, p: Pair, n: Pair) -> Array:
        return c[:, :, p[0] : p[0] + n[0], p[1] : p[1] + n[1]] if guard(p) else c

    def by_end(c: Array, p: Pair, n: Pair) -> Array:
        return c[:, :, p[0] : -p[0], p[1] : -p[1]] if guard(p) else c

    return by_size, by_end
