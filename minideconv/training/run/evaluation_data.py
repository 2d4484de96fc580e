"""The images on which a trained network is used: those of its run, or others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minideconv.errors import UsageError
from minideconv.tasks import Trained
from minideconv.training.config import TrainConfig
from minideconv.training.run.checkpoint import check_run_header

__all__ = ["evaluation_data"]


def evaluation_data(
    trained: Trained, split: str | None, changes: Mapping[str, Any]
) -> tuple[Any, str]:
    """Build an image list for a trained network; what is not given is as in its run.

    Parameters
    ----------
    trained : Trained
    split : str, optional
        The list's name; None for the run's validation list.
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
        If there is no such data, or the network was trained for something else.
    CheckpointError
        If its checkpoint is not of a training run, and so does not say on which data.
    """
    check_run_header(trained.header, trained.path)
    own = trained.header["config"]
    elsewhere: dict[str, Any] = {}
    if "data_root" in changes:  # its layout is that of its files, unless it is given
        elsewhere = {"data": "auto", **dict.fromkeys(trained.task.data_settings)}
    config = TrainConfig.from_dict({**own, **elsewhere, **changes})
    if elsewhere:
        config = trained.task.other_data(config)
    split = split or config.val_split
    count = {config.train_split: config.train_images, config.val_split: config.val_images}
    same = config.data == own["data"]
    images = trained.task.dataset(config, split, count.get(split, 0) if same else 0)
    if problem := trained.task.data_mismatch(images):
        raise UsageError(f"{trained.path} {problem}")
    return images, f"{config.data} {split}"
