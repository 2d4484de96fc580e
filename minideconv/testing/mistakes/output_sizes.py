"""Mistakes in the output size alone: the windows, or the stamps, lie where they must.

Where the result is larger than it must be, code reads or writes over the edge: by a test of the
bounds, a loop or a slice (`edges`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from minideconv.testing.error_kinds import ANY, Fails
from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Mistake, register
from minideconv.testing.mistakes.edges import READING, Edge, as_it_is
from minideconv.testing.operations.conv import windows
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["Numbers", "conv_size_mistakes", "size_mistake", "swapped_sizes"]

PARTS = ("image", "kernel", "stride", "padding", "dilation")
Numbers = Mapping[str, Pair]
"""Pairs (height, width) by name: ``image``, ``kernel``, ``stride``, ``padding``, ..."""
Reading = Callable[[Arrays, Settings], Numbers]
Result = Callable[[Arrays, Settings, Pair, Edge], Array]
"""``result(arrays, settings, size, edge)``: the output of another size."""
Formula = Callable[[Numbers], Pair]


def size_mistake(
    operation: str,
    output: str,
    name: str,
    sentence: str,
    size: Callable[[Arrays, Settings], Pair],
    result: Result,
    edges: Sequence[Edge],
) -> None:
    """Register a result of the wrong size ``size(arrays, settings)``."""

    def values(arrays: Arrays, settings: Settings, edge: Edge = as_it_is) -> Array:
        wrong = size(arrays, settings)
        if min(wrong) < 0:
            raise Fails(*ANY)
        return result(arrays, settings, wrong, edge)

    others = tuple(partial(values, edge=edge) for edge in edges)
    register(Mistake(operation, output, name, sentence, values, variants=others))


def swapped_sizes(
    operation: str,
    output: str,
    names: Sequence[str],
    numbers: Reading,
    formula: Formula,
    result: Result,
    edges: Sequence[Edge],
) -> None:
    """Register sizes for which a number of one axis is taken for the other."""
    for name in names:
        of = {"image": "image's {}", "kernel": "kernel's {}"}.get(name)
        for places, label in (
            ((1, 0), f"{name} swapped"),
            ((0, 0), f"{of.format('height') if of else name + '[0]'} used for both axes"),
            ((1, 1), f"{of.format('width') if of else name + '[1]'} used for both axes"),
        ):

            def size(
                arrays: Arrays, settings: Settings, key: str = name, places: Pair = places
            ) -> Pair:
                known = numbers(arrays, settings)
                first, second = (known[key][place] for place in places)
                return formula({**known, key: (first, second)})

            size_mistake(
                operation, output, f"{label} in the output size",
                f"The output size is worked out with the {name} of the other axis; elsewhere it is "
                "right.",
                size, result, edges,
            )  # fmt: skip


def conv_size_mistakes(operation: str, output: str, numbers: Reading, result: Result) -> None:
    """Register wrong numbers of windows, of conv2d and im2col."""

    def formula(known: Numbers) -> Pair:
        return windows(*(known[name] for name in PARTS))

    def sized(name: str, sentence: str, size: Callable[[int, int, int, int, int], int]) -> None:
        def counts(arrays: Arrays, settings: Settings) -> Pair:
            known = numbers(arrays, settings)
            rows, columns = (
                size(*axis) for axis in zip(*(known[name] for name in PARTS), strict=True)
            )
            return rows, columns

        size_mistake(operation, output, name, sentence, counts, result, READING)

    swapped_sizes(operation, output, PARTS, numbers, formula, result, READING)
    sized("output size rounded up",
          "A last window hangs over the edge; the size is rounded down.",
          lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1)  # fmt: skip
    sized("window that ends at the border left out",
          "The loop over the windows ends before the one whose last pixel is the image's last.",
          lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s))  # fmt: skip
    sized("padding left out of the output size",
          "The size is worked out without the padding; it must be (n + 2 padding - k) // s + 1.",
          lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 1)  # fmt: skip
    sized("dilation left out of the output size",
          "The size is worked out with k in place of dilation·(k - 1) + 1.",
          lambda n, k, s, p, d: (n + 2 * p - k) // s + 1)  # fmt: skip
    sized("dilated kernel taken as dilation·k",
          "A dilated kernel reaches over dilation·(k - 1) + 1 pixels, not dilation·k.",
          lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1)  # fmt: skip
    sized("1 left out of the dilated kernel's extent",
          "A dilated kernel reaches over dilation·(k - 1) + 1 pixels, not dilation·(k - 1).",
          lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s + 1)  # fmt: skip
    sized("1 added before the division in the output size",
          "The size is (n + 2 padding - k + 1) // s; it is (n + 2 padding - k) // s + 1.",
          lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s)  # fmt: skip
    sized("stride left out of the output size",
          "There is a window for every pixel; there is one for every stride-th.",
          lambda n, k, s, p, d: n + 2 * p - d * (k - 1))  # fmt: skip
    sized("output size taken from the input",
          "The result is as large as the image; its size follows from kernel, stride and padding.",
          lambda n, k, s, p, d: n)  # fmt: skip
    sized("output size divided before 1 is added to the padding",
          "Each part is divided by the stride by itself; the whole of n + 2 padding - k is.",
          lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 2 * p // s + 1)  # fmt: skip

    for axis, text in enumerate(("height", "width")):

        def square(arrays: Arrays, settings: Settings, axis: int = axis) -> Pair:
            count = formula(numbers(arrays, settings))[axis]
            return count, count

        size_mistake(
            operation, output, f"both output sizes taken from the {text}",
            f"Height and width of the result are worked out from the {text}.",
            square, result, READING,
        )  # fmt: skip
