"""What a network learns: the interface `Task`, a registry of tasks by name, and segmentation."""

from minideconv.tasks.registry import get, inference_settings, of_config, register
from minideconv.tasks.results import MainMetric, Metrics, ReportSections, RunRecord
from minideconv.tasks.segmentation import Segmentation
from minideconv.tasks.task import Task, Trained

__all__ = [
    "MainMetric",
    "Metrics",
    "ReportSections",
    "RunRecord",
    "Segmentation",
    "Task",
    "Trained",
    "get",
    "inference_settings",
    "of_config",
    "register",
]
