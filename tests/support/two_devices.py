"""A second device for fakecuda, on which a call on the wrong one of the two is an error.

`install` is to be called before fakecuda's own ``install``: fakecuda compiles its driver and its
cuBLAS from one file each, and here a second file, ``two_devices.cpp``, joins them. It has functions
of the same names, which look at what device everything belongs to and call fakecuda's, which are
renamed by macros. With one device, as in all tests but those that ask for two, nothing can fail.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["count_both", "fault", "install", "second_device"]

SOURCE = Path(__file__).with_suffix(".cpp")


def install(fakecuda: Any) -> None:
    """Let `fakecuda` be compiled together with the check."""
    build = fakecuda._build
    driver, blas = SOURCE.read_text().split("#else")
    checks = {"rt.cpp": (driver, ("-DDRIVER",)), "cublas.cpp": (blas, ())}

    def with_check(name: str, sources: list[Any], flags: Any = (), links: Any = ()) -> Any:
        if sources[0] not in checks:
            return build(name, sources, flags, links)
        check, extra = checks[sources[0]]
        names = re.findall(r"^int ((?:fk_)?cu\w+)\(", check, re.MULTILINE)
        macros = "".join(f"#define {name} one_device_{name}\n" for name in names)
        whole = macros + Path(fakecuda.HERE, sources[0]).read_text()
        renamed = fakecuda._text("one_device", ".cpp", whole)
        return build(name, [renamed, *sources[1:], SOURCE], (*flags, *extra), links)

    fakecuda._build = with_check


def _library() -> Any:
    import fakecuda

    return fakecuda.STATE["lib"]


def fault() -> str:
    """Return what the first call on the wrong device was; empty if there was none."""
    ask = _library().two_devices_fault
    ask.restype = ctypes.c_char_p
    return ask().decode()


def count_both() -> None:
    """Let CuPy count two devices, which it does once, at its first kernel; then there is one."""
    _library().two_devices_use(2)
    import cupy

    cupy.zeros(1).fill(1)
    _library().two_devices_use(1)


@contextmanager
def second_device() -> Iterator[None]:
    """Let there be two devices inside the block, of which the first is current."""
    _library().two_devices_use(2)
    try:
        yield
    finally:
        _library().fk_cudaSetDevice(0)
        _library().two_devices_use(1)
