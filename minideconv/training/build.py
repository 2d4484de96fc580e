"""From settings to objects: data sets, loaders, the network, its optimiser and schedule.

Every function reads a `TrainConfig`, or the header of a checkpoint, and nothing else, so that
training, evaluation and prediction build the same things from the same words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minideconv import data, models, optim
from minideconv.data import transforms
from minideconv.data.crops import StageOneCrops, StageTwoCrops
from minideconv.errors import DataError
from minideconv.nn import Module
from minideconv.settings.run import OptimizationSettings
from minideconv.settings.setting import refusal
from minideconv.settings.sizes import parse_size
from minideconv.training.config import TrainConfig

__all__ = [
    "Subset",
    "crops",
    "dataset",
    "loader",
    "model",
    "normalization_to_dict",
    "normalize",
    "optimizer",
    "schedule",
]


class Subset:
    """The first `count` items of a data set; whatever else it offers is passed through."""

    def __init__(self, dataset: Any, count: int) -> None:
        self.dataset = dataset
        self.count = min(count, len(dataset))
        self.classes = dataset.classes
        self.num_classes = len(dataset.classes)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if not -self.count <= index < self.count:
            raise IndexError(f"index {index} is outside this subset of {self.count} images")
        return self.dataset[index % self.count]

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self.dataset, name)


def dataset(config: TrainConfig, part: str) -> Any:
    """Build the data set that the run trains on (`part` "train") or validates on ("val").

    Raises
    ------
    UsageError
        If the data root is missing, is no VOCdevkit folder, or has no such image list.
    DataError
        If no mask of the list shows an object.
    """
    split, count = config.train_split, config.train_images
    if part == "val":
        split, count = config.val_split, config.val_images
    return split_of(config, split, count)


def split_of(config: TrainConfig, split: str, count: int = 0) -> Any:
    """Build the image list `split` of the run's data, or its first `count` images."""
    if config.data == "shapes":
        return data.Shapes(
            split,
            length=count or None,
            size=config.image_size,
            difficulty=config.difficulty,
            cache_mb=_cache(config, 256),
        )
    root = Path(config.data_root or "")
    try:
        found = data.VOCSegmentation(root, split, cache_mb=_cache(config, 512))
    except DataError as error:  # no such folder or list: a wrong option, not a bad file
        wrong = f"{root}: {error}"
        raise refusal(lambda name: f"{name('data_root')} {wrong}") from error
    found.check_objects(count)
    return Subset(found, count) if count else found


def normalize(config: TrainConfig) -> transforms.Normalize:
    """Return the step from grey levels to the network's numbers."""
    return transforms.Normalize()


def normalization_to_dict(step: transforms.Normalize) -> dict[str, Any]:
    """Write a `Normalize` as plain JSON, for a checkpoint's header; its arguments are the keys."""
    return {"mean": [float(v) for v in step.mean], "scale": step.scale, "bgr": step.bgr}


def normalization_from_dict(values: dict[str, Any]) -> transforms.Normalize:
    """Undo `normalization_to_dict`."""
    red, green, blue = values["mean"]
    return transforms.Normalize((red, green, blue), values["scale"], values["bgr"])


def crops(config: TrainConfig, images: Any, stage: str) -> Any:
    """Return the samples of a stage: one object each, windows, or the images themselves."""
    if stage == "whole":
        return images
    if stage == "1":
        return StageOneCrops(images, balance=config.class_balance)
    return StageTwoCrops(
        images, per_image=config.windows, balance=config.class_balance, seed=config.seed
    )


def loader(
    config: TrainConfig,
    samples: Any,
    step: transforms.Normalize,
    seed: int,
    cache_mb: float = 256,
    as_bytes: bool = False,
    part: tuple[int, int] = (0, 1),
    workers: int = 1,
    processes: int = 0,
) -> data.DataLoader:
    """Build a loader of training examples: augmented, shuffled, in full batches.

    Examples at the network's size are kept as bytes, up to `cache_mb` MiB: each photograph is
    decoded, cut and resized once a run. With `as_bytes` the batches are bytes too, not normalised.
    Of each batch it hands out a process's `part`, (rank, number of processes). `workers`
    threads prepare them, and up to so many `processes` draw pictures.

    Raises
    ------
    UsageError
        If there are fewer samples than a batch needs.
    """
    return data.DataLoader(
        samples,
        batch_size=config.batch_size,
        transform=_augmentation(config, step),
        shuffle=True,
        seed=seed,
        workers=workers,
        # Batch norm behind fc6 sees one value per image: a last batch of one image has no variance.
        drop_last=True,
        cache_mb=_cache(config, cache_mb),
        as_bytes=as_bytes,
        share=part,
        processes=processes,
    )


def _cache(config: TrainConfig, most: float) -> float:
    """Return the MiB that a cache of samples may have: with a budget, a sixteenth of it."""
    if config.memory_budget is None:
        return most
    return min(most, parse_size(config.memory_budget) / 16 / 2**20)


def _augmentation(config: TrainConfig, step: transforms.Normalize) -> transforms.Transform:
    """Return what turns a crop into a training example."""
    size = config.input_size
    if config.augment == "none":
        return transforms.paper_eval(size, step)
    if config.augment == "paper":
        return transforms.paper_train(size, step)
    return transforms.Compose(
        [
            transforms.WholeWindow(),
            transforms.Resize(max(size, round(size * 250 / 224))),
            transforms.RandomScale(0.8, 1.25),
            transforms.RandomCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.3, 0.3, 0.3),
            step,
        ]
    )


def model(config: TrainConfig, num_classes: int) -> Any:
    """Build the network; its weights come from the global random generator.

    Raises
    ------
    UsageError
        If the network refuses the sizes.
    """
    try:
        return models.build(config.model, config.model_arguments(num_classes))
    except ValueError as error:
        problem = f"{config.model}: {error}"
        raise refusal(lambda name: f"{name('model')} {problem}") from error


def optimizer(config: OptimizationSettings, network: Module, lr: float) -> Any:
    """Build the optimiser: weight decay on the weights of convolutions only.

    Biases and batch norm's scale and shift are left alone: pulling those towards zero does not
    make the function simpler.
    """
    parameters = list(network.named_parameters())
    groups = [
        {
            "params": [p for _, p in parameters if p.ndim > 1],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for _, p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        return optim.SGD(groups, lr=lr, momentum=config.momentum, nesterov=nesterov)
    if config.optimizer == "adam":
        return optim.Adam(groups, lr=lr)
    return optim.AdamW(groups, lr=lr)


def schedule(config: OptimizationSettings, optimiser: Any, steps: int) -> Any:
    """Build the learning-rate schedule of a stage of so many steps, warm-up included.

    The warm-up takes at most a fifth of the stage, so that a short run still gets to its rate.
    """
    if config.lr_schedule == "plateau":
        return optim.ReduceLROnPlateau(optimiser, mode="max", patience=3)
    warmup = min(config.warmup, steps // 5)
    rest = max(1, steps - warmup)
    after: optim.Schedule
    if config.lr_schedule == "step":
        after = optim.MultiStepLR(optimiser, [round(0.45 * rest), round(0.9 * rest)])
    elif config.lr_schedule == "poly":
        after = optim.PolyLR(optimiser, rest, power=0.9)
    elif config.lr_schedule == "cosine":
        after = optim.CosineLR(optimiser, rest)
    else:
        after = optim.FixedLR(optimiser)
    return optim.WarmUp(after, warmup, start_factor=0.1)
