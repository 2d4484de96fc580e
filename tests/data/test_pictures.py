"""Pictures are read upright, in every format, by training, evaluation and prediction alike."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from minideconv.data.lists import IMAGE_SUFFIXES
from minideconv.data.masks import read_mask
from minideconv.data.pictures import picture_files, read_image
from minideconv.data.voc import VOCSegmentation
from minideconv.errors import DataError

# By the standard's own words: what the 0th row and the 0th column of the stored pixels show.
STORED = {
    1: lambda upright: upright,  # top, left
    2: lambda upright: upright[:, ::-1],  # top, right
    3: lambda upright: upright[::-1, ::-1],  # bottom, right
    4: lambda upright: upright[::-1],  # bottom, left
    5: lambda upright: upright.swapaxes(0, 1),  # left, top
    6: lambda upright: upright[:, ::-1].swapaxes(0, 1),  # right, top
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda upright: upright[::-1].swapaxes(0, 1),  # left, bottom
}
LOSSLESS = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "TIFF ": {"compression": "tiff_lzw"},  # another decoder
    "JPEG": {"quality": 100, "subsampling": 0},  # not quite
}


def scene(height=24, width=32):
    """A picture without any symmetry: four corners of four colours."""
    pixels = np.zeros((height, width, 3), np.uint8)
    half, middle = height // 2, width // 2
    pixels[:half, :middle], pixels[:half, middle:] = (240, 20, 20), (20, 240, 20)
    pixels[half:, :middle], pixels[half:, middle:] = (20, 20, 240), (240, 240, 240)
    return pixels


def noted(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return exif


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_is_read_upright(tmp_path, kind, orientation):
    path = tmp_path / "photo.jpg"
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](scene())))
    stored.save(path, kind.strip(), exif=noted(orientation), **LOSSLESS[kind])
    found = read_image(path)
    assert found.shape == (24, 32, 3)
    error = np.abs(found.astype(int) - scene())
    assert error.max() <= (8 if kind == "JPEG" else 0)
    with Image.open(path) as file:  # as another program turns it
        assert (found == np.asarray(ImageOps.exif_transpose(file).convert("RGB"))).all()


@pytest.mark.parametrize("orientation", STORED)
def test_training_reads_the_same_upright_pixels(tmp_path, tree, orientation):
    upright = np.where((scene() == 240).all(axis=-1), 15, 0)
    voc = tree.make(tmp_path, {"a": upright})
    path = voc / "JPEGImages" / "a.jpg"
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](scene())))
    stored.save(path, exif=noted(orientation), quality=100, subsampling=0)
    image, mask = VOCSegmentation(voc)[0]
    assert (image == read_image(path)).all()
    assert ((image > 128).all(axis=-1) == (mask == 15)).all()


@pytest.mark.parametrize("orientation", STORED)
def test_a_mask_with_an_orientation_is_turned_too(tmp_path, tree, orientation):
    upright = np.where((scene() == 240).all(axis=-1), 15, 0).astype(np.uint8)
    voc = tree.make(tmp_path, {"a": upright})
    path = voc / "SegmentationClass" / "a.png"
    with Image.open(path) as file:
        palette = file.getpalette()
    stored = np.ascontiguousarray(STORED[orientation](upright))
    turned = Image.frombytes("P", stored.shape[::-1], stored.tobytes())
    turned.putpalette(palette)
    turned.save(path, exif=noted(orientation))
    assert (VOCSegmentation(voc)[0][1] == upright).all()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_of_the_stored_pixels_is_refused_with_the_reason(tmp_path, tree, orientation):
    voc = tree.make(tmp_path, {"a": tree.mask(3, 20, 26)})
    photograph = Image.fromarray(scene(20, 26))
    photograph.save(voc / "JPEGImages" / "a.jpg", exif=noted(orientation))
    message = (
        r"a\.png is 26x20 pixels but \S*a\.jpg is 20x26 when turned upright by its EXIF orientation"
        rf" {orientation}; the mask fits the pixels as they are stored"
    )
    with pytest.raises(DataError, match=message):
        VOCSegmentation(voc)[0]
    tree.save(voc / "SegmentationClass" / "a.png", tree.mask(3, 21, 26))
    with pytest.raises(DataError, match=r"but \S*a\.jpg is 20x26; the two must have one size"):
        VOCSegmentation(voc)[0]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("note", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x12"])
def test_a_damaged_note_leaves_the_picture_as_it_is(tmp_path, note):
    path = tmp_path / "photo.jpg"
    Image.fromarray(scene()).save(path, quality=100, subsampling=0, exif=note)
    assert np.abs(read_image(path).astype(int) - scene()).max() <= 8


@pytest.mark.parametrize("orientation", [0, 9, 274])
def test_an_orientation_that_there_is_not_turns_nothing(tmp_path, orientation):
    path = tmp_path / "photo.png"
    Image.fromarray(scene()).save(path, exif=noted(orientation))
    assert (read_image(path) == scene()).all()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_deep_grey_pictures_are_refused_and_not_cut_off_at_255(tmp_path, tree, mode):
    """Converting them to RGB makes all that is above 255 white."""
    voc = tree.make(tmp_path, {"a": tree.mask()})
    path = voc / "JPEGImages" / "a.jpg"
    Image.new(mode, (26, 20), 300).save(path, "TIFF")
    for read in (lambda: read_image(path), lambda: VOCSegmentation(voc)[0]):
        with pytest.raises(DataError, match=rf"a\.jpg has mode {mode}, grey levels of more than 8"):
            read()


def test_whatever_error_a_decoder_raises_the_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "photo.png"
    Image.fromarray(scene()).save(path)

    def fail(self):
        raise RuntimeError("Failed to decode frame 0")  # as of a damaged AVIF

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    for read in (read_image, read_mask):
        with pytest.raises(DataError, match=r"photo\.png cannot be read: the picture is damaged"):
            read(path)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow is built without AVIF")
def test_a_damaged_avif_is_named(tmp_path):
    path = tmp_path / "photo.avif"
    Image.fromarray(scene()).save(path)
    content = path.read_bytes()
    start = content.index(b"mdat") + 4
    path.write_bytes(content[:start] + b"\xff" * (len(content) - start))
    with pytest.raises(DataError, match=r"photo\.avif cannot be read: the picture is damaged"):
        read_image(path)


def test_a_folder_of_pictures_holds_what_training_reads(tmp_path):
    names = [f"a{k}{suffix}" for k, suffix in enumerate(IMAGE_SUFFIXES)] + ["b.TIF"]
    for name in [*names, "notes.txt"]:
        (tmp_path / name).touch()
    assert [path.name for path in picture_files(tmp_path)] == names
