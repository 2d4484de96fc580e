"""labelme's files: shapes, where the photograph is, and what is wrong."""

from __future__ import annotations

import base64

import labelled_exports as made_up
import numpy as np
import pytest
from PIL import Image

from minideconv.data.__main__ import main

HEIGHT, WIDTH = 20, 30
SQUARE = {"label": "cell", "points": [[2, 3], [12, 3], [12, 9], [2, 9]], "shape_type": "polygon"}


def photograph(height=HEIGHT, width=WIDTH, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)
    return made_up.png(pixels)


@pytest.fixture
def labelled(tmp_path):
    """Write a.json with these shapes and a.png beside it, and b, which shows a square."""
    root = tmp_path / "labelled"

    def write(shapes, name="a", image="a.png", **more):
        content = {"shapes": shapes, "imagePath": image, "imageData": None, **more}
        made_up.write(root / f"{name}.json", content)
        if image:
            made_up.write(root / image, photograph())

    write([SQUARE], "b", "b.png")
    write.root = root
    return write


@pytest.fixture
def convert(tmp_path, labelled, capsys):
    """Convert the folder; return the mask of a photograph, the output, or the error."""

    def run(*options, mask="a"):
        output = tmp_path / "out"
        code = main(["convert", str(labelled.root), "--output", str(output), *options])
        shown = capsys.readouterr()
        if code:
            assert not output.exists()
            assert list(tmp_path.iterdir()) == [labelled.root], "something is left behind"
            return code, shown.err
        with Image.open(output / "SegmentationClass" / f"{mask}.png") as file:
            return np.array(file), shown.out

    return run


def test_a_rectangle_a_circle_and_what_is_drawn_over_it(labelled, convert):
    labelled(
        [
            {"label": "z", "points": [[20, 15], [4, 5]], "shape_type": "rectangle"},
            {"label": "cell", "points": [[10, 10], [13, 14]], "shape_type": "circle"},
            {"label": "z", "points": [[9, 9], [12, 10], [9, 12]]},  # older files have no shape_type
        ]
    )
    mask, out = convert()
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    expected = np.zeros((HEIGHT, WIDTH))
    expected[5:15, 4:20] = 2
    expected[(x - 10) ** 2 + (y - 10) ** 2 <= 25] = 1
    expected[made_up.inside(np.array([[9, 9], [12, 10], [9, 12]]), HEIGHT, WIDTH)] = 2
    np.testing.assert_array_equal(mask, expected)
    assert "1 cell: in 2 photographs\n    2 z: in 1 photographs" in out


def test_an_embedded_mask(labelled, convert):
    own = np.zeros((6, 5), np.uint8)
    own[1:4, 2:] = 1
    text = base64.b64encode(made_up.png(own)).decode()
    shape = {"label": "cell", "points": [[27, -2], [31, 3]], "shape_type": "mask", "mask": text}
    labelled([shape])
    mask, _ = convert()
    expected = np.zeros((HEIGHT, WIDTH))
    expected[0:2, 29:] = 1  # the rest lies outside
    np.testing.assert_array_equal(mask, expected)


def test_ignored_pixels_background_and_remarks(labelled, convert):
    ignored = {**SQUARE, "label": "__ignore__"}
    hole = {**SQUARE, "label": "_background_", "points": [[4, 4], [6, 4], [6, 6], [4, 6]]}
    shapes = [ignored, hole, {"label": "cell", "points": [[1, 1], [5, 5]], "shape_type": "line"}]
    shapes += [{**SQUARE, "points": [[50, 3], [60, 3], [60, 9]]}, {**SQUARE, "points": [[1, 1]]}]
    labelled(shapes)
    labelled([], "c", "c.png")
    labelled([SQUARE], "e", "e.png")
    made_up.write(labelled.root / "d.jpg", b"never looked at")
    mask, out = convert("--val-fraction", "0.5")
    expected = np.zeros((HEIGHT, WIDTH))
    expected[3:9, 2:12] = 255
    expected[4:6, 4:6] = 0
    np.testing.assert_array_equal(mask, expected)
    for sentence in [
        "points and lines, which have no area, left out: 1, first in a.json",
        "polygons of less than 3 points, left out: 1, first in a.json",
        "objects outside of the photograph or without a pixel, left out: 1, first in a.json",
        "photographs without an object, which are all background: 1, first in c.json",
        "photographs without labels, left out: 1, first in d.jpg",
    ]:
        assert f"note: {sentence}\n" in out


def test_void_labels(labelled, convert):
    labelled(
        [
            {**SQUARE, "label": "dirt"},
            {**SQUARE, "label": "cell", "points": [[0, 0], [0, 4], [4, 0]]},
        ]
    )
    mask, out = convert("--void", "dirt")
    assert mask[5, 5] == 255
    assert mask[0, 0] == 1
    assert "dirt" not in out


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (
            "nucleus",
            "it has the label 'cell', which is no class; name it in --classes, or with --void",
        ),
        ("cell", None),
    ],
)
def test_the_classes_that_are_wanted(labelled, convert, option, sentence):
    labelled([SQUARE])
    got, said = convert("--classes", option)
    if sentence is None:
        assert got[5, 5] == 1
    else:
        assert (got, said.count(sentence)) == (1, 2)
        assert "2 faults in 2 files" in said


def test_the_photograph_may_be_embedded_or_elsewhere_in_the_folder(labelled, convert, tmp_path):
    data = base64.b64encode(photograph(seed=3)).decode()
    labelled([SQUARE], "e", "", imagePath="gone.jpg", imageData=data)
    (labelled.root / "pictures").mkdir()
    (labelled.root / "json").mkdir()
    made_up.write(labelled.root / "pictures" / "f.png", photograph(seed=4))
    labelled([SQUARE], "json/f", "", imagePath="..\\pictures\\f.png")
    mask, _ = convert(mask="json_f")
    assert mask[5, 5] == 1
    made = tmp_path / "out" / "JPEGImages"
    assert (made / "e.png").read_bytes() == photograph(seed=3)
    assert (made / "json_f.png").read_bytes() == photograph(seed=4)


def test_a_picture_outside_of_the_folder_is_not_copied(labelled, convert, tmp_path):
    secret = tmp_path.parent / f"{tmp_path.name}-secret.png"
    secret.write_bytes(photograph())
    labelled([SQUARE], "a", "", imagePath=f"../../{secret.name}")
    code, said = convert()
    assert code == 1
    assert f"a.json: its photograph '../../{secret.name}' is not in" in said
    labelled([SQUARE], "a", "", imagePath=str(secret))
    assert convert()[0] == 1


def changed(**fields):
    return [{**SQUARE, **fields}]


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        (None, "its 'shapes' is None, so it is no file of labelme's"),
        ({}, "its 'shapes' is an object"),
        ([7], "shape 0 is 7; it must be an object"),
        (changed(label=3), "the label of shape 0 is 3; it must be a line of text"),
        (changed(label="a\nb"), "the label of shape 0 is 'a\\nb'; it must be a line of text"),
        (changed(points="x"), "shape 0 (cell) is 'x'; it must be a list of points [x, y]"),
        (changed(points=[[1, 2], 3]), "point 1 of shape 0 (cell) is 3; it must be [x, y]"),
        (changed(points=[[1, 2, 3]]), "point 0 of shape 0 (cell) is a list; it must be [x, y]"),
        (changed(points=[[1, "2"]]), "has the coordinate '2'; it must be a number between"),
        (changed(points=[[1, True]]), "has the coordinate True; it must be a number between"),
        (changed(points=[[1, 1e300]]), "has the coordinate 1e+300; it must be"),
        (changed(points=[[1, 10**400]]), "it must be a number between -1000000 and 1000000"),
        (changed(shape_type="star"), "shape 0 (cell) is of the kind 'star'; legal are polygon,"),
        (changed(shape_type=[1]), "shape 0 (cell) is of the kind a list"),
        (changed(shape_type="circle"), "is a circle of 4 points; it must have 2"),
        (changed(shape_type="mask", points=[[0, 0], [1, 1]]), "the mask of shape 0 (cell) is None"),
        (
            changed(shape_type="mask", points=[[0, 0], [1, 1]], mask="????"),
            "the mask of shape 0 (cell) is damaged: it is no text in base64",
        ),
        (
            changed(shape_type="mask", points=[[0, 0], [1, 1]], mask="AAAA"),
            "the mask of shape 0 (cell) is damaged, or no PNG",
        ),
        (
            changed(
                shape_type="mask",
                points=[[0, 0], [1, 1]],
                mask=base64.b64encode(photograph()).decode(),
            ),
            "the mask of shape 0 (cell) has 30x20 pixels; its points say 2x2",
        ),
    ],
)
def test_what_is_wrong_with_a_shape_is_said(labelled, convert, shapes, sentence):
    labelled(shapes)
    code, said = convert()
    assert code == 1
    assert "1 fault in 1 file, so nothing was written:\n  a.json: " in said
    assert sentence in said


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"imageHeight": 21, "imageWidth": 30},
            "has 30x20 pixels, upright, but the labels are of 30x21",
        ),
        ({"imageHeight": "20", "imageWidth": 30}, "its 'imageHeight' is '20'; it must be a whole"),
        ({"imagePath": None}, "its 'imagePath' is None; it must be a line of text"),
        ({"imagePath": "A.png"}, "its photograph 'A.png' is not in"),
        ({"imagePath": "a.jpg"}, "but there is a.png; --images DIR names the folder"),
        ({"imageData": 3}, "its 'imageData' is 3; it must be text or null"),
        ({"imagePath": "x.png", "imageData": "abc"}, "its 'imageData' is damaged"),
        ({"imagePath": "x.png", "imageData": "AAAA"}, "its embedded photograph"),
    ],
)
def test_what_is_wrong_with_the_photograph_is_said(labelled, convert, fields, sentence):
    labelled([SQUARE], **fields)
    code, said = convert()
    assert code == 1
    assert sentence in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "it is no JSON (Expecting"),
        ('{"shapes": NaN}', "it holds NaN, which is no number"),
        ("[" * 100_000, "its lists are nested too deeply"),
        ("[1]", "it holds a list; it must hold an object"),
        (b"\xff\xfe\x00\xd8", "it is no JSON"),
        ("", "it is no JSON"),
    ],
)
def test_json_that_is_none(labelled, convert, text, sentence):
    labelled([SQUARE])
    made_up.write(labelled.root / "a.json", text)
    code, said = convert()
    assert code == 1
    assert "\n  a.json: " in said
    assert sentence in said


def test_every_fault_of_every_file_is_listed(labelled, convert):
    labelled([{**SQUARE, "points": 1}, {**SQUARE, "label": 2}])
    labelled([SQUARE], "c", "c.png")
    (labelled.root / "c.png").write_bytes(photograph()[:200])
    labelled([SQUARE], "d", "", imagePath="x.png")
    code, said = convert()
    assert code == 1
    assert "4 faults in 3 files" in said
    assert [line.split(":")[0] for line in said.splitlines()[1:]] == [
        "  a.json",
        "  a.json",
        "  d.json",
        "  c.json",
    ]


def test_two_photographs_of_one_name(labelled, convert):
    labelled([SQUARE], "A_1", "A_1.png")
    labelled([SQUARE], "a 1", "a 1.png")
    code, said = convert()
    assert code == 1
    assert "its photograph would be called a_1, as that of A_1.json; rename one of them" in said
