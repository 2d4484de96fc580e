"""The report's slider through the layers of the decoder; its HTML is in layer_slider.html."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv.files.reading import read_json
from minideconv.files.schema import Mismatch, file_name, list_of, table, text, whole
from minideconv.visualize.html import Html, PictureRoom, attributes, image, joined, read_templates

__all__ = ["layer_slider", "slider_style"]

_HERE = Path(__file__)
_LAYER = table(
    {
        **{"name": text, "file": file_name, "maps": list_of(whole(), most=100)},
        **{"channels": whole(), "height": whole(), "width": whole()},
    }
)


def slider_style() -> str:
    """Return the style sheet of the section."""
    return _HERE.with_suffix(".css").read_text(encoding="utf-8")


def layer_slider(pictures: Path, given: Sequence[str], room: PictureRoom) -> Html:
    """Return the section: what layers.json lists in the folder `pictures`; "" without that file.

    Beside the layers of an image stand its pictures with the names `given`. Without a script all
    layers are shown below each other.

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
    files = dict.fromkeys(given, file_name)
    one_image = table({"name": text, **files, "layers": list_of(_LAYER, most=100)})
    list_of(one_image, most=20)(found, index.name)
    if not any(one["layers"] for one in found):
        return Html()
    templates = read_templates(_HERE.with_suffix(".html"))

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
        beside = [
            templates["given"].fill(
                {"what": what, "picture": shown(one[what], f"{what} of {one['name']}")}
            )
            for what in given
        ]
        layers = [layer(one["name"], place, each) for place, each in enumerate(one["layers"])]
        parts = {"number": number, "pictures": joined(beside), "layers": joined(layers)}
        images.append(templates["image"].fill(parts))
        checked = attributes({"checked": "checked" if number == 0 else ""})
        choices.append(
            templates["choice"].fill({"number": number, "checked": checked, "name": one["name"]})
        )
    last = max(len(one["layers"]) for one in found) - 1
    return templates["section"].fill(
        {"last": last, "choices": joined(choices), "images": joined(images, "\n")}
    )
