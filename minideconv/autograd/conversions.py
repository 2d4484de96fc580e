"""Tensors of another type or on another device; the gradient is sent back as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minideconv.autograd.broadcasting import as_tensor
from minideconv.autograd.methods import Operand
from minideconv.autograd.record import record
from minideconv.autograd.tensor import Tensor
from minideconv.backend import Array, Device, device_of, to_device
from minideconv.backend.checks import check_dtype, check_flag
from minideconv.backend.dispatch import device_guard

__all__ = ["astype", "copied", "device_and_dtype", "to"]


@device_guard
def astype(x: Operand, dtype: Any) -> Tensor:
    """Convert the elements to `dtype`; the gradient is converted back."""
    x = as_tensor(x)
    if x.dtype == check_dtype("astype", dtype):
        return x
    y = x.data.astype(dtype)
    return record("astype", y, (x,), _same, (), {"dtype": y.dtype}, False, _same)


@device_guard
def copied(x: Tensor) -> Tensor:
    """Return a copy in row-major order, through which gradients flow."""
    return record("clone", x.data.copy(order="C"), (x,), _same, (), {}, False, _same)


def _same(g: Any, needs: Sequence[bool]) -> tuple[Any]:
    return (g,)


def to(
    x: Tensor,
    place: Any = None,
    dtype: Any = None,
    *,
    device: Device | str | None = None,
    non_blocking: bool = False,
    copy: bool = False,
) -> Tensor:
    """Return `x` on another device, of another type, or both; gradients flow back.

    Parameters
    ----------
    x : Tensor
    place : device, dtype or Tensor
        ``x.to("gpu")``, ``x.to("float64")``, or a tensor whose device and type are to be taken.
    dtype : dtype, optional
    device : Device or str, optional
    non_blocking : bool, default False
        Accepted for PyTorch's sake: nothing here waits longer than it must.
    copy : bool, default False
        Return a copy also where `x` is there already, and of that type.
    """
    check_flag("to", "non_blocking", non_blocking)
    check_flag("to", "copy", copy)
    if isinstance(place, Tensor):
        place, dtype = place.device, place.dtype if dtype is None else dtype
    device, dtype = device_and_dtype("to", place, device, dtype)
    if dtype is not None and dtype.kind not in "fiub":
        raise TypeError(f"to: dtype is {dtype}; it must be floats, integers or booleans")
    y = x if device is None else _moved(x, device)
    y = y if dtype is None else astype(y, dtype)
    return y.clone() if copy and y is x else y


def _moved(x: Tensor, device: Device | str) -> Tensor:
    source = x.device
    moved = to_device(x.data, device)
    if moved is x.data:
        return x

    def backward(g: Array, needs: Sequence[bool]) -> tuple[Array]:
        return (to_device(g, source),)

    def differentiable(g: Tensor, needs: Sequence[bool]) -> tuple[Tensor]:
        return (_moved(g, source),)

    options = {"device": device_of(moved)}
    return record("to", moved, (x,), backward, (), options, False, differentiable)


def device_and_dtype(op: str, place: Any, device: Any, dtype: Any) -> tuple[Any, Any]:
    """Return the device and the dtype that ``x.to(...)`` is given; `place` may be either.

    Raises
    ------
    TypeError
        If one of them is given twice.
    ValueError
        If `place` is neither.
    """
    if place is not None:
        is_place = isinstance(place, Device) or (
            isinstance(place, str) and place.partition(":")[0] in ("auto", "cpu", "gpu")
        )
        if (device if is_place else dtype) is not None:
            raise TypeError(f"{op}: {place!r} and a second device or dtype given")
        device, dtype = (place, dtype) if is_place else (device, place)
    if dtype is not None:
        try:
            dtype = np.dtype(dtype)
        except TypeError:
            raise ValueError(
                f"{op}: {dtype!r} is no device ('auto', 'cpu', 'gpu' or 'gpu:N') and no dtype "
                "('float32', 'float64', 'int64' ...)"
            ) from None
    return device, dtype
