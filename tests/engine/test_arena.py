"""The arena against a map with one letter for each address."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.engine.cpu.arena import Arena

SIZE = 64
ACTIONS = st.lists(st.tuples(st.sampled_from(["take", "give", "trim"]), st.integers(1, 30)))


def check(kind: type[Arena], actions: list[tuple[str, int]]) -> None:
    """Carry out `actions` on an arena and on a map of its addresses, and compare."""
    arena, taken = kind(SIZE, memory=False), []
    used, pages = [False] * SIZE, [False] * SIZE
    for action, number in actions:
        if action == "take":
            expected = next(
                (k for k in range(SIZE - number + 1) if not any(used[k : k + number])), None
            )
            place = arena.take(number)
            assert place == expected
            if place is not None:
                used[place : place + number] = pages[place : place + number] = [True] * number
                taken.append((place, number))
        elif action == "give" and taken:
            place, size = taken.pop(number % len(taken))
            arena.give(place, size)
            used[place : place + size] = [False] * size
        elif action == "trim":
            arena.trim()
            assert arena.reserved == 0
            pages = list(used)
        edges = [k for k in range(1, SIZE) if used[k] != used[k - 1]]
        bounds = [0, *edges, SIZE]
        runs = pairwise(bounds)
        assert arena.free == [(first, behind) for first, behind in runs if not used[first]]
        held = sum(page and not use for page, use in zip(pages, used, strict=True))
        if all(action != "trim" for action, _ in actions):
            assert arena.reserved == held
        assert 0 <= arena.reserved <= SIZE - sum(used)


@given(actions=ACTIONS)
def test_it_takes_the_first_place_that_fits_and_joins_what_comes_back(actions):
    check(Arena, actions)


class NeverJoins(Arena):
    def give(self, first, size):
        self._free.append([first, first + size, size])
        self._free.sort()
        self.reserved += size


class JoinsOneSideOnly(Arena):
    def give(self, first, size):
        for area in self._free:
            if area[0] == first + size:
                area[0], area[2] = first, area[2] + size
                self.reserved += size
                return
        NeverJoins.give(self, first, size)


class TakesTheLast(Arena):
    def take(self, size):
        for area in reversed(self._free):
            if area[1] - area[0] >= size:
                area[1] -= size
                return area[1]
        return None


class TakesTooFew(Arena):
    def take(self, size):
        place = super().take(size)
        if place is not None and size > 8:
            super().give(place + size - 1, 1)
        return place


@pytest.mark.parametrize("wrong", [NeverJoins, JoinsOneSideOnly, TakesTheLast, TakesTooFew])
def test_the_check_finds_wrong_arenas(wrong):
    actions = [("take", 9), ("take", 5), ("take", 20), ("give", 1), ("give", 0), ("give", 0)]
    check(Arena, actions)
    with pytest.raises(AssertionError):
        check(wrong, actions)


def test_trim_keeps_what_it_may_and_begins_at_the_end():
    arena = Arena(100, memory=False)
    places = [arena.take(10) for _ in range(6)]
    for number in (0, 2, 4):
        arena.give(places[number], 10)
    arena.trim(keep=15)
    assert arena.reserved == 10
    assert arena.take(10) == 0
    assert arena.reserved == 0  # it was the first of the three that had kept its pages


def test_a_training_step_leaves_room_for_its_gradients():
    """Forward piles up, backward takes down and leaves gradients: the sum never counts twice."""
    arena = Arena(10_000, memory=False)
    activations = [arena.take(100) for _ in range(20)]
    gradients, highest = [], 0
    for place in reversed(activations):
        gradients.append(arena.take(90))
        arena.give(place, 100)
        highest = max(highest, gradients[-1] + 90)
    assert highest <= 2100 + 20 * 90 * 0.25  # separate pools would need 2000 + 1800
