"""The pictures of the page on sparse coding, from the stored dictionary and a drawn picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.sparse_restoration import DICTIONARY
from minideconv.sparse_coding import Problem, code, denoise, inpaint
from minideconv.sparse_coding.dictionary_file import read_filters
from minideconv.sparse_coding.orientation import coherence
from minideconv.sparse_coding.pictures import map_picture, mosaic, to_uint8
from minideconv.visualize.boards import board, png_bytes

__all__ = ["draw", "markdown"]

_MARKDOWN = """\
The dictionary that the benchmark of restoration, below, learns from 20 photographs, its filters
ordered by how oriented they are:

```{image} /generated/sparse-dictionary.png
:alt: 64 filters of 8 by 8 pixels
```

What it does with a picture that is drawn. Above: the picture; where maps are active (the sum of
their absolute values); the reconstruction. In the middle: the picture, with noise of sigma 25,
denoised. Below: the picture, half of its pixels hidden, filled in.

```{image} /generated/sparse-coding.png
:alt: A drawn house, fence and sun: activity of the maps, reconstruction, denoised and filled in
```
"""

SIDE, ZOOM = 96, 2
SPARSITY, SMOOTHNESS = 0.1, 5.0
"""Of the coded picture: the defaults of `learn`."""


def scene() -> np.ndarray:
    """Draw a roof, a window, a sun and some light: (1, SIDE, SIDE) in [0, 1]."""
    scale = 4
    picture = Image.new("L", (SIDE * scale, SIDE * scale), 150)
    draw = ImageDraw.Draw(picture)
    draw.polygon([(40, 200), (150, 90), (260, 200)], fill=70)
    draw.rectangle([60, 200, 240, 340], fill=205)
    draw.rectangle([100, 230, 150, 290], fill=40, outline=240, width=8)
    draw.rectangle([180, 230, 220, 340], fill=95)
    draw.ellipse([280, 30, 350, 100], fill=245)
    for x in range(272, 372, 18):
        draw.line([x, 340, x + 8, 230], fill=50, width=6)
    small = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    light = np.linspace(-0.12, 0.12, SIDE)[None, :]
    return (np.clip(np.asarray(small) / 255 + light, 0, 1)[None]).astype(np.float32)


def draw() -> dict[str, bytes]:
    """Return PNG files by name; none while no dictionary is stored."""
    if not DICTIONARY.exists():
        return {}
    filters, _ = read_filters(DICTIONARY)
    order = np.argsort(-coherence(filters))
    image = scene()
    coding = code(Problem(image[None], SPARSITY, None, SMOOTHNESS), filters)
    rng = np.random.default_rng(0)
    noisy = (image + 25 / 255 * rng.standard_normal(image.shape)).astype(np.float32)
    known = rng.random(image.shape[1:]) >= 0.5
    holes = np.where(known, image, np.float32(0))
    rows = [
        [to_uint8(image), map_picture(coding.maps[0]), to_uint8(coding.reconstruction[0])],
        [to_uint8(image), to_uint8(noisy), to_uint8(denoise(noisy, filters, 25 / 255))],
        [to_uint8(image), to_uint8(holes), to_uint8(inpaint(image, known, filters))],
    ]
    large = [[one.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1) for one in row] for row in rows]
    return {
        "sparse-dictionary.png": png_bytes(mosaic(filters[order])),
        "sparse-coding.png": png_bytes(board(large)),
    }


def markdown() -> str:
    """Return the part of the page that shows the pictures."""
    return _MARKDOWN if DICTIONARY.exists() else "No dictionary is stored yet.\n"
