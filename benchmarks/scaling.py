"""Training by several processes: how fast it is here, and would be on many GPUs.

python -m benchmarks.scaling measure [--processes 1 2 4] [--steps 12]    measure, store JSON
python -m benchmarks.scaling model [--plot FILE.png]         arithmetic, see `scaling_model`
python -m benchmarks.scaling table [--out FILE.json]                      both, as Markdown
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.plans import SMALL
from benchmarks.scaling_model import CLUSTER, PRECISIONS, REACHED, scaling
from minideconv import models, random
from minideconv.data.shard import shard_of
from minideconv.distributed import Communicator, processes
from minideconv.errors import UsageError
from minideconv.optim import SGD
from minideconv.settings.command_line import HelpFormatter, positive, run_program
from minideconv.tasks import Segmentation
from minideconv.training.config import TrainConfig
from minideconv.training.data_parallel import data_parallel_for
from minideconv.training.memory_watch import MemoryWatch
from minideconv.training.meters import Clock, LossMeter
from minideconv.training.step import HostStep

RESULTS = Path(__file__).parent / "results" / "scaling.json"
BYTES = (8, 1 << 10, 1 << 16, 1 << 20, 1 << 24, 100_000_000)
WARM_UP = 2


# ---------------------------------------------------------------------------------------------
# In each process


class TimedCommunicator:
    """A communicator that counts the seconds spent in it."""

    def __init__(self, comm: Communicator) -> None:
        self.comm, self.seconds = comm, 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.comm, name)
        if not callable(found):
            return found

        def timed(*arguments: Any) -> Any:
            begun = time.perf_counter()
            try:
                return found(*arguments)
            finally:
                self.seconds += time.perf_counter() - begun

        return timed


def work(steps: int) -> None:
    """Take steps of the small network, then add up arrays; rank 0 prints what it took."""
    comm = TimedCommunicator(processes())
    rows = list(_steps(comm, steps))
    found = {
        "processes": comm.size,
        "batch": SMALL.batch,
        "step_seconds": [round(row[0], 5) for row in rows],
        "communication_seconds": [round(row[1], 5) for row in rows],
        "sums": [{"bytes": n, "seconds": _sum_seconds(comm.comm, n)} for n in BYTES],
    }
    if comm.rank == 0:
        print(json.dumps(found))
    comm.close()


def _steps(comm: Any, steps: int) -> Iterator[tuple[float, float]]:
    random.manual_seed(0)
    strategy = data_parallel_for(comm)
    model = models.deconvnet(**SMALL.arguments())
    strategy.prepare(model)
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    optimizer.flatten()
    rng = np.random.default_rng(0)
    size, mine = SMALL.input_size, shard_of(range(SMALL.batch), strategy.rank, strategy.world_size)
    images = rng.standard_normal((SMALL.batch, 3, size, size), np.float32)[mine.start : mine.stop]
    labels = rng.integers(0, 21, (SMALL.batch, size, size)).astype(np.uint8)
    batch = (images, labels[mine.start : mine.stop])
    task = Segmentation([str(number) for number in range(SMALL.num_classes)])
    stage = SimpleNamespace(
        loader=[batch] * (WARM_UP + steps),
        optimizer=optimizer,
        metrics=task.metrics(),
        loss=LossMeter(),
        lr=0.01,
    )
    journal = SimpleNamespace(clock=Clock(), progress=SimpleNamespace(step=0, epoch=0))
    memory = MemoryWatch(model, None, str)
    taking = HostStep(model, task, TrainConfig(), journal, memory, strategy)
    taking.begin(stage)
    model.train()
    for number in range(WARM_UP + steps):
        comm.comm.barrier()
        comm.seconds, begun = 0.0, time.perf_counter()
        taking.take(stage, 1)
        if number >= WARM_UP:
            yield time.perf_counter() - begun, comm.seconds


def _sum_seconds(comm: Communicator, nbytes: int) -> float:
    """Return the least seconds of a sum of `nbytes` of float32 (8: one float64)."""
    array = np.zeros(nbytes // 4, np.float32) if nbytes > 8 else np.zeros(1)
    times = []
    for _ in range(5 if nbytes > 1 << 22 else 50):
        comm.barrier()
        begun = time.perf_counter()
        comm.all_reduce_(array)
        times.append(time.perf_counter() - begun)
    return round(min(times), 8)


# ---------------------------------------------------------------------------------------------
# From outside


def measure(counts: Sequence[int], steps: int, out: Path) -> None:
    """Start the processes, one number of them after the other, and store their results."""
    launcher = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if launcher is None:
        raise UsageError("measuring needs mpiexec; pip install mpi4py mpich")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    runs = []
    for count in counts:
        program = [sys.executable, "-m", "mpi4py", "-m", "benchmarks.scaling", "work"]
        done = subprocess.run(
            [launcher, "-n", str(count), *program, "--steps", str(steps)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=600,
            check=True,
        )
        runs.append({**json.loads(done.stdout), "load": round(os.getloadavg()[0], 1)})
        print(f"{count} processes: {min(runs[-1]['step_seconds']):.3f} s a step", flush=True)
    result = {
        "date": date.today().isoformat(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "network": SMALL.arguments(),
        "runs": runs,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measured_table(results: dict[str, Any]) -> str:
    """Return what was measured as Markdown."""
    where, first = results["machine"], results["runs"][0]
    lines = [
        f"Measured on {results['date']}: {where['cores']} cores of {where['cpu']}; batch"
        f" {first['batch']}; the best of {len(first['step_seconds'])} steps (median).",
        "",
        "| processes | ms a step | of it communicating and waiting | speed-up | sum of 8 bytes |"
        " of 1 MiB | of 100 MB |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    alone = min(first["step_seconds"])
    for run in results["runs"]:
        best = min(run["step_seconds"])
        communicating = run["communication_seconds"][run["step_seconds"].index(best)]
        sums = {row["bytes"]: row["seconds"] for row in run["sums"]}
        cells = [
            str(run["processes"]),
            f"{1e3 * best:.0f} ({1e3 * statistics.median(run['step_seconds']):.0f})",
            f"{communicating / best:.0%}",
            f"{alone / best:.2f}",
            f"{1e6 * sums[8]:.0f} µs",
            f"{1e3 * sums[1 << 20]:.2f} ms",
            f"{1e3 * sums[100_000_000]:.0f} ms",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def model_table() -> str:
    """Return the modelled times as Markdown."""
    lines = [
        f"Modelled, not measured: H200 GPUs at {REACHED:.0%} of the step's floor, 64 images each;"
        f" {CLUSTER.gpus} a node, {CLUSTER.nvlink / 1e9:.0f} GB/s between them,"
        f" {CLUSTER.network / 1e9:.0f} GB/s for each to other nodes. Milliseconds, and efficiency"
        " as the program is / with sums hidden behind the backward pass (not built):",
        "",
        "| GPUs | gradients | batch norm | (by sums) | fp32 | tf32 | bf16 |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for rows in zip(*(scaling(precision) for precision in PRECISIONS), strict=True):
        cells = [f"{row.efficiency():.0%} / {row.efficiency(True):.0%}" for row in rows]
        parts = (rows[0].gradients, rows[0].batch_norm, rows[0].batch_norm_sums)
        times = " | ".join(f"{1e3 * seconds:.1f}" for seconds in parts)
        lines.append(f"| {rows[0].n} | {times} | {' | '.join(cells)} |")
    steps = (f"{p} {1e3 * scaling(p)[0].compute:.0f} ms" for p in PRECISIONS)
    return "\n".join(lines) + f"\n\nA step on one GPU is taken to last: {', '.join(steps)}.\n"


def table(results: Path, page: Path | None) -> None:
    """Print both tables, or write them as a page of the documentation."""
    try:
        measured = measured_table(json.loads(results.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(f"{results}: cannot be read ({error})") from error
    text = (
        f"# Several processes: results\n\n## Measured\n\n{measured}\n## Modelled\n\n{model_table()}"
    )
    if page is None:
        sys.stdout.write(text)
    else:
        page.write_text(text, encoding="utf-8")


def plot(path: Path) -> None:
    """Draw the model: efficiency against the number of GPUs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.subplots()
    for precision, color in zip(PRECISIONS, ("#9a9a9a", "#3d7ea6", "#0b6e4f"), strict=True):
        rows = scaling(precision)
        counts = [row.n for row in rows]
        for hidden, style, label in ((False, "-", precision), (True, ":", None)):
            values = [100 * row.efficiency(hidden) for row in rows]
            axes.plot(counts, values, style, color=color, marker=".", label=label)
    axes.plot(
        [], [], ":", color="#555555", label="with sums hidden behind the backward pass (not built)"
    )
    axes.set(xscale="log", ylim=(0, 104), xlabel="GPUs", ylabel="efficiency, % (a model)")
    axes.set_xticks(counts, [str(n) for n in counts], minor=False)
    axes.minorticks_off()
    axes.legend(loc="lower left", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="benchmarks.scaling", description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument("command", choices=("measure", "model", "table", "work"))
    parser.add_argument("--processes", type=positive, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--steps", type=positive, default=12, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="results")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the model")
    parser.add_argument("--page", type=Path, metavar="PAGE", help="write there, do not print")
    given = parser.parse_args(arguments)
    commands: dict[str, Callable[[], Any]] = {
        "measure": lambda: measure(given.processes, given.steps, given.out),
        "model": lambda: sys.stdout.write(model_table()),
        "table": lambda: table(given.out, given.page),
        "work": lambda: work(given.steps),
    }
    commands[given.command]()
    if given.plot is not None:
        plot(given.plot)
    return 0


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.scaling", main))
