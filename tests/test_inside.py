"""`files.inside`: a name that a file gives stays in the folder that it is joined to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv.errors import DataError
from minideconv.files.inside import inside, refuse_outside

FOLDER = Path(os.sep, "data", "masks")


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "../../../etc/x",
        "a/../../x",
        "a/..",
        "..",
        ".",
        "",
        "/etc/passwd",
        "//server/x",
        "..\\x",
        "\\x",
        "\\\\server\\share\\x",
        "C:\\x",
        "C:x",
        "a\\..\\..\\x",
        "x\0",
        " ",
        "./",
    ],
)
def test_names_that_lead_out_are_refused(name):
    with pytest.raises(DataError) as caught:
        inside(FOLDER, name, ".png")
    assert str(caught.value).startswith(f"{FOLDER}: {name!r} is no name of a file inside")
    with pytest.raises(DataError, match=r"^train\.txt: "):
        refuse_outside(name, "train.txt")


@pytest.mark.parametrize(
    "name",
    [
        "2007_000032",
        "a b",
        "..a",
        "a..b",
        "a..",
        "...a",
        ".hidden",
        "city/name",
        "a/./b",
        "ä-1",
        "-1",
    ],
)
def test_names_of_files_are_taken(name):
    assert inside(FOLDER, name, ".png") == FOLDER / f"{name}.png"


@given(st.lists(st.sampled_from(["..", ".", "/", "\\", "a", "C:", " "]), max_size=7).map("".join))
@example("a/../b/../../x")
def test_whatever_is_taken_is_below_the_folder(name):
    try:
        path = inside(FOLDER, name, ".png")
    except DataError:
        return
    real = os.path.normpath(path)
    assert real.startswith(f"{FOLDER}{os.sep}")
    assert os.path.basename(real) == os.path.basename(f"{name}.png")
