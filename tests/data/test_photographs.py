"""Photographs without masks: which are found, in what order, and what is wrong with a folder."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from minideconv.data import Photographs, Shapes, WithoutMasks
from minideconv.errors import DataError


@pytest.fixture
def root(tree, tmp_path):
    """Two photographs to train on, one to validate, and two in no list and without a mask."""
    root = tree.make(tmp_path / "VOC2012", {"b": tree.mask(), "a": tree.mask(height=22)})
    tree.make(root, {"v": tree.mask()}, "val")
    for name in ("z", "y"):
        Image.fromarray(np.full((9, 7, 3), 50, np.uint8)).save(root / f"JPEGImages/{name}.jpg")
    return root


def names(found):
    return [found.name(index) for index in range(len(found))]


def test_a_list_needs_no_mask(root):
    for path in (root / "SegmentationClass").iterdir():
        path.unlink()
    (root / "SegmentationClass").rmdir()
    found = Photographs(root.parent, "train")
    assert names(found) == ["b", "a"]
    image, zeros = found[1]
    assert image.shape == (22, 26, 3)
    assert (zeros.shape, zeros.dtype, zeros.any()) == ((22, 26), np.uint8, False)
    assert names(Photographs(root, "val")) == ["v"]


def test_all_but_those_for_validation(root):
    found = Photographs(root, "photographs", held_out="val")
    assert names(found) == ["a", "b", "y", "z"]
    assert found[-1][0].shape == (9, 7, 3)
    assert names(Photographs(root, "photographs", held_out="train")) == ["v", "y", "z"]


def test_a_folder_without_lists(root):
    for number in range(16):
        Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(root / f"JPEGImages/p{number:02d}.jpg")
    (root / "ImageSets/Segmentation/train.txt").unlink()
    (root / "ImageSets/Segmentation/val.txt").unlink()
    (root / "ImageSets/Segmentation").rmdir()
    train, val = Photographs(root, "train"), Photographs(root, "val")
    every = ["a", "b", *(f"p{number:02d}" for number in range(16)), "v", "y", "z"]
    assert names(val) == every[::10]
    assert sorted(names(train) + names(val)) == every
    assert "has no image lists, so every tenth photograph is for validation" in train.note


def test_what_is_wrong_is_said_with_the_name(root, tmp_path):
    with pytest.raises(DataError, match=r"no split 'dawn' .* the splits are: train, val"):
        Photographs(root, "dawn")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"looked for JPEGImages in .*empty itself and in VOC2012"):
        Photographs(tmp_path / "empty", "train")
    (root / "JPEGImages/a.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"VOC: .*a\.jpg is not a picture"):
        Photographs(root, "train")[1]
    (root / "JPEGImages/a.jpg").unlink()
    with pytest.raises(DataError, match=r"a\.jpg does not exist"):
        Photographs(root, "train")[1]
    with pytest.raises(IndexError, match="index 2 is outside"):
        Photographs(root, "train")[2]
    (tmp_path / "bare/JPEGImages").mkdir(parents=True)
    with pytest.raises(DataError, match=r"JPEGImages holds too few photographs \(\*\.jpg\)"):
        Photographs(tmp_path / "bare", "train")


def test_images_of_another_set_without_its_masks():
    shapes = Shapes("train", length=3, size=20)
    found = WithoutMasks(shapes)
    assert len(found) == 3
    assert np.array_equal(found[1][0], shapes[1][0])
    assert shapes[1][1].any()
    assert not found[1][1].any()
    assert (found.name(2), found.holds_gil) == (shapes.name(2), True)
    again = pickle.loads(pickle.dumps(found))  # processes that draw get a copy
    assert np.array_equal(again[0][0], shapes[0][0])
