"""One side of the kernel used for both, as if every kernel were square."""

from __future__ import annotations

from functools import partial

from minideconv.testing.error_kinds import INDEX, SHAPE, Fails
from minideconv.testing.mistakes.bank import Mistake, register, right_values, twist
from minideconv.testing.mistakes.kernels import zeroed
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["square_gradient", "square_kernels"]

_SENTENCE = "Both loops over the kernel run over its {}; it is (kh, kw)."


def square_kernels(operation: str, output: str, *, sized: bool) -> None:
    """Register them for an output that reads the weight; `sized`: its size follows the kernel's."""
    right = right_values(operation, output)

    def values(axis: int, cuts: bool, arrays: Arrays, settings: Settings) -> Array:
        w = arrays["w"]
        assert w is not None
        beyond = _beyond(w, axis)
        if cuts:
            w = w[(*beyond[:-1], slice(0, w.shape[2 + axis]))]
        else:
            w = zeroed(w, beyond)
        return right({**arrays, "w": w}, settings)

    for axis, side in enumerate(("height", "width")):
        ways = tuple(partial(values, axis, cuts) for cuts in ((True, False) if sized else (False,)))
        register(Mistake(operation, output, f"kernel's {side} used for both axes",
                         _SENTENCE.format(side), ways[0], variants=ways[1:]))  # fmt: skip


def square_gradient(operation: str) -> None:
    """Register them for dw, whose other entries stay zero."""
    for axis, side in enumerate(("height", "width")):

        @twist(operation, "dw", f"kernel's {side} used for both axes", _SENTENCE.format(side))
        def _square(result: Array, arrays: Arrays, settings: Settings, axis: int = axis) -> Array:
            return zeroed(result, _beyond(result, axis))


def _beyond(w: Array, axis: int) -> tuple[slice, ...]:
    """Return the place of the taps that the loops do not reach; `Fails` if there are too few."""
    side, other = w.shape[2 + axis], 3 - axis
    if side > w.shape[other]:
        raise Fails(INDEX, SHAPE)
    return (slice(None),) * other + (slice(side, None),)
