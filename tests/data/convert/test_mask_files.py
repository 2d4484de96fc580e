"""Masks that are pictures: of colours, of indices, with lists and without."""

from __future__ import annotations

import io

import labelled_exports as made_up
import numpy as np
import pytest
from PIL import Image

from minideconv.data.__main__ import main
from minideconv.data.classes import Classes
from minideconv.data.convert.mask_files import indices_of_colours
from minideconv.errors import DataError

RED, BLUE = (255, 0, 0), (0, 0, 255)
LABELS = np.zeros((8, 10), np.uint8)
LABELS[2:5, 1:7], LABELS[4:7, 3:9] = 1, 2


def photograph(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 10, 3)).astype(np.uint8)
    return made_up.png(pixels)


def coloured(*colours):
    return np.array(colours, np.uint8)[LABELS]


@pytest.fixture
def source(tmp_path):
    """Photographs a and b; b has a mask of red and blue."""
    root = tmp_path / "source"
    for number, name in enumerate("ab"):
        made_up.write(root / "images" / f"{name}.png", photograph(number))
        made_up.write(root / "masks" / f"{name}.png", made_up.png(coloured((0, 0, 0), RED, BLUE)))
    made_up.write(root / "classes.txt", "background\nred cell #ff0000\nblue 0 0 255\n")
    return root


@pytest.fixture
def convert(tmp_path, source, capsys):
    def run(*options, mask="a"):
        output = tmp_path / "out"
        code = main(["convert", str(source), "--output", str(output), *options])
        shown = capsys.readouterr()
        if code:
            assert not output.exists()
            return code, shown.err
        with Image.open(output / "SegmentationClass" / f"{mask}.png") as file:
            return np.array(file), shown.out

    return run


def as_file(picture, format_="PNG", **options):
    file = io.BytesIO()
    picture.save(file, format_, **options)
    return file.getvalue()


def palette_of_its_own():
    """Red is 0, blue is 1, black is 2: as a program numbers colours by their frequency."""
    picture = Image.fromarray(np.array([2, 0, 1], np.uint8)[LABELS])
    picture.putpalette([*RED, *BLUE, 0, 0, 0])
    return as_file(picture)


def opaque():
    return as_file(Image.fromarray(coloured((0, 0, 0, 255), (*RED, 255), (*BLUE, 255))))


@pytest.mark.parametrize("content", [palette_of_its_own(), opaque()])
def test_what_counts_is_the_colour(source, convert, content):
    (source / "masks" / "a.png").write_bytes(content)
    mask, out = convert()
    np.testing.assert_array_equal(mask, LABELS)
    assert "of rgb (" in out
    assert "1 red cell: in 2 photographs" in out


@pytest.mark.parametrize("mode", ["L", "1"])
def test_black_and_white(source, convert, mode):
    (source / "classes.txt").write_text("background #000000\ncell #ffffff\n")
    for name in "ab":
        picture = Image.fromarray((LABELS > 0).astype(np.uint8) * 255).convert(mode)
        (source / "masks" / f"{name}.png").write_bytes(as_file(picture))
    mask, _ = convert()
    np.testing.assert_array_equal(mask, LABELS > 0)


def test_void_has_a_colour_or_a_label(source, convert):
    made_up.write(source / "masks" / "a.png", made_up.png(coloured((224, 224, 192), RED, BLUE)))
    mask, out = convert("--void", "blue")
    np.testing.assert_array_equal(mask, np.array([255, 1, 255])[LABELS])
    assert "blue" not in out


def test_the_classes_of_the_command_decide_the_indices(source, convert):
    mask, _ = convert("--classes", "background,blue,red cell")
    np.testing.assert_array_equal(mask, np.array([0, 2, 1])[LABELS])


def test_a_class_that_is_not_wanted(convert):
    code, said = convert("--classes", "background,blue")
    assert code == 1
    assert said.count("it shows red cell, which is no class; name it in --classes, or with") == 2


def transparent():
    pixels = coloured((0, 0, 0, 0), (*RED, 255), (*BLUE, 255))
    return as_file(Image.fromarray(pixels))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            made_up.png(coloured((9, 9, 9), RED, BLUE)),
            "the colours #090909 in 48 pixels are no class's; the classes are #000000 background,"
            " #ff0000 red cell, #0000ff blue",
        ),
        (as_file(Image.fromarray(coloured((0, 0, 0), RED, BLUE)), "JPEG"), "is stored as JPEG"),
        (transparent(), "some of its pixels are transparent, so have no certain colour"),
        (as_file(Image.fromarray(LABELS.astype(np.uint16))), "grey levels of more than 8 bits"),
        (made_up.png(np.zeros((10, 8), np.uint8)), "it is 8x10 pixels and its photograph 10x8"),
        (made_up.png(coloured((0, 0, 0), RED, BLUE))[:60], "damaged or cut off"),
        (b"", "masks/a.png: it"),
    ],
)
def test_what_is_wrong_with_a_mask_is_said(source, convert, content, sentence):
    (source / "masks" / "a.png").write_bytes(content)
    code, said = convert()
    assert code == 1
    assert "1 fault in 1 file, so nothing was written:\n  masks/a.png: " in said
    assert sentence in said


def test_a_mask_without_a_photograph_and_a_photograph_without_a_mask(source, convert):
    (source / "images" / "c.png").write_bytes(photograph())
    _, out = convert()
    assert "note: photographs without labels, left out: 1, first in images/c.png" in out


def test_a_mask_without_a_photograph(source, convert):
    made_up.write(source / "masks" / "c.png", made_up.png(LABELS))
    code, said = convert()
    assert code == 1
    assert "masks/c.png: its photograph 'c' is not in" in said


def test_lists_are_kept_and_may_be_drawn_anew(source, convert, tmp_path):
    for name in "cd":
        made_up.write(source / "images" / f"{name}.png", photograph())
        made_up.write(source / "masks" / f"{name}.png", made_up.png(coloured((0, 0, 0), RED, BLUE)))
    lists = source / "ImageSets" / "Segmentation"
    made_up.write(lists / "train.txt", "b\r\nc.png\r\n")
    made_up.write(lists / "val.txt", b"\xef\xbb\xbfa 1\n")
    _, out = convert()
    assert "(2 in train, 1 in val)" in out
    assert "note: masks that no list names, left out: 1, first in masks/d.png" in out
    made = tmp_path / "out" / "ImageSets" / "Segmentation"
    assert (made / "val.txt").read_text() == "a\n"
    (tmp_path / "out").rename(tmp_path / "first")
    _, out = convert("--val-fraction", "0.5", "--seed", "3")
    assert "(1 in train, 2 in val)" in out or "(2 in train, 1 in val)" in out


def test_what_is_wrong_with_lists_is_said(source, convert):
    lists = source / "ImageSets" / "Segmentation"
    made_up.write(lists / "train.txt", "a\nb\nz\n")
    made_up.write(lists / "val.txt", "b\n")
    code, said = convert()
    assert code == 1
    assert "train.txt: it names z, of which there is no mask" in said
    assert "val.txt: it names b, which is in the list train too" in said


def test_exported_indices_of_labelme(source, convert):
    (source / "classes.txt").unlink()
    made_up.write(source / "class_names.txt", "_background_\ncell\nrod\n")
    for name in "ab":
        made_up.write(source / "masks" / f"{name}.png", made_up.png(LABELS))
    mask, out = convert()
    np.testing.assert_array_equal(mask, LABELS)
    assert "of labelme-masks" in out


@pytest.mark.parametrize("by", ["numbers", "VOC's colours"])
def test_classes_without_colours(source, convert, by):
    (source / "classes.txt").write_text("background\ncell\nrod\n")
    for name in "ab":
        content = made_up.png(LABELS)
        if by != "numbers":
            content = made_up.png(coloured((0, 0, 0), (128, 0, 0), (0, 128, 0)))
        (source / "masks" / f"{name}.png").write_bytes(content)
    mask, out = convert()
    np.testing.assert_array_equal(mask, LABELS)
    assert "of rgb" in out


def test_a_folder_of_masks_may_hold_json(source, convert):
    """COCO's folder is called annotations, and a labels.txt is beside it."""
    (source / "masks").rename(source / "elsewhere")
    (source / "classes.txt").rename(source / "labels.txt")
    square = [1, 1, 5, 1, 5, 5, 1, 5]
    content = {
        "images": [
            {"id": k, "file_name": f"{name}.png", "height": 8, "width": 10}
            for k, name in enumerate("ab")
        ],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            {"image_id": k, "category_id": 1, "segmentation": [square]} for k in (0, 1)
        ],
    }
    made_up.write(source / "annotations" / "x.json", content)
    for path in (source / "elsewhere").iterdir():
        path.unlink()
    mask, out = convert()
    assert mask.sum() == 16
    assert "of coco" in out


def test_exported_indices_that_are_no_class(source, convert):
    made_up.write(source / "masks" / "a.png", made_up.png(LABELS * 2))
    made_up.write(source / "masks" / "b.png", made_up.png(LABELS))
    code, said = convert("--from", "labelme-masks")
    assert code == 1
    assert "masks/a.png: " in said
    assert "the values 4 in 18 pixels; legal are 0..2 and 255 (void)" in said


def test_photographs_of_cvat_may_be_elsewhere(source, convert, tmp_path):
    (source / "images").rename(tmp_path / "photographs")
    (source / "masks").rename(source / "SegmentationClass")
    (source / "classes.txt").unlink()
    lines = "# label:color_rgb:parts:actions\ncell:255,0,0::\nbackground:0,0,0::\nrod:0,0,255::\n"
    made_up.write(source / "labelmap.txt", lines)
    code, said = convert()
    assert code == 2
    assert "holds no folder of photographs (JPEGImages," in said
    mask, out = convert("--images", str(tmp_path / "photographs"))
    np.testing.assert_array_equal(mask, LABELS)
    assert "of cvat" in out


def test_colours_are_needed(source, convert):
    (source / "classes.txt").unlink()
    code, said = convert()
    assert code == 2
    assert "--classes FILE gives the names and colours of the classes" in said


def test_more_colours_than_a_byte_counts():
    colours = [(k, 255 - k, k // 2) for k in range(255)]
    classes = Classes([f"c{k}" for k in range(255)], colours, (1, 2, 3))
    every = np.array([*colours, (1, 2, 3)], np.uint8)
    for rows in (1, 256, 700):
        picture = np.broadcast_to(every, (rows, 256, 3))
        expected = np.broadcast_to(np.arange(256), (rows, 256))
        np.testing.assert_array_equal(indices_of_colours(picture, classes), expected)
    with pytest.raises(DataError, match="#000000 in 2 pixels are no class's"):
        indices_of_colours(np.zeros((1, 2, 3), np.uint8), classes)
