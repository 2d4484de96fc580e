"""What a Tensor shares with an array: its shape, its type, its conversions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, Union, cast

import numpy as np

from minideconv.autograd.grad_mode import mode
from minideconv.autograd.sizes import axis_of
from minideconv.backend import (
    Array,
    Device,
    device_of,
    get_xp,
    to_cpu,
    to_default_device,
    to_device,
)
from minideconv.backend.checks import check_dtype
from minideconv.backend.dispatch import on_device_of

if TYPE_CHECKING:
    from minideconv.autograd.operators import Operators
    from minideconv.autograd.tensor import Tensor
else:
    Operators = object  # `operators` puts them into the class Tensor when that is there

__all__ = [
    "FLOAT", "Axis", "ElementCount", "Operand", "TensorMethods", "as_array", "read_array",
]  # fmt: skip

FLOAT = np.dtype(np.float32)
"""The default float: what Python's floats become, and integers where an operation needs floats."""

Axis: TypeAlias = int | tuple[int, ...] | None
"""Axes to reduce: one, several, or None for all."""

Operand: TypeAlias = Union["Tensor", Array, np.generic, float, int, bool]
"""What may stand beside a tensor in an expression."""


class ElementCount(int):
    """How many elements a tensor has: NumPy's ``x.size``, and PyTorch's ``x.size(dim)`` if called.

    >>> from minideconv import Tensor
    >>> x = Tensor([[1.0, 2.0, 3.0]])
    >>> x.size, x.size(1), x.size()
    (3, 3, (1, 3))
    """

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        """Return the length along one axis, or all of them."""
        return (
            self.shape if dim is None else self.shape[axis_of("size", "dim", dim, len(self.shape))]
        )


class TensorMethods(Operators):
    """Base class of `Tensor`: everything that has nothing to do with gradients."""

    __slots__ = ("__weakref__", "data")

    data: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The length along each axis."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> ElementCount:
        """The number of elements; called, ``x.size(dim)``, the length along an axis."""
        count = ElementCount(self.data.size)
        count.shape = self.data.shape
        return count

    def numel(self) -> int:
        """Return the number of elements."""
        return int(self.data.size)

    def dim(self) -> int:
        """Return the number of axes."""
        return self.data.ndim

    @property
    def device(self) -> Device:
        """Where the data is."""
        return device_of(self.data)

    def numpy(self) -> Array:
        """Return the data as a NumPy array: the same memory on the CPU, a copy from the GPU."""
        return to_cpu(self.data)

    def item(self) -> float | int | bool:
        """Return the only element as a Python number."""
        if self.data.size != 1:
            raise ValueError(f"item: needs exactly one element, the tensor has shape {self.shape}")
        return self.data.item()

    def tolist(self) -> Any:
        """Return the elements as Python numbers in nested lists."""
        return self.data.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if mode.recording and cast("Tensor", self).requires_grad:
            raise TypeError(
                "NumPy would make a plain array of a Tensor that requires gradients, and lose them;"
                " use a method of the Tensor or an operator, or x.numpy() where none is needed"
            )
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __len__(self) -> int:
        if self.data.ndim == 0:
            raise TypeError("len: a tensor with no axes has no length")
        return int(self.data.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        tensor = cast("Tensor", self)
        return (tensor[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.data.size != 1:
            raise ValueError(
                f"bool: a tensor of shape {self.shape} is neither true nor false; compare it and "
                "use .any() or .all() of the resulting array"
            )
        return bool(self.data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)


def read_array(name: str, data: Any) -> Array:
    """Return `data` as a NumPy array, or unchanged if CuPy made it; `name` is for messages."""
    try:
        array: Array = np.asarray(data) if get_xp(data) is np else data
    except ValueError:
        raise ValueError(f"{name}: the rows of a nested list must have equal lengths") from None
    return array


def as_array(data: Any, device: Device | str | None, dtype: Any) -> Array:
    """Return `data` as an array, converted as `Tensor` documents it."""
    settled = isinstance(data, TensorMethods)  # of a dtype that a Tensor may have, on its device
    array = data.data if settled else read_array("Tensor", data)
    if not settled and array.dtype == np.float64 and not hasattr(data, "dtype"):
        array = array.astype(np.float32)
    if dtype is not None and dtype is not array.dtype:
        with on_device_of(array):
            array = array.astype(check_dtype("Tensor", dtype), copy=False)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"Tensor: cannot hold {type(data).__name__} of dtype {array.dtype}; floats, integers "
            "and booleans are possible"
        )
    if device is not None:
        return to_device(array, device)
    return array if settled else to_default_device(array)
