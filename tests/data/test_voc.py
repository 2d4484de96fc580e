"""VOC folders: where they are found, what is read, one sentence for everything that is wrong."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minideconv.data.voc import VOCSegmentation
from minideconv.data.voc_colors import VOC_CLASSES, colorize, overlay, voc_palette
from minideconv.errors import DataError


@pytest.fixture
def voc(tmp_path, tree):
    """A devkit with two images, a (20x26, class 3) and b (30x22, class 15)."""
    masks = {"a": tree.mask(3), "b": tree.mask(15, 30, 22)}
    return tree.make(tmp_path / "data" / "VOCdevkit" / "VOC2012", masks)


def test_pairs_are_read_as_indices(voc, tree):
    dataset = VOCSegmentation(voc)
    assert len(dataset) == 2
    assert dataset.classes == list(VOC_CLASSES)
    assert dataset.num_classes == 21
    image, mask = dataset[1]
    assert image.shape == (30, 22, 3)
    assert image.dtype == mask.dtype == np.uint8
    assert mask.tolist() == tree.mask(15, 30, 22).tolist()
    assert (dataset[-1][1] == mask).all()
    assert dataset.name(1) == "b"
    with pytest.raises(IndexError, match="index 2 is outside this split of 2 images"):
        dataset[2]


@pytest.mark.parametrize("up", ["", "..", "../.."])
def test_root_may_be_any_of_three_folders(voc, up):
    assert VOCSegmentation(voc / up).root.resolve() == voc


def test_the_photograph_is_the_one_of_the_mask(voc):
    dataset = VOCSegmentation(voc, cache_mb=0)
    saved = np.asarray(Image.open(voc / "JPEGImages" / "a.jpg").convert("RGB"))
    assert (dataset[0][0] == saved).all()


def test_greyscale_masks_of_indices_are_read_too(voc, tree):
    mask = tree.mask(7)
    Image.fromarray(mask).save(voc / "SegmentationClass" / "a.png")
    assert (VOCSegmentation(voc)[0][1] == mask).all()


def test_grey_photographs_become_rgb(voc):
    Image.new("L", (26, 20), 77).save(voc / "JPEGImages" / "a.jpg")
    assert (VOCSegmentation(voc)[0][0] == 77).all()


def test_list_lines_may_have_more_columns_and_blank_lines(voc):
    (voc / "ImageSets" / "Segmentation" / "odd.txt").write_text("b  1\n\n a 0\n")
    assert VOCSegmentation(voc, "odd").ids == ["b", "a"]


def test_instances_come_from_files_where_there_are_some(voc, tree):
    dataset = VOCSegmentation(voc)
    regions = dataset.instances(0)
    assert (regions == np.where(tree.mask() == 3, 1, tree.mask())).all()
    two = tree.mask()
    two[5:13, 6:11], two[5:13, 11:16] = 1, 2
    tree.save(voc / "SegmentationObject" / "a.png", two)
    assert (dataset.instances(0) == two).all()
    tree.save(voc / "SegmentationObject" / "b.png", two)
    with pytest.raises(DataError, match=r"SegmentationObject/b\.png is 26x20 pixels but"):
        dataset.instances(1)


def test_caching_changes_nothing_and_stays_within_its_bound(voc):
    kept, none = VOCSegmentation(voc), VOCSegmentation(voc, cache_mb=0)
    assert kept[0][0] is kept[0][0]
    assert none[0][0] is not none[0][0]
    assert (kept[0][0] == none[0][0]).all()
    with pytest.raises(ValueError, match="read-only"):
        kept[0][0][0, 0] = 1
    # Room for the smaller pair alone: 20*26*4 = 2080 and 30*22*4 = 2640 bytes.
    small = VOCSegmentation(voc, cache_mb=2500 / 2**20)
    assert small[1][0] is not small[1][0]
    assert small[0][0] is small[0][0]


def break_file(path, kind):
    if kind == "missing":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut off":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(b"<html>404 not found</html>")


@pytest.mark.parametrize("folder", ["JPEGImages/a.jpg", "SegmentationClass/a.png"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "is missing"),
        ("empty", "is empty"),
        ("cut off", "cannot be read: the picture is damaged or cut off"),
        ("foreign", "is not a picture that can be read; JPEG, PNG, WebP and TIFF are read"),
    ],
)
def test_broken_files_are_named(voc, folder, kind, message, tree):
    if folder.endswith("png"):  # large enough that half of the file is half of the pixels
        noise = np.random.default_rng(0).integers(0, 21, (20, 26))
        tree.save(voc / folder, noise)
    break_file(voc / folder, kind)
    dataset = VOCSegmentation(voc)
    name = folder.replace(".", r"\.")
    with pytest.raises(DataError, match=rf"^VOC: \S*{name} {message}") as caught:
        dataset[0]
    assert "\n" not in str(caught.value)
    assert dataset[1][1].shape == (30, 22)
    assert dataset.validate() == [str(caught.value)]


@pytest.mark.parametrize("folder", ["JPEGImages/a.jpg", "SegmentationClass/a.png"])
def test_files_that_may_not_be_read_are_not_called_damaged(voc, folder, monkeypatch):
    real = Path.read_bytes

    def refuse(path):
        if path == voc / folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError) as caught:
        VOCSegmentation(voc)[0]
    assert str(caught.value) == f"VOC: {voc / folder} cannot be read: Permission denied"


def test_names_that_are_too_long_for_the_file_system(voc):
    path = voc / "ImageSets" / "Segmentation" / "train.txt"
    path.write_text(path.read_text() + "x" * 300 + "\n")
    (problem,) = VOCSegmentation(voc).validate()
    assert problem == f"VOC: {voc}/JPEGImages/{'x' * 300}.jpg cannot be read: File name too long"


def test_sizes_that_differ(voc, tree):
    tree.save(voc / "SegmentationClass" / "a.png", tree.mask(3, 20, 25))
    with pytest.raises(DataError, match=r"a\.png is 25x20 pixels but \S*a\.jpg is 26x20"):
        VOCSegmentation(voc)[0]


def test_masks_in_voc_s_colours(voc, tree):
    Image.fromarray(colorize(tree.mask())).save(voc / "SegmentationClass" / "a.png")
    assert (VOCSegmentation(voc)[0][1] == tree.mask()).all()


def test_labels_that_are_no_classes(voc, tree):
    mask = tree.mask()
    mask[0, :3] = (21, 254, 21)
    tree.save(voc / "SegmentationClass" / "a.png", mask)
    message = r"a\.png holds the values 21, 254 in 3 pixels; legal are 0\.\.20 and 255"
    with pytest.raises(DataError, match=message):
        VOCSegmentation(voc)[0]
    tree.save(voc / "SegmentationClass" / "a.png", np.arange(520).reshape(20, 26) % 250)
    with pytest.raises(DataError, match=r"values 21, 22, 23, 24 and 225 more"):
        VOCSegmentation(voc)[0]


def test_indices_that_were_dealt_anew(voc, tree):
    # What a paint program writes: the colours are right, the indices count up from 0.
    palette = np.zeros((256, 3), np.uint8)
    palette[:3] = voc_palette()[[0, 15, 255]]
    mask = tree.mask()
    mask = np.where(mask == 3, 1, np.where(mask == 255, 2, 0))
    tree.save(voc / "SegmentationClass" / "a.png", mask, palette)
    with pytest.raises(DataError, match=r"shows index 1 in the colour of class 15 \(person\)"):
        VOCSegmentation(voc)[0]


def test_validate_reports_every_bad_file_and_goes_on(voc, tree):
    (voc / "JPEGImages" / "a.jpg").unlink()
    tree.save(voc / "SegmentationClass" / "b.png", np.full((30, 22), 99))
    listed = voc / "ImageSets" / "Segmentation" / "train.txt"
    listed.write_text(listed.read_text() + "b\n")
    problems = VOCSegmentation(voc).validate()
    assert len(problems) == 4
    assert "a.jpg is missing" in problems[0]
    assert "b.png holds the values 99" in problems[1]
    assert problems[2] == problems[1]
    assert "names b twice" in problems[3]


def test_roots_that_are_none(tmp_path, voc):
    with pytest.raises(DataError, match=r"nowhere is not a folder; it must be a VOCdevkit folder$"):
        VOCSegmentation(tmp_path / "nowhere")
    (tmp_path / "void").mkdir()
    with pytest.raises(DataError, match=r"no VOCdevkit layout under .*void; looked for JPEGImages"):
        VOCSegmentation(tmp_path / "void")
    (voc / "SegmentationClass").rename(voc / "Masks")
    with pytest.raises(DataError, match="VOC2012 has no folder SegmentationClass; VOCdevkit's"):
        VOCSegmentation(voc)


def test_splits_that_are_none(voc):
    with pytest.raises(DataError, match=r"no split 'val' .*the splits are: train"):
        VOCSegmentation(voc, "val")
    lists = voc / "ImageSets" / "Segmentation"
    (lists / "val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"val\.txt lists no image"):
        VOCSegmentation(voc, "val")
    (lists / "val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"val\.txt cannot be read as text"):
        VOCSegmentation(voc, "val")


def test_palette_against_the_known_colours():
    # From the devkit's list of colours.
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        7: (128, 128, 128),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    assert {index: tuple(voc_palette()[index].tolist()) for index in known} == known
    assert len({tuple(colour) for colour in voc_palette().tolist()}) == 256


def test_colorize_and_overlay():
    mask = np.array([[0, 15], [255, 1]])
    assert colorize(mask)[0, 1].tolist() == [192, 128, 128]
    image = np.full((2, 2, 3), 100, np.uint8)
    painted = overlay(image, mask, opacity=0.5)
    assert painted[0, 0].tolist() == [100, 100, 100]
    assert painted[0, 1].tolist() == [146, 114, 114]
    with pytest.raises(ValueError, match=r"values from 0 to 256; class indices and void lie in"):
        colorize(np.array([[0, 256]]))
    with pytest.raises(ValueError, match="mask is float64; it must hold integer"):
        colorize(np.zeros((2, 2)))


@pytest.mark.voc
def test_the_real_subset_is_read_whole(voc_subset):
    begun = time.process_time()
    train, val = VOCSegmentation(voc_subset, "train"), VOCSegmentation(voc_subset, "val")
    assert (len(train), len(val)) == (220, 120)
    assert not set(train.ids) & set(val.ids)
    counts = np.zeros(256, dtype=np.int64)
    for dataset in (train, val):
        for index in range(len(dataset)):
            image, mask = dataset[index]
            assert image.shape[:2] == mask.shape
            counts += np.bincount(mask.ravel(), minlength=256)
    # From the subset's own table: background, person, tvmonitor, void; train + val.
    assert counts[0] == 26494880 + 14773254
    assert counts[15] == 952606 + 765286
    assert counts[20] == 392739 + 95525
    assert counts[255] == 2082257 + 1189635
    assert (counts[:21] > 0).all()
    assert (counts[21:255] == 0).all()
    assert time.process_time() - begun < 60
