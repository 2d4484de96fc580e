"""Arrays of other libraries: how one is lent to a student's function, and how a result is read.

========  ====================================================================================
numpy     what the kit computes in
torch     PyTorch, on the CPU, or with ``"torch:cuda"`` on a GPU
jax       JAX; where a float64 is among the arguments, 64-bit types are switched on for the call
cupy      CuPy, on the current GPU
tensor    minideconv's own `Tensor`
========  ====================================================================================

The dtype is kept on both ways, but that PyTorch's integers are int64, the only ones that it takes
as indices. A result that is detached or not, read-only or not, of any strides, is read alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from minideconv import backend
from minideconv.autograd import Tensor
from minideconv.errors import UsageError
from minideconv.testing.faults import StudentFault
from minideconv.testing.operations.operation import Array

__all__ = ["ARRAYS", "ArrayKind", "array_kind"]


class ArrayKind:
    """The arrays of NumPy, and what the others do differently.

    Attributes
    ----------
    name : str
        As in ``check_op(..., arrays=name)``.
    type : str
        What a result must be, in words.
    few_shapes : bool
        Whether each new shape costs a compilation, so that geometries must be used again.
    autograd : bool
        Whether the library can find the gradients.
    """

    name = "numpy"
    type = "a NumPy array"
    few_shapes = False
    autograd = False

    def lend(self, array: Array) -> Any:
        """Return an array as the student's function takes it."""
        return array

    def holds(self, value: Any) -> bool:
        """Return whether a value is an array of this kind."""
        return isinstance(value, (np.ndarray, np.generic))

    def take(self, value: Any) -> Array:
        """Return what such an array holds."""
        return np.asarray(value)

    def place(self, value: Any) -> str:
        """Return the device where such an array lives."""
        return "cpu"

    def setting(self, arrays: Sequence[Array]) -> AbstractContextManager[Any]:
        """Return what must be switched on for a call with these arguments."""
        return nullcontext()

    def gradients(
        self, function: Callable[..., Any], inputs: Sequence[Any], cotangent: Any
    ) -> Sequence[Any]:
        """Return the gradients of <cotangent, function(*inputs)>, one for each input."""
        raise NotImplementedError


class TorchArrays(ArrayKind):
    """PyTorch's Tensors."""

    name, type, autograd = "torch", "a torch.Tensor", True

    def __init__(self, device: str = "cpu") -> None:
        import torch

        self.torch, self.device = torch, device

    def lend(self, array: Array) -> Any:
        if array.dtype.kind in "iu":
            array = array.astype(np.int64)
        # PyTorch has no negative strides, and warns of memory that it must not write to.
        if min(array.strides, default=1) < 0 or not array.flags.writeable:
            array = array.copy()
        return self.torch.from_numpy(array).to(self.device)

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.torch.Tensor)

    def take(self, value: Any) -> Array:
        return np.asarray(value.detach().cpu().resolve_conj().resolve_neg().numpy())

    def place(self, value: Any) -> str:
        return str(value.device.type)

    def gradients(
        self, function: Callable[..., Any], inputs: Sequence[Any], cotangent: Any
    ) -> Sequence[Any]:
        leaves = [a.detach().clone().requires_grad_() for a in inputs]
        result = _one(function(*leaves), self)
        if not result.requires_grad:
            raise StudentFault("returned", CUT)
        _same_shape(result, cotangent)
        return list(self.torch.autograd.grad(result, leaves, cotangent, allow_unused=True))


class JaxArrays(ArrayKind):
    """JAX's arrays: no function can change them; each new shape is compiled (some 0.1 s)."""

    name, type, autograd = "jax", "a JAX array", True
    few_shapes = True

    def __init__(self) -> None:
        import jax
        import jax.experimental

        self.jax: Any = jax

    def lend(self, array: Array) -> Any:
        return self.jax.numpy.array(array)

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.jax.Array)

    def take(self, value: Any) -> Array:
        return np.asarray(value)

    def setting(self, arrays: Sequence[Array]) -> AbstractContextManager[Any]:
        # Without it a float64 becomes a float32, silently; with it, new arrays of a function that
        # was given a float32 would be float64. So it is on where, and while, it is needed.
        if not any(a.dtype == np.float64 for a in arrays):
            return nullcontext()
        place: Any = self.jax if hasattr(self.jax, "enable_x64") else self.jax.experimental
        return place.enable_x64(True)  # before JAX 0.8 it was experimental

    def gradients(
        self, function: Callable[..., Any], inputs: Sequence[Any], cotangent: Any
    ) -> Sequence[Any]:
        result, pull = self.jax.vjp(lambda *given: _one(function(*given), self), *inputs)
        _same_shape(result, cotangent)
        return list(pull(cotangent))


class CupyArrays(ArrayKind):
    """CuPy's arrays, on the current GPU."""

    name, type = "cupy", "a CuPy array"

    def __init__(self) -> None:
        self.cupy = backend.cupy()

    def lend(self, array: Array) -> Any:
        return backend.to_device(array, "gpu")

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.cupy.ndarray)

    def take(self, value: Any) -> Array:
        return backend.to_cpu(value)

    def place(self, value: Any) -> str:
        return str(backend.device_of(value))


class Tensors(ArrayKind):
    """minideconv's own Tensors, on the default device."""

    name, type, autograd = "tensor", "a minideconv.Tensor", True

    def lend(self, array: Array) -> Any:
        return Tensor(array)

    def holds(self, value: Any) -> bool:
        return isinstance(value, Tensor)

    def take(self, value: Any) -> Array:
        return backend.to_cpu(value.detach().data)

    def place(self, value: Any) -> str:
        return str(value.device)

    def gradients(
        self, function: Callable[..., Any], inputs: Sequence[Any], cotangent: Any
    ) -> Sequence[Any]:
        leaves = [Tensor(a.data.copy(), requires_grad=True) for a in inputs]
        result = _one(function(*leaves), self)
        if not result.requires_grad:
            raise StudentFault("returned", CUT)
        _same_shape(result, cotangent)
        result.backward(cotangent)
        return [leaf.grad for leaf in leaves]


CUT = (
    "autograd finds no gradient: the result does not follow from the arguments by operations that "
    "it records (was it detached, or computed in NumPy?)"
)


def _one(result: Any, kind: ArrayKind) -> Any:
    """Return the array of a result whose rest (switches, a cache) has no gradient."""
    first = result[0] if isinstance(result, (tuple, list)) and result else result
    if not kind.holds(first):
        what = type(first).__name__
        raise StudentFault("returned", f"the function returned {what}; it must be {kind.type}")
    return first


def _same_shape(result: Any, cotangent: Any) -> None:
    got, want = tuple(result.shape), tuple(cotangent.shape)
    if got != want:
        raise StudentFault(
            "returned", f"the result has shape {got}; its gradient cannot be taken, for that of the"
            f" right result is {want}"
        )  # fmt: skip


ARRAYS: dict[str, Callable[..., ArrayKind]] = {
    kind.name: kind for kind in (ArrayKind, TorchArrays, JaxArrays, CupyArrays, Tensors)
}
"""The kinds of arrays by their names."""

PACKAGES = {"torch": "PyTorch", "jax": "JAX", "cupy": "CuPy"}


def array_kind(name: str) -> ArrayKind:
    """Return the kind of arrays of this name: ``"numpy"``, ``"torch"``, ``"torch:cuda"``, ...

    Raises
    ------
    UsageError
        If there is none, or its library or device is missing.
    """
    first, _, device = name.partition(":")
    if first not in ARRAYS or (device and first != "torch"):
        legal = ", ".join(f'"{known}"' for known in ARRAYS)
        raise UsageError(f'arrays is {name!r}; it must be one of {legal}, or "torch:DEVICE"')
    try:
        return ARRAYS[first](device) if device else ARRAYS[first]()
    except ImportError as error:
        raise UsageError(
            f"arrays={name!r} needs {PACKAGES[first]}, which cannot be imported: {error}"
        ) from None
