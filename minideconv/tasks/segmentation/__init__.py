"""Semantic segmentation: one class for every pixel."""

from minideconv.segmentation.agreement import train_eval_agreement
from minideconv.tasks.segmentation.task import Segmentation

__all__ = ["Segmentation", "train_eval_agreement"]
