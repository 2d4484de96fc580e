"""The activation maps as a page with a slider: one HTML file, which holds its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minideconv.visualize.activation_maps import Panel
from minideconv.visualize.boards import Image, png_bytes
from minideconv.visualize.html import Html, embedded, joined, read_templates

__all__ = ["slider_page"]

_TEMPLATES = Path(__file__).with_name("slider.html")
_TEXT = (
    "The most active map of each layer, from the smallest to the size of the image; the slider goes"
    " through them. On the left the photograph; at an unpooling it shows the switches: a dot where"
    " a value of that map is put, and a line from the middle of its window."
)


def slider_page(
    name: str, photograph: Image, panels: Sequence[Panel], prediction: Image | None
) -> Html:
    """Return the page as HTML text; it refers to nothing outside itself.

    Parameters
    ----------
    name : str
        Its heading.
    photograph : (S, S, 3) uint8
        What is on the left of a layer without switches.
    panels : sequence of Panel
        From `activation_panels`.
    prediction : (S, S, 3) uint8, optional
        The last picture.
    """
    templates = read_templates(_TEMPLATES)
    plain = embedded(png_bytes(photograph), "the photograph without any marks")

    def figure(left: Html, picture: Image, caption: str, text: str = "") -> Html:
        right = embedded(png_bytes(picture), text or caption)
        return templates["figure"].fill({"left": left, "right": right, "caption": caption})

    figures = []
    for panel in panels:
        left = plain
        if panel.switches is not None:
            left = embedded(
                png_bytes(panel.switches), f"the photograph with the switches of {panel.layer}"
            )
        figures.append(figure(left, panel.map, panel.caption))
    if prediction is not None:
        text = "the photograph with the predicted classes on it"
        figures.append(figure(plain, prediction, "prediction", text))
    shown = {"last": len(figures) - 1, "figures": joined(figures, "\n")}
    return templates["page"].fill({"title": name, "text": _TEXT, **shown})
