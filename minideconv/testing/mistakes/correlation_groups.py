"""Mistakes with the groups of whatever slides a window over an image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.error_kinds import SHAPE, Fails
from minideconv.testing.mistakes.bank import Right, given, mistake, right_values, slip, vary
from minideconv.testing.mistakes.indices import dense, interleaved
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["group_mistakes", "kernels_interleaved"]


def group_mistakes(operation: str, output: str, role: str) -> None:
    """Register them for an output that correlates the array `role` with ``w``."""
    ignored = "groups ignored", (
        "Every group sees the channels of the first one; each has channels of its own."
    )  # fmt: skip

    def blocks(name: str, sentence: str, change: Callable[[list[Array]], list[Array]]) -> None:
        @slip(operation, output, name, sentence)
        def _blocks(arrays: Arrays, settings: Settings) -> None:
            parts = np.split(given(arrays, role), settings["groups"], axis=1)
            arrays[role] = np.concatenate(change(parts), axis=1)

    blocks(*ignored, lambda parts: parts[:1] * len(parts))
    blocks("every group sees the last group's channels",
           "Every group sees the channels of the last one; each has channels of its own.",
           lambda parts: parts[-1:] * len(parts))  # fmt: skip
    blocks("every group sees all channels",
           "The channels of all groups are added up; a group sees its own ones only.",
           lambda parts: [sum(parts[1:], parts[0])] * len(parts))  # fmt: skip
    blocks("groups in reverse order", "The first group sees the last one's channels.",
           lambda parts: parts[::-1])  # fmt: skip

    @mistake(operation, output, "every group sees all channels",
             "The kernels are spread over the channels of all groups; a group sees its own ones "
             "only.")  # fmt: skip
    def _spread(arrays: Arrays, settings: Settings, right: Right) -> Array:
        w, groups = given(arrays, "w"), settings["groups"]
        return right({**arrays, "w": w.repeat(groups, axis=1)}, {**settings, "groups": 1})

    for name, sentence, begin in (
        ("groups' inputs counted by their outputs",
         "Group g's input channels begin at g times its output channels.",
         lambda k, outer, inner, groups: k // outer * outer),
        ("group taken as channel // groups",
         "Channel k belongs to group k // (channels // groups).",
         lambda k, outer, inner, groups: k // groups * inner),
    ):  # fmt: skip

        @mistake(operation, output, name, sentence)
        def _begins(
            arrays: Arrays, settings: Settings, right: Right, begin: Callable[..., int] = begin
        ) -> Array:
            w, groups = given(arrays, "w"), settings["groups"]
            numbers = len(w) // groups, w.shape[1], groups
            wide = dense(w, groups, [begin(k, *numbers) for k in range(len(w))])
            return right({**arrays, "w": wide}, {**settings, "groups": 1})

    @slip(operation, output, "groups' kernels counted by their inputs",
          "Group g's kernels begin at g times its input channels.")  # fmt: skip
    def _kernels(arrays: Arrays, settings: Settings) -> None:
        w, groups = given(arrays, "w"), settings["groups"]
        outer = len(w) // groups
        arrays["w"] = w[[k // outer * w.shape[1] + k % outer for k in range(len(w))]]

    def sliced(arrays: Arrays, settings: Settings) -> Array:
        """Take each group's kernels by a slice, which ends with w; a single one is repeated."""
        w, groups = given(arrays, "w"), settings["groups"]
        outer, inner = len(w) // groups, w.shape[1]
        parts = [w[g * inner : g * inner + outer] for g in range(groups)]
        if any(len(part) not in (1, outer) for part in parts):
            raise Fails(SHAPE)
        parts = [np.broadcast_to(part, (outer, *w.shape[1:])) for part in parts]
        return right_values(operation, output)({**arrays, "w": np.concatenate(parts)}, settings)

    vary(operation, output, "groups' kernels counted by their inputs", sliced)

    @mistake(operation, output, "last group only", "Each group writes to the first one's channels.")
    def _at_the_front(arrays: Arrays, settings: Settings, right: Right) -> Array:
        plain = {**arrays, "b": None} if "b" in arrays else arrays
        y, b = right(plain, settings), arrays.get("b")
        count = y.shape[1] // settings["groups"]
        result = np.zeros_like(y)
        result[:, :count] = y[:, y.shape[1] - count :]
        return result if b is None else result + b[:, None, None]

    @slip(operation, output, "groups interleaved",
          "Input channel c is given to group c % groups; a group's channels are neighbours.",
          )  # fmt: skip
    def _interleaved(arrays: Arrays, settings: Settings) -> None:
        x = given(arrays, role)
        arrays[role] = x[:, interleaved(x.shape[1], settings["groups"])]

    for inputs in (False, True):
        _dealt_out(operation, output, role, inputs=inputs)

    for back, with_bias in ((False, True), (True, True), (False, False), (True, False)):

        @mistake(operation, output, "the groups' results interleaved",
                 "The results of the groups are dealt out in turn; they stand one after the other.",
                 )  # fmt: skip
        def _stacked(
            arrays: Arrays,
            settings: Settings,
            right: Right,
            back: bool = back,
            with_bias: bool = with_bias,
        ) -> Array:
            b = None if with_bias else arrays.get("b")
            y = right(arrays if b is None else {**arrays, "b": None}, settings)
            order = interleaved(y.shape[1], settings["groups"])
            y = y[:, np.argsort(order) if back else order]
            return y if b is None else y + b[:, None, None]

    kernels_interleaved(operation, output)

    @slip(operation, output, "first group's weights used for all",
          "Every group uses the kernels of the first one; each has its own.")  # fmt: skip
    def _first_weights(arrays: Arrays, settings: Settings) -> None:
        parts = np.split(given(arrays, "w"), settings["groups"])
        arrays["w"] = np.concatenate(parts[:1] * len(parts))

    @slip(operation, output, "first group only", "The other groups' results stay zero.")
    def _first_group(arrays: Arrays, settings: Settings) -> None:
        w = given(arrays, "w")
        arrays["w"] = np.concatenate([w[: len(w) // settings["groups"]],
                                      np.zeros_like(w[len(w) // settings["groups"] :])],
                                     )  # fmt: skip

    @slip(operation, output, "last group only", "Each group overwrites the results of the others.")
    def _last_group(arrays: Arrays, settings: Settings) -> None:
        w = given(arrays, "w")
        last = len(w) - len(w) // settings["groups"]
        arrays["w"] = np.concatenate([np.zeros_like(w[:last]), w[last:]])


def kernels_interleaved(operation: str, output: str) -> None:
    """Register a weight's first axis dealt out to the groups in turn, and nothing else."""
    for back in (False, True):

        @slip(operation, output, "the groups' kernels interleaved",
              "The kernels are dealt out to the groups in turn; a group's stand side by side in w.",
              )  # fmt: skip
        def _kernels(arrays: Arrays, settings: Settings, back: bool = back) -> None:
            w = given(arrays, "w")
            order = interleaved(len(w), settings["groups"])
            arrays["w"] = w[np.argsort(order) if back else order]


def _dealt_out(operation: str, output: str, role: str, *, inputs: bool) -> None:
    """Register output channels dealt out to the groups in turn, with the input channels or not."""

    @mistake(operation, output, "groups interleaved",
             "Output channel k is given to group k % groups; a group's channels are neighbours.",
             )  # fmt: skip
    def _outputs_interleaved(arrays: Arrays, settings: Settings, right: Right) -> Array:
        w, x, groups = given(arrays, "w"), given(arrays, role), settings["groups"]
        order = interleaved(len(w), groups)
        turned = {**arrays, "w": w[order]}
        if arrays.get("b") is not None:
            turned["b"] = given(arrays, "b")[order]
        if inputs:
            turned[role] = x[:, interleaved(x.shape[1], groups)]
        y = np.empty_like(result := right(turned, settings))
        y[:, order] = result
        return y
