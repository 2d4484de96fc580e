"""The networks and sizes that are measured: in a full run, and in a quick one as a trial."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from benchmarks.geometries import GEOMETRIES, QUICK_GEOMETRIES, Geometry
from minideconv.training.config import TrainConfig

__all__ = ["FULL", "QUICK", "WHOLE_CONTENDERS", "Big", "Net", "Plan", "Whole"]


@dataclass(frozen=True)
class Net:
    """A DeconvNet and its batch: the arguments of `minideconv.models.deconvnet`, and a name."""

    name: str
    batch: int
    width: int = 64
    input_size: int = 224
    fc: int = 4096
    stages: int = 5
    fc_kernel: int | None = None
    num_classes: int = 21

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that build the network."""
        arguments = asdict(self)
        del arguments["name"], arguments["batch"]
        return arguments


@dataclass(frozen=True)
class Big:
    """A step too large for one process: every contender runs in a process of its own."""

    net: Net
    contenders: tuple[str, ...]
    every_thread_number: bool = True  # False: only with the largest one, to save an hour


WHOLE_CONTENDERS = (
    *("fast", "plan", "numpy"),
    *("default_nchw", "tuned_channels_last", "compile", "onnxruntime"),
)


@dataclass(frozen=True)
class Whole:
    """A whole network of any kind, and what is done with it; see section `networks`."""

    name: str
    model: str  # a name in `networks.CLASSES`
    size: int
    batch: int
    what: str  # "training step" or "inference"
    arguments: dict[str, Any]
    processes: bool = False  # each contender in a process of its own, because it is large
    contenders: tuple[str, ...] = WHOLE_CONTENDERS


@dataclass(frozen=True)
class Plan:
    """The sizes of everything in a run."""

    rounds: int
    layer_nets: tuple[Net, ...]
    small_steps: tuple[Net, ...]
    big_steps: tuple[Big, ...]
    maps: tuple[tuple[int, int, int, int], ...]
    scores: tuple[tuple[int, int, int, int], ...]
    parameters: int
    floor_size: int
    floor_bytes: int
    tape_repeats: int
    growth: dict[str, tuple[int, ...]]
    imports: int
    geometries: tuple[Geometry, ...] = GEOMETRIES
    pooled: tuple[tuple[int, int, int, int], ...] = ((2, 64, 224, 224),)
    wholes: tuple[Whole, ...] = ()
    photograph: tuple[int, int] = (375, 500)  # height and width, as most of VOC's
    coded: tuple[int, int] = (256, 32)  # the side of an image, and how many filters
    layers: tuple[str, ...] = ()  # empty: all of them
    most_threads: int = 1  # the largest number in this run


_CLASSES = 5  # of the drawn pictures; to import them takes Pillow, which a bare machine may lack


def _default_net() -> Net:
    """Return the network that ``python -m minideconv.train`` trains."""
    config = TrainConfig()
    arguments = config.model_arguments(_CLASSES)
    shape = {field.name: arguments.get(field.name) for field in fields(Net)[2:]}
    return Net("default network", config.batch_size, **shape)


DEFAULT = _default_net()
SMALL = Net("small network", 16, width=16, input_size=64, fc=256, stages=3)
PAPER = Net("DeconvNet", 2)

_UNET = Whole("small U-Net", "unet", 128, 4, "inference", {"num_classes": 21, "width": 16})
_FCN8S = Whole(
    "FCN-8s", "fcn8s", 224, 1, "inference", {"num_classes": 21, "dropout": 0.0}, processes=True
)
_SMALLEST = Whole(
    DEFAULT.name, "deconvnet", DEFAULT.input_size, 1, "inference", DEFAULT.arguments()
)
WHOLES = (
    _SMALLEST,
    _UNET,
    replace(_UNET, what="training step"),
    _FCN8S,
    replace(_FCN8S, what="training step"),
)

# The first one meets all others in the same minutes; the order decides who meets whom where memory
# does not hold all at once.
STEP_CONTENDERS = (
    "fast",
    "default_nchw",
    "tuned_channels_last",
    "numpy",
    "tuned_nchw",
    "exact",
    "default_channels_last",
)
LARGE_BATCH_CONTENDERS = STEP_CONTENDERS[:5]

FULL = Plan(
    rounds=7,
    layer_nets=(PAPER, DEFAULT, SMALL),
    small_steps=(DEFAULT, SMALL),
    big_steps=(
        Big(PAPER, STEP_CONTENDERS),
        Big(replace(PAPER, batch=8), LARGE_BATCH_CONTENDERS, every_thread_number=False),
    ),
    maps=(
        (2, 64, 224, 224),
        (2, 128, 112, 112),
        (2, 256, 56, 56),
        (2, 512, 28, 28),
        (8, 16, 48, 48),
        (16, 16, 64, 64),
    ),
    scores=((2, 21, 224, 224), (8, 5, 48, 48)),
    parameters=2**26,
    floor_size=2048,
    floor_bytes=2**29,
    tape_repeats=200,
    growth={
        "input_size": (16, 32, 48, 64, 96, 128),
        "batch": (2, 4, 8, 16, 32),
        "width": (8, 16, 32, 48, 64),
    },
    imports=9,
    wholes=WHOLES,
)

_NOT_COMPILED = tuple(name for name in WHOLE_CONTENDERS if name != "compile")
_QUICK_BIG = Net("quarter-size DeconvNet", 2, width=16, input_size=64, fc=256)

QUICK = replace(
    FULL,
    rounds=3,
    layer_nets=(PAPER, DEFAULT),
    layers=("conv1_2", "conv3_2", "conv4_2", "fc7", "seg_score"),
    small_steps=(DEFAULT,),
    big_steps=(Big(_QUICK_BIG, ("fast", "default_nchw", "tuned_channels_last")),),
    maps=((2, 128, 112, 112), (8, 16, 48, 48)),
    scores=((8, 5, 48, 48),),
    parameters=2**22,
    floor_size=1024,
    floor_bytes=2**27,
    tape_repeats=50,
    growth={"input_size": (16, 32), "batch": (2, 4), "width": (4, 8)},
    geometries=QUICK_GEOMETRIES,
    photograph=(90, 120),  # no pixel centre falls between two, where OpenCV takes the other one
    coded=(64, 8),
    wholes=(
        _SMALLEST,
        replace(_UNET, what="training step", size=64, batch=2, contenders=_NOT_COMPILED),
        replace(
            _FCN8S,
            name="narrow FCN-8s",
            size=64,
            arguments={**_FCN8S.arguments, "width": 8, "fc": 64},
            contenders=_NOT_COMPILED,
        ),
    ),
    imports=3,
)
