"""Where the time of a training step on the GPU goes: the host's, and each kernel's.

    python -m benchmarks.gpu_profile [--batch N] [--precision NAME] [--tiny]

A step of the paper's network, not recorded, with algorithms chosen by measurement: how long the
host takes to ask for it, how long it takes in all, and, where PyTorch with CUDA is installed, whose
profiler sees all kernels of the process, the device's time by kernel.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks import gpu_steps
from benchmarks.gpu import PRECISIONS, TINY_NET
from benchmarks.gpu_device import cuda_torch, the_gpu
from benchmarks.plans import PAPER
from minideconv.engine.cuda.benchmark import get_benchmark, set_benchmark
from minideconv.settings.command_line import HelpFormatter, run_program

__all__ = ["main"]

MOST = 30
ROUNDS = 5


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        "benchmarks.gpu_profile", description=__doc__.split("\n")[0], formatter_class=HelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64, metavar="N")
    parser.add_argument("--precision", choices=PRECISIONS, default="tf32")
    parser.add_argument("--tiny", action="store_true", help="sizes for a test")
    options = parser.parse_args(arguments)
    stream = the_gpu().cuda.Stream(non_blocking=True)
    net = TINY_NET if options.tiny else replace(PAPER, batch=options.batch)
    before = get_benchmark()
    set_benchmark(not options.tiny)
    try:
        with stream:
            step = gpu_steps.our_step(net, options.precision)
            for _ in range(2):  # compiles, tries algorithms
                step()
            _print_times(step, stream.synchronize)
            _print_kernels(step, stream.synchronize)
    finally:
        set_benchmark(before)
    return 0


def _print_times(step: Callable[[], Any], wait: Callable[[], None]) -> None:
    times: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        wait()
        start = time.perf_counter()
        step()
        host = time.perf_counter() - start
        wait()
        times.append((host, time.perf_counter() - start))
    host, whole = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
    print(f"a step: the host launches it in {host:.1f} ms; {whole:.1f} ms in all")


def _print_kernels(step: Callable[[], Any], wait: Callable[[], None]) -> None:
    if cuda_torch() is None:
        print("kernels: PyTorch with CUDA, whose profiler counts them, is not installed")
        return
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        step()
        wait()
    found = [(e.self_device_time_total / 1e3, e.count, e.key) for e in seen.key_averages()]
    found = sorted((row for row in found if row[0] > 0), reverse=True)  # not the host's calls
    count = sum(number for _, number, _ in found)
    print(f"kernels and copies: {count}, {sum(ms for ms, _, _ in found):.1f} ms")
    for ms, number, name in found[:MOST]:
        print(f"  {ms:8.2f} ms {number:5d} x  {name[:70]}")


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.gpu_profile", main))
