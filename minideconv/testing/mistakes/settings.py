"""Mistakes with pairs (height, width), and with what stride, padding and dilation mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from minideconv.testing.mistakes.bank import Mistake, register, slip, vary
from minideconv.testing.mistakes.correlation_styles import slid_over
from minideconv.testing.mistakes.edges import Edge, as_it_is, asked_at, counted
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["Change", "Kernel", "Loose", "settings_mistakes", "size_is_given"]

Kernel = Callable[[Arrays, Settings], Sequence[int]]
Loose = Callable[[Arrays, Settings, Settings, Edge], Array]
"""``loose(arrays, wrong, settings, edge)``: the output with windows placed after the settings
`wrong`, of the size that the right settings give."""
Change = Callable[[Settings, Sequence[int]], None]

_SIZES = ("padding ignored", "padding doubled", "padding halved", "padding one too large")
_ALSO_LOOSE = (
    "padding and dilation interchanged",
    "padding swapped",
    "padding[0] used for both axes",
    "padding[1] used for both axes",
    "padding taken as half the kernel",
)


def settings_mistakes(
    operation: str,
    output: str,
    names: Iterable[str],
    kernel: Kernel,
    loose: Loose,
    edges: Sequence[Edge],
) -> None:
    """Register what goes wrong with pairs (height, width) and with their meaning.

    Each in two ways: everything follows the wrong settings, or only the place of the windows does,
    and then with each of `edges` where they reach over the edge.
    """
    for name, sentence, change in _changes(tuple(names)):
        if name == "padding ignored" and operation == "conv_transpose2d":
            continue  # "padding not cropped" is its name there
        _setting(operation, output, name, sentence, change, kernel, loose, edges)


def _setting(
    operation: str,
    output: str,
    name: str,
    sentence: str,
    change: Change,
    kernel: Kernel,
    loose: Loose,
    edges: Sequence[Edge],
) -> None:
    def changed(arrays: Arrays, settings: Settings) -> tuple[Arrays, Settings]:
        wrong = dict(settings)
        change(wrong, kernel(arrays, settings))
        return arrays, wrong

    def windows_only(arrays: Arrays, settings: Settings, edge: Edge = as_it_is) -> Array:
        return loose(arrays, changed(arrays, settings)[1], settings, edge)

    def asked_elsewhere(then: Edge, arrays: Arrays, settings: Settings) -> Array:
        wrong = changed(arrays, settings)[1]
        return loose(arrays, wrong, settings, asked_at(settings, then))

    others = [partial(windows_only, edge=edge) for edge in edges]
    others += [partial(asked_elsewhere, then) for then in (as_it_is, counted)]

    if size_is_given(operation):
        # The windows have their number: what does not fit falls outside of the image.
        if name not in _SIZES:
            register(Mistake(operation, output, name, sentence, windows_only, changed))
            vary(operation, output, name, *others)
        elif name == "padding ignored":  # a test of the bounds makes another mistake of it
            register(Mistake(operation, output, name, sentence, others[0],
                             variants=tuple(others[1 : len(edges)])))  # fmt: skip
        return

    if name != "padding and dilation interchanged":

        @slip(operation, output, name, sentence)
        def _everywhere(arrays: Arrays, settings: Settings) -> None:
            settings.update(changed(arrays, settings)[1])

    # Read from the unpadded image, windows of a wrong padding are those of a one-sided padding; and
    # output_padding moves no window.
    if not name.startswith(("output_padding", "padding")) or name in _ALSO_LOOSE:
        register(Mistake(operation, output, name, sentence, windows_only))
    if not name.startswith("output_padding") and name not in _SIZES[1:]:
        vary(operation, output, name, *others)
    if operation == "conv2d" and name.startswith(("dilation", "padding", "stride and")):
        vary(operation, output, name, lambda a, s: slid_over(*changed(a, s)))


def size_is_given(operation: str) -> bool:
    """Whether an argument of the operation has the size of the result, or that of its windows."""
    return operation == "col2im" or operation.endswith("_backward")


def _changes(names: Sequence[str]) -> list[tuple[str, str, Change]]:
    found: list[tuple[str, str, Change]] = []
    for name in names:
        found += [
            (
                f"{name} swapped",
                f"The {name}s of height and width are swapped; {name} is (height, width).",
                partial(_take, name, (1, 0)),
            ),
            (
                f"{name}[0] used for both axes",
                f"The {name} of the height is used for the width, too, which has its own.",
                partial(_take, name, (0, 0)),
            ),
            (
                f"{name}[1] used for both axes",
                f"The {name} of the width is used for the height, too, which has its own.",
                partial(_take, name, (1, 1)),
            ),
        ]
    if "stride" in names:
        found += [
            ("stride ignored", "Windows move by one pixel whatever the stride is.",
             lambda s, _k: s.update(stride=(1, 1))),
            ("stride ignored along the height", "Windows move down by one pixel.",
             lambda s, _k: s.update(stride=(1, s["stride"][1]))),
            ("stride ignored along the width",
             "Windows move to the right by one pixel.",
             lambda s, _k: s.update(stride=(s["stride"][0], 1))),
            ("stride one too large", "Windows move by stride + 1; the stride is the whole step.",
             lambda s, _k: s.update(stride=_plus(s["stride"], 1))),
            ("stride taken as the kernel's size",
             "Windows are put side by side, a kernel apart; they move by the stride.",
             lambda s, k: s.update(stride=tuple(k))),
        ]  # fmt: skip
    if "dilation" in names:
        found += [
            ("dilation ignored", "The taps stand next to each other; they are dilation apart.",
             lambda s, _k: s.update(dilation=(1, 1))),
            ("dilation ignored along the height", "The taps of a column stand next to each other.",
             lambda s, _k: s.update(dilation=(1, s["dilation"][1]))),
            ("dilation ignored along the width", "The taps of a row stand next to each other.",
             lambda s, _k: s.update(dilation=(s["dilation"][0], 1))),
            ("dilation one too large",
             "There are dilation zeros between two taps; there are dilation - 1.",
             lambda s, _k: s.update(dilation=_plus(s["dilation"], 1))),
        ]  # fmt: skip
    if "padding" in names:
        found += [
            ("padding ignored", "The image is taken as it is; padding zeros stand on each side.",
             lambda s, _k: s.update(padding=(0, 0))),
            ("padding doubled", "Twice the padding is on each side; padding is that of one side.",
             lambda s, _k: s.update(padding=tuple(2 * p for p in s["padding"]))),
            ("padding halved",
             "The padding is shared out to the two sides; each side gets all of it.",
             lambda s, _k: s.update(padding=tuple(p // 2 for p in s["padding"]))),
            ("padding taken as half the kernel",
             "The padding is kernel // 2 whatever is given; it is an argument.",
             lambda s, k: s.update(padding=tuple(n // 2 for n in k))),
            ("padding one too large", "There is a row and a column of padding too many.",
             lambda s, _k: s.update(padding=_plus(s["padding"], 1))),
        ]  # fmt: skip
    for first, second in (
        ("stride", "padding"),
        ("stride", "dilation"),
        ("padding", "dilation"),
        ("padding", "output_padding"),
    ):
        if first in names and second in names:
            found.append(
                (
                    f"{first} and {second} interchanged",
                    f"The {first} is taken for the {second} and the other way round.",
                    partial(_interchange, first, second),
                )
            )
    return found


def _take(name: str, places: tuple[int, int], settings: Settings, _kernel: Sequence[int]) -> None:
    settings[name] = tuple(settings[name][place] for place in places)


def _interchange(a: str, b: str, settings: Settings, _kernel: Sequence[int]) -> None:
    settings[a], settings[b] = settings[b], settings[a]


def _plus(pair: tuple[int, int], more: int) -> tuple[int, int]:
    return pair[0] + more, pair[1] + more
