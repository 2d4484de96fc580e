"""NumPy or CuPy: which module computes an array, where arrays live, and how they move.

The only file that imports CuPy (but for `gpu_probe`, which finds out why that fails), and only once
the GPU is used. Everything else writes ``xp = get_xp(x)`` and calls functions of ``xp``, so that
one source serves both devices.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend.choice import ContextValue
from minideconv.backend.gpu_probe import gpu_name, gpu_problem
from minideconv.errors import DeviceError

__all__ = [
    "Array",
    "Device",
    "as_device",
    "check_state",
    "check_writable",
    "cupy",
    "default_device",
    "describe_device",
    "device_of",
    "get_default_device",
    "get_xp",
    "gpu_problem",
    "has_repeats",
    "memory_order",
    "nccl",
    "saved_array",
    "set_default_device",
    "synchronize",
    "to_cpu",
    "to_default_device",
    "to_device",
]

Array = npt.NDArray[Any]
"""An array of NumPy's or of CuPy's; typed as NumPy's, whose interface CuPy copies."""


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


def nccl() -> Any:
    """Return CuPy's binding of NCCL, for `distributed`, or None where NCCL is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy names what to install; so does the caller
        from cupy.cuda import nccl

    return nccl if nccl.available else None


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
    if not isinstance(device, Device):
        raise TypeError(f"device is {device!r}; it must be 'auto', 'cpu', 'gpu' or 'gpu:N'")
    if device.type == "gpu":
        problem = gpu_problem()
        if problem is not None:
            raise DeviceError(f"device {device.type}: {problem}")
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
        if device.index >= count:
            raise DeviceError(f"device {device}: there are {count} CUDA devices, 0 to {count - 1}")
    return device


def describe_device(asked: Device | str | None, device: Device, *notes: str) -> str:
    """Return a line with the `device` that was taken and, for ``"auto"``, the reason.

    ``cpu``, ``gpu:0 (NVIDIA H100)``, ``cpu (auto: CuPy is not installed)``. Further `notes` stand
    in the brackets first.
    """
    gpu = device.type == "gpu"
    reason = gpu_name(device.index) if gpu else (gpu_problem() or "").partition(";")[0]
    if asked == "auto":
        notes = (*notes, f"auto: {reason}")
    elif gpu:
        notes = (*notes, reason)
    return f"{device} ({', '.join(notes)})" if notes else str(device)


def device_of(array: Any) -> Device:
    """Return the device on which `array` lives."""
    if get_xp(array) is np:
        return CPU
    return Device("gpu", int(array.device.id))


def has_repeats(array: Array) -> bool:
    """Return whether an axis walks over the same number again and again: a stride of 0."""
    if array.flags.forc:
        return False
    return any(step == 0 < n - 1 for step, n in zip(array.strides, array.shape, strict=True))


def check_writable(op: str, arrays: Iterable[tuple[str, Array]]) -> None:
    """Raise ValueError if one of the named arrays, which `op` is about to change, is read-only.

    Call it before anything is changed. CuPy has no read-only arrays.
    """
    for name, array in arrays:
        if type(array) is np.ndarray and array.flags.carray:  # nearly always
            continue
        if has_repeats(array):
            raise ValueError(
                f"{op}: several numbers of {name}, of shape {array.shape}, are one in memory, and"
                " would be changed in place; use a copy of it"
            )
        if get_xp(array) is np and not array.flags.writeable:
            raise ValueError(
                f"{op}: {name} of shape {array.shape} is read-only, as a file mapped for reading"
                " is, and would be changed in place; use a copy of it"
            )


def check_state(op: str, state: Any) -> None:
    """Raise TypeError unless `state`, which `op` is about to load, is a mapping."""
    if not isinstance(state, Mapping):
        raise TypeError(
            f"{op}: the state is a {type(state).__name__}; "
            "it must be a dict, as state_dict() returns it"
        )


def saved_array(op: str, name: str, value: Any, own: Array) -> Array:
    """Return a saved `value` as an array, or raise if `own` cannot take its numbers.

    Call it before anything is changed. Real numbers of any type fit; complex ones do not fit
    into real ones, and strings and objects fit nowhere (TypeError); fractions, NaN and what is too
    large do not fit into integers (ValueError).
    """
    try:
        array: Array = np.asarray(value) if get_xp(value) is np else value
    except ValueError:
        raise ValueError(
            f"{op}: {name} is a {type(value).__name__} whose rows have different lengths; it must"
            " be an array"
        ) from None
    real = array.dtype.kind in "fiub"
    if not real and not np.can_cast(array.dtype, own.dtype, "same_kind"):
        raise TypeError(
            f"{op}: {name} is a {type(value).__name__} of dtype {array.dtype}; it must hold real"
            f" numbers, to become {own.dtype}"
        )
    if own.dtype.kind in "iu" and real and not np.can_cast(array.dtype, own.dtype):
        limits = np.iinfo(own.dtype)
        whole = (array == get_xp(array).trunc(array)) & (array >= limits.min)
        if not bool((whole & (array < float(limits.max + 1))).all()):
            raise ValueError(
                f"{op}: {name} has numbers that are no {own.dtype}; all must be integers from"
                f" {limits.min} to {limits.max}"
            )
    return array


def to_cpu(array: Any) -> Array:
    """Return `array` as a NumPy array; one that already is comes back unchanged, not copied.

    The order of the axes in memory stays as it is, on the way here as on the way there.
    """
    xp = get_xp(array)
    if xp is np:
        return np.asarray(array)
    return _in_memory_order(array, xp.asnumpy)


def to_device(array: Any, device: Device | str | None) -> Array:
    """Return `array` on `device`; one that is already there comes back unchanged, not copied."""
    device = as_device(device)
    if device.type == "cpu":
        return to_cpu(array)
    import cupy

    if not isinstance(array, cupy.ndarray):
        host = np.asarray(array)
        with cupy.cuda.Device(device.index):
            return _in_memory_order(host, lambda view: cupy.asarray(np.asarray(view, order="C")))
    if array.device.id == device.index:
        return array
    synchronize(device_of(array))  # the streams of two devices do not wait for each other
    with cupy.cuda.Device(device.index):
        moved = _in_memory_order(array, lambda view: view.copy())
    synchronize(device)
    return moved


def memory_order(array: Array) -> list[int]:
    """Return the axes of `array` from the one with the largest steps in memory to the smallest."""
    return sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))


def _in_memory_order(array: Array, move: Callable[[Array], Array]) -> Array:
    """Let the numbers travel in their order in memory, and be seen in their shape again.

    CuPy copies in two orders of the axes, and the engine uses others (see `engine.layout`).
    """
    axes = memory_order(array)
    moved = move(array.transpose(axes))
    return moved.transpose(np.argsort(axes)) if array.ndim else moved


_default = ContextValue("minideconv's default device", CPU)


def get_default_device() -> Device:
    """Return where tensors, parameters and buffers are made; the CPU unless it was changed."""
    return _default.get()


def set_default_device(device: Device | str) -> None:
    """Choose where tensors, parameters and buffers are made from numbers and NumPy arrays.

    A CuPy array stays on its GPU whatever is chosen here, and ``device=`` goes before it. In the
    main thread this holds for the program, in another thread for that thread, and in a ``with``
    block for the rest of the block.

    Parameters
    ----------
    device : Device or str
        As `as_device` reads it, for example ``"gpu"``.

    Raises
    ------
    ValueError, DeviceError
        If it is no device, or not there.

    Examples
    --------
    >>> import minideconv as md
    >>> md.set_default_device("cpu")
    >>> md.Tensor([1.0, 2.0]).device
    Device(type='cpu', index=0)
    """
    _default.set(as_device(device))


def default_device(device: Device | str) -> AbstractContextManager[None]:
    """Make tensors, parameters and buffers on another device inside a ``with`` block."""
    return _default.using(as_device(device))


def to_default_device(array: Array) -> Array:
    """Return a NumPy array on the default device; any other array comes back unchanged."""
    device = _default.get()
    stays = device.type == "cpu" or get_xp(array) is not np
    return array if stays else to_device(array, device)


def synchronize(device: Device | str | None = None) -> None:
    """Wait until `device` has finished its work; on the CPU there is nothing to wait for."""
    device = as_device(device)
    if device.type == "gpu":
        import cupy

        with cupy.cuda.Device(device.index):
            cupy.cuda.get_current_stream().synchronize()
