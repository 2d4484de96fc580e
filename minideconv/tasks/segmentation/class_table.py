"""The table of each class's IoU over the validations of a run; its HTML is in class_table.html."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv.data.shard import spread
from minideconv.tasks.segmentation.class_curves import Curve, class_curves, spark
from minideconv.visualize.html import Html, joined, percent, read_templates

__all__ = ["class_table"]

_MOST_EPOCHS, _MOST_CLASSES = 8, 64


def class_table(validated: Sequence[dict[str, Any]], names: Sequence[str]) -> Html:
    """Return the section: a curve and the numbers of some epochs for each class.

    Parameters
    ----------
    validated : sequence of dict
        The epochs' lines of metrics.jsonl that have a validation.
    names : sequence of str
        Of the classes; of a large number the first 64 are shown.
    """
    curves = class_curves(validated, len(names))
    top = max((v for curve in curves for _, v in curve if v is not None), default=0.0)
    if top <= 0:
        return Html()
    templates = read_templates(Path(__file__).with_suffix(".html"))
    places = spread(len(curves[0]), _MOST_EPOCHS)

    def row(name: str, curve: Curve) -> Html:
        cells = [
            templates["cell"].fill({"share": f"{value or 0.0:.3f}", "value": percent(value)})
            for value in (curve[place][1] for place in places)
        ]
        picture = spark(curve, curves[0][0][0], curves[0][-1][0], top)
        return templates["row"].fill({"name": name, "picture": picture, "cells": joined(cells)})

    shown = list(zip(names, curves, strict=True))[:_MOST_CLASSES]
    return templates["section"].fill(
        {
            "first": curves[0][0][0],
            "last": curves[0][-1][0],
            "top": percent(top),
            "heads": joined(
                templates["head"].fill({"epoch": curves[0][place][0]}) for place in places
            ),
            "rows": joined(row(name, curve) for name, curve in shown),
        }
    )
