"""The pictures of the README and of the first page, in docs/images: stamps.gif and drawings.png.

    python docs/_ext/readme_pictures.py           write both
    python docs/_ext/readme_pictures.py --check   fail if they are not what would be written

`stamps.gif` is a transposed convolution of 3 by 3 pixels. `drawings.png` has drawings that the page
to play with was not trained on, the network's masks of them, and the true ones; the network is that
of docs/play/weights.js. Photographs of a data set may not go into the project, drawings may.
"""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import play_drawings
import play_network
from pages import DOCS
from PIL import Image, ImageSequence

from minideconv.files.atomic import replace_file
from minideconv.visualize.animation.files import animation_gif
from minideconv.visualize.animation.frames import frames
from minideconv.visualize.animation.geometry import geometry
from minideconv.visualize.boards import board, enlarged, png_bytes, titled
from minideconv.visualize.figures.style import HUES

__all__ = ["FOLDER", "PICTURES", "stale", "write_all"]

FOLDER = DOCS / "images"
SHOWN = 7  # drawings, beginning with the first of the test set
COLOURS = np.array(
    [(245, 245, 245), *(tuple(bytes.fromhex(hue[1:])) for hue in HUES[:3])], np.uint8
)
SIDE = 96  # pixels: two for each of a drawing


def animation() -> bytes:
    """Return the GIF: nine stamps of stride 2 and what they add up to."""
    case = geometry("conv_transpose", 3, 3, stride=2, padding=1, output_padding=1)
    return animation_gif(frames(case), seconds=0.8)


def drawings() -> bytes:
    """Return the PNG: drawings, the network's masks below them, and the true ones."""
    _, _, text = play_network.WEIGHTS.read_text(encoding="utf-8").partition(play_network.NAME)
    steps = play_network.read(json.loads(text.rstrip().removesuffix(";")))
    ink, masks = play_drawings.drawings(play_network.TEST[0], SHOWN)
    scores = play_network.forward(steps, ink)[steps[-1]["name"]]
    paper = np.repeat(np.uint8(245 * (1 - ink[:, 0]))[..., None], 3, axis=3)
    rows = {
        "drawings": paper,
        "the masks of a small DeconvNet": COLOURS[scores.argmax(axis=1)],
        "the true masks": COLOURS[masks],
    }
    strips = [
        titled(name, board([[enlarged(picture, SIDE) for picture in row]]))
        for name, row in rows.items()
    ]
    return png_bytes(np.concatenate(strips))


def write_all() -> None:
    """Write both files."""
    for name, make in PICTURES.items():
        content = make()
        replace_file(FOLDER / name, content)
        print(f"{name}: {len(content):,} bytes")


def stale() -> list[str]:
    """Return the names of files that show something else than what would be written.

    Two libraries may smooth a letter or an edge differently; a hundredth of all values may differ.
    """
    old = []
    for name, make in PICTURES.items():
        kept, made = _pixels((FOLDER / name).read_bytes()), _pixels(make())
        if kept.shape != made.shape or (abs(kept - made) > 32).mean() > 0.01:
            old.append(name)
    return old


def _pixels(content: bytes) -> np.ndarray:
    """Return all frames of a picture, (frames, H, W, 3)."""
    shown = ImageSequence.Iterator(Image.open(io.BytesIO(content)))
    return np.stack([np.asarray(frame.convert("RGB"), np.int16) for frame in shown])


PICTURES = {"stamps.gif": animation, "drawings.png": drawings}


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(f"stale: {', '.join(stale())}" if stale() else 0)
    write_all()
