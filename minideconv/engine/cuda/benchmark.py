"""Which algorithm is fastest, by measurement: `set_benchmark`.

Off, the table decides, and the same program computes the same bits on every GPU. On, every
algorithm that can answer is run where a convolution of that shape is met first: once to compile and
fill the memory pool, then `RUNS` times between two events of the GPU's clock. The one with the
shortest run is kept for as long as the process lives, and in a file if one is named. Algorithms add
up in different orders, so which one won shows in the last bits. A trial waits for the GPU; later
calls do not. Nothing is tried while a stream is being captured.

``MINIDECONV_GPU_BENCHMARK=1`` in the environment switches it on, a path does so with that file.

Source: cuDNN's "find" functions, which PyTorch calls ``torch.backends.cudnn.benchmark``.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from minideconv.backend import Array, cupy
from minideconv.backend.environment import as_switch, read_text
from minideconv.engine.cuda.graph import Recorder
from minideconv.engine.cuda.memory import bytes_asked
from minideconv.engine.cuda.module import KERNELS

__all__ = ["RUNS", "fastest", "get_benchmark", "measured", "set_benchmark"]

RUNS = 3

Times = dict[str, dict[str, dict[str, float]]]
"""Milliseconds: device and versions -> problem -> algorithm."""

_is_on: bool | None = None  # None: as the environment has it, off by default
_file: Path | None = None
_times: Times = {}
_winners: dict[Any, Any] = {}


def set_benchmark(wanted: bool, file: str | Path | None = None) -> None:
    """Choose algorithms by measurement or, the default, by the table.

    Parameters
    ----------
    wanted : bool
        Whether to measure. What was measured before is forgotten.
    file : path, optional
        Read now, and written after every measurement. A file that holds something else is ignored,
        with a warning, and replaced.
    """
    global _is_on, _file
    _is_on, _file = wanted, Path(file) if wanted and file is not None else None
    _winners.clear()
    _times.clear()
    if _file is not None:
        _times.update(_read(_file))


def get_benchmark() -> bool:
    """Return whether algorithms are chosen by measurement."""
    if _is_on is None:
        value = read_text("MINIDECONV_GPU_BENCHMARK")
        switch = as_switch(value) if value else False
        set_benchmark(switch is not False, value if switch is None else None)
    return bool(_is_on)


def measured(problem: Any) -> dict[str, float]:
    """Return the milliseconds of every algorithm for a problem; empty if it was not measured."""
    return _times.get(_setup(_device()), {}).get(str(problem), {})


def fastest(problem: Any, algorithms: Sequence[Any]) -> Any:
    """Return the fastest of `algorithms` for `problem`, or one that finds out when it is called.

    `algorithms` are the table's algorithms, its own choice first; ``problem.operation`` is
    the function of theirs that is called.
    """
    key = (_device(), problem)
    if key not in _winners:
        times = measured(problem)
        known = [algorithm for algorithm in algorithms if algorithm.name in times]
        if known:
            _winners[key] = min(known, key=lambda algorithm: times[algorithm.name])
        elif cupy().cuda.get_current_stream().is_capturing():
            return algorithms[0]
        else:
            trial = {problem.operation: partial(_try_all, problem, algorithms)}
            return replace(algorithms[0], name="to be measured", **trial)
    return _winners[key]


def _try_all(problem: Any, algorithms: Sequence[Any], *arguments: Any) -> Array:
    """Time all algorithms, remember that, and return the result of the fastest."""
    found: dict[str, float] = {}
    for algorithm in algorithms:
        try:
            found[algorithm.name] = _milliseconds(
                partial(getattr(algorithm, problem.operation), *arguments)
            )
        except (MemoryError, RuntimeError) as error:
            if bytes_asked(error) is None:
                raise
            continue  # another one may need less
    if found:
        _times.setdefault(_setup(_device()), {})[str(problem)] = found
        if _file is not None:
            _write(_file)
        algorithms = [fastest(problem, algorithms)]
    result: Array = getattr(algorithms[0], problem.operation)(*arguments)
    return result


def _milliseconds(call: partial[Array]) -> float:
    """Return the shortest of a few runs, after one that is not counted.

    The call is recorded where it can be: a small product's way through Python takes longer than the
    product, and a step that is replayed does not go that way.
    """
    call()
    if cupy().cuda.get_current_stream().ptr:  # the null stream cannot be recorded
        replay = Recorder().record(call)
        return min(_one_run(replay) for _ in range(RUNS))
    return min(_one_run(call) for _ in range(RUNS))


def _device() -> int:
    return int(cupy().cuda.runtime.getDevice())


def _one_run(call: Callable[[], Any]) -> float:
    events = cupy().cuda.Event(), cupy().cuda.Event()
    events[0].record()
    call()
    events[1].record()
    events[1].synchronize()
    return float(cupy().cuda.get_elapsed_time(*events))


# ---------------------------------------------------------------------------------------------
# What was measured, on disk


@cache
def _setup(device: int) -> str:
    """Return what a measurement is valid for: the device, CUDA's version, the kernels' text."""
    runtime = cupy().cuda.runtime
    name = runtime.getDeviceProperties(device)["name"].decode()
    kernels = sha256(b"".join(path.read_bytes() for path in sorted(KERNELS.iterdir())))
    return f"{name}, CUDA {runtime.runtimeGetVersion()}, kernels {kernels.hexdigest()[:12]}"


def _read(file: Path) -> Times:
    try:
        times: Times = json.loads(file.read_text(encoding="utf-8"))
        found = [ms for problems in times.values() for ms in problems.values()]
        if not all(isinstance(time, float) for ms in found for time in ms.values()):
            raise ValueError("a time is no number")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        warnings.warn(
            f"set_benchmark: {file} holds no measurements ({error}); it is ignored", stacklevel=3
        )
        return {}
    return times


def _write(file: Path) -> None:
    """Replace the file in one step, so that another process never reads half of it."""
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        scratch.write_text(json.dumps(_times, indent=1), encoding="utf-8")
        os.replace(scratch, file)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        warnings.warn(
            f"set_benchmark: {file} cannot be written ({error}); measurements are not kept",
            stacklevel=2,
        )
