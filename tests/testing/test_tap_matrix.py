"""A student's convolution as a matrix beside the right one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from minideconv import ops
from minideconv.errors import UsageError
from minideconv.testing import tap_matrix as module
from minideconv.testing.checking.calls import local_call
from minideconv.testing.checking.replay import case_from_text, case_in
from minideconv.testing.tap_matrix import LINEAR, png, tap_matrix

pytestmark = pytest.mark.cpu

CONV = "conv2d batch=1 c_in=1 c_out=1 size=1x4 kernel=1x3 x=0 w=0"


def matrix(text, function):
    operation, case = case_from_text(text)
    return tap_matrix(operation, local_call(operation, {operation.name: function}), case)


def flipped(x, w, b=None, **settings):
    return ops.conv2d(x, w[:, :, ::-1, ::-1], b, **settings)


def test_entries_name_the_taps():
    found = matrix(CONV, flipped)
    assert found.want.tolist() == [[1, 2, 3, 0], [0, 1, 2, 3]]
    assert found.got.tolist() == [[3, 2, 1, 0], [0, 3, 2, 1]]
    assert found.wrong(found.got).tolist() == [[True, False, True, False],
                                               [False, True, False, True]]  # fmt: skip
    assert (found.role, found.output) == ("x", "y")
    assert found.rows == [(0, 0, 0, 0), (0, 0, 0, 1)]
    assert found.words == (
        "The matrix that takes x to y in your conv2d, beside the right one; 4 of 8 entries are "
        "wrong (row 0 column 0: 3, must be 1, row 0 column 2: 1, must be 3, row 1 column 1: 3, "
        "must be 1, row 1 column 3: 1, must be 3)."
    )


def test_of_a_right_function_there_is_nothing_to_show():
    assert matrix(CONV, ops.conv2d) is None


def test_the_argument_in_which_it_is_wrong_is_found():
    """A bias that is subtracted shows in no pixel's column, but in its own."""
    text = "conv2d batch=1 c_in=1 c_out=2 size=1x2 kernel=1x1 x=0 w=0 b=1,0"

    def subtracted(x, w, b=None, **settings):
        return ops.conv2d(x, w, None if b is None else -b, **settings)

    found = matrix(text, subtracted)
    assert (found.role, found.output) == ("b", "y")
    assert [row[0] for row in found.got.tolist()] != [row[0] for row in found.want.tolist()]

    def backward(dy, x, w, **settings):
        dx, dw, db = ops.conv2d_backward(dy, x, w, **settings)
        return dx, dw, 2 * db

    text = "conv2d_backward batch=1 c_in=1 c_out=1 size=1x2 kernel=1x1 dy=1,0 x=0,0 w=0"
    found = matrix(text, backward)
    assert (found.role, found.output) == ("dy", "db")
    assert found.got.tolist() == [[2, 2]]


def test_rows_too_many_are_marked():
    def longer(x, w, b=None, **settings):
        return np.pad(ops.conv2d(x, w, b, **settings), ((0, 0), (0, 0), (0, 1), (0, 0)))

    found = matrix(CONV, longer)
    assert found.got.shape == (4, 4)
    assert not found.wrong(found.want).any()
    assert found.wrong(found.got)[2:].all()


def test_what_has_no_matrix():
    def raises(x, w, b=None, **settings):
        raise ValueError

    assert matrix(CONV, raises) is None
    assert matrix("conv2d batch=1 c_in=1 c_out=1 size=9x9 kernel=1x1 x=0 w=0", flipped) is None
    assert "max_pool2d" not in LINEAR


def test_the_picture_has_its_words():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra viz)")
    found = matrix(CONV, flipped)
    image = Image.open(io.BytesIO(png(found)))
    assert image.format == "PNG"
    assert image.text["Description"] == found.words
    assert min(image.size) > 150
    colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert (179, 64, 10) in colours  # the frame
    assert (207, 227, 243) in colours  # what is not 0


def test_without_matplotlib_it_is_one_sentence(monkeypatch):
    monkeypatch.setattr(module, "matplotlib_is_there", lambda: False)
    with pytest.raises(UsageError, match=r"needs matplotlib: python -m pip install .*\[viz\]"):
        png(matrix(CONV, flipped))


def test_the_case_of_a_line():
    line = "minideconv.testing.replay(f, 'conv2d size=1x2 x=0 w=0', arrays='torch')"
    assert case_in(line) == "conv2d size=1x2 x=0 w=0"
    assert case_in("python -m minideconv.course replay 'my conv.py' 'im2col x=0'") == "im2col x=0"
    assert case_in("nothing 'at all'") == ""
