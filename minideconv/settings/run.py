"""The settings of every training run, whatever network it trains, in parts.

A function that needs one part takes that part; `TrainConfig` (training/config.py) is all of
them and the network's own options. Each setting is written down once: its name, its type, its
default, its legal values and its help.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from minideconv.errors import DataError, some
from minideconv.settings.machine import OutputSettings, RunSettings, is_size
from minideconv.settings.setting import (
    AT_LEAST_0,
    AT_LEAST_1,
    FRACTION,
    POSITIVE,
    Need,
    Settings,
    refusal,
    setting,
)

__all__ = [
    "DATA",
    "DEFAULT_MODEL",
    "MODELS",
    "TASKS",
    "CurriculumSettings",
    "DataSettings",
    "NetworkSettings",
    "OptimizationSettings",
    "RunConfig",
    "data_of",
]

DATA: dict[str, Any] = {"auto": None, "shapes": None}
"""What ``--data`` may be; `data.layouts` enters the layouts of folders."""
DEFAULT_MODEL = "deconvnet"
MODELS: dict[str, Any] = {}
"""The networks that there are by name; `models.register` enters them."""
TASKS = ["segmentation", "autoencode"]
"""The names of the tasks that there are; `tasks.register` adds those of one's own."""


_FOLDER = Need("data", lambda data: data != "shapes", "of a folder")
_LABELS = Need("task", lambda task: task != "autoencode", "segmentation")
_DRAWN = Need("data", lambda data: data == "shapes", "shapes")


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """What the network learns from."""

    group: ClassVar[str] = "data"

    data: str = setting(
        "auto",
        "shapes: pictures drawn by this program; voc and others: the layout of --data-root; auto: "
        "the one that fits, without --data-root shapes",
        choices=DATA,
    )
    data_root: str | None = setting(
        None, "the folder of photographs and masks", metavar="DIR", resume=True, needs=(_FOLDER,)
    )
    classes: str | None = setting(
        None,
        "a file with the names of the classes, and their colours if masks are in colours; or "
        "names, background,a,b (default: classes.txt or labelmap.txt in --data-root, or else those "
        "of the layout)",
        metavar="FILE|A,B,...",
        needs=(_FOLDER, _LABELS),
    )
    train_split: str = setting("train", "image list to train on", metavar="NAME")
    val_split: str = setting("val", "image list to validate on", metavar="NAME")
    train_images: int = setting(0, "use only N training images (0: all)", **AT_LEAST_0)
    val_images: int = setting(0, "use only N validation images (0: all)", **AT_LEAST_0)
    sample_images: bool = setting(
        False, "let --seed choose the N of --train-images among all; otherwise they are the first"
    )
    repeats: int = setting(
        1, "how often an epoch shows each training image, for sets of a few", **AT_LEAST_1
    )
    image_size: int = setting(
        48,
        "side of the drawn pictures in pixels (for --data shapes)",
        metavar="PIXELS",
        legal=lambda v: 16 <= v <= 16384,
        legal_text="in 16..16384",
        needs=(_DRAWN,),
    )
    difficulty: str = setting(
        "easy",
        "how hard the drawn pictures are (for --data shapes)",
        choices=("easy", "normal", "hard"),
        needs=(_DRAWN,),
    )
    workers: int | None = setting(
        None,
        "threads that prepare images, on a GPU with as many processes that draw them (default: on "
        "the CPU 1, on a GPU one per core, at most 8); the result does not depend on it",
        flags=("-j",),
        resume=True,
        **AT_LEAST_0,
    )
    augment: str = setting(
        "paper",
        "paper: random crop of 224/250 and mirroring; zoom: random crop of 60 %% to all of it, and "
        "mirroring; strong: the paper's, and colours and scale vary as well",
        choices=("none", "paper", "zoom", "strong"),
    )
    views: int | None = setting(
        None,
        "show only so many augmented versions of each image, a different one in each epoch "
        "(0: new ones in each epoch; default: with --cache-features 5, else 0)",
        **AT_LEAST_0,
    )
    class_balance: float = setting(
        1.0,
        "repeat crops of rare classes up to this share of the commonest one's (the paper: 1)",
        metavar="SHARE",
        legal=lambda v: 0 <= v <= 1,
        legal_text="in [0, 1]",
    )

    @property
    def described_data(self) -> str:
        """What is learned from, for the title of a report."""
        if self.data == "shapes":
            return "drawn shapes"
        layout = DATA[self.data]
        if self.classes is not None or layout.classes is None:
            return "photographs"
        return f"{'PASCAL VOC' if self.data == 'voc' else layout.title} photographs"

    def check(self) -> None:
        """Find the layout and the names of the classes; refuse photographs without their folder."""
        object.__setattr__(self, "data", data_of(self.data, self.data_root))
        layout = DATA[self.data]
        if layout is not None and self.data_root is None:
            raise refusal(
                lambda name: (
                    f"{name('data')} {self.data} needs {name('data_root')} DIR, the folder that"
                    f" holds {layout.holds}"
                )
            )
        super().check()
        if layout is None or getattr(self, "task", "segmentation") == "autoencode":
            return
        try:
            found = layout.class_text(self.classes, self.data_root)
        except DataError as error:
            wrong, given = str(error), "data_root" if self.classes is None else "classes"
            raise refusal(lambda name: f"{name(given)}: {wrong}") from error
        object.__setattr__(self, "classes", found)


def data_of(data: str, root: str | None) -> str:
    """Return what the data is: as given, or for "auto" a folder's layout, or drawn pictures.

    Raises
    ------
    SettingError
        If the folder has none of the layouts.
    """
    if data != "auto":
        return data
    if root is None:
        return "shapes"
    fitting = [name for name, layout in DATA.items() if layout is not None and layout.fits(root)]
    if fitting:
        return fitting[0]
    wrong = f"{root} {_contents(root)}"
    raise refusal(
        lambda name: (
            f"{name('data_root')} {wrong}; a set is JPEGImages and SegmentationClass, or images and"
            f" masks, or another layout of {name('data')}"
        )
    )


def _contents(root: str) -> str:
    """Return what is in a folder, the end of a sentence."""
    if not Path(root).is_dir():
        return "is not a folder"
    there = sorted(path.name for path in Path(root).iterdir())
    return f"is in no layout that is known: it holds {some(there, 6) or 'nothing'}"


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Settings):
    """What is learned by which network, and the size of its input, for which the data is made."""

    group: ClassVar[str] = "network"

    task: str = setting("segmentation", "what the network learns", choices=TASKS)
    model: str = setting(
        DEFAULT_MODEL, "the network; its options are shown by --model NAME --help", choices=MODELS
    )
    pretrained: str | None = setting(
        None,
        "start from the weights of this file (VGG-16, a whole network, a run of this program, an "
        "auto-encoder's too), or of a published one by its name in `python -m minideconv.weights "
        "list`; the network's input becomes what they were trained with",
        metavar="FILE",
        flags=("--init-from",),
    )
    pretrained_input: str | None = setting(
        None,
        "what the weights were trained with, where the file does not tell",
        choices=("caffe", "deconvnet", "torchvision"),
    )
    input_size: int = setting(
        48,
        "side of the square input in pixels (the paper: 224)",
        metavar="PIXELS",
        legal=lambda v: 1 <= v <= 16384,
        legal_text="in 1..16384",
    )

    def check(self) -> None:
        """Refuse an input of weights where there are none."""
        super().check()
        if self.pretrained_input is not None and self.pretrained is None:
            raise refusal(
                lambda name: f"{name('pretrained_input')} is about the file of {name('pretrained')}"
            )


@dataclass(frozen=True, kw_only=True)
class CurriculumSettings(Settings):
    """In which order the network sees it, and how long."""

    group: ClassVar[str] = "curriculum"

    stage: str = setting(
        "whole",
        "1: object-centred crops with one class; 2: crops with all classes; both: 1, then 2; "
        "whole: whole images, no curriculum",
        choices=("1", "2", "both", "whole"),
    )
    epochs: int = setting(5, "epochs of the first (or only) stage", resume=True, **AT_LEAST_0)
    epochs_stage2: int | None = setting(
        None,
        "epochs of stage 2 with --stage both (default: as --epochs)",
        resume=True,
        **AT_LEAST_0,
    )
    epoch_steps: int = setting(
        0,
        "most steps in an epoch, which then shows a part of the data (0: no limit, all of it)",
        metavar="STEPS",
        **AT_LEAST_0,
    )
    windows: int = setting(
        1, "crops drawn from each image in stage 2, beside the whole image", **AT_LEAST_0
    )
    lr_stage2: float | None = setting(
        None,
        "learning rate of stage 2 with --stage both (default: as --lr)",
        metavar="LR",
        **POSITIVE,
    )

    def check(self) -> None:
        """Refuse what is for the second stage where there is none."""
        super().check()
        instead = {"epochs_stage2": "epochs", "lr_stage2": "lr"}
        given = [name for name in instead if getattr(self, name) is not None]
        if given and self.stage != "both":
            raise refusal(
                lambda name: (
                    f"{name(given[0])} is for {name('stage')} both, but {name('stage')} is "
                    f"{self.stage}; use {name(instead[given[0]])}"
                )
            )


@dataclass(frozen=True, kw_only=True)
class OptimizationSettings(Settings):
    """How a step changes the weights."""

    group: ClassVar[str] = "optimisation"

    batch_size: int = setting(
        8, "images in a batch, those of all processes together", flags=("-b",), **AT_LEAST_1
    )
    accumulate: int = setting(
        1,
        "batches whose gradients are averaged before a step (the paper: 8 batches of 8)",
        **AT_LEAST_1,
    )
    optimizer: str = setting(
        "sgd", "the update rule (the paper: sgd)", choices=("sgd", "adam", "adamw")
    )
    lr: float = setting(0.1, "learning rate (the paper: 0.01 with sgd)", metavar="LR", **POSITIVE)
    lr_trunk: float | None = setting(
        None,
        "learning rate of VGG-16's convolutions in the network, in every stage (default: as --lr)",
        metavar="LR",
        **POSITIVE,
    )
    freeze: int = setting(
        0,
        "keep the first N of VGG-16's five stages of convolutions as they are, batch norm's "
        "statistics too",
        **AT_LEAST_0,
    )
    cache_features: str | None = setting(
        None,
        "compute the frozen stages' features once for each view of an image, and keep them in a "
        "file of the run folder, of at most this size (on the CPU; with --freeze)",
        metavar="SIZE",
        legal=is_size,
        legal_text="a size such as 3GiB or 800MB",
        resume=True,
    )
    cache_dtype: str = setting(
        "float32",
        "how the features are kept; float16 takes half of the room and rounds them",
        choices=("float32", "float16"),
    )
    lr_schedule: str = setting(
        "cosine",
        "how the rate falls during each stage (step: / 10 after 45 and 90 %% of it, the paper's)",
        choices=("constant", "step", "poly", "cosine", "plateau"),
    )
    warmup: int = setting(
        50,
        "steps in which the rate rises to --lr, in each stage (plateau has none)",
        metavar="STEPS",
        **AT_LEAST_0,
    )
    momentum: float = setting(0.9, "momentum of sgd", metavar="M", **FRACTION)
    nesterov: bool = setting(True, "Nesterov's momentum, with sgd")
    weight_decay: float = setting(
        5e-4,
        "weight decay of the weights; biases and batch norm have none",
        metavar="WD",
        **AT_LEAST_0,
    )
    clip_grad: float = setting(
        0.0, "largest norm of the gradient (0: no limit)", metavar="NORM", **AT_LEAST_0
    )
    label_smoothing: float = setting(
        0.0, "share of the truth spread over all classes", metavar="S", **FRACTION
    )
    class_weights: float = setting(
        0.0,
        "weigh a class in the loss by its share of the training pixels to the power of -P (0: all "
        "alike; 0.5: the inverse square root)",
        metavar="P",
        **FRACTION,
    )

    def check(self) -> None:
        """Refuse a cache of features where nothing is frozen."""
        super().check()
        if self.cache_features is not None and self.freeze == 0:
            raise refusal(
                lambda name: (
                    f"{name('cache_features')} keeps what frozen stages compute, but"
                    f" {name('freeze')} is 0; freeze some"
                )
            )


@dataclass(frozen=True, kw_only=True)
class RunConfig(
    DataSettings,
    NetworkSettings,
    CurriculumSettings,
    OptimizationSettings,
    RunSettings,
    OutputSettings,
):
    """All of them: the settings that every run has, whatever its network."""

    @property
    def views_in_use(self) -> int:
        """How many versions of each image there are; 0 for new ones in each epoch."""
        if self.views is None:
            return 5 if self.cache_features is not None else 0
        return self.views
