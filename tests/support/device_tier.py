"""Which tests run where: the table of what is about the CPU alone, and the tiers of devices.

With MINIDECONV_TEST_DEVICE=fakecuda or gpu the suite runs a second time, on CuPy. Tests whose
subject never touches a GPU are deselected there, not skipped: nothing is missing, they have run.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any
from zlib import crc32

import two_devices
from hypothesis import settings

TESTS = Path(__file__).resolve().parents[1]
TOOLS = Path(os.environ.get("MINIDECONV_TEST_TOOLS") or TESTS.parents[1] / "shared" / "tools")
ON_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
DEVICES = ("cpu", "fakecuda", "gpu")

CPU_ONLY = {
    "benchmarks": "times the CPU",
    "data": "pictures and lists are read on the host",
    "distributed": "starts processes, with devices of their own",
    "engine": "the CPU's engine",
    "interop": "files are read on the host",
    "kernels": "the compiler, and kernels on the host",
    "test_algorithms.py": "the table that chooses, by names",
    "test_backend.py": "made-up CuPy modules",
    "test_check_before_training.py": "files are read on the host",
    "test_device_guard.py": "a made-up CuPy module",
    "test_docs.py": "pages",
    "test_drawn_settings.py": "settings, on the CPU",
    "test_examples.py": "scripts that choose their device",
    "test_geometry.py": "whole numbers",
    "test_gpu_probe.py": "made-up CuPy modules",
    "test_inside.py": "names of files",
    "test_lost_output.py": "what programs print, on the CPU",
    "test_memory_bounds.py": "the memory of the host",
    "test_packaging.py": "files and imports",
    "test_parallel.py": "threads",
    "test_random.py": "numbers drawn on the host",
    "test_tape_memory.py": "the memory of the CPU's engine",
    "test_train_voc.py": "data sets on the host",
    "test_tutorials.py": "notebooks",
    "test_weights_cli.py": "files are read on the host",
    "test_your_own_data.py": "data sets on the host",
    "testing": "the checks themselves, on functions made up for it",
}
"""Folders and files of tests about the CPU alone, and what they are about."""

CHECKS_OF_CHECKS = ("reject", "mutant", "spoilt", "would_notice")
"""Parts of names of tests that spoil a function and expect the checks to notice.

They are about the checks, which are the same everywhere. Kernels are spoilt in tests/cuda.
"""

LIMITS = {
    "cudaErrorNotSupported": "fakecuda runs no sort, which CuPy brings compiled for a GPU only",
    "barrier outside fiber mode": "fakecuda cannot run the scan behind CuPy's x[mask]",
}
"""What fakecuda answers where it is less than a GPU, and what that means."""

EXAMPLES = 6
"""Hypothesis examples of a test on fakecuda, where an operation takes 10 to 100 times as long."""


def chosen_device() -> str:
    """Return the device of this session."""
    device = os.environ.get("MINIDECONV_TEST_DEVICE") or "cpu"
    if device not in DEVICES:
        raise SystemExit(f"MINIDECONV_TEST_DEVICE is {device!r}; use {', '.join(DEVICES)}")
    return device


def install_fakecuda() -> Any:
    """Make CuPy's device this CPU; must come before anything imports CuPy."""
    folder = TOOLS / "fakecuda"
    if not folder.is_dir():
        raise SystemExit(f"MINIDECONV_TEST_DEVICE=fakecuda needs {folder}, which is missing")
    sys.path.insert(0, str(folder))
    import fakecuda

    compile_source, lock = fakecuda.compile_source, threading.Lock()

    def one_by_one(*arguments: Any) -> Any:
        """Compile: two threads that need the same kernel would write the same file."""
        with lock:
            return compile_source(*arguments)

    fakecuda.compile_source = one_by_one
    two_devices.install(fakecuda)
    fakecuda.install()
    two_devices.count_both()
    fakecuda.reset()  # a session that launches no kernel of its own must be seen
    return fakecuda


def about_the_cpu(item: Any) -> bool:
    """Return whether a test has no part in the tiers of devices."""
    folder = item.path.resolve().relative_to(TESTS).parts[0]
    if folder in CPU_ONLY or item.get_closest_marker("cpu"):
        return True
    return folder != "cuda" and any(part in item.name for part in CHECKS_OF_CHECKS)


def few_examples(item: Any, most: int = EXAMPLES) -> None:
    """Lower the number of Hypothesis examples, also where a test sets more than its profile."""
    test = getattr(item, "obj", None)
    asked = getattr(test, "_hypothesis_internal_use_settings", None)
    if asked is not None:
        number = min(asked.max_examples, most)
        test._hypothesis_internal_use_settings = settings(asked, max_examples=number)


def too_long(item: Any) -> bool:
    """Return whether a test takes too long where a step of training takes a second."""
    return any(item.get_closest_marker(name) for name in ("slow", "long_on_fakecuda"))


def limit_behind(error: BaseException) -> str | None:
    """Return which limit of fakecuda an error shows, if it does."""
    return next((reason for words, reason in LIMITS.items() if words in str(error)), None)


def needs_cupy(item: Any) -> bool:
    """Return whether a test of `tests/cuda` has no part in the tier "cpu"."""
    return "cupy_device" in item.fixturenames


def spoils_kernels(item: Any) -> bool:
    """Return whether a test compiles wrong kernels, which it must reject: all do so by `slip`."""
    return "slip" in item.fixturenames


def tried_elsewhere(item: Any) -> bool:
    """Return whether a test compiles a wrong kernel that is not this session's to try.

    There are some two hundred of them, and a compiler takes seconds for each. A session tries every
    eighth, on the device where it is quicker; all of them with MINIDECONV_TEST_LADDER=1. A GPU
    tries none: it notices only some of them, a wrong address may stop it, and what
    compute-sanitizer finds there must be a fault of ours.
    """
    if not spoils_kernels(item):
        return False
    if DEVICE == "gpu":
        return True
    if DEVICE == "fakecuda" and not needs_cupy(item):
        return True
    everything = os.environ.get("MINIDECONV_TEST_LADDER")
    return not everything and crc32(item.name.encode()) % 8 != 0


def chosen_part() -> tuple[int, int]:
    """Return which part of the files runs, and of how many (MINIDECONV_TEST_PART, as "0/2")."""
    words = (os.environ.get("MINIDECONV_TEST_PART") or "0/1").split("/")
    if len(words) != 2 or not all(w.isdecimal() for w in words) or int(words[0]) >= int(words[1]):
        raise SystemExit(f"MINIDECONV_TEST_PART is {'/'.join(words)!r}; use 0/2 or 1/2, say")
    return int(words[0]), int(words[1])


def in_another_part(items: list[Any]) -> set[Any]:
    """Return the tests of those files that are not in this session's part."""
    part, count = PART
    files = sorted({item.path for item in items})
    others = {path for number, path in enumerate(files) if number % count != part}
    return {item for item in items if item.path in others}


def by_itself(path: Path) -> bool:
    """Return whether a test file puts its arrays on the device by itself."""
    return path.resolve().relative_to(TESTS).parts[0] == "cuda"


DEVICE = chosen_device()
PART = chosen_part()


class Launches:
    """Counts kernel launches of the whole session, though tests set the counters to zero."""

    def __init__(self, fakecuda: Any) -> None:
        self._fakecuda, self._earlier = fakecuda, 0
        reset = fakecuda.reset

        def reset_and_remember() -> None:
            self._earlier += fakecuda.launches()
            reset()

        fakecuda.reset = reset_and_remember

    def total(self) -> int:
        """Return how many there have been."""
        return self._earlier + int(self._fakecuda.launches())
