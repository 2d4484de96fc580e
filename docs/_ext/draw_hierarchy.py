"""The pictures of the page on the hierarchical model, from the stored layers and drawings."""

from __future__ import annotations

import json

import numpy as np

from benchmarks.hierarchy import DEFAULTS, LAYER_2, LAYERS, RESULTS
from minideconv.backend import as_device
from minideconv.sparse_coding.hierarchy import looks, stamps, strongest
from minideconv.sparse_coding.hierarchy.command import held_out
from minideconv.sparse_coding.hierarchy.contrast import prepared
from minideconv.sparse_coding.hierarchy.file import load_hierarchy
from minideconv.sparse_coding.hierarchy.junctions import drawing_maps
from minideconv.sparse_coding.hierarchy.pictures import (
    corners_picture,
    firing_picture,
    units_picture,
)
from minideconv.sparse_coding.hierarchy.single import spots, window
from minideconv.sparse_coding.pictures import mosaic
from minideconv.visualize.boards import png_bytes

__all__ = ["draw", "markdown"]

_UNITS, _SHOWN, _DRAWINGS = 6, 6, 16
_HALF = 5

_MARKDOWN = """\
The nine filters of the first layer are pieces of lines, with what contrast normalisation puts
beside a line:

```{image} /generated/hierarchy-layer1.png
:alt: Nine filters of 7 by 7 pixels, pieces of lines in four directions
```

What one number in a map of the second layer becomes in pixels, through both layers' filters. Those
that look like a corner, a T or an X, by the measure below, stand first; noise are units that hardly
ever fired and so did not learn:

```{image} /generated/hierarchy-layer2.png
:alt: 45 projections of 13 by 13 pixels, corners first, then lines and noise
```

The units of the first kind that fire (above), and, of 16 drawings that nothing was learnt from,
the piece at which each fires most strongly (below):

```{image} /generated/hierarchy-units.png
:alt: Projections that are corners, and corners of drawings below them
```

The other way round: one known corner of each of the 16 drawings, the first in the list, not chosen
by eye. Below it the one number of the first layer's maps that puts most into the window, then the
one of the second layer's: a longer piece of a line, in all sixteen. The last row is the one among
the units that are called corners (not T or X) by the measure below. Every window has its own
contrast; one number alone is much fainter than the picture, to which many add up:

```{image} /generated/hierarchy-corners.png
:alt: Sixteen corners; below them pieces of lines, longer ones, and projections that are corners
```

Where six of the units fire on six of the drawings, at the vertex of the projection; the larger a
mark, the stronger:

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
    low = stored["layers"][LAYER_2]["vertex"]["low"]
    level = np.array([-1.0 if v is None else v for v in low])
    lower, projections = stamps(layers[:1]), stamps(layers)
    seen = looks(projections)
    order = np.lexsort((-level, ~seen.junctions))
    corners = [int(unit) for unit in order if seen.junctions[unit] and level[unit] >= 0]
    only = [unit for unit in corners if seen.kinds[unit] == "corner"]
    drawn = held_out(settings, _DRAWINGS)
    images = [one.image for one in drawn]
    pictures = list(prepared(images, np.float64)[:, 0])
    first, second = drawing_maps(layers, drawn, settings.schedule)
    rng = np.random.default_rng(0)
    places = [spots(one, rng)[0][1] for one in drawn]
    shown = [
        [strongest(m, p, at, _HALF).picture for m, at in zip(maps, places, strict=True)]
        for maps, p in (
            (first, lower),
            (second, projections),
            (second[:, only], projections[only]),
        )
    ]
    windows = [window(one, at, _HALF) for one, at in zip(pictures, places, strict=True)]
    firing = firing_picture(
        corners[:_UNITS], projections, list(second[:_SHOWN]), images[:_SHOWN], seen.vertices
    )
    return {
        "hierarchy-layer1.png": png_bytes(mosaic(layers[0].filters, 8)),
        "hierarchy-layer2.png": png_bytes(mosaic(projections[order], 5)),
        "hierarchy-units.png": png_bytes(
            units_picture(corners, projections, list(second), pictures)
        ),
        "hierarchy-corners.png": png_bytes(corners_picture(windows, shown)),
        "hierarchy-firing.png": png_bytes(firing),
    }


def markdown() -> str:
    """Return the part of the page that shows the pictures."""
    return _MARKDOWN if LAYERS.exists() else "No layers are stored yet.\n"
