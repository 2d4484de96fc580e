"""Everything that is to be measured on a GPU.

    python -m benchmarks.gpu [--out FILE.json] [--only SECTION ...] [--tiny] [--page FILE.md]

rates        what this GPU multiplies and copies in a second
training     ``minideconv.train`` from end to end on drawn pictures, and its mean IoU
agreement    the losses of one short run on the CPU and on the GPU, side by side
steps        whole training steps, of the paper's network and of small ones, against PyTorch
layers       every distinct convolution of DeconvNet, three passes, in each precision, against cuDNN
strided      gradients of convolutions with a stride by all taps and by phases, against cuDNN
crf          a dense CRF at a photograph's size, and its difference from the CPU's
ops          batch norm, pooling, unpooling, the loss, the optimisers, against PyTorch

Each result is stored as JSON as soon as it is known, in ``benchmarks/results/gpu-NAME.json`` after
the GPU, and as a Markdown table beside it; sections that the file holds from the last hour, the
same device and versions stay in it. Without a CUDA build of PyTorch ours are measured alone.
``--tiny`` takes sizes that a test can afford; it shows that the program works and no more.
`benchmarks/gpu_first_run.sh` runs the sections but ``ops`` one by one, each with a time limit;
`benchmarks/gpu.sh` runs the test suite and NVIDIA's compute-sanitizer as well.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import (
    gpu_crf,
    gpu_device,
    gpu_layers,
    gpu_ops,
    gpu_steps,
    gpu_strided,
    gpu_tables,
    gpu_training,
)
from benchmarks.geometries import Geometry
from benchmarks.gpu_device import Row
from benchmarks.plans import DEFAULT, PAPER, SMALL, Net
from minideconv.backend.gpu_probe import gpu_name
from minideconv.errors import UsageError
from minideconv.files.atomic import replace_file
from minideconv.settings.command_line import HelpFormatter, run_program

RESULTS = Path(__file__).resolve().parent / "results"
COMMITTED = RESULTS / "gpu-nvidia-h200.json"
PRECISIONS = ("tf32", "bf16", "fp32")


@dataclass(frozen=True)
class GpuPlan:
    """The sizes of everything in a run."""

    rounds: int
    least: float
    """Seconds of a turn."""
    side: int
    bytes: int
    layer_net: Net
    layer_count: int | None
    maps: tuple[tuple[int, int, int, int], ...]
    scores: tuple[tuple[int, int, int, int], ...]
    parameters: int
    steps: tuple[Net, ...]
    training: dict[str, Any]
    agreement: dict[str, Any]
    picture: tuple[int, int] = (375, 500)
    small_picture: tuple[int, int] = (94, 125)
    strided: tuple[Geometry, ...] = gpu_strided.STRIDED
    try_all: bool = True
    """Whether steps choose their convolutions by measurement."""


FULL = GpuPlan(
    rounds=5,
    least=0.03,
    side=8192,
    bytes=2**30,
    layer_net=replace(PAPER, batch=16),
    layer_count=None,
    maps=((16, 64, 224, 224), (16, 128, 112, 112), (16, 256, 56, 56), (16, 512, 28, 28)),
    scores=((16, 21, 224, 224),),
    parameters=2**27,
    steps=(DEFAULT, SMALL, replace(PAPER, batch=64), replace(PAPER, batch=16)),
    training={},
    agreement={"width": 8, "epochs": 3, "train_images": 128, "val_images": 16},
)

TINY_NET = Net("tiny DeconvNet", 2, width=4, input_size=8, fc=8, stages=1, num_classes=5)
TINY_RUN: dict[str, Any] = {
    "width": 4, "depth": 1, "fc": 8, "input_size": 16, "image_size": 16, "epochs": 1,
    "train_images": 8, "val_images": 2, "batch_size": 4, "final_images": 2, "recalibrate": 1,
}  # fmt: skip
TINY = GpuPlan(
    rounds=1,
    least=0.0,
    side=64,
    bytes=2**16,
    layer_net=TINY_NET,
    layer_count=2,
    maps=((2, 8, 8, 6),),
    scores=((2, 5, 6, 8),),
    parameters=2**12,
    steps=(TINY_NET, replace(TINY_NET, batch=3)),
    training=TINY_RUN,
    agreement=TINY_RUN,
    strided=gpu_strided.TINY_STRIDED,
    picture=(9, 14),
    small_picture=(7, 9),
    try_all=False,
)

SOMETHING_LEFT_OUT = 3
"""Exit status of a run that passed, where a package is missing that a section needs."""

SAME_RUN = ("device", "driver", "minideconv", "cupy", "torch")
"""What two processes have in common whose results may stand in one file."""

AT_MOST_APART = 3600.0
"""Seconds between two of them: the next run is one of changed code, perhaps."""

Section = Callable[[GpuPlan], Iterator[Row]]

SECTIONS: dict[str, Section] = {
    "rates": lambda plan: gpu_device.rates(plan.side, plan.bytes, plan.rounds, plan.least),
    "training": lambda plan: gpu_training.train(plan.training),
    "agreement": lambda plan: gpu_training.agreement(plan.agreement),
    "steps": lambda plan: gpu_steps.steps(
        plan.steps, PRECISIONS, plan.rounds, plan.least, plan.try_all
    ),
    "layers": lambda plan: gpu_layers.layers(
        plan.layer_net, PRECISIONS, min(plan.rounds, 3), plan.least / 3, plan.layer_count
    ),
    "strided": lambda plan: gpu_strided.strided(
        plan.strided, PRECISIONS[::-1], min(plan.rounds, 3), plan.least / 3
    ),
    "crf": lambda plan: gpu_crf.dense_crf(
        plan.picture, plan.small_picture, 10, plan.rounds, plan.least
    ),
    "ops": lambda plan: gpu_ops.memory_bound(
        plan.maps, plan.scores, plan.parameters, plan.rounds, plan.least
    ),
}


def run(plan: GpuPlan, sections: Sequence[str], out: Path) -> dict[str, list[Row]]:
    """Measure the sections, store each row as soon as it is there, and return all in the file."""
    results: dict[str, Any] = {"format": 1, "machine": gpu_device.describe(), "stored": time.time()}
    results["sections"] = _stored(out, results["machine"], results["stored"])
    for name in sections:
        start = time.perf_counter()
        rows = results["sections"][name] = []
        for row in SECTIONS[name](plan):
            rows.append(row)
            results["stored"] = time.time()
            seconds = time.perf_counter() - start
            print(f"{seconds:6.1f} s {gpu_tables.line(name, row)}", flush=True)
            _store(results, out)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(f"stored: {out} and {out.with_suffix('.md').name}")
    return dict(results["sections"])


def page(results: dict[str, Any]) -> str:
    """Return the documentation's page of stored results."""
    return f"# GPU results\n\n{gpu_tables.render(results)}"


def _write_page(stored: Path, file: Path) -> None:
    try:
        text = page(json.loads(stored.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--out {stored} holds no results of this program ({error!r})") from error
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--page {file}: {error.strerror}") from error


def _stored(out: Path, machine: dict[str, Any], now: float) -> dict[str, Any]:
    """Return the sections that the file holds, if they were measured here and just before."""
    try:
        found = json.loads(out.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    before = found.get("machine", {})
    same = all(before.get(key) == machine[key] for key in SAME_RUN)
    recent = 0 <= now - found.get("stored", 0) < AT_MOST_APART
    return found["sections"] if same and recent else {}


def _store(results: dict[str, Any], out: Path) -> None:
    """Replace both files, each in one step: a time limit may end the program at any moment."""
    out.parent.mkdir(parents=True, exist_ok=True)
    texts = {out: json.dumps(results, indent=1) + "\n"}
    texts[out.with_suffix(".md")] = gpu_tables.render(results)
    for file, text in texts.items():
        replace_file(file, text.encode())


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        "benchmarks.gpu", description=__doc__.split("\n")[0], formatter_class=HelpFormatter
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="results as JSON")
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="only these sections")
    parser.add_argument("--tiny", action="store_true", help="sizes for a test")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="measure nothing; write the stored file's page"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.only or ()) - SECTIONS.keys())
    if unknown:
        legal = ", ".join(SECTIONS)
        raise UsageError(f"--only {' '.join(unknown)}: there is no such section; use {legal}")
    if options.page:
        _write_page(options.out or COMMITTED, options.page)
        return 0
    gpu_device.the_gpu()  # an error now if there is none
    kind = "tiny" if options.tiny else re.sub(r"\W+", "-", gpu_name(0).lower()).strip("-")
    out = options.out or RESULTS / f"gpu-{kind}.json"
    sections = options.only or list(SECTIONS)
    results = run(TINY if options.tiny else FULL, sections, out)
    left_out = any(row["name"] == "left out" for name in sections for row in results[name])
    return SOMETHING_LEFT_OUT if left_out else 0


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.gpu", main))
