"""A `Picture` as a file."""

from __future__ import annotations

from pathlib import Path

from minideconv.files.atomic import replace_file
from minideconv.visualize.boards import png_bytes
from minideconv.visualize.figures.alt import checked_alt
from minideconv.visualize.figures.picture import Picture
from minideconv.visualize.figures.raster import raster
from minideconv.visualize.figures.svg import svg_text

__all__ = ["save_picture"]


def save_picture(picture: Picture, path: str | Path, *, alt: str) -> None:
    """Write a picture to a file: ``.svg``, or ``.png`` of twice its size in pixels.

    Parameters
    ----------
    picture : Picture
    path : str or Path
    alt : str
        What the picture shows, in a sentence; it is in the SVG.

    Raises
    ------
    ValueError
        If the name ends otherwise, or the text says nothing (`checked_alt`).
    """
    ending = Path(path).suffix.lower()
    if ending not in (".svg", ".png"):
        raise ValueError(f"save_picture: {Path(path).name} must end in .svg or .png")
    alt = checked_alt(alt)
    svg = ending == ".svg"
    replace_file(path, svg_text(picture, alt).encode() if svg else png_bytes(raster(picture, 2)))
