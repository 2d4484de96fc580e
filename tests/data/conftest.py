"""Fixtures: tiny VOCdevkit folders, and the real subset where it is there."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from minideconv.data.voc_colors import voc_palette

SUBSET = Path(
    os.environ.get("MINIDECONV_VOC")
    or Path(__file__).resolve().parents[3] / "shared" / "voc-subset" / "VOC2012"
)


def save_palette(path: Path, indices: np.ndarray, palette: np.ndarray | None = None) -> None:
    """Write indices as a palette PNG, in VOC's colours or `palette`."""
    picture = Image.fromarray(indices.astype(np.uint8), mode=None).convert("L")
    picture = Image.frombytes("P", picture.size, picture.tobytes())
    picture.putpalette((voc_palette() if palette is None else palette).astype(np.uint8).tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def make_voc(root: Path, masks: dict[str, np.ndarray], split: str = "train", seed: int = 0) -> Path:
    """A VOC2012 folder with one random photograph per mask, and a list `split` of all of them."""
    rng = np.random.default_rng(seed)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        height, width = mask.shape
        coarse = rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
        photo = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
        photo.save(root / "JPEGImages" / f"{name}.jpg", quality=95)
        save_palette(root / "SegmentationClass" / f"{name}.png", mask)
    text = "".join(f"{name}\n" for name in masks)
    (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text(text)
    return root


def square_mask(label: int = 3, height: int = 20, width: int = 26) -> np.ndarray:
    """A mask with one 8 x 10 object with a void border in it."""
    mask = np.zeros((height, width), np.uint8)
    mask[4:14, 5:17] = 255
    mask[5:13, 6:16] = label
    return mask


@pytest.fixture
def tree():
    """Make VOC folders: tree.make, tree.save, tree.mask."""
    return SimpleNamespace(make=make_voc, save=save_palette, mask=square_mask)


@pytest.fixture(scope="session")
def voc_subset() -> Path:
    """The folder with the real subset; tests that ask for it skip where it is absent."""
    if not SUBSET.is_dir():
        pytest.skip(f"real VOC images are not at {SUBSET}; set MINIDECONV_VOC to a VOC2012 folder")
    return SUBSET
