"""What a network learns: the interface `Task`, a registry of tasks by name, and segmentation."""

from minideconv.tasks.segmentation import Segmentation
from minideconv.tasks.task import (
    Headline,
    Metrics,
    Record,
    Sections,
    Task,
    Trained,
    get,
    of_config,
    register,
)

__all__ = [
    "Headline",
    "Metrics",
    "Record",
    "Sections",
    "Segmentation",
    "Task",
    "Trained",
    "get",
    "of_config",
    "register",
]
