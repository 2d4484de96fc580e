"""From settings to images: data sets, and loaders of training examples.

What tasks that learn from images of ``--data`` have in common. ``config`` is a `TrainConfig`, of
which the fields about data, batches, the network's input and memory are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minideconv import data
from minideconv.data import transforms
from minideconv.data.shard import Subset
from minideconv.data.voc import open_folder
from minideconv.errors import DataError
from minideconv.settings.run import RunConfig
from minideconv.settings.setting import refusal
from minideconv.settings.sizes import parse_size

__all__ = ["bad_root", "cache_limit", "choose", "dataset", "loader", "normalization_to_dict"]

_CHOICE = 1  # a stream of random numbers of its own


def dataset(config: RunConfig, split: str, count: int = 0) -> Any:
    """Build the image list `split` of the run's data, or its first `count` images.

    Raises
    ------
    UsageError
        If the data root is missing, is not in the layout, or has no such image list.
    DataError
        If no mask of the list shows an object.
    """
    if config.data == "shapes":
        sampled = config.sample_images and split == config.train_split
        shapes = data.Shapes(
            split,
            length=None if sampled else count or None,
            size=config.image_size,
            difficulty=config.difficulty,
            cache_mb=cache_limit(config, 256),
        )
        return choose(config, shapes, split, count) if sampled else shapes
    root = Path(config.data_root or "")
    try:
        found = open_folder(config, split, cache_limit(config, 512))
    except DataError as error:
        raise bad_root(root, error) from error
    found.check_objects(0 if config.sample_images else count)
    return choose(config, found, split, count)


def bad_root(root: Path, error: DataError) -> Exception:
    """Return the error of a folder or list that is not there: a wrong option, not a bad file."""
    wrong = f"{root}: {error}"
    return refusal(lambda name: f"{name('data_root')} {wrong}")


def choose(config: RunConfig, found: Any, split: str, count: int) -> Any:
    """Return the first `count` images of a data set, or some that the seed chooses; 0: all.

    Of two counts, the smaller one's images are among the greater one's.
    """
    if not count:
        return found
    chosen: Any = range(min(count, len(found)))
    if config.sample_images and split == config.train_split:
        order = np.random.default_rng([config.seed, _CHOICE]).permutation(len(found))
        chosen = sorted(order[:count].tolist())
    return Subset(found, chosen)


def normalization_to_dict(step: transforms.Normalize) -> dict[str, Any]:
    """Return the arguments of a `Normalize` as plain JSON, for a checkpoint's header."""
    return {"mean": [float(v) for v in step.mean], "scale": step.scale, "bgr": step.bgr}


def loader(
    config: RunConfig,
    samples: Any,
    step: transforms.Normalize,
    seed: int,
    cache_mb: float = 256,
    workers: int = 1,
    **options: Any,
) -> data.DataLoader:
    """Build a loader of training examples: augmented, shuffled, in full batches.

    Each sample occurs ``config.repeats`` times in an epoch.

    Examples at the network's size are kept as bytes, up to `cache_mb` MiB: each photograph is
    decoded, cut and resized once a run. `workers` threads prepare the batches. Other options are
    the `DataLoader`'s: `as_bytes`, `shard`, `processes`.

    Raises
    ------
    UsageError
        If there are fewer samples than a batch needs.
    """
    if config.repeats > 1:
        samples = Subset(samples, [*range(len(samples))] * config.repeats)
    return data.DataLoader(
        samples,
        batch_size=config.batch_size,
        transform=_augmentation(config, step),
        shuffle=True,
        seed=seed,
        workers=workers,
        # Batch norm behind fc6 sees one value per image: a last batch of one image has no variance.
        drop_last=True,
        cache_mb=cache_limit(config, cache_mb),
        views=config.views_in_use,
        **options,
    )


def cache_limit(config: RunConfig, most: float) -> float:
    """Return the MiB that a cache of samples may have: with a budget, a sixteenth of it."""
    if config.memory_budget is None:
        return most
    return min(most, parse_size(config.memory_budget) / 16 / 2**20)


def _augmentation(config: RunConfig, step: transforms.Normalize) -> transforms.Transform:
    """Return what turns a crop into a training example."""
    size = config.input_size
    if config.augment == "none":
        return transforms.paper_eval(size, step)
    if config.augment == "paper":
        return transforms.paper_train(size, step)
    whole, resize, crop, flip, normalize = transforms.paper_train(size, step).transforms
    if config.augment == "zoom":
        return transforms.Compose([whole, transforms.RandomZoom(size), flip, normalize])
    scale, colour = transforms.RandomScale(0.8, 1.25), transforms.ColorJitter(0.3, 0.3, 0.3)
    return transforms.Compose([whole, resize, scale, crop, flip, colour, normalize])
