"""Masks that are legal pixel by pixel and mean something else are never taken silently."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from minideconv.data.__main__ import main
from minideconv.data.check import check_before_use, examine
from minideconv.data.shard import Subset
from minideconv.data.voc import VOCSegmentation
from minideconv.data.voc_colors import voc_palette
from minideconv.errors import DataError


def binary(height=20, width=26):
    """A mask as many programs write it: objects white, 255."""
    mask = np.zeros((height, width), np.uint8)
    mask[4:14, 5:17] = 255
    return mask


@pytest.mark.parametrize("mode", ["P", "L"])
def test_binary_masks_of_0_and_255_are_refused(tmp_path, tree, mode):
    voc = tree.make(tmp_path, {name: binary() for name in ("a", "b", "c")})
    if mode == "L":
        for path in (voc / "SegmentationClass").iterdir():
            Image.fromarray(binary()).save(path)
    dataset = VOCSegmentation(voc)
    message = (
        r"VOC: none of the 3 masks of split 'train' shows a class; they hold 0 \(background\) and"
        r" 255 \(void\) alone, \S*SegmentationClass/a\.png for one, and the pixels of an object"
        r" must hold the number of its class, 1\.\.20"
    )
    (fault,) = dataset.validate()
    assert re.fullmatch(message, fault)


@pytest.mark.parametrize(
    ("value", "held"), [(0, r"0 \(background\) alone"), (255, r"255 \(void\) alone")]
)
def test_masks_of_one_value_are_refused(tmp_path, tree, value, held):
    voc = tree.make(tmp_path, {"a": np.full((20, 26), value)})
    (fault,) = VOCSegmentation(voc).validate()
    assert re.search(rf"none of the 1 masks .* they hold {held}", fault)


@pytest.mark.parametrize("place", [0, 1, 70, 149])
def test_one_mask_with_an_object_is_enough_wherever_it_is(tmp_path, tree, place):
    masks = {f"{k:03d}": binary(4, 8) * 0 for k in range(150)}
    masks[f"{place:03d}"] = np.full((4, 8), 5)
    dataset = VOCSegmentation(tree.make(tmp_path, masks))
    assert dataset.validate() == []
    if place:  # the part that a run uses
        (fault,) = examine({"train": Subset(dataset, range(place))}).faults
        assert f"none of the {place} masks" in fault.text


def test_some_masks_with_void_alone_are_remarked(tmp_path, tree):
    dataset = VOCSegmentation(tree.make(tmp_path, {"a": tree.mask(3), "b": binary()}))
    check_before_use({"train": dataset}, "train")
    assert "1 of 2 masks of train show 255 (void) and no class, which is not learned: b" in (
        dataset.note
    )


def test_a_subset_of_masks_without_objects_is_refused(tmp_path, tree, capsys):
    voc = tree.make(tmp_path / "voc", {"a": binary()})
    (voc / "ImageSets" / "Segmentation" / "val.txt").write_text("a\n")
    out = tmp_path / "small"
    assert main(["subset", "--data-root", str(voc), "--output", str(out)]) == 1
    assert "none of the 1 masks of split 'train' shows a class" in capsys.readouterr().err
    assert not out.exists()


def test_palette_masks_of_few_bits_are_read(tmp_path, tree):
    voc = tree.make(tmp_path, {"a": tree.mask(1)})
    mask = Image.frombytes("P", (26, 20), np.where(tree.mask(1) == 1, 1, 0).astype(np.uint8))
    mask.putpalette(voc_palette()[:2].tobytes())
    mask.save(voc / "SegmentationClass" / "a.png", bits=1)
    assert (VOCSegmentation(voc)[0][1] == (tree.mask(1) == 1)).all()


def test_a_mask_stored_as_jpeg_is_refused(tmp_path, tree):
    """Its grey levels are not those that were saved: along every border they name other classes."""
    voc = tree.make(tmp_path, {"a": tree.mask()})
    lossy = io.BytesIO()
    Image.fromarray(np.where(tree.mask() == 3, 15, 0).astype(np.uint8)).save(lossy, "JPEG")
    (voc / "SegmentationClass" / "a.png").write_bytes(lossy.getvalue())
    with pytest.raises(DataError, match=r"a\.png is stored as JPEG, which changes grey levels"):
        VOCSegmentation(voc)[0]


def test_void_that_was_dealt_a_class_s_index_is_refused(tmp_path, tree):
    palette = np.zeros((256, 3), np.uint8)
    palette[:3] = voc_palette()[[0, 1, 255]]  # index 1 happens to be right
    mask = np.where(tree.mask(1) == 255, 2, tree.mask(1))
    voc = tree.make(tmp_path, {"a": tree.mask(1)})
    tree.save(voc / "SegmentationClass" / "a.png", mask, palette)
    with pytest.raises(DataError, match="shows index 2 in the colour of void"):
        VOCSegmentation(voc)[0]


@pytest.mark.voc
@pytest.mark.parametrize("split", ["train", "val"])
def test_real_masks_show_objects(voc_subset, split):
    assert VOCSegmentation(voc_subset, split).validate() == []
