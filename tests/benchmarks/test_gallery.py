"""Masks side by side: their places, what is said of them, and that data sets stay at home."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import gallery
from minideconv.data.voc_colors import colorize
from minideconv.errors import UsageError
from minideconv.visualize.boards import TITLE

pytestmark = pytest.mark.cpu


def test_the_validation_images_masks_without_the_images(runs, tmp_path, capsys):
    out = tmp_path / "masks.png"
    assert gallery.main([*runs, "--images", "3", "--flip", "--output", str(out)]) == 0
    about = json.loads(out.with_suffix(".json").read_text())
    assert about["columns"] == ["FCN-8s", "DeconvNet", "ensemble", "ensemble + CRF"]
    assert len(about["images"]) == 3
    for image in about["images"]:
        assert set(image["rows"]) == set(about["columns"])
        assert all(0 <= row["mean_iou"] <= 1 for row in image["rows"].values())
    assert "3 images in" in capsys.readouterr().out
    # Two images beside each other, four masks of 80 pixels (40, doubled) each, 4 pixels between.
    with Image.open(out) as picture:
        titles = TITLE
        assert picture.size == (8 * 112 + 7 * 4, titles + 2 * (4 + 80))
        pixels = np.asarray(picture.convert("RGB"))
    colours = {tuple(c) for c in pixels[titles:].reshape(-1, 3)}
    assert colours <= {tuple(c) for c in colorize(np.arange(5))} | {
        (255, 255, 255)
    }  # masks, and gaps
    # A title above each of the eight masks.
    for column in range(8):
        assert (pixels[:titles, 116 * column : 116 * column + 112] < 128).any()


def test_photographs_are_shown_in_front_of_their_masks(runs, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 150, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "noise.png")
    out = tmp_path / "shown.png"
    arguments = [*runs, "--photographs", str(folder), "--output", str(out)]
    assert gallery.main(arguments) == 0
    with Image.open(out) as picture:
        assert picture.size == (5 * 150 + 4 * 4, TITLE + 4 + 60)
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB"))[-60:, :150], pixels)
    (image,) = json.loads(out.with_suffix(".json").read_text())["images"]
    assert image["image"] == "noise"
    assert "mean_iou" not in image["rows"]["ensemble"]


def test_classes_of_few_pixels_are_not_named():
    mask = np.zeros((10, 20), np.uint8)
    mask[0, :2], mask[1, :1] = 1, 2  # 1 % and less
    found = gallery._about({"way": mask}, None, ["background", "cat", "dog"])
    assert found == {"way": {"classes": ["cat"]}}


def test_bad_arguments(runs, tmp_path):
    with pytest.raises(UsageError, match="1 network; two at least are shown side by side"):
        gallery.main([runs[0], "--output", "a.png"])
    with pytest.raises(UsageError, match=r"--output is a\.jpg; its name must end in \.png"):
        gallery.main([*runs, "--output", "a.jpg"])
    with pytest.raises(UsageError, match="no JPEG, PNG, WebP, TIFF or BMP file is in it"):
        gallery.main([*runs, "--photographs", str(tmp_path), "--output", "a.png"])
    missing = ["--photographs", str(tmp_path / "none")]
    with pytest.raises(UsageError, match=r"--photographs .*none: there is no such folder"):
        gallery.main([*runs, *missing, "--output", "a.png"])
    with pytest.raises(UsageError, match=r"--output .*a\.png: there is no folder .*none"):
        gallery.main([*runs, "--output", str(tmp_path / "none" / "a.png")])
