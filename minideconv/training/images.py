"""The two lists of images that a run uses, opened and looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minideconv import tasks
from minideconv.training.config import TrainConfig

__all__ = ["open_images"]


def open_images(
    config: TrainConfig, train_data: Any, val_data: Any, say: Callable[[str], None]
) -> tuple[Any, Any]:
    """Return the training and the validation list, all of whose files were looked at.

    Parameters
    ----------
    config : TrainConfig
        Names the lists.
    train_data, val_data : data sets or None
        Used instead of those that it names.
    say : callable
        Takes remarks about the files.

    Raises
    ------
    UsageError
        If there is no such list.
    DataError
        If files cannot be used; it names them.
    """
    kind = tasks.get(config.task)
    if train_data is None:
        train_data = kind.dataset(config, config.train_split, config.train_images)
    if val_data is None:
        val_data = kind.dataset(config, config.val_split, config.val_images)
    lists = {config.train_split: train_data, config.val_split: val_data}
    if len(lists) == 1:  # one list, of which each takes a part
        lists = {config.train_split: max(train_data, val_data, key=len)}
    kind.check_images(config, lists, say)
    return train_data, val_data
