"""The contenders by name, and what has to be switched for each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from types import ModuleType

from minideconv.backend import parallel
from minideconv.backend.algorithms import set_algorithm, use_compiled
from minideconv.errors import MinideconvError, UsageError

__all__ = [
    "OURS",
    "BenchmarkError",
    "available",
    "ours",
    "set_our_threads",
    "set_threads",
    "switch",
    "the_torch",
]


class BenchmarkError(MinideconvError, RuntimeError):
    """A measurement failed: a process died, or two implementations disagree."""


# Our modes: the algorithms, and whether compiled kernels are used.
OURS = {"fast": ("fast", True), "exact": ("exact", True), "numpy": ("fast", False)}


def switch(mode: str) -> None:
    """Put minideconv into one of our modes."""
    algorithm, compiled = OURS[mode]
    set_algorithm(algorithm)
    use_compiled(compiled)


def available(names: tuple[str, ...]) -> list[str]:
    """Return the contenders that can run here: without numba, those that compile are left out."""
    compiled = find_spec("numba") is not None
    return [name for name in names if name not in OURS or compiled or not OURS[name][1]]


def ours(names: tuple[str, ...] = tuple(OURS)) -> dict[str, Callable[[], None]]:
    """Return our modes that can run here, each with the function that switches to it."""
    return {name: partial(switch, name) for name in available(names)}


def the_torch() -> ModuleType:
    """Return PyTorch.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise UsageError(
            "this compares with PyTorch, which is not installed; pip install --group oracles"
        ) from error
    return torch


def set_threads(threads: int) -> None:
    """Give both libraries the same number of threads.

    Ours comes first: it limits every pool of threads in the process to one, PyTorch's too.
    """
    set_our_threads(threads)
    the_torch().set_num_threads(threads)


def set_our_threads(threads: int) -> None:
    """Give minideconv its threads; OpenBLAS gets one.

    Raises
    ------
    UsageError
        If minideconv cannot have them.
    """
    if parallel.set_num_threads(threads) != threads:
        raise UsageError(
            f"--threads {threads}: minideconv has no threads of its own without threadpoolctl;"
            " pip install minideconv[fast]"
        )
