"""Image lists as people and programs write them; what is said about a file that is missing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from minideconv.data.classes import VOC
from minideconv.data.lists import IMAGE_SUFFIXES, MASK_SUFFIXES, ListedFiles, entry_of, read_lines
from minideconv.data.segmentation_folder import SegmentationFolder
from minideconv.data.voc import VOCSegmentation
from minideconv.errors import DataError

LISTS = "ImageSets/Segmentation"


@pytest.fixture
def voc(tmp_path, tree):
    """Three images: a, b, and "my photo"."""
    return tree.make(tmp_path / "VOC2012", {n: tree.mask(3) for n in ("a", "b", "my photo")})


def ids(voc, content):
    (voc / LISTS / "odd.txt").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    return VOCSegmentation(voc, "odd").ids


@pytest.mark.parametrize(
    "content",
    [
        "a\nb\n",
        "a\r\nb\r\n",
        "a\rb",
        "\ufeffa\nb\n",
        "a\nb".encode("utf-16"),
        "\n\n  a  \n\nb\n\n",
        "a.jpg\nb.jpg\n",
        "a.JPG\nb.jpeg\n",
        "JPEGImages/a.jpg\nJPEGImages/b\n",
        "./JPEGImages/a.jpg\n./JPEGImages/b.jpg\n",
        "VOC2012/JPEGImages/a.jpg\nVOC2012/JPEGImages/b.jpg\n",
        "/somebody/else/VOC2012/JPEGImages/a.jpg\nJPEGImages/b.jpg\n",
        "JPEGImages\\a.jpg\r\nC:\\data\\JPEGImages\\b.jpg\r\n",
        "../../JPEGImages/a.jpg\n../../JPEGImages/b.jpg\n",
        "a  1\nmy photo -1\nb  0\n",
        "a\t1\nmy photo\t-1\nb\t0\n",
        "JPEGImages/a.jpg SegmentationClass/a.png\nJPEGImages/b.jpg SegmentationClass/b.png\n",
        "a.jpg,a.png\nb.jpg,b.png\n",
        "a.jpg\ta.png\nb.jpg\tb.png\n",
        '"a.jpg","a.png"\n"b.jpg","b.png"\n',
        "/JPEGImages/a.jpg /SegmentationClass/a.png\n/JPEGImages/b.jpg /SegmentationClass/b.png\n",
    ],
)
def test_lists_that_mean_a_and_b(voc, content):
    assert ids(voc, content) == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [
        "my photo",
        "my photo.jpg",
        "my photo  1",
        "my photo 0",
        "JPEGImages/my photo.jpg",
        "my photo.jpg my photo.png",
        "JPEGImages/my photo.jpg SegmentationClass/my photo.png",
        "my photo.jpg, my photo.png",
    ],
)
def test_names_with_spaces(voc, line):
    assert ids(voc, line + "\n") == ["my photo"]
    assert VOCSegmentation(voc, "odd")[0][0].shape == (20, 26, 3)


def test_a_name_that_ends_in_a_number_is_a_name(voc, tree):
    tree.make(voc, {"my photo 1": tree.mask(2)})
    assert ids(voc, "my photo 1\n") == ["my photo 1"]


def test_every_line_of_a_class_that_is_not_there_is_passed_over(voc):
    with pytest.raises(DataError, match=r"odd\.txt lists no image"):
        ids(voc, "a -1\nb -1\n")


def test_two_columns_may_pair_files_of_different_names(voc, tree):
    tree.save(voc / "SegmentationClass" / "other.png", tree.mask(7))
    (voc / LISTS / "odd.txt").write_text("a.jpg other.png\n")
    dataset = VOCSegmentation(voc, "odd")
    assert dataset[0][1].tolist() == tree.mask(7).tolist()
    assert dataset.mask(0).tolist() == tree.mask(7).tolist()


def test_a_mask_that_is_named_and_missing(voc):
    (voc / LISTS / "odd.txt").write_text("a.jpg aa.png\n")
    message = r"^VOC: \S*SegmentationClass/aa\.png is missing; there is a\.png"
    with pytest.raises(DataError, match=message):
        VOCSegmentation(voc, "odd")[0]


def test_photographs_elsewhere(voc, tmp_path, tree):
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (26, 20), (9, 9, 9)).save(tmp_path / "elsewhere" / "c.png")
    tree.save(voc / "SegmentationClass" / "c.png", tree.mask(7))
    assert ids(voc, f"{tmp_path}/elsewhere/c.png\n") == ["c"]
    assert VOCSegmentation(voc, "odd")[0][0].max() == 9


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".png", ".PNG", ".webp", ".tif", ".bmp"])
def test_suffixes_of_photographs(voc, suffix):
    picture = Image.fromarray(np.full((20, 26, 3), 200, np.uint8))
    (voc / "JPEGImages" / "a.jpg").unlink()
    picture.save(voc / "JPEGImages" / f"a{suffix}")
    dataset = VOCSegmentation(voc)
    assert dataset.image_path(0).name == f"a{suffix}"
    assert np.abs(dataset[0][0].astype(int) - 200).max() <= 2


def test_of_two_files_of_one_name_the_first_suffix_counts(voc):
    Image.new("RGB", (26, 20)).save(voc / "JPEGImages" / "a.png")
    assert VOCSegmentation(voc).image_path(0).name == "a.jpg"


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("A.jpg", r"a\.jpg is missing; there is A\.jpg$"),
        ("a.heic", r"a\.jpg is missing; there is a\.heic, but \.jpg, \.jpeg, \.png, .* are read$"),
        ("aa.jpg", r"a\.jpg is missing; \S*JPEGImages has 3 pictures, aa\.jpg for one$"),
    ],
)
def test_what_is_there_in_place_of_a_photograph(voc, there, message):
    (voc / "JPEGImages" / "a.jpg").rename(voc / "JPEGImages" / there)
    with pytest.raises(DataError, match=message):
        VOCSegmentation(voc)[0]


def test_near_names_are_said(voc):
    (voc / LISTS / "odd.txt").write_text("my foto\n")
    dataset = VOCSegmentation(voc, "odd")
    with pytest.raises(DataError, match=r"my foto\.jpg is missing; near it there is my photo\.jpg"):
        dataset[0]


def test_what_is_there_in_place_of_all_photographs(voc):
    for path in (voc / "JPEGImages").iterdir():
        path.rename(path.with_suffix(".heic"))
    (voc / LISTS / "odd.txt").write_text("c\n")
    message = (
        r"c\.jpg is missing; no file of \S*JPEGImages ends in \.jpg, .*; it has 3, a\.heic for"
    )
    with pytest.raises(DataError, match=message):
        VOCSegmentation(voc, "odd")[0]


def test_what_is_there_in_place_of_a_mask(voc):
    (voc / "SegmentationClass" / "a.png").rename(voc / "SegmentationClass" / "a.jpg")
    message = r"^VOC: \S*a\.png is missing; there is a\.jpg, but \.png, \.tif, .* are read$"
    with pytest.raises(DataError, match=message):
        VOCSegmentation(voc)[0]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a\0b\n", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_files_that_are_no_lists(voc, content):
    with pytest.raises(DataError, match=r"odd\.txt cannot be read as text"):
        ids(voc, content)


def test_a_line_is_read_by_the_files_that_are_there(tmp_path):
    for name in ("images/a.jpg", "images/a b.jpg", "masks/c.png", "masks/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    images = ListedFiles(tmp_path / "images", IMAGE_SUFFIXES)
    masks = ListedFiles(tmp_path / "masks", MASK_SUFFIXES)

    def meant(line):
        entry = entry_of(line, images, masks, [tmp_path])
        return entry.id, entry.mask and entry.mask.name

    assert meant("a b") == ("a b", None)
    assert meant("a c") == ("a", "c.png")
    assert meant("a d") == ("a", None)  # another column
    assert meant("a b c") == ("a b", "c.png")
    assert meant("x y") == ("x y", None)  # nothing is there: as it stands


def test_long_lists_are_quick(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("".join(f"2007_{k:06d}\r\n" for k in range(20000)))
    assert len(read_lines(path)) == 20000


@pytest.mark.parametrize(
    "line",
    ["SegmentationClass/a.png", "SegmentationClass/a.png JPEGImages/a.jpg"],
)
def test_a_mask_is_no_photograph(voc, line):
    """A list of masks, or with its columns exchanged, would teach masks from masks."""
    with pytest.raises(DataError, match="in the folder of the masks"):
        ids(voc, f"{line}\n")


def test_letters_with_accents_are_the_same_in_both_forms(tmp_path, tree):
    """macOS writes them as two characters, most others as one."""
    one, two = "bl\u00e4tter", "bla\u0308tter"
    root = tree.make(tmp_path / "VOC2012", {two: tree.mask(3), "b": tree.mask(3)})
    (root / "SegmentationClass" / f"{two}.png").rename(root / "SegmentationClass" / f"{one}.png")
    for name in (one, two, f"{two}.jpg", f"JPEGImages/{one}.jpg"):
        (root / LISTS / "odd.txt").write_text(f"{name}\n", encoding="utf-8")
        found = VOCSegmentation(root, "odd")
        assert found.ids == [one]
        assert found.validate() == []


def test_masks_of_other_names_are_named(tmp_path, tree):
    root = tree.make(tmp_path / "VOC2012", {"a": tree.mask(3)})
    (root / "JPEGImages").rename(tmp_path / "images")
    (root / "SegmentationClass").rename(tmp_path / "masks")
    (tmp_path / "masks" / "a.png").rename(tmp_path / "masks" / "a_mask.png")
    with pytest.raises(DataError, match=r"where a_mask\.png is for one; a mask has the name"):
        SegmentationFolder(tmp_path, "train", "folder", VOC)
