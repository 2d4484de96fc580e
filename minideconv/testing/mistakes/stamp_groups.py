"""Mistakes with the groups of whatever stamps kernels onto a canvas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from minideconv.testing.error_kinds import SHAPE, Fails
from minideconv.testing.mistakes.indices import backward_by_x, dense, interleaved
from minideconv.testing.mistakes.stamps import Register, Stamps
from minideconv.testing.operations.operation import Array

__all__ = ["stamp_group_mistakes"]


def stamp_group_mistakes(role: str, wrong: Register) -> None:
    """Register them for stamps that are scaled by the array `role`."""

    def split(s: Stamps) -> tuple[list[Array], list[Array]]:
        groups = s.settings["groups"]
        return np.split(s.source, groups, axis=1), np.split(s.w, groups)

    def blocks(s: Stamps, sources: list[Array], weights: list[Array]) -> Array:
        changed = Stamps(np.concatenate(sources, axis=1), np.concatenate(weights), s.bias, s.size,
                          s.settings)  # fmt: skip
        return changed.stamped()

    def first_everywhere(s: Stamps) -> Array:
        sources, weights = split(s)
        return blocks(s, sources[:1] * len(sources), weights[:1] * len(weights))

    def first_sources(s: Stamps) -> Array:
        sources, weights = split(s)
        return blocks(s, sources[:1] * len(sources), weights)

    def first_weights(s: Stamps) -> Array:
        sources, weights = split(s)
        return blocks(s, sources, weights[:1] * len(weights))

    def summed(s: Stamps) -> Array:
        y = s.stamped()
        groups = s.settings["groups"]
        return np.concatenate([sum(np.split(y, groups, axis=1))] * groups, axis=1)

    def first_only(s: Stamps) -> Array:
        y = s.stamped()
        y[:, s.w.shape[1] :] = 0
        return y

    def last_only(s: Stamps) -> Array:
        y = s.stamped()
        y[:, : -s.w.shape[1]] = 0
        return y

    def gathered_in_the_first(s: Stamps) -> Array:
        y = summed(s)
        y[:, s.w.shape[1] :] = 0
        return y

    def interleaved_sources(s: Stamps) -> Array:
        order = interleaved(s.source.shape[1], s.settings["groups"])
        return s.stamped(source=s.source[:, order])

    def interleaved_with_weights(s: Stamps) -> Array:
        order = interleaved(s.source.shape[1], s.settings["groups"])
        changed = Stamps(s.source[:, order], s.w[order], s.bias, s.size, s.settings)
        return changed.stamped()

    def interleaved_everywhere(s: Stamps) -> Array:
        y = interleaved_with_weights(s)
        result = np.empty_like(y)
        result[:, interleaved(y.shape[1], s.settings["groups"])] = y
        return result

    def interleaved_result(s: Stamps) -> Array:
        y = s.stamped()
        return y[:, interleaved(y.shape[1], s.settings["groups"])]

    def interleaved_back(s: Stamps) -> Array:
        y = s.stamped()
        result = np.empty_like(y)
        result[:, interleaved(y.shape[1], s.settings["groups"])] = y
        return result

    def reversed_sources(s: Stamps) -> Array:
        sources, weights = split(s)
        return blocks(s, sources[::-1], weights)

    def ungrouped(s: Stamps) -> Array:
        return backward_by_x(s.source, s.w, 1, s.where, s.size)

    if role == "dy":
        wrong("groups ignored", "The gradient has the channels of one group only.", ungrouped)
    ignored = "Every group is given the first one's channels; each has channels of its own."
    for change in (first_everywhere, first_sources):
        wrong("groups ignored", ignored, change)
    wrong("groups ignored",
          "Every group adds to the channels of the first one; each has channels of its own.",
          gathered_in_the_first)  # fmt: skip
    wrong("the groups' results added up",
          "The results of the groups are added up; they stand one after the other.",
          summed)  # fmt: skip
    wrong("first group's weights used for all",
          "Every group uses the kernels of the first one; each has its own.",
          first_weights)  # fmt: skip
    wrong("first group only", "The other groups' results stay zero.", first_only)
    wrong("last group only", "Each group overwrites the results of the others.", last_only)
    for change in (interleaved_sources, interleaved_with_weights, interleaved_everywhere):
        wrong("groups interleaved",
              "Channel c is given to group c % groups; a group's channels are neighbours.",
              change)  # fmt: skip
    for change in (interleaved_result, interleaved_back):
        wrong("the groups' results interleaved",
              "The results of the groups are dealt out in turn; they stand one after the other.",
              change)  # fmt: skip
    wrong("groups in reverse order", "The first group is given the last one's channels.",
          reversed_sources)  # fmt: skip

    def placed(s: Stamps, begin: Callable[[int, int, int, int], int]) -> Array:
        """Add the stamps of each channel to those channels of the result that begin there."""
        groups = s.settings["groups"]
        numbers = len(s.w) // groups, s.w.shape[1], groups
        wide = dense(s.w, groups, [begin(c, *numbers) for c in range(len(s.w))])
        return backward_by_x(s.source, wide, 1, s.where, s.size)

    def misread(s: Stamps) -> Array:
        """Take the source's channels of a group where those of the result begin."""
        outer = len(s.w) // s.settings["groups"]
        order = [c // outer * s.w.shape[1] + c % outer for c in range(len(s.w))]
        return s.stamped(source=s.source[:, order])

    inputs, outputs = ("inputs", "outputs") if role == "x" else ("outputs", "inputs")

    def sliced(s: Stamps) -> Array:
        """Take each group's kernels by a slice, which ends with w; a single one is repeated."""
        groups = s.settings["groups"]
        outer, inner = len(s.w) // groups, s.w.shape[1]
        parts = [s.w[g * inner : g * inner + outer] for g in range(groups)]
        if any(len(part) not in (1, outer) for part in parts):
            raise Fails(SHAPE)
        parts = [np.broadcast_to(part, (outer, *s.w.shape[1:])) for part in parts]
        return replace(s, w=np.concatenate(parts)).stamped()

    def indexed(s: Stamps) -> Array:
        outer = len(s.w) // s.settings["groups"]
        return replace(
            s, w=s.w[[c // outer * s.w.shape[1] + c % outer for c in range(len(s.w))]]
        ).stamped()

    wrong("groups' kernels counted by the other channels",
          "Group g's kernels begin at g times the channels of w's second axis; it is the first.",
          sliced, indexed)  # fmt: skip
    wrong(f"groups' {inputs} counted by their {outputs}",
          "The first channel of group g is worked out with the wrong number of channels.",
          misread)  # fmt: skip
    wrong(f"groups' {outputs} counted by their {inputs}",
          "The first channel of group g is worked out with the wrong number of channels.",
          partial(placed, begin=lambda c, outer, inner, groups: c // outer * outer),
          )  # fmt: skip
    wrong("group taken as channel // groups",
          "Channel c belongs to group c // (channels // groups).",
          partial(placed, begin=lambda c, outer, inner, groups: c // groups * inner),
          )  # fmt: skip
