"""The report's slider through the layers of the decoder; its HTML is in layer_slider.html."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minideconv.files.reading import read_json
from minideconv.files.schema import Mismatch
from minideconv.tasks.segmentation.record import check_layers
from minideconv.visualize.html import Html, PictureRoom, attributes, image, joined, read_templates

__all__ = ["layer_slider"]

_GIVEN = ("image", "truth", "prediction")


def layer_slider(pictures: Path, room: PictureRoom) -> Html:
    """Return the section: what layers.json lists in the folder `pictures`; "" without that file.

    Without a script all layers are shown below each other.

    Raises
    ------
    Mismatch
        If the file is damaged.
    """
    index = pictures / "layers.json"
    if not index.exists():
        return Html()
    try:
        found = read_json(index)
    except OSError as error:
        raise Mismatch(f"pictures/{index.name} cannot be read: {error.strerror}") from error
    check_layers(found)
    if not any(one["layers"] for one in found):
        return Html()
    templates = read_templates(Path(__file__).with_suffix(".html"))

    def shown(file: str, description: str) -> Html:
        return image(pictures / file, description, "pixels", pictures.parent, room)

    def layer(name: str, place: int, one: dict[str, Any]) -> Html:
        maps = ", ".join(map(str, one["maps"]))
        description = f"the most active maps of {one['name']} for {name}"
        return templates["layer"].fill(
            {
                **{"place": place, "layer": one["name"], "maps": maps},
                **{key: one[key] for key in ("height", "width", "channels")},
                "picture": shown(one["file"], description),
            }
        )

    images, choices = [], []
    for number, one in enumerate(found):
        given = [
            templates["given"].fill(
                {"what": what, "picture": shown(one[what], f"{what} of {one['name']}")}
            )
            for what in _GIVEN
        ]
        layers = [layer(one["name"], place, each) for place, each in enumerate(one["layers"])]
        parts = {"number": number, "pictures": joined(given), "layers": joined(layers)}
        images.append(templates["image"].fill(parts))
        checked = attributes({"checked": "checked" if number == 0 else ""})
        choices.append(
            templates["choice"].fill({"number": number, "checked": checked, "name": one["name"]})
        )
    last = max(len(one["layers"]) for one in found) - 1
    return templates["section"].fill(
        {"last": last, "choices": joined(choices), "images": joined(images, "\n")}
    )
