"""Data: the generated `Shapes`, PASCAL VOC folders, transforms, and the loader."""

from minideconv.data import transforms
from minideconv.data.balance import balanced_indices
from minideconv.data.crops import StageOneCrops, StageTwoCrops
from minideconv.data.loader import DataLoader, Dataset
from minideconv.data.photographs import Photographs, WithoutMasks
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
    "DataLoader",
    "Dataset",
    "Difficulty",
    "Photographs",
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
    "square_window",
    "transforms",
    "voc_palette",
    "whole_image_window",
]
