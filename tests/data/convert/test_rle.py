"""COCO's runs against an encoder and a decoder of another make."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from labelled_exports import runs_of, text_of

from minideconv.data.convert.rle import decode_runs, runs_of_text

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))
blobs = st.builds(lambda mask, k: mask.repeat(k, 0).repeat(k + 2, 1), masks, st.integers(1, 9))


def pixel_by_pixel(runs, height, width):
    """Walk down the columns."""
    mask = np.zeros((height, width), bool)
    place = 0
    for number, run in enumerate(runs):
        for _ in range(run):
            mask[place % height, place // height] = number % 2
            place += 1
    return mask


@given(blobs)
def test_runs_give_the_mask_back(mask):
    runs = runs_of(mask)
    np.testing.assert_array_equal(decode_runs(runs, *mask.shape), mask)
    np.testing.assert_array_equal(pixel_by_pixel(runs, *mask.shape), mask)
    assert runs_of_text(text_of(runs)) == runs


@given(st.lists(st.integers(0, 1 << 33), min_size=1, max_size=12))
def test_text_of_any_runs(runs):
    assert runs_of_text(text_of(runs)) == runs


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 6))
def test_runs_of_length_zero_are_legal(runs, height):
    runs = [*runs, -sum(runs) % height or height]
    width = sum(runs) // height
    np.testing.assert_array_equal(
        decode_runs(runs, height, width), pixel_by_pixel(runs, height, width)
    )


def test_wrong_decoders_are_seen():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 2:7] = mask[4, 0] = True
    runs = runs_of(mask)
    assert runs == [4, 1, 6, 2, 3, 2, 3, 2, 3, 2, 3, 2, 2]
    right = decode_runs(runs, 5, 7)
    ones = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    assert (right == mask).all()
    assert (ones.reshape(5, 7) != mask).any(), "row by row"
    assert (mask != ~ones.reshape(7, 5).T).any(), "ones first"


def test_the_text_of_a_known_mask():
    """Worked out by hand: 4, 1 and 6 are themselves; then differences to two before."""
    assert runs_of_text("4160") == [4, 1, 6, 1]
    assert runs_of_text("416O") == [4, 1, 6, 0]  # 'O' is 31: minus 1 in five bits
    assert runs_of_text("P1") == [32]  # 'P' is 32: digit 0, and more follow


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("41 6", "character 2 of the runs is ' '; legal are 0 to o"),
        ("4é", "character 1 of the runs is 'é'"),
        ("41P", "cut off in a number"),
        ("PPPPPPPPPPPP1", "too large"),
    ],
)
def test_text_that_is_none(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        runs_of_text(text)


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ([10**9], "1000000000 pixels together; 4x3 are 12"),
        ([10**4000, 1], "pixels together; 4x3 are 12"),
        ([13, -1], "a run has the length -1"),
        ([], "the runs have 0 pixels together"),
        ([11], "11 pixels together"),
    ],
)
def test_runs_of_no_mask_of_this_size(runs, sentence):
    with pytest.raises(ValueError, match=sentence):
        decode_runs(runs, 3, 4)
