"""The images on which a trained network is used: those of its run, or others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minideconv.tasks import Trained
from minideconv.training.config import TrainConfig

__all__ = ["evaluation_data"]


def evaluation_data(trained: Trained, split: str, changes: Mapping[str, Any]) -> tuple[Any, str]:
    """Build an image list for a trained network; what is not given is as in its run.

    Parameters
    ----------
    trained : Trained
    split : str
        The list's name.
    changes : mapping
        Settings that are not those of the run, ``data`` and ``data_root`` for example.

    Returns
    -------
    images : data set
    what : str
        What it is, in words.

    Raises
    ------
    UsageError
        If there is no such data.
    """
    own = trained.header["config"]
    config = TrainConfig.from_dict({**own, **changes})
    count = {config.train_split: config.train_images, config.val_split: config.val_images}
    same = config.data == own["data"]
    images = trained.task.dataset(config, split, count.get(split, 0) if same else 0)
    return images, f"{config.data} {split}"
