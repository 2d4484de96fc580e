"""Data sets in every layout of the table, of a few made-up files, and folders that have none."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from minideconv.data.classes import Classes
from minideconv.data.layouts import LAYOUTS, infer_layout
from minideconv.data.photographs import Photographs
from minideconv.data.segmentation_folder import SegmentationFolder
from minideconv.data.voc_colors import VOC_CLASSES, VOID
from minideconv.errors import DataError, UsageError

OWN = Classes(("background", "cell", "nucleus"))


def photograph(path, grey=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (26, 20), (grey, grey, grey)).save(path)


def mask(path, *values):
    """A mask of three rows for each value; background on the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.zeros((20, 26), np.uint8)
    for place, value in enumerate(values):
        numbers[3 * place : 3 * place + 3, :20] = value
    Image.fromarray(numbers).save(path)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def first_rows(dataset, index, count=2):
    """The labels that `mask` put into its first rows."""
    return dataset[index][1][: 3 * count : 3, 0].tolist()


# -- The rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "VOC2012", "VOCdevkit/VOC2012", "VOC2007"])
def test_voc(tmp_path, place):
    base = tmp_path / place
    for name in ("2007_000032", "2007_000039"):
        photograph(base / "JPEGImages" / f"{name}.jpg")
        mask(base / "SegmentationClass" / f"{name}.png", 1, 255)
    text(base / "ImageSets" / "Segmentation" / "train.txt", "2007_000039\n")
    assert infer_layout(tmp_path) == "voc"
    dataset = SegmentationFolder(tmp_path)
    assert dataset.ids == ["2007_000039"]
    assert dataset.classes == list(VOC_CLASSES)
    assert first_rows(dataset, 0) == [1, 255]


def test_a_folder_in_voc_s_layout_with_classes_of_its_own(tmp_path):
    """As `data convert` and CVAT write it."""
    photograph(tmp_path / "JPEGImages" / "a.jpg")
    mask(tmp_path / "SegmentationClass" / "a.png", 1, 2)
    text(tmp_path / "ImageSets" / "Segmentation" / "train.txt", "a\n")
    text(tmp_path / "classes.txt", OWN.text())
    dataset = SegmentationFolder(tmp_path)
    assert dataset.classes == ["background", "cell", "nucleus"]
    assert dataset.num_classes == 3
    mask(tmp_path / "SegmentationClass" / "a.png", 3)
    with pytest.raises(DataError, match=r"^VOC: mask \S*a\.png holds the values 3 in 60 pixels"):
        dataset[0]


def test_cityscapes(tmp_path):
    for split, city in (("train", "aachen"), ("val", "lindau")):
        stem = f"{city}_000000_000019"
        photograph(tmp_path / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
        truth = tmp_path / "gtFine" / split / city
        mask(truth / f"{stem}_gtFine_labelIds.png", 7, 33, 0, 26)
        mask(truth / f"{stem}_gtFine_instanceIds.png", 7)
        photograph(truth / f"{stem}_gtFine_color.png")
    assert infer_layout(tmp_path) == "cityscapes"
    dataset = SegmentationFolder(tmp_path, "val")
    assert dataset.ids == ["lindau/lindau_000000_000019"]
    assert dataset.name(0) == "lindau_lindau_000000_000019"
    assert dataset.num_classes == 19
    # road, bicycle, unlabelled, car; the right side is 0, unlabelled, as well
    assert first_rows(dataset, 0, 4) == [0, 18, VOID, 13]
    assert dataset[0][1][0, 25] == VOID
    assert (dataset.classes[0], dataset.classes[13]) == ("road", "car")
    assert dataset.class_table.colours[13].tolist() == [0, 0, 142]
    assert len(SegmentationFolder(tmp_path, "train")) == 1
    mask(dataset.mask_path(0), 34)
    with pytest.raises(DataError, match=r"^Cityscapes: mask \S* holds the values 34 in 60 pixels"):
        dataset.mask(0)


def test_ade20k(tmp_path):
    for folder, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        photograph(tmp_path / "images" / folder / f"{name}.jpg")
        mask(tmp_path / "annotations" / folder / f"{name}.png", 1, 150)
    assert infer_layout(tmp_path) == "ade20k"
    dataset = SegmentationFolder(tmp_path, "val")
    assert dataset.ids == ["ADE_val_00000001"]
    assert (dataset.num_classes, dataset.classes[0]) == (150, "class 1")
    assert first_rows(dataset, 0) == [0, 149]
    assert dataset[0][1][0, 25] == VOID
    lines = [f"{k}\t0.1\t9\t9\t1\tname {k}, other" for k in range(1, 151)]
    text(tmp_path / "objectInfo150.txt", "\n".join(["Idx\tRatio\tTrain\tVal\tStuff\tName", *lines]))
    assert SegmentationFolder(tmp_path, "val").classes[149] == "name 150, other"


@pytest.mark.parametrize("start", ["/SegNet/CamVid/", "", "CamVid/"])
def test_camvid(tmp_path, start):
    for split, name in (("train", "0001TP_006690"), ("val", "0016E5_07959")):
        photograph(tmp_path / split / f"{name}.png")
        mask(tmp_path / f"{split}annot" / f"{name}.png", 0, 10, 11)
        text(
            tmp_path / f"{split}.txt",
            f"{start}{split}/{name}.png {start}{split}annot/{name}.png\n",
        )
    assert infer_layout(tmp_path) == "camvid"
    dataset = SegmentationFolder(tmp_path, "val")
    assert dataset.ids == ["0016E5_07959"]
    assert dataset.classes[0] == "sky"
    assert first_rows(dataset, 0, 3) == [0, 10, VOID]


def test_camvid_in_colours(tmp_path):
    table = Classes(("Animal", "Archway", "Void"), [(64, 128, 64), (192, 0, 128), (0, 0, 0)])
    for split in ("train", "val"):
        photograph(tmp_path / split / "0001TP.png")
        numbers = np.full((20, 26), 2, np.uint8)
        numbers[:3] = 1
        (tmp_path / f"{split}_labels").mkdir()
        Image.fromarray(table.palette()[numbers]).save(
            tmp_path / f"{split}_labels" / "0001TP_L.png"
        )
    text(
        tmp_path / "class_dict.csv",
        "name,r,g,b\nAnimal,64,128,64\nArchway,192,0,128\nVoid,0,0,0\n",
    )
    assert infer_layout(tmp_path) == "camvid32"
    dataset = SegmentationFolder(tmp_path)
    assert dataset.classes == ["background", "Animal", "Archway", "Void"]
    assert first_rows(dataset, 0) == [2, 3]


@pytest.mark.parametrize("kind", ["lists", "folders", "folders outside", "drawn"])
def test_images_and_masks(tmp_path, kind):
    names = [f"p{k}" for k in range(10)]
    for k, name in enumerate(names):
        part = "val" if k % 3 == 0 else "train"
        inner = {"folders": f"/{part}"}.get(kind, "")
        outer = {"folders outside": f"{part}/"}.get(kind, "")
        photograph(tmp_path / f"{outer}images{inner}" / f"{name}.jpg")
        mask(tmp_path / f"{outer}masks{inner}" / f"{name}.png", 1, 2)
    if kind == "lists":
        text(tmp_path / "train.txt", "".join(f"{n}\n" for k, n in enumerate(names) if k % 3))
        text(tmp_path / "val.txt", "".join(f"{n}\n" for n in names[::3]))
    assert infer_layout(tmp_path) == "folder"
    train, val = (SegmentationFolder(tmp_path, s, classes=OWN) for s in ("train", "val"))
    assert sorted(train.ids + val.ids) == names
    if kind == "drawn":
        assert len(val) == 2  # a fifth
    else:
        assert val.ids == names[::3]
    assert first_rows(train, 0) == [1, 2]


def test_a_drawn_split_keeps_what_it_has_when_a_photograph_is_added(tmp_path):
    for k in range(40):
        photograph(tmp_path / "images" / f"p{k}.jpg")
        mask(tmp_path / "masks" / f"p{k}.png", 1)
    before = set(SegmentationFolder(tmp_path, "val", classes=OWN).ids)
    photograph(tmp_path / "images" / "new.jpg")
    mask(tmp_path / "masks" / "new.png", 1)
    after = set(SegmentationFolder(tmp_path, "val", classes=OWN).ids)
    assert len(before & after) >= len(before) - 1


def test_photographs_without_a_mask_are_left_out_and_counted(tmp_path):
    for k in range(6):
        photograph(tmp_path / "images" / f"p{k}.jpg")
        if k:
            mask(tmp_path / "masks" / f"p{k}.png", 1)
    dataset = SegmentationFolder(tmp_path, "train", classes=OWN)
    assert len(dataset) == 4
    assert dataset.note == (
        f"note: 1 of 6 photographs have no mask in {tmp_path}/masks and are left out, p0 for one"
    )


# -- Binary masks -------------------------------------------------------------------------------


def test_black_and_white_masks_of_two_classes(tmp_path):
    for k in range(5):
        photograph(tmp_path / "images" / f"p{k}.jpg")
        mask(tmp_path / "masks" / f"p{k}.png", 255)
    dataset = SegmentationFolder(tmp_path, "train", classes=Classes(("background", "car")))
    assert dataset.validate() == []
    assert first_rows(dataset, 0) == [1, 0]
    assert dataset.mask(0).max() == 1
    assert dataset.note == (
        "note: the masks of split 'train' are black and white; white is read as 'car'"
    )
    three = SegmentationFolder(tmp_path, "train", classes=OWN)
    (fault,) = three.validate()
    assert "none of the 4 masks of split 'train' shows a class" in fault


def test_white_is_void_where_a_mask_shows_the_class(tmp_path):
    for k in range(5):
        photograph(tmp_path / "images" / f"p{k}.jpg")
        mask(tmp_path / "masks" / f"p{k}.png", *((1, 255) if k == 3 else (255,)))
    table = Classes(("background", "car"))
    both = [SegmentationFolder(tmp_path, split, classes=table) for split in ("train", "val")]
    shown = next(dataset for dataset in both if "p3" in dataset.ids)
    assert first_rows(shown, shown.ids.index("p3")) == [1, 255]
    assert {dataset.mask(0).max() for dataset in both} >= {255}


# -- What is wrong ------------------------------------------------------------------------------


def test_a_folder_without_a_layout(tmp_path):
    text(tmp_path / "readme.md", "")
    photograph(tmp_path / "pictures" / "a.jpg")
    message = r"is in no layout that is known: it holds pictures, readme\.md; a set is"
    with pytest.raises(UsageError, match=message):
        infer_layout(tmp_path)
    with pytest.raises(UsageError, match="nowhere is not a folder"):
        infer_layout(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="layout is 'coco'; it must be one of voc, cityscapes"):
        SegmentationFolder(tmp_path, layout="coco")
    with pytest.raises(
        DataError, match=r"^CamVid: \S* has no folders \{split\} and .*; it holds pic"
    ):
        SegmentationFolder(tmp_path, layout="camvid")


def test_splits_that_are_none(tmp_path):
    photograph(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png", 1)
    with pytest.raises(DataError, match="there is one photograph, a; two splits need two"):
        SegmentationFolder(tmp_path, "train", classes=OWN)
    text(tmp_path / "train.txt", "a\n")
    with pytest.raises(
        DataError, match=r"no split 'val' \(\S*val\.txt is missing\); .* are: train"
    ):
        SegmentationFolder(tmp_path, "val", classes=OWN)


def test_no_folder_of_a_split(tmp_path):
    photograph(tmp_path / "images" / "train" / "a.jpg")
    mask(tmp_path / "masks" / "train" / "a.png", 1)
    assert len(SegmentationFolder(tmp_path, "train", classes=OWN)) == 1
    with pytest.raises(DataError, match=r"no split 'val': \S* has no folder images/val; it holds"):
        SegmentationFolder(tmp_path, "val", classes=OWN)


def test_classes_must_be_named_where_the_layout_has_none(tmp_path):
    for name in "ab":
        photograph(tmp_path / "images" / f"{name}.jpg")
        mask(tmp_path / "masks" / f"{name}.png", 1)
    with pytest.raises(
        DataError, match=r"^folder: what the classes of .* --classes background,NAME"
    ):
        SegmentationFolder(tmp_path)
    text(tmp_path / "classes.txt", "cell\n")
    dataset = SegmentationFolder(tmp_path)
    assert dataset.classes == ["background", "cell"]
    assert dataset.note.startswith("note: the first class is 'cell', so a background was put")
    text(tmp_path / "classes.txt", "cell\ncell\n")
    with pytest.raises(DataError, match=r"^folder: \S*classes\.txt: classes 1 and 2 are both"):
        SegmentationFolder(tmp_path)


def test_photographs_of_other_layouts_without_their_masks(tmp_path):
    for k in range(6):
        photograph(tmp_path / "images" / f"p{k}.jpg")
        text(tmp_path / "masks" / f"p{k}.png", "not read")
    found = Photographs(tmp_path, "train", layout="folder")
    assert len(found) == 5
    assert found[0][0].shape == (20, 26, 3)


def test_every_layout_has_a_test():
    with open(__file__, encoding="utf-8") as file:
        here = file.read()
    assert all(f'== "{name}"' in here for name in LAYOUTS)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("what", ["images/p1.jpg", "masks/p1.png"])
def test_a_pipe_in_place_of_a_file_does_not_wait(tmp_path, what):
    for k in range(2):
        photograph(tmp_path / "images" / f"p{k}.jpg")
        mask(tmp_path / "masks" / f"p{k}.png", 1)
    (tmp_path / what).unlink()
    os.mkfifo(tmp_path / what)
    text(tmp_path / "train.txt", "p1\n")
    dataset = SegmentationFolder(tmp_path, "train", classes=OWN)
    with pytest.raises(DataError, match=r"p1\.\w+ is a pipe or a device, not a picture"):
        dataset[0]
