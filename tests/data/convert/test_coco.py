"""COCO's files: order, ids, several files, and what is wrong."""

from __future__ import annotations

import copy

import labelled_exports as made_up
import numpy as np
import pytest
from PIL import Image

from minideconv.data.__main__ import main
from minideconv.data.convert.coco import split_of

HEIGHT, WIDTH = 20, 30
LARGE = [2, 2, 22, 2, 22, 18, 2, 18]
SMALL = [10, 5, 15, 5, 15, 9, 10, 9]


def photograph(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    return made_up.png(pixels)


def annotation(outline, category=7, image=1):
    return {"image_id": image, "category_id": category, "segmentation": outline}


def document(annotations, images=("a.png", "b.png")):
    return {
        "categories": [{"id": 90, "name": "rod"}, {"id": 7, "name": "cell"}],
        "images": [
            {"id": k, "file_name": name, "height": HEIGHT, "width": WIDTH}
            for k, name in enumerate(images, 1)
        ],
        "annotations": [*annotations, annotation([LARGE], image=2)],
    }


@pytest.fixture
def coco(tmp_path):
    """A folder with a.png and b.png; convert a document in it."""
    root = tmp_path / "source"
    for number, name in enumerate(("a", "b", "c")):
        made_up.write(root / "images" / f"{name}.png", photograph(number))
    return root


@pytest.fixture
def convert(tmp_path, coco, capsys):
    def run(content=None, *options, source=None, mask="a"):
        if content is not None:
            made_up.write(coco / "instances.json", content)
        output = tmp_path / "out"
        code = main(["convert", str(source or coco), "--output", str(output), *options])
        shown = capsys.readouterr()
        if code:
            assert not output.exists()
            return code, shown.err
        with Image.open(output / "SegmentationClass" / f"{mask}.png") as file:
            return np.array(file), shown.out

    return run


def boxed(*boxes):
    mask = np.zeros((HEIGHT, WIDTH))
    for label, (x0, y0, _, _, x1, y1, _, _) in boxes:
        mask[y0:y1, x0:x1] = label
    return mask


@pytest.mark.parametrize("turn", [1, -1])
def test_the_larger_is_drawn_first_whatever_the_order(convert, turn):
    objects = [annotation([LARGE], 90), annotation([SMALL], 7)][::turn]
    mask, _ = convert(document(objects))
    np.testing.assert_array_equal(mask, boxed((2, LARGE), (1, SMALL)))


def test_of_equally_large_ones_the_later_covers(convert):
    mask, _ = convert(document([annotation([LARGE], 7), annotation([LARGE], 90)]))
    np.testing.assert_array_equal(mask, boxed((2, LARGE)))


def test_runs_are_as_large_as_their_ones(convert):
    """A mask of few ones lies over a polygon, although its runs are of the whole photograph."""
    pixels = boxed((1, SMALL)).astype(bool)
    runs = {"size": [HEIGHT, WIDTH], "counts": made_up.runs_of(pixels)}
    mask, _ = convert(document([annotation(runs, 90), annotation([LARGE], 7)]))
    np.testing.assert_array_equal(mask, boxed((1, LARGE), (2, SMALL)))


def test_several_polygons_are_one_object_and_nothing_cancels(convert):
    mask, _ = convert(document([annotation([LARGE, SMALL], 90)]))
    np.testing.assert_array_equal(mask, boxed((2, LARGE)))


def test_indices_follow_the_ids_and_remarks_are_made(convert):
    objects = [annotation([[1, 2, 3, 4]]), annotation([]), annotation(None)]
    mask, out = convert(document(objects), "--val-fraction", "0")
    assert not mask.any()
    assert "1 cell: in 1 photographs\n    2 rod: in 0 photographs" in out
    assert "polygons of less than 3 points, left out: 1, first in instances.json" in out
    assert "annotations without an outline (a box alone), left out: 2" in out
    assert (
        "photographs without an object, which are all background: 1, first in images/a.png" in out
    )


def test_files_of_lists_keep_them(convert, coco, tmp_path):
    for split, name in (("train", "a.png"), ("val", "b.png"), ("test", "c.png")):
        content = document([annotation([SMALL])], [name])
        content["annotations"].pop()
        made_up.write(coco / "annotations" / f"instances_{split}2017.json", content)
    captions = {"images": [], "annotations": [{"caption": "a cell"}]}
    made_up.write(coco / "annotations" / "captions_train2017.json", captions)
    _, out = convert(None)
    assert "3 photographs and masks of coco (1 in test, 1 in train, 1 in val)" in out
    lists = tmp_path / "out" / "ImageSets" / "Segmentation"
    found = {path.stem: path.read_text().split() for path in lists.iterdir()}
    assert found == {"train": ["a"], "val": ["b"], "test": ["c"], "trainval": ["a", "b"]}


def test_one_file_and_a_folder_of_photographs_elsewhere(convert, coco, tmp_path):
    alone = tmp_path / "alone" / "labels.json"
    made_up.write(alone, document([annotation([SMALL])]))
    code, said = convert(source=alone)
    assert code == 1
    assert "2 faults in 1 file" in said
    mask, _ = convert(None, "--images", str(coco / "images"), source=alone)
    np.testing.assert_array_equal(mask, boxed((1, SMALL)))


@pytest.mark.parametrize(
    ("name", "split"),
    [("instances_val2017", "val"), ("Train", "train"), ("retrained", ""), ("valid", "val")],
)
def test_which_list_a_name_means(name, split):
    assert split_of(name) == split


def runs(counts, size=(HEIGHT, WIDTH)):
    return {"size": list(size) if isinstance(size, tuple) else size, "counts": counts}


@pytest.mark.parametrize(
    ("outline", "sentence"),
    [
        ("x", "the segmentation of annotation 0 is 'x'; it must be polygons or runs"),
        ([3], "polygon 0 of annotation 0 is 3; it must be a list [x, y, x, y, ...]"),
        ([[1, 2, 3]], "polygon 0 of annotation 0 is a list; it must be a list [x, y, x, y, ...]"),
        ([[1, 2, 3, None]], "has the coordinate None; it must be a number"),
        ([[1, 2, 3, [4]]], "has the coordinate a list; it must be a number"),
        ({}, "the segmentation of annotation 0 has the size None; its image has [20, 30]"),
        (runs([600], (30, 20)), "has the size a list; its image has [20, 30]"),
        (runs([599]), "the runs have 599 pixels together; 30x20 are 600"),
        (runs([10**9]), "the runs have 1000000000 pixels together"),
        (runs([10**300]), "the runs have 1000... (301 digits) pixels together"),
        (runs([601, -1]), "a run has the length -1; it must be 0 or more"),
        (runs([600.0]), "the counts of the segmentation of annotation 0 are a list; they must be"),
        (runs([True, 599]), "are a list; they must be numbers, or text"),
        (runs(None), "are None; they must be numbers, or text"),
        (runs("hi!"), "character 2 of the runs is '!'; legal are 0 to o"),
        (runs("P" * 100_000), "the number that ends behind character 7 is too large"),
    ],
)
def test_what_is_wrong_with_an_outline_is_said(convert, outline, sentence):
    code, said = convert(document([annotation(outline)]))
    assert code == 1
    assert "1 fault in 1 file, so nothing was written:\n  instances.json: " in said
    assert sentence in said
    assert len(said) < 600


def without(*path, value=None):
    """A document in which one value is another."""
    content = copy.deepcopy(document([annotation([SMALL])]))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (without("images", value=3), "its 'images' is 3; it must be a list"),
        (without("annotations", 0, value="x"), "number 0 of its 'annotations' is 'x', no object"),
        (without("categories", value=None), "its 'categories' is None; it must be a list"),
        (without("categories", 0, "id", value="7"), "the id of category 0 is '7'; it must be"),
        (
            without("categories", 0, "id", value=7),
            "category 1 has the id or the name of an earlier",
        ),
        (without("categories", 0, "name", value=""), "the name of category 0 is ''"),
        (without("images", 0, "id", value=2), "image 1 has the id 2 of an earlier one"),
        (without("images", 0, "id", value=1e30), "the id of image 0 is 1e+30; it must be a whole"),
        (without("images", 0, "file_name", value=None), "the file_name of image 0 is None"),
        (without("images", 0, "file_name", value="../../c.jpg"), "'../../c.jpg' is not in"),
        (without("images", 0, "width", value=10**9), "the size of image 0 is 1000000000"),
        (
            without("images", 0, "width", value=31),
            "30x20 pixels, upright, but the labels are of 31x20",
        ),
        (without("annotations", 0, "image_id", value=9), "is of the image 9, which is not listed"),
        (without("annotations", 0, "category_id", value=8), "is of the category 8, which is not"),
        (without("annotations", 0, "segments_info", value=[]), "it is of COCO's panoptic kind"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(convert, content, sentence):
    code, said = convert(content)
    assert code == 1
    assert sentence in said
    assert len(said.splitlines()) < 5


def test_a_picture_of_a_huge_size_is_not_made(convert):
    """The sizes agree with each other, but not with the photograph."""
    side = 1 << 20
    content = document([annotation(runs([side**2], (side, side)))])
    content["images"][0] |= {"height": side, "width": side}
    code, said = convert(content)
    assert code == 1
    assert "30x20 pixels, upright, but the labels are of 1048576x1048576" in said
