"""The settings about how a run computes and what it shows, whatever the network learns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from minideconv.backend.algorithms import ALGORITHMS
from minideconv.backend.precisions import PRECISIONS
from minideconv.settings.setting import AT_LEAST_0, AT_LEAST_1, POSITIVE, Settings, setting
from minideconv.settings.sizes import parse_size

__all__ = ["MachineSettings", "OutputSettings", "RunSettings", "is_size"]


def is_size(text: str) -> bool:
    """Whether a text is an amount of memory above 0."""
    try:
        return parse_size(text) > 0
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class MachineSettings(Settings):
    """Where and how a program computes, whether it trains a network or uses one."""

    group: ClassVar[str] = "run"

    device: str = setting(
        "auto",
        "auto takes the GPU if there is one",
        metavar="auto|cpu|gpu",
        legal=lambda v: re.fullmatch(r"auto|cpu|gpu(:\d+)?", v) is not None,
        legal_text="auto, cpu, gpu or gpu:N",
        resume=True,
    )
    threads: int = setting(
        1,
        "worker threads on the CPU (0: one per core); they pay for wide networks; the result does "
        "not depend on them",
        resume=True,
        **AT_LEAST_0,
    )
    algorithm: str | None = setting(
        None,
        "how convolutions are computed: fast (Winograd where it pays), exact (other orders of the "
        "same sums), reference (the readable operations); the default is fast, or the "
        "value of MINIDECONV_ALGORITHM",
        choices=ALGORITHMS,
        resume=True,
    )
    precision: str | None = setting(
        None,
        "in how many bits a GPU multiplies: fp32, tf32, bf16, fp16; sums and weights stay float32; "
        "the default is fp32, or the value of MINIDECONV_PRECISION",
        choices=PRECISIONS,
        resume=True,
    )


@dataclass(frozen=True, kw_only=True)
class RunSettings(MachineSettings):
    """How a run computes, and when it validates and saves."""

    communication: str = setting(
        "auto",
        "how gradients travel between processes that mpiexec started: nccl for GPUs, mpi for CPUs; "
        "mpi with GPUs goes through the memory of the CPU",
        choices=("auto", "mpi", "nccl"),
        resume=True,
    )
    wait_limit: float = setting(
        300.0,
        "seconds that a process waits for the others before it ends the run",
        metavar="SECONDS",
        resume=True,
        **POSITIVE,
    )
    graph: str = setting(
        "auto",
        "record a step on a GPU and replay it, which saves the host's time: auto does it for steps "
        "of less than 14 GiB; the result does not depend on it",
        choices=("auto", "on", "off"),
        resume=True,
    )
    recompute: bool = setting(
        False,
        "compute activations twice instead of keeping them: less memory, a third more time",
        resume=True,
    )
    memory_budget: str | None = setting(
        None,
        "bound of the process's memory, or of the GPU's where that computes, such as 3GiB or 800MB:"
        " what a step can do without is left out, --recompute is turned on if need be, and if that "
        "is not enough the run stops, saying what would fit",
        metavar="SIZE",
        legal=is_size,
        legal_text="a size such as 3GiB or 800MB",
        resume=True,
    )
    seed: int = setting(0, "start of every random number of the run", **AT_LEAST_0)
    val_every: int = setting(1, "epochs between validations", **AT_LEAST_1)
    recalibrate: int = setting(
        20,
        "batches over which batch norm's statistics are averaged anew before a validation, the "
        "paper's method (0: keep the running averages)",
        **AT_LEAST_0,
    )
    save_every: int = setting(
        0,
        "steps between checkpoints inside an epoch (0: at its end only)",
        resume=True,
        **AT_LEAST_0,
    )


@dataclass(frozen=True, kw_only=True)
class OutputSettings(Settings):
    """What the user sees."""

    group: ClassVar[str] = "what it shows and keeps"

    output_dir: str | None = setting(
        None, "the run folder (default: runs/DATA-NUMBER, a new one)", metavar="DIR"
    )
    print_freq: int = setting(
        10, "steps between lines of metrics.jsonl", metavar="STEPS", **AT_LEAST_1
    )
    images: int = setting(6, "predictions drawn at each validation", resume=True, **AT_LEAST_0)
    final_images: int = setting(
        500,
        "training images evaluated at the end, beside all of the validation images",
        resume=True,
        **AT_LEAST_0,
    )
    quiet: bool = setting(False, "print nothing but errors", flags=("-q",), resume=True)
