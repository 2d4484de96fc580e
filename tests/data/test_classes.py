"""Names and colours of classes: files as programs write them, and one sentence for each fault."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from minideconv.data.classes import VOC, Classes, find_classes, parse_classes, read_classes
from minideconv.data.voc_colors import VOC_CLASSES, voc_palette
from minideconv.errors import DataError


def test_voc_s_own():
    assert VOC.names == VOC_CLASSES
    assert (VOC.palette() == voc_palette()).all()
    assert VOC.to_dict() == {"classes": list(VOC_CLASSES)}
    assert Classes.from_dict({"classes": list(VOC_CLASSES)}) == VOC


def test_names_alone_have_voc_s_colours():
    classes = Classes(("background", "cell", "nucleus"))
    assert classes.colours.tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    assert classes.colours.dtype == np.uint8
    assert not classes.chosen
    assert (classes.palette() == voc_palette()).all()
    with pytest.raises(ValueError, match="read-only"):
        classes.colours[0] = 1


def test_255_classes_and_void_have_colours_of_their_own():
    classes = Classes(tuple(f"class {k}" for k in range(255)))
    assert len({tuple(row) for row in classes.palette().tolist()}) == 256
    with pytest.raises(DataError, match=r"^there are 256 classes; there must be 1 to 255, because"):
        Classes(tuple(f"class {k}" for k in range(256)))
    with pytest.raises(DataError, match=r"^there are 0 classes"):
        Classes(())


def test_missing_colours_are_free_ones():
    classes = Classes(("background", "a", "b", "c"), [None, (0, 128, 0), None, (0, 0, 0)])
    assert classes.chosen
    # b would have had (0, 128, 0), and the background (0, 0, 0).
    assert classes.colours[[1, 3]].tolist() == [[0, 128, 0], [0, 0, 0]]
    assert len({tuple(row) for row in [*classes.colours.tolist(), classes.void]}) == 5


def test_a_class_may_have_the_colour_that_void_has_elsewhere():
    classes = Classes(("background", "sand"), [(0, 0, 0), (224, 224, 192)])
    assert classes.void != (224, 224, 192)
    assert (classes.palette()[255] == classes.void).all()
    assert parse_classes(classes.text()) == classes


@pytest.mark.parametrize(
    ("names", "colours", "message"),
    [
        (("a", "b", "a"), None, "classes 0 and 2 are both called 'a'"),
        (("a", " "), None, "class 1 is called ' '; a name must be a line of text"),
        (("a", "b\nc"), None, "class 1 is called 'b\\\\nc'"),
        (("a", 3), None, "class 1 is called 3"),
        (("a", "b"), [(0, 0, 0)], "there are 2 classes but 1 colours"),
        (("a", "b"), [(1, 2, 3), (1, 2, 3)], "a and b both have the colour #010203"),
        (("a", "b"), [(1, 2, 3), (1, 2, 256)], r"the colour of b is \(1, 2, 256\); it must be red"),
        (("a", "b"), [(1, 2, 3), (1, 2)], r"the colour of b is \(1, 2\)"),
        (("a", "b"), [(1, 2, 3), (1, 2, 0.5)], r"the colour of b is \(1, 2, 0.5\)"),
        (("a", "b"), [(1, 2, 3), (1, 2, float("nan"))], r"the colour of b is \(1, 2, nan\)"),
        (("a", "b"), [(1, 2, 3), 7], "the colour of b is 7"),
    ],
)
def test_what_cannot_be(names, colours, message):
    with pytest.raises(DataError, match=message):
        Classes(names, colours)


COLOURS = st.tuples(*[st.integers(0, 255)] * 3)
NAMES = st.lists(
    st.text("abcdefghijklm öß-_.", min_size=1, max_size=8)
    .map(lambda text: " ".join(text.split()))
    .filter(bool),
    min_size=1,
    max_size=8,
    unique=True,
)


@given(NAMES, st.data())
def test_text_is_read_as_the_same_classes(names, data):
    names = ["background", *names]
    colours = data.draw(
        st.lists(COLOURS, min_size=len(names) + 1, max_size=len(names) + 1, unique=True)
    )
    classes = Classes(tuple(names), colours[:-1], colours[-1])
    assert parse_classes(classes.text()) == classes
    assert Classes.from_dict(classes.to_dict()) == classes


# -- Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "background\ncell #ff8000\ncell wall #0080ff\n",
        "background\ncell 255 128 0\ncell wall 0 128 255\n",
        "# three classes\nbackground\r\ncell #FF8000\r\n  cell wall\t0 128  255\r\n\r\n",
        "\ufeffbackground\ncell,255,128,0\ncell wall, 0, 128, 255",
        "background\n255 128 0\tcell\n0 128 255  cell wall\n",
        "__ignore__\n_background_\ncell #ff8000\ncell wall #0080ff\n",
        "# label:color_rgb:parts:actions\n"
        "cell:255,128,0::\nbackground:0,0,0::\ncell wall:0,128,255::\n",
    ],
)
def test_files_as_programs_write_them(tmp_path, text):
    path = tmp_path / "classes.txt"
    path.write_bytes(text.encode())
    classes = read_classes(str(path))
    assert classes.names == ("background", "cell", "cell wall")
    assert classes.colours.tolist() == [[0, 0, 0], [255, 128, 0], [0, 128, 255]]
    assert classes.chosen
    assert classes.note == ""
    assert read_classes(path) == classes


def test_the_colour_of_what_is_ignored_is_void_s():
    classes = parse_classes("__ignore__ 255 255 255\n_background_\ncell\n")
    assert classes.names == ("background", "cell")
    assert classes.void == (255, 255, 255)


def test_a_background_is_put_first_and_said(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("cell\nnucleus\n")
    for classes in (
        read_classes(path),
        read_classes("cell,nucleus"),
        read_classes("cell, nucleus"),
    ):
        assert classes.names == ("background", "cell", "nucleus")
        assert classes.note == (
            "note: the first class is 'cell', so a background was put before it: index 0 is the"
            " background, 1 is 'cell'"
        )
    assert read_classes("background,cell").note == ""
    assert read_classes("cell").names == ("background", "cell")


def test_names_may_be_more_than_a_file_s_name_may_have_letters():
    names = ("background", *(f"class number {k}" for k in range(254)))
    assert read_classes(",".join(names)).names == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "classes.txt: it names no class$"),
        (b"__ignore__\n", "classes.txt: it names no class$"),
        (b"background\n\ncell\n", "classes.txt: line 2 is empty; the lines are counted"),
        (b"background\ncell\ncell\n", "classes.txt: classes 1 and 2 are both called 'cell'"),
        (b"background\ncell 300 0 0\n", r"classes.txt: the colour of cell is \(300, 0, 0\)"),
        (b"a:1,2,3::\nb:4,5::\n", "classes.txt: line 2 is 'b:4,5::'; it must be name:red,green"),
        (b"\xff\xfe\x00b", "classes.txt cannot be read: it is no text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", "classes.txt cannot be read: it is no text"),
        (b"a\0b\n", r"classes.txt: class 1 is called 'a\\x00b'"),
        (b"".join(b"%d\n" % k for k in range(300)), "classes.txt: there are 301 classes"),
        (b"x" * (2 << 20), "classes.txt is larger than 1 MiB; it is no list of classes"),
    ],
)
def test_files_that_are_none(tmp_path, content, message):
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_classes(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none/classes.txt", "^none/classes.txt is no file, and no names with commas"),
        ("clases.txt", "^clases.txt is no file, and no names"),
        ("a,,b", "^'a,,b' names nothing, or nothing between two commas; it must be a file, or"),
        ("", "^'' names nothing"),
        ("a,b,a", "^classes 1 and 3 are both called 'a'"),
    ],
)
def test_texts_that_are_none(text, message):
    with pytest.raises(DataError, match=message):
        read_classes(text)


def test_a_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(DataError, match=r"is missing, or no file$"):
        read_classes(tmp_path)


def test_files_beside_the_lists_are_found_in_an_order(tmp_path):
    assert find_classes(tmp_path) is None
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for path in (
        tmp_path / "labels.txt",
        tmp_path / "class_names.txt",
        lists / "labelmap.txt",
        tmp_path / "labelmap.txt",
        lists / "classes.txt",
        tmp_path / "classes.txt",
    ):
        path.write_text("background\n")
        assert find_classes(tmp_path) == path


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"classes": "abc"}, "classes is str; it must be a list"),
        ({"classes": ["a", 3]}, "class 1 is called 3"),
        ({"classes": ["a"], "class_colours": 3}, "class_colours is int; it must be a list"),
        ({"classes": ["a"], "class_colours": [[1, 2]]}, "the colour of a is"),
    ],
)
def test_headers_that_are_wrong(header, message):
    with pytest.raises(DataError, match=message):
        Classes.from_dict(header)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("background\n#leaf\nstick\n", "line 2 is '#leaf'"),
        ("background\nleaf #0f0\n", "six digits"),
        ("background\nleaf #00ff00ff\n", "six digits"),
        ("leaf,background", "background is not the first class"),
        ("leaf\n_background_\n", "_background_ is not the first class"),
    ],
)
def test_lines_that_would_give_classes_other_numbers(text, wrong):
    with pytest.raises(DataError, match=wrong):
        read_classes(text)
