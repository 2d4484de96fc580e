"""What a network learns: the interface `Task`, tasks by name, segmentation and auto-encoding."""

from minideconv.tasks.autoencoder import Autoencode
from minideconv.tasks.inference import InferenceSettings
from minideconv.tasks.registry import (
    get,
    inference_of,
    inference_settings,
    of_config,
    register,
)
from minideconv.tasks.results import MainMetric, Metrics, ReportSections, RunRecord
from minideconv.tasks.segmentation import Segmentation
from minideconv.tasks.task import Task, Trained

__all__ = [
    "Autoencode",
    "InferenceSettings",
    "MainMetric",
    "Metrics",
    "ReportSections",
    "RunRecord",
    "Segmentation",
    "Task",
    "Trained",
    "get",
    "inference_of",
    "inference_settings",
    "of_config",
    "register",
]
