"""The pictures of the page on the hierarchical model, from the stored layers and drawings."""

from __future__ import annotations

import json

import numpy as np

from benchmarks.hierarchy import DEFAULTS, LAYERS, RESULTS
from minideconv.backend import as_device
from minideconv.sparse_coding.hierarchy import drawings, find_maps, stamps
from minideconv.sparse_coding.hierarchy.contrast import prepared
from minideconv.sparse_coding.hierarchy.file import load_hierarchy
from minideconv.sparse_coding.hierarchy.pictures import firing_picture
from minideconv.sparse_coding.pictures import mosaic
from minideconv.visualize.boards import png_bytes

__all__ = ["draw", "markdown"]

_UNITS, _SHOWN = 6, 6

_MARKDOWN = """\
The nine filters of the first layer are pieces of lines, with what contrast normalisation puts
beside a line:

```{image} /generated/hierarchy-layer1.png
:alt: Nine filters of 7 by 7 pixels, pieces of lines in four directions
```

What one number in a map of the second layer becomes in pixels, through both layers' filters; the
units that prefer corners and junctions most, by the measure below, stand first:

```{image} /generated/hierarchy-layer2.png
:alt: 45 projections of 13 by 13 pixels, corners and crossings among pieces of lines
```

Where the first six of these fire on drawings that nothing was learnt from; the larger a mark, the
stronger:

```{image} /generated/hierarchy-firing.png
:alt: Six units, and where each fires on six drawings
```
"""


def draw() -> dict[str, bytes]:
    """Return PNG files by name; none while no layers are stored."""
    if not (RESULTS.exists() and LAYERS.exists()):
        return {}
    layers, settings, _ = load_hierarchy(LAYERS, as_device("cpu"))
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))["variants"][DEFAULTS]
    low = np.array([-1.0 if v is None else v for v in stored["layers"][1]["low"]])
    order = np.argsort(-low, kind="stable")
    drawn = drawings(_SHOWN, settings.side, settings.seed, first=settings.drawings)
    pictures = [one.image for one in drawn]
    inputs = prepared(pictures, layers[0].filters.dtype)
    maps = list(find_maps(layers, inputs, settings.schedule))
    projections = stamps(layers)
    units = [int(unit) for unit in order[:_UNITS]]
    return {
        "hierarchy-layer1.png": png_bytes(mosaic(layers[0].filters, 8)),
        "hierarchy-layer2.png": png_bytes(mosaic(projections[order], 5)),
        "hierarchy-firing.png": png_bytes(firing_picture(units, projections, maps, pictures)),
    }


def markdown() -> str:
    """Return the part of the page that shows the pictures."""
    return _MARKDOWN if LAYERS.exists() else "No layers are stored yet.\n"
