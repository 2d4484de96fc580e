"""Whether a GPU can be used, and if not, why: one sentence with what is wrong and what helps.

The questions are asked in the order in which things can be missing, and the first "no" is the
answer: one CuPy and not two, CuPy itself, a driver, a visible device, and what CuPy loads when it
first needs it (NVRTC, cuBLAS, headers). None of the questions starts work on the device.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import Any

__all__ = ["gpu_name", "gpu_problem"]

_INSTALL = "pip install 'minideconv[gpu]' (driver for CUDA 12) or 'minideconv[gpu-cuda13]'"


_forked = threading.Event()
"""Set in a process that was forked from another one with this library."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked.set)


def gpu_problem() -> str | None:
    """Say in one sentence why the GPU cannot be used, or return None if it can.

    Before the semicolon stands what is wrong, after it what helps.
    """
    several = _cupy_packages()
    if len(several) > 1:
        return (
            f"{' and '.join(several)} are installed together and overwrite each other's files; "
            f"pip uninstall {' '.join(several)}, then {_INSTALL}"
        )
    try:
        import cupy
    except Exception as error:  # a broken installation raises more than ImportError
        if isinstance(error, ImportError) and error.name == "cupy":
            return f"CuPy is not installed; {_INSTALL}"
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        return f"CuPy is installed but does not import ({reason}); reinstall it with {_INSTALL}"
    return _device_problem(cupy.cuda.runtime) or _library_problem(cupy)


def gpu_name(index: int) -> str:
    """Return what its maker calls the GPU with this number."""
    import cupy

    name: bytes = cupy.cuda.runtime.getDeviceProperties(index)["name"]
    return name.decode()


@cache
def _cupy_packages() -> list[str]:
    """Return the installed packages that bring a module ``cupy``."""
    names = {str(package.name).lower() for package in metadata.distributions()}
    return sorted(name for name in names if re.fullmatch(r"cupy(-cuda\w+|-rocm[\w-]+)?", name))


def _device_problem(runtime: Any) -> str | None:
    """Ask for the driver and for a device."""
    try:
        if runtime.getDeviceCount() > 0:
            return None
    except Exception as error:
        name = str(error).partition(":")[0]
        if "InsufficientDriver" in name:
            return _driver_problem(runtime.driverGetVersion(), runtime.runtimeGetVersion())
        if "InitializationError" in name and _forked.is_set():
            return (
                "this process was forked from one that uses the GPU, which CUDA does not allow; "
                "start it by 'spawn', as multiprocessing.get_context('spawn') does"
            )
        if "NoDevice" not in name:
            return f"the NVIDIA driver answers {name}; see whether nvidia-smi works"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is None:
        return "no CUDA device is visible; see whether nvidia-smi lists one"
    return (
        f"no CUDA device is visible; CUDA_VISIBLE_DEVICES is {hidden!r}: unset it, or name a "
        "device there that nvidia-smi lists"
    )


def _driver_problem(driver: int, runtime: int) -> str:
    """Tell no driver from an old one; a version is 1000 * major + 10 * minor, and 0 means none."""
    if driver == 0:
        return "no NVIDIA driver is installed; a GPU needs one, and nvidia-smi then shows it"
    helps = "update the driver"
    if driver // 1000 == 12 < runtime // 1000:
        helps += ", or pip uninstall cupy-cuda13x and pip install 'minideconv[gpu]'"
    return (
        f"the NVIDIA driver is too old: it is made for CUDA {_version(driver)} and this CuPy for "
        f"CUDA {_version(runtime)}; {helps}"
    )


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _nvrtc(cupy: Any) -> None:
    cupy.cuda.nvrtc.getVersion()


def _cublas(_: Any) -> None:
    # Not import_module: asking the package for its attribute is what makes CuPy 14 load the
    # library of the wheel first, and only then the extension that needs it.
    from cupy_backends.cuda.libs import cublas  # noqa: F401 - only whether it can be imported


def _headers(_: Any) -> None:
    from cuda.pathfinder import find_nvidia_header_directory

    if find_nvidia_header_directory("cudart") is None:
        raise ImportError("no folder with cuda_fp16.h")


_LIBRARIES: dict[str, tuple[Callable[[Any], None], str]] = {
    "nvidia-cuda-nvrtc": (_nvrtc, "NVRTC, which compiles kernels, is missing"),
    "nvidia-cublas": (_cublas, "cuBLAS, which multiplies matrices, is missing"),
    "nvidia-cuda-runtime": (_headers, "the CUDA headers, which kernels need, are missing"),
}
"""For each package what CuPy loads of it late: a function that fails without it, and a message."""


@cache
def _library_problem(cupy: Any) -> str | None:
    """Try what CuPy loads late; the answer names the package that brings it."""
    for package, (check, missing) in _LIBRARIES.items():
        try:
            check(cupy)
        except (ImportError, OSError, RuntimeError):
            major = cupy.cuda.runtime.runtimeGetVersion() // 1000
            wheel = f"{package}-cu12" if major == 12 else f"'{package}>={major},<{major + 1}'"
            return f"{missing}; pip install {wheel}"
    return None
