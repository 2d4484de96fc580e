"""The machine: what it is, and section `floors`, the rates at which it can compute and move bytes.

No program can be faster than these, so a time beside them shows how much there is left to win. A
rate is the best that was seen and not a median: a limit that other work on the machine hid for a
moment is still a limit.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minideconv
from benchmarks.modes import available, the_torch
from benchmarks.plans import Plan
from benchmarks.timing import clock, cores
from minideconv.backend.parallel import map_ordered

__all__ = ["describe", "rows", "versions"]


def describe() -> dict[str, Any]:
    """Return what kind of machine this is; nothing that identifies it."""
    info = _cpuinfo()
    flags = info.get("flags", "").split()
    memory = 0
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "family": " ".join(info.get(k, "?") for k in ("cpu family", "model", "stepping")),
        "cores": cores(),
        "vectors": [f for f in ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile") if f in flags],
        "caches": _caches(),
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _caches() -> dict[str, str]:
    """Return the sizes of the first core's caches, such as {"L1d": "48K"}."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                (folder / name).read_text().strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        found[f"L{level}{ {'Data': 'd', 'Instruction': 'i'}.get(kind, '') }"] = size
    return found


def versions() -> dict[str, str]:
    """Return the versions of everything that computes."""
    found = {"python": platform.python_version(), "minideconv": minideconv.__version__}
    for name in ("numpy", "numba", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return found
    for pool in threadpool_info():
        if pool["internal_api"] == "openblas" and "numpy" in pool["filepath"]:  # not scipy's
            found["openblas"] = f"{pool['version']} ({pool['architecture']})"
    return found


# ---------------------------------------------------------------------------------------------
# Floors


def rows(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Measure the rates with `threads` cores at work."""
    if available(("fast",)):
        from benchmarks.peak import FLOP_PER_TURN, multiply_add

        turns = 20_000_000
        peak = _best(lambda: _on_all(threads, lambda _: multiply_add(turns)), plan, threads)
        yield _rate("multiply-add", threads * turns * FLOP_PER_TURN / peak / 1e9, "GF/s")
    yield from _products(plan, threads)
    yield from _traffic(plan, threads)


def _products(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Square matrix products: one a core in NumPy, one on all cores in PyTorch."""
    torch, side = the_torch(), plan.floor_size
    a, b = (np.random.default_rng(s).standard_normal((side, side), np.float32) for s in (0, 1))
    outs = [np.empty_like(a) for _ in range(threads)]
    flop = 2 * side**3
    best = _best(lambda: _on_all(threads, lambda i: np.matmul(a, b, out=outs[i])), plan, threads)
    yield _rate("sgemm, NumPy", threads * flop / best / 1e9, "GF/s")
    ta, tb, tout = torch.from_numpy(a), torch.from_numpy(b), torch.empty(side, side)
    best = _best(lambda: torch.mm(ta, tb, out=tout), plan, threads)
    yield _rate("sgemm, PyTorch", flop / best / 1e9, "GF/s")


def _traffic(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Arrays far larger than any cache, cut into one part a core."""
    x, y = (np.ones(plan.floor_bytes // 4, np.float32) for _ in range(2))
    xs, ys = np.array_split(x, threads), np.array_split(y, threads)
    jobs: dict[str, tuple[Callable[[int], Any], int]] = {
        "copy (read + write)": (lambda i: np.copyto(ys[i], xs[i]), 2),
        "read": (lambda i: np.dot(xs[i], xs[i]), 1),
        "write": (lambda i: ys[i].fill(2.0), 1),
    }
    for name, (job, arrays) in jobs.items():
        best = _best(lambda job=job: _on_all(threads, job), plan, threads)
        yield _rate(name, arrays * x.nbytes / best / 1e9, "GB/s")


def _on_all(threads: int, job: Callable[[int], Any]) -> None:
    map_ordered(job, range(threads))


def _best(job: Callable[[], Any], plan: Plan, threads: int) -> float:
    """Return the shortest time of a few calls, by the clock that counts."""
    now = time.process_time if clock(threads) == "cpu" else time.perf_counter
    job()
    best = float("inf")
    for _ in range(plan.rounds):
        time.sleep(0.03)
        start = now()
        job()
        best = min(best, now() - start)
    return best


def _rate(name: str, rate: float, unit: str) -> dict[str, Any]:
    return {"name": name, "rate": float(f"{rate:.4g}"), "unit": unit}
