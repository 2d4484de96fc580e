"""NumPy or CuPy: which module computes an array, where arrays live, and how they move.

The only file that imports CuPy, and only once somebody asks for the GPU. Everything else writes
``xp = get_xp(x)`` and calls functions of ``xp``, so that one source serves both devices.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.errors import DeviceError

__all__ = [
    "Array",
    "Device",
    "as_device",
    "cupy",
    "device_of",
    "get_xp",
    "gpu_problem",
    "synchronize",
    "to_cpu",
    "to_device",
]

Array = npt.NDArray[Any]
"""An array of NumPy's or of CuPy's; typed as NumPy's, whose interface CuPy copies."""

_INSTALL = "pip install 'minideconv[gpu]' (driver for CUDA 12) or 'minideconv[gpu-cuda13]'"


@dataclass(frozen=True, slots=True)
class Device:
    """A place where arrays live: ``type`` is ``"cpu"`` or ``"gpu"``, ``index`` numbers the GPUs."""

    type: str = "cpu"
    index: int = 0

    def __str__(self) -> str:
        return "cpu" if self.type == "cpu" else f"gpu:{self.index}"


CPU = Device()


def get_xp(*arrays: Any) -> Any:
    """Return the module that computes `arrays`: ``cupy`` if any is a CuPy array, else ``numpy``.

    CuPy cannot have made an array before it was imported, so nothing is imported here.
    """
    cupy = sys.modules.get("cupy")
    if cupy is not None and any(isinstance(array, cupy.ndarray) for array in arrays):
        return cupy
    return np


def cupy() -> Any:
    """Return the module CuPy, for the GPU kernels of `engine.cuda`, which import it nowhere."""
    import cupy

    return cupy


def gpu_problem() -> str | None:
    """Say in one sentence why the GPU cannot be used, or return None if it can."""
    try:
        import cupy
    except ImportError as error:
        if getattr(error, "name", None) == "cupy":
            return f"CuPy is not installed; {_INSTALL}"
        return f"CuPy is installed but does not import ({error}); reinstall it with {_INSTALL}"
    try:
        if cupy.cuda.runtime.getDeviceCount() > 0:
            return None
    except Exception as error:
        name = str(error).split(":")[0]
        if "InsufficientDriver" in name:
            return (
                "no CUDA device is visible: the NVIDIA driver is missing or too old for this CuPy"
            )
        return f"no CUDA device is visible ({name})"
    return "no CUDA device is visible"


def as_device(device: Device | str | None) -> Device:
    """Read a device from ``"cpu"``, ``"gpu"``, ``"gpu:1"``, ``"auto"``, a `Device` or None (CPU).

    ``"auto"`` is the GPU where one can be used and the CPU elsewhere; every other spelling gives
    exactly the device it names or an error, never another one.

    Raises
    ------
    ValueError
        If the name is none of these.
    DeviceError
        If the GPU is asked for and CuPy or a CUDA device is missing.
    """
    if device is None:
        return CPU
    if isinstance(device, str):
        if device == "auto":
            return Device("gpu") if gpu_problem() is None else CPU
        kind, _, number = device.partition(":")
        if kind not in ("cpu", "gpu") or (number and not number.isdigit()):
            raise ValueError(f"device is {device!r}; it must be 'auto', 'cpu', 'gpu' or 'gpu:N'")
        if kind == "cpu":
            return CPU
        device = Device("gpu", int(number or 0))
    if device.type == "gpu":
        problem = gpu_problem()
        if problem is not None:
            raise DeviceError(f"--device {device.type}: {problem}")
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
        if device.index >= count:
            raise DeviceError(
                f"--device {device}: there are {count} CUDA devices, 0 to {count - 1}"
            )
    return device


def device_of(array: Any) -> Device:
    """Return the device on which `array` lives."""
    if get_xp(array) is np:
        return CPU
    return Device("gpu", int(array.device.id))


def to_cpu(array: Any) -> Array:
    """Return `array` as a NumPy array; one that already is comes back unchanged, not copied."""
    xp = get_xp(array)
    result: Array = np.asarray(array) if xp is np else xp.asnumpy(array)
    return result


def to_device(array: Any, device: Device | str | None) -> Array:
    """Return `array` on `device`; one that is already there comes back unchanged, not copied."""
    device = as_device(device)
    if device.type == "cpu":
        return to_cpu(array)
    import cupy

    with cupy.cuda.Device(device.index):
        if isinstance(array, cupy.ndarray):
            result: Array = cupy.asarray(array)
            return result
        # CuPy knows two orders of the axes in memory, the engine uses others (see engine.layout):
        # the numbers travel as they lie, and are then seen in their shape again.
        host = np.asarray(array)
        axes = sorted(range(host.ndim), key=lambda axis: -abs(host.strides[axis]))
        lies = cupy.asarray(np.ascontiguousarray(host.transpose(axes)))
        result = lies.transpose(np.argsort(axes)) if host.ndim else lies
        return result


def synchronize(device: Device | str | None = None) -> None:
    """Wait until `device` has finished its work; on the CPU there is nothing to wait for."""
    device = as_device(device)
    if device.type == "gpu":
        import cupy

        with cupy.cuda.Device(device.index):
            cupy.cuda.get_current_stream().synchronize()
