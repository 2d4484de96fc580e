"""The hierarchical deconvolutional network of Zeiler et al. (2010): layers of maps.

The first layer codes pictures, each other one the maps of the layer below it.

Start at `layer`, then `shrink` and `connections`. `drawings`, `shapes`, `junctions` and `single`
measure whether the second layer's units are corners. The command is ``python -m
minideconv.sparse_coding hierarchy``.
"""

from minideconv.sparse_coding.hierarchy.connections import connect
from minideconv.sparse_coding.hierarchy.contrast import normalize_contrast
from minideconv.sparse_coding.hierarchy.drawings import Drawing, drawings
from minideconv.sparse_coding.hierarchy.junctions import Selectivity, fit_points, measure
from minideconv.sparse_coding.hierarchy.layer import (
    Layer,
    decode,
    find_maps,
    normalize_planes,
    stamps,
)
from minideconv.sparse_coding.hierarchy.shapes import Looks, looks
from minideconv.sparse_coding.hierarchy.shrink import power_shrink
from minideconv.sparse_coding.hierarchy.single import Single, strongest

__all__ = [
    "Drawing",
    "Layer",
    "Looks",
    "Selectivity",
    "Single",
    "connect",
    "decode",
    "drawings",
    "find_maps",
    "fit_points",
    "looks",
    "measure",
    "normalize_contrast",
    "normalize_planes",
    "power_shrink",
    "stamps",
    "strongest",
]
