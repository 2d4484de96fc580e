"""The pictures of the page about looking inside, of a network that is trained for them."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

from PIL import Image

from minideconv import train
from minideconv.data import Shapes
from minideconv.visualize.__main__ import main

_SIZE, _IMAGE = 48, 0  # pixels; which of the validation pictures
_TRAINING = [
    *("--train-images", "500", "--val-images", "10", "--epochs", "4", "--width", "8"),
    *("--image-size", str(_SIZE), "--input-size", str(_SIZE), "--device", "cpu", "-q"),
    *("--final-images", "0", "--images", "0"),
]
_COMMANDS = {
    "activations": [],
    "units": ["--layer", "conv3_3"],
    "saliency": [],
}


def write_pictures(folder: Path) -> None:
    """Write inside-NAME.png for each command, and the page with the slider, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        run, image = f"{scratch}/run", Path(scratch) / "shapes.png"
        if train.main([*_TRAINING, "--output-dir", run]):
            raise RuntimeError("the network of docs/looking_inside.md could not be trained")
        shapes = Shapes("val", length=_IMAGE + 1, size=_SIZE)
        Image.fromarray(shapes[_IMAGE][0]).save(image)
        for name, options in _COMMANDS.items():
            arguments = [name, run, str(image), *options, "-o", scratch, "--device", "cpu", "-q"]
            if main(arguments):
                raise RuntimeError(f"python -m minideconv.visualize {' '.join(arguments)} failed")
            for made in sorted(Path(scratch).glob(f"shapes_{name}*")):
                if made.suffix in (".png", ".html"):
                    (folder / f"inside-{name}{made.suffix}").write_bytes(made.read_bytes())
