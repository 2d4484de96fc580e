"""Data: the generated `Shapes`, folders of photographs and masks, transforms, and the loader.

The names are imported when they are first used: Pillow is not needed to print a help text.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minideconv.data import transforms
    from minideconv.data.balance import balanced_indices
    from minideconv.data.classes import Classes, read_classes
    from minideconv.data.crops import StageOneCrops, StageTwoCrops
    from minideconv.data.loader import DataLoader, Dataset
    from minideconv.data.photographs import Photographs, WithoutMasks
    from minideconv.data.segmentation_folder import SegmentationFolder
    from minideconv.data.shapes import DIFFICULTIES, Difficulty, Shapes
    from minideconv.data.voc import VOCSegmentation, find_voc
    from minideconv.data.voc_colors import VOC_CLASSES, VOID, colorize, overlay, voc_palette
    from minideconv.data.windows import (
        Window,
        box_of,
        cut,
        cut_pair,
        place,
        placement,
        square_window,
        whole_image_window,
    )

__all__ = [
    "DIFFICULTIES",
    "VOC_CLASSES",
    "VOID",
    "Classes",
    "DataLoader",
    "Dataset",
    "Difficulty",
    "Photographs",
    "SegmentationFolder",
    "Shapes",
    "StageOneCrops",
    "StageTwoCrops",
    "VOCSegmentation",
    "Window",
    "WithoutMasks",
    "balanced_indices",
    "box_of",
    "colorize",
    "cut",
    "cut_pair",
    "find_voc",
    "overlay",
    "place",
    "placement",
    "read_classes",
    "square_window",
    "transforms",
    "voc_palette",
    "whole_image_window",
]

_PLACES = {
    "balance": ("balanced_indices",),
    "classes": ("Classes", "read_classes"),
    "crops": ("StageOneCrops", "StageTwoCrops"),
    "loader": ("DataLoader", "Dataset"),
    "photographs": ("Photographs", "WithoutMasks"),
    "segmentation_folder": ("SegmentationFolder",),
    "shapes": ("DIFFICULTIES", "Difficulty", "Shapes"),
    "voc": ("VOCSegmentation", "find_voc"),
    "voc_colors": ("VOC_CLASSES", "VOID", "colorize", "overlay", "voc_palette"),
    "windows": ("Window", "box_of", "cut", "cut_pair", "place", "placement", "square_window",
                "whole_image_window"),
}  # fmt: skip
_LATER = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "transforms" or name in _PLACES:
        return importlib.import_module(f"minideconv.data.{name}")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"minideconv.data.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
