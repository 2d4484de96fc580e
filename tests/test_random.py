"""The global generator: repeatable, and its state survives JSON."""

from __future__ import annotations

import json

import pytest

from minideconv import random


def test_a_seed_repeats_and_another_does_not():
    random.manual_seed(3)
    first = random.default_rng().random(5)
    random.manual_seed(3)
    assert (random.default_rng().random(5) == first).all()
    random.manual_seed(4)
    assert (random.default_rng().random(5) != first).any()


def test_the_state_continues_after_a_round_trip_through_json():
    random.manual_seed(5)
    random.default_rng().random(7)
    state = json.loads(json.dumps(random.get_state()))
    expected = random.default_rng().random(9)
    random.manual_seed(0)
    random.set_state(state)
    assert (random.default_rng().random(9) == expected).all()


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="manual_seed: seed is -1; it must be at least 0"):
        random.manual_seed(-1)
