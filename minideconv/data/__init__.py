"""Data: the generated `Shapes`, folders of photographs and masks, transforms, and the loader."""

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
