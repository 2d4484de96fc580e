"""Every setting of a training run, in one frozen dataclass: `TrainConfig`.

The command line's options, the keys of a ``--config`` file and what a notebook passes are all
generated from its fields (see ``options.py``), so each setting is written down once: its name, its
default, its legal values and its help.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from minideconv.backend.algorithms import ALGORITHMS
from minideconv.backend.precisions import PRECISIONS
from minideconv.errors import UsageError
from minideconv.settings.sizes import parse_size

__all__ = ["Setting", "TrainConfig", "settings"]


@dataclass(frozen=True)
class Setting:
    """What the command line needs to know about one field, beside its type and default."""

    help: str
    group: str
    choices: Sequence[str] = ()
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    legal: Callable[[Any], bool] | None = None
    legal_text: str = ""
    resume: bool = False
    """Whether ``--resume`` may change it, because it does not alter what the run computes."""


def _setting(default: Any, help_: str, group: str, **extra: Any) -> Any:
    """Make one field of the dataclass with its `Setting` attached."""
    return field(default=default, metadata={"setting": Setting(help_, group, **extra)})


def _is_size(text: str) -> bool:
    try:
        return parse_size(text) > 0
    except ValueError:
        return False


_POSITIVE: dict[str, Any] = {"legal": lambda v: v > 0, "legal_text": "> 0"}
_AT_LEAST_0: dict[str, Any] = {"legal": lambda v: v >= 0, "legal_text": ">= 0"}
_AT_LEAST_1: dict[str, Any] = {"legal": lambda v: v >= 1, "legal_text": ">= 1"}
_FRACTION: dict[str, Any] = {"legal": lambda v: 0 <= v < 1, "legal_text": "in [0, 1)"}

TASKS = ["segmentation"]
"""What ``--task`` can name; `minideconv.tasks.register` adds to it."""

DATA, MODEL, CURRICULUM = "data", "network", "curriculum"
OPTIMISATION, RUN, OUTPUT = "optimisation", "run", "what it shows and keeps"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of one training run.

    Examples
    --------
    >>> TrainConfig(width=8, epochs=2).width
    8
    >>> TrainConfig(lr=-1.0)
    Traceback (most recent call last):
    minideconv.errors.UsageError: --lr is -1.0; it must be > 0
    """

    data: str = _setting(
        "shapes",
        "shapes: pictures drawn by this program; voc: a VOCdevkit folder",
        DATA,
        choices=("shapes", "voc"),
    )
    data_root: str | None = _setting(
        None, "the folder that holds JPEGImages (for --data voc)", DATA, metavar="DIR", resume=True
    )
    train_split: str = _setting("train", "image list to train on", DATA, metavar="NAME")
    val_split: str = _setting("val", "image list to validate on", DATA, metavar="NAME")
    train_images: int = _setting(
        0, "use only N training images (0: all)", DATA, metavar="N", **_AT_LEAST_0
    )
    val_images: int = _setting(
        0, "use only N validation images (0: all)", DATA, metavar="N", **_AT_LEAST_0
    )
    image_size: int = _setting(
        48,
        "side of the drawn pictures in pixels (for --data shapes)",
        DATA,
        metavar="PIXELS",
        legal=lambda v: v >= 16,
        legal_text=">= 16",
    )
    difficulty: str = _setting(
        "easy",
        "how hard the drawn pictures are (for --data shapes)",
        DATA,
        choices=("easy", "normal", "hard"),
    )
    workers: int | None = _setting(
        None,
        "threads that prepare images, on a GPU with as many processes that draw them (default: on "
        "the CPU 1, on a GPU one per core, at most 8); the result does not depend on it",
        DATA,
        flags=("-j",),
        metavar="N",
        resume=True,
        **_AT_LEAST_0,
    )
    augment: str = _setting(
        "paper",
        "paper: random crop of 224/250 and mirroring; strong: colours and scale vary as well",
        DATA,
        choices=("none", "paper", "strong"),
    )
    class_balance: float = _setting(
        1.0,
        "repeat crops of rare classes up to this share of the commonest one's (the paper: 1)",
        DATA,
        metavar="SHARE",
        legal=lambda v: 0 <= v <= 1,
        legal_text="in [0, 1]",
    )

    task: str = _setting("segmentation", "what the network learns", MODEL, choices=TASKS)
    model: str = _setting("deconvnet", "the network", MODEL, choices=("deconvnet",))
    width: int = _setting(
        16, "channels of the first convolution (the paper: 64)", MODEL, metavar="N", **_AT_LEAST_1
    )
    input_size: int = _setting(
        48,
        "side of the square input in pixels (the paper: 224)",
        MODEL,
        metavar="PIXELS",
        **_AT_LEAST_1,
    )
    fc: int = _setting(
        256, "channels of fc6 and fc7 (the paper: 4096)", MODEL, metavar="N", **_AT_LEAST_1
    )
    fc_kernel: int = _setting(
        1,
        "window of fc6 (0: the whole map, the paper's; a small one learns from fewer images)",
        MODEL,
        metavar="PIXELS",
        **_AT_LEAST_0,
    )
    depth: int = _setting(
        3, "number of pooling stages (the paper: 5)", MODEL, metavar="N", **_AT_LEAST_1
    )

    stage: str = _setting(
        "whole",
        "1: object-centred crops with one class; 2: crops with all classes; both: 1, then 2; "
        "whole: whole images, no curriculum",
        CURRICULUM,
        choices=("1", "2", "both", "whole"),
    )
    epochs: int = _setting(
        5,
        "epochs of the first (or only) stage",
        CURRICULUM,
        metavar="N",
        resume=True,
        **_AT_LEAST_0,
    )
    epochs_stage2: int | None = _setting(
        None,
        "epochs of stage 2 with --stage both (default: as --epochs)",
        CURRICULUM,
        metavar="N",
        resume=True,
        **_AT_LEAST_0,
    )
    windows: int = _setting(
        1,
        "crops drawn from each image in stage 2, beside the whole image",
        CURRICULUM,
        metavar="N",
        **_AT_LEAST_0,
    )
    lr_stage2: float | None = _setting(
        None,
        "learning rate of stage 2 with --stage both (default: as --lr)",
        CURRICULUM,
        metavar="LR",
        **_POSITIVE,
    )

    batch_size: int = _setting(
        8,
        "images in a batch, those of all processes together",
        OPTIMISATION,
        flags=("-b",),
        metavar="N",
        **_AT_LEAST_1,
    )
    accumulate: int = _setting(
        1,
        "batches whose gradients are averaged before a step (the paper: 8 batches of 8)",
        OPTIMISATION,
        metavar="N",
        **_AT_LEAST_1,
    )
    optimizer: str = _setting(
        "sgd",
        "the update rule (the paper: sgd)",
        OPTIMISATION,
        choices=("sgd", "adam", "adamw"),
    )
    lr: float = _setting(
        0.1, "learning rate (the paper: 0.01 with sgd)", OPTIMISATION, metavar="LR", **_POSITIVE
    )
    lr_schedule: str = _setting(
        "cosine",
        "how the rate falls during each stage (step: / 10 after 45 and 90 %% of it, the paper's)",
        OPTIMISATION,
        choices=("constant", "step", "poly", "cosine", "plateau"),
    )
    warmup: int = _setting(
        50,
        "steps in which the rate rises to --lr, in each stage (plateau has none)",
        OPTIMISATION,
        metavar="STEPS",
        **_AT_LEAST_0,
    )
    momentum: float = _setting(0.9, "momentum of sgd", OPTIMISATION, metavar="M", **_FRACTION)
    nesterov: bool = _setting(True, "Nesterov's momentum, with sgd", OPTIMISATION)
    weight_decay: float = _setting(
        5e-4,
        "weight decay of the weights; biases and batch norm have none",
        OPTIMISATION,
        metavar="WD",
        **_AT_LEAST_0,
    )
    clip_grad: float = _setting(
        0.0,
        "largest norm of the gradient (0: no limit)",
        OPTIMISATION,
        metavar="NORM",
        **_AT_LEAST_0,
    )
    label_smoothing: float = _setting(
        0.0, "share of the truth spread over all classes", OPTIMISATION, metavar="S", **_FRACTION
    )

    device: str = _setting(
        "auto",
        "auto takes the GPU if there is one",
        RUN,
        metavar="auto|cpu|gpu",
        legal=lambda v: re.fullmatch(r"auto|cpu|gpu(:\d+)?", v) is not None,
        legal_text="auto, cpu, gpu or gpu:N",
        resume=True,
    )
    communication: str = _setting(
        "auto",
        "how gradients travel between processes that mpiexec started: nccl for GPUs, mpi for CPUs; "
        "mpi with GPUs goes through the memory of the CPU",
        RUN,
        choices=("auto", "mpi", "nccl"),
        resume=True,
    )
    wait_limit: float = _setting(
        300.0,
        "seconds that a process waits for the others before the run is saved and ended",
        RUN,
        metavar="SECONDS",
        resume=True,
        **_POSITIVE,
    )
    threads: int = _setting(
        1,
        "worker threads on the CPU (0: one per core); they pay for wide networks; the result does "
        "not depend on them",
        RUN,
        metavar="N",
        resume=True,
        **_AT_LEAST_0,
    )
    algorithm: str | None = _setting(
        None,
        "how convolutions are computed: fast (Winograd where it pays), exact (other orders of the "
        "same sums), reference (the readable operations); the default is fast, or what "
        "MINIDECONV_ALGORITHM says",
        RUN,
        choices=ALGORITHMS,
        resume=True,
    )
    precision: str | None = _setting(
        None,
        "in how many bits a GPU multiplies: fp32, tf32, bf16, fp16; sums and weights stay float32; "
        "the default is fp32, or what MINIDECONV_PRECISION says",
        RUN,
        choices=PRECISIONS,
        resume=True,
    )
    graph: str = _setting(
        "auto",
        "record a step on a GPU and replay it, which saves the host's time: auto does it for steps "
        "of less than 14 GiB; the result does not depend on it",
        RUN,
        choices=("auto", "on", "off"),
        resume=True,
    )
    recompute: bool = _setting(
        False,
        "compute activations twice instead of keeping them: less memory, a third more time",
        RUN,
        resume=True,
    )
    memory_budget: str | None = _setting(
        None,
        "bound of the process's memory, or of the GPU's where that computes, such as 3GiB or 800MB:"
        " what a step can do without is left out, --recompute is turned on if need be, and if that "
        "is not enough the run stops, saying what would fit",
        RUN,
        metavar="SIZE",
        legal=_is_size,
        legal_text="a size such as 3GiB or 800MB",
        resume=True,
    )
    seed: int = _setting(
        0, "start of every random number of the run", RUN, metavar="N", **_AT_LEAST_0
    )
    val_every: int = _setting(1, "epochs between validations", RUN, metavar="N", **_AT_LEAST_1)
    recalibrate: int = _setting(
        20,
        "batches over which batch norm's statistics are averaged anew before a validation, the "
        "paper's method (0: keep the running averages)",
        RUN,
        metavar="N",
        **_AT_LEAST_0,
    )
    save_every: int = _setting(
        0,
        "steps between checkpoints inside an epoch (0: at its end only)",
        RUN,
        metavar="N",
        resume=True,
        **_AT_LEAST_0,
    )

    output_dir: str | None = _setting(
        None, "the run folder (default: runs/DATA-NUMBER, a new one)", OUTPUT, metavar="DIR"
    )
    print_freq: int = _setting(
        10, "steps between lines of metrics.jsonl", OUTPUT, metavar="STEPS", **_AT_LEAST_1
    )
    images: int = _setting(
        6, "predictions drawn at each validation", OUTPUT, metavar="N", resume=True, **_AT_LEAST_0
    )
    final_images: int = _setting(
        500,
        "training images evaluated at the end, beside all of the validation images",
        OUTPUT,
        metavar="N",
        resume=True,
        **_AT_LEAST_0,
    )
    quiet: bool = _setting(False, "print nothing but errors", OUTPUT, flags=("-q",), resume=True)

    def __post_init__(self) -> None:
        for name, setting in settings().items():
            _check(name, getattr(self, name), setting)
        if self.data == "voc" and self.data_root is None:
            raise UsageError(
                "--data voc needs --data-root DIR, the folder that holds JPEGImages, "
                "SegmentationClass and ImageSets"
            )
        if self.epochs_stage2 is not None and self.stage != "both":
            raise UsageError(
                f"--epochs-stage2 is for --stage both, but --stage is {self.stage}; use --epochs"
            )
        if self.lr_stage2 is not None and self.stage != "both":
            raise UsageError(
                f"--lr-stage2 is for --stage both, but --stage is {self.stage}; use --lr"
            )

    @property
    def plan(self) -> tuple[tuple[str, int, float], ...]:
        """The stages in order: (name, epochs, learning rate)."""
        if self.stage != "both":
            return ((self.stage, self.epochs, self.lr),)
        second = self.epochs if self.epochs_stage2 is None else self.epochs_stage2
        second_lr = self.lr if self.lr_stage2 is None else self.lr_stage2
        return (("1", self.epochs, self.lr), ("2", second, second_lr))

    def model_arguments(self, num_classes: int) -> dict[str, Any]:
        """Return the arguments with which ``minideconv.models`` builds the network."""
        return {
            "num_classes": num_classes,
            "width": self.width,
            "input_size": self.input_size,
            "fc": self.fc,
            "stages": self.depth,
            "fc_kernel": self.fc_kernel or None,
            "recompute": self.recompute,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Make the settings that `to_dict` returned, perhaps in an older version: new ones default.

        Raises
        ------
        UsageError
            If there is a setting that this version does not know.
        """
        unknown = [name for name in values if name not in settings()]
        if unknown:
            raise UsageError(
                f"the configuration has a setting {unknown[0]!r}, which this minideconv does not "
                "know; it was written by another version"
            )
        return cls(**values)


def settings() -> dict[str, Setting]:
    """Return the `Setting` of each field of `TrainConfig`, by name and in order."""
    return {item.name: item.metadata["setting"] for item in dataclasses.fields(TrainConfig)}


def field_kind(name: str) -> tuple[type, bool]:
    """Return the plain type of a field (bool, int, float or str) and whether it may be None."""
    (text,) = [str(item.type) for item in dataclasses.fields(TrainConfig) if item.name == name]
    base = text.removesuffix(" | None")
    return {"bool": bool, "int": int, "float": float, "str": str}[base], base != text


def _check(name: str, value: Any, setting: Setting) -> None:
    """Refuse a value of the wrong type or outside the legal ones, in one sentence."""
    kind, optional = field_kind(name)
    if value is None and optional:
        return
    option = "--" + name.replace("_", "-")
    right = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not right or (kind is not bool and isinstance(value, bool)):
        raise UsageError(f"{option} is {value!r}; it must be {_TYPE_NAMES[kind]}")
    if kind is float and not abs(value) < float("inf"):
        raise UsageError(f"{option} is {value}; it must be finite")
    if setting.choices and value not in setting.choices:
        raise UsageError(f"{option} is {value!r}; it must be one of {', '.join(setting.choices)}")
    if setting.legal is not None and not setting.legal(value):
        raise UsageError(f"{option} is {value}; it must be {setting.legal_text}")


_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
