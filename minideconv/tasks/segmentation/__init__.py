"""Semantic segmentation: one class for every pixel."""

from minideconv.tasks.segmentation.task import Segmentation

__all__ = ["Segmentation"]
