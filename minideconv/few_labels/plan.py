"""What is trained: one network, from several starts, with few labelled images or many.

Per seed each auto-encoder is trained once, without labels, and then the network that segments, from
each start and with each number of labels. Everything but these two is held equal: the network, its
updates, the learning rate, a seed's order of labelled images (the first 10 of 50 are the 10), and
the validation images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from minideconv.errors import UsageError
from minideconv.settings.run import RunConfig
from minideconv.settings.setting import AT_LEAST_0, AT_LEAST_1, POSITIVE, Settings, setting
from minideconv.training.config import TrainConfig

__all__ = ["IMAGENET", "NETWORKS", "PRETEXTS", "STARTS", "FewLabels", "PretextSettings"]

NETWORKS = ("deconvnet", "probe")
"""What segments: all of a DeconvNet learns, or one convolution behind frozen features."""

PRETEXTS = ("autoencoder", "swwae")
"""The networks that learn without labels."""

IMAGENET = "vgg16-trunk-onnx"
"""The file of the start from ImageNet."""

STARTS: dict[str, str] = {
    "random": "random weights",
    "autoencoder": "auto-encoder",
    "swwae": "what-where auto-encoder",
    "imagenet": "VGG-16 of ImageNet",
}
"""What the network may begin with, by name; "random" is what the others are compared with."""


@dataclass(frozen=True, kw_only=True)
class PretextSettings(Settings):
    """How the auto-encoders learn; all else is as for the network that segments."""

    group: ClassVar[str] = "learning without labels"

    unlabelled: int = setting(
        0, "training images that the auto-encoders see (0: all)", metavar="N", **AT_LEAST_0
    )
    pretext_epochs: int = setting(8, "epochs of an auto-encoder", **AT_LEAST_1)
    pretext_lr: float | None = setting(
        None, "their learning rate (default: as --lr)", metavar="LR", **POSITIVE
    )
    pretext_noise: float = setting(
        0.0, "--noise of the auto-encoders: denoising ones", metavar="SIGMA", **AT_LEAST_0
    )


@dataclass(frozen=True)
class FewLabels:
    """What is trained.

    Attributes
    ----------
    base : TrainConfig
        The settings of the runs with labels; its seed is the first one.
    pretext : PretextSettings
    labels : tuple of int
        How many labelled images.
    starts : tuple of str
        Of `STARTS`.
    seeds : int
        How many.

    Raises
    ------
    UsageError
        If a start is not known or there twice, or a number of labels or seeds not legal.
    """

    base: TrainConfig
    pretext: PretextSettings
    labels: tuple[int, ...]
    starts: tuple[str, ...]
    seeds: int

    def __post_init__(self) -> None:
        if unknown := [name for name in self.starts if name not in STARTS]:
            raise UsageError(f"starts: {unknown[0]!r} is not known; there are {', '.join(STARTS)}")
        if len(set(self.starts)) < len(self.starts):
            raise UsageError(f"starts are {', '.join(self.starts)}; they must be different")
        if self.seeds < 2:
            raise UsageError(f"seeds is {self.seeds}; a spread over seeds needs at least 2")
        if min(self.labels) < 1 or len(set(self.labels)) < len(self.labels):
            raise UsageError(f"labels are {self.labels}; they must be different, and at least 1")
        if self.base.epoch_steps < 1:
            raise UsageError("epoch_steps is 0; it must be the updates of an epoch, at least 1")

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "labels": list(self.labels),
            "starts": list(self.starts),
            "seeds": self.seeds,
            "pretext": dataclasses.asdict(self.pretext),
            "settings": self.base.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FewLabels:
        """Make what `to_dict` returned.

        Raises
        ------
        UsageError, KeyError, TypeError
            If it is of another version of this program, or none.
        """
        base = TrainConfig.from_dict(values["settings"])
        pretext = PretextSettings(**values["pretext"])
        labels, starts = tuple(values["labels"]), tuple(values["starts"])
        return cls(base, pretext, labels, starts, values["seeds"])

    @property
    def all_seeds(self) -> range:
        """The seeds themselves."""
        return range(self.base.seed, self.base.seed + self.seeds)

    @property
    def pretexts(self) -> tuple[str, ...]:
        """The auto-encoders that are needed."""
        return tuple(name for name in PRETEXTS if name in self.starts)

    def pretext_config(self, name: str, seed: int) -> TrainConfig:
        """Return the settings of an auto-encoder's run."""
        base, chosen = self.base, self.pretext
        shared: dict[str, Any] = {
            setting: getattr(base, setting)
            for part in RunConfig.__bases__
            for setting in part.settings()  # type: ignore[attr-defined]
        }
        own = {
            "task": "autoencode",
            "model": name,
            "classes": None,
            "width": base.width,
            "depth": base.depth,
            "noise": chosen.pretext_noise,
            "train_images": chosen.unlabelled,
            "epochs": chosen.pretext_epochs,
            "val_every": chosen.pretext_epochs,
            "epoch_steps": 0,
            "lr": chosen.pretext_lr or base.lr,
            "freeze": 0,
            "lr_trunk": None,
            "cache_features": None,
            "seed": seed,
        }
        return TrainConfig(**{**shared, **own})

    def config(self, start: str, labels: int, seed: int, weights: Path | None) -> TrainConfig:
        """Return the settings of a run with labels; `weights` is the auto-encoder's checkpoint."""
        base = self.base
        needed = base.epoch_steps * base.batch_size * base.accumulate
        file = {"random": None, "imagenet": IMAGENET}.get(start, str(weights))
        changed = {
            "train_images": labels,
            "sample_images": True,
            "repeats": -(-needed // labels),
            "val_every": base.epochs,
            "pretrained": file,
            "seed": seed,
        }
        return TrainConfig.from_dict({**base.to_dict(), **changed})
