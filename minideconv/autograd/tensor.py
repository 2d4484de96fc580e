"""The Tensor: an array that remembers how it was computed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from minideconv.autograd.grad_mode import no_grad
from minideconv.autograd.methods import TensorMethods
from minideconv.autograd.tape import GradHook, Node, Version, backward_pass
from minideconv.backend import (
    Array,
    Device,
    device_of,
    get_xp,
    to_cpu,
    to_default_device,
    to_device,
)
from minideconv.backend.device_guard import device_guard, on_device_of

__all__ = ["RemovableHandle", "Tensor", "wrap"]


class GradHome(Protocol):
    """Memory that keeps the gradient of a leaf for it: `optim.flat` says what for."""

    grad: Tensor
    together: tuple[Array, int]
    """The array of all gradients that are kept beside this one, and how many they are."""

    def receive(self, grad: Array, first: bool) -> None:
        """Write `grad` there, or add it if it is not the first."""


class Tensor(TensorMethods):
    """An array that remembers how it was computed.

    Parameters
    ----------
    data : array, Tensor, number or nested sequence of numbers
        An array is used as it is, not copied, and keeps its dtype. Python floats become float32,
        Python integers int64, Python booleans bool.
    requires_grad : bool, default False
        Whether ``backward()`` is to leave the gradient with respect to this tensor in ``.grad``.
        Only a tensor of floats can have one.
    device : str, Device or None
        Where the data shall be: ``"cpu"``, ``"gpu"``, ``"gpu:1"``; None means the default device
        (`set_default_device`), but a CuPy array and a tensor stay where they are.
    dtype : dtype or None
        The type to convert to; None keeps the array's.

    Attributes
    ----------
    data : array
        The plain NumPy or CuPy array. Changing it in place goes unnoticed by the tape: call
        `bump_version` afterwards, or change the tensor instead (``t[...] = v``, ``t += v``).

    Notes
    -----
    Operators and methods such as ``+``, ``@``, ``[]``, ``sum`` and ``reshape`` are listed in
    `elementwise`, `reductions` and `shapes`. Comparisons (``<``, ``==`` ...) return plain bool
    arrays. Where types meet: a Python or NumPy scalar takes the tensor's type (``float32 * 2.0`` is
    float32); a float tensor with an integer or bool one keeps the float type; float32 with float64
    is float64. A gradient always has the shape and type of its tensor.
    Gradients are arrays without a history: there is no gradient of a gradient.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4., 6.])
    """

    __slots__ = (
        "__weakref__",
        "_grad",
        "_home",
        "_hooks",
        "_node",
        "_requires_grad",
        "_version",
        "data",
    )

    data: Array
    _grad: Tensor | None
    _home: GradHome | None  # None: a gradient is an array of its own
    _hooks: dict[int, GradHook] | None  # of a leaf; those of a result are its node's
    _node: Node | None  # what made this tensor; None for a leaf
    _requires_grad: bool
    _version: Version

    __array_ufunc__ = None  # makes array + tensor call Tensor.__radd__ instead of looping over it

    def __init__(
        self,
        data: Any,
        requires_grad: bool = False,
        device: Device | str | None = None,
        dtype: Any = None,
    ) -> None:
        array = _as_array(data, device, dtype)
        shared = isinstance(data, Tensor) and array is data.data
        self.data = array
        self._grad = self._home = self._hooks = self._node = None
        self._version = data._version if shared else [0]
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    # ---- what it is -----------------------------------------------------------------------------

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
    def size(self) -> int:
        """The number of elements."""
        return int(self.data.size)

    @property
    def device(self) -> Device:
        """Where the data is."""
        return device_of(self.data)

    @property
    def is_leaf(self) -> bool:
        """Whether this tensor was made by the program and not by a recorded operation."""
        return self._node is None

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor; may be set on a leaf, for example to freeze it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._node is not None:
            raise RuntimeError(
                f"requires_grad: this tensor is the result of {self._node.name}, and only leaves "
                "can be switched; use detach() to get one"
            )
        if value and self.data.dtype.kind != "f":
            raise TypeError(
                f"requires_grad: a tensor of {self.data.dtype} has no gradient; make it of floats, "
                "for example with dtype='float32'"
            )
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` and return this tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Tensor | None:
        """The gradient that the backward passes so far have added up, or None.

        A pass that adds to it stores a new tensor here; one you took earlier keeps its values.
        Not so after ``optimizer.flatten()``: then it is always the same memory, and what is set
        here is copied there.
        """
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad: must be a Tensor or None, not {type(value).__name__}")
            if value.shape != self.shape:
                raise ValueError(
                    f"grad: has shape {value.shape} but the tensor has shape {self.shape}"
                )
            if self._home is not None and value is not self._home.grad:
                self._home.receive(to_device(value.data, self.device), first=True)
                value = self._home.grad
        self._grad = value

    # ---- the tape -------------------------------------------------------------------------------

    def backward(
        self, grad: Tensor | Array | float | None = None, retain_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor to the ``.grad`` of every leaf it was computed from.

        Parameters
        ----------
        grad : Tensor, array or None
            The gradient of something with respect to this tensor, of the same shape; None means 1
            and is allowed for a single number only.
        retain_graph : bool, default False
            Keep what the operations saved, so that backward can pass here again. By default it is
            freed as backward goes along.

        Raises
        ------
        RuntimeError
            If no gradients were recorded, if `grad` is missing, if an earlier backward freed what
            is needed, or if a saved tensor was changed in place.
        ValueError
            If `grad` has the wrong shape.
        """
        if not self._requires_grad:
            raise RuntimeError(
                "backward: this tensor does not require gradients; create an input or a parameter "
                "with requires_grad=True and compute outside no_grad()"
            )
        if grad is None:
            if self.data.size != 1:
                raise RuntimeError(
                    f"backward: a tensor of shape {self.shape} needs a gradient of that shape; "
                    "pass backward(grad), or reduce it to one number first, for example with .sum()"
                )
            with on_device_of(self.data):
                seed = get_xp(self.data).ones_like(self.data)
        else:
            seed = _as_array(grad, self.device, self.dtype)
            if seed.shape != self.shape:
                raise ValueError(
                    f"backward: grad has shape {seed.shape} but the tensor has shape {self.shape}; "
                    "they must be equal"
                )
        backward_pass(self._node or self, seed, retain_graph)

    def detach(self) -> Tensor:
        """Return a leaf with the same memory that does not require gradients."""
        return wrap(self.data, self._version)

    def retain_grad(self) -> None:
        """Make ``backward()`` leave a gradient in ``.grad`` though this is not a leaf."""
        self._check_requires_grad("retain_grad")
        if self._node is None:
            return
        tensor = weakref.ref(self)  # the node must not keep the result alive

        def retain(grad: Array) -> None:
            target = tensor()
            if target is not None:
                before = target._grad
                target._grad = wrap(grad.copy(order="K") if before is None else before.data + grad)

        self._node.retained = retain

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(grad)`` in each backward pass, when the gradient of this tensor is complete.

        Parameters
        ----------
        hook : callable
            Gets the gradient as a Tensor that it must not change in place. What it returns, if not
            None, is used in place of the gradient.

        Returns
        -------
        RemovableHandle
            ``handle.remove()`` takes the hook away again.
        """
        self._check_requires_grad("register_hook")
        hooks = self._hooks if self._node is None else self._node.hooks
        if hooks is None:
            hooks = {}
            if self._node is None:
                self._hooks = hooks
            else:
                self._node.hooks = hooks
        return RemovableHandle(hooks, _array_hook(hook))

    def bump_version(self) -> None:
        """Tell the tape that ``.data`` was changed in place.

        A backward that needs the former values then stops with an error instead of giving a wrong
        gradient. The counter is shared by all tensors that are views of one memory.
        """
        self._version[0] += 1

    def _check_requires_grad(self, caller: str) -> None:
        if not self._requires_grad:
            raise RuntimeError(f"{caller}: this tensor does not require gradients")

    @device_guard
    def _receive(self, grad: Array, exclusive: bool) -> None:
        """Add `grad` to ``.grad``; if `exclusive`, its memory is ours to keep and to change."""
        if self._hooks:
            exclusive = False
            for hook in tuple(self._hooks.values()):
                replacement = hook(grad)
                grad = grad if replacement is None else replacement
        if self._home is not None:
            self._home.receive(grad, first=self._grad is None)
            self._grad = self._home.grad
            return
        if self._grad is None:
            grad = grad if exclusive else get_xp(grad).array(grad)
        elif exclusive:
            grad += self._grad.data  # not the other way round: the program may hold the old .grad
        else:
            grad = grad + self._grad.data
        self._grad = wrap(grad)

    def _settle(self, data: Array, home: GradHome | None, version: Version) -> None:
        """Live in the array `data` from now on, with the gradient in `home`."""
        self.data, self._home, self._version = data, home, version
        if self._grad is not None and home is not None:
            home.receive(self._grad.data, first=True)
            self._grad = home.grad

    # ---- in and out -----------------------------------------------------------------------------

    def numpy(self) -> Array:
        """Return the data as a NumPy array: the same memory on the CPU, a copy from the GPU."""
        return to_cpu(self.data)

    def item(self) -> float | int | bool:
        """Return the only element as a Python number."""
        if self.data.size != 1:
            raise ValueError(f"item: needs exactly one element, the tensor has shape {self.shape}")
        return self.data.item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    @staticmethod
    def from_dlpack(source: Any) -> Tensor:
        """Return a tensor on the memory of `source`, an array of any library that speaks DLPack."""
        kind, number = map(int, source.__dlpack_device__())
        if kind == 1:  # kDLCPU
            return wrap(np.from_dlpack(source))
        near = to_device(np.zeros(0), Device("gpu", number))
        with on_device_of(near):
            return wrap(get_xp(near).from_dlpack(source))

    @device_guard
    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError(
                f"deepcopy: only leaves can be copied, this is the result of {self._node.name}; "
                "copy tensor.detach()"
            )
        new = type(self).__new__(type(self))
        # "K" keeps the order in memory: a convolution would turn another one at each call.
        new.data, new._version, new._node = self.data.copy(order="K"), [0], None
        new._grad = None if self._grad is None else wrap(self._grad.data.copy(order="K"))
        new._requires_grad, new._home, new._hooks = self._requires_grad, None, None
        if hasattr(self, "__dict__"):
            new.__dict__.update(self.__dict__)
        memo[id(self)] = new
        return new

    def __len__(self) -> int:
        if self.data.ndim == 0:
            raise TypeError("len: a tensor with no axes has no length")
        return int(self.data.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

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

    def __repr__(self) -> str:
        name = type(self).__name__
        text = np.array2string(self.numpy(), separator=", ", prefix=f"{name}(")
        if self.dtype.name not in ("float32", "int64", "bool"):
            text += f", dtype={self.dtype}"
        if self.device.type != "cpu":
            text += f", device={str(self.device)!r}"
        if self._node is not None:
            text += f", made by {self._node.name}"
        elif self._requires_grad:
            text += ", requires_grad=True"
        return f"{name}({text})"


def wrap(data: Array, version: Version | None = None) -> Tensor:
    """Make a leaf of an array: `Tensor` without its questions."""
    tensor = Tensor.__new__(Tensor)
    tensor.data = np.asarray(data) if isinstance(data, np.generic) else data
    tensor._version = [0] if version is None else version
    tensor._grad = tensor._home = tensor._hooks = tensor._node = None
    tensor._requires_grad = False
    return tensor


def _as_array(data: Any, device: Device | str | None, dtype: Any) -> Array:
    """Read `data` as `Tensor` documents it."""
    settled = isinstance(data, Tensor)
    if settled:
        data = data.data
    if get_xp(data) is np:
        try:
            array = np.asarray(data)
        except ValueError:
            raise ValueError("Tensor: the rows of a nested list must have equal lengths") from None
        if array.dtype == np.float64 and not hasattr(data, "dtype"):
            array = array.astype(np.float32)
    else:
        array = data
    if dtype is not None:
        with on_device_of(array):
            array = array.astype(dtype, copy=False)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"Tensor: cannot hold {type(data).__name__} of dtype {array.dtype}; floats, integers "
            "and booleans are possible"
        )
    if device is not None:
        return to_device(array, device)
    return array if settled else to_default_device(array)


class RemovableHandle:
    """Takes one hook away again."""

    _numbers = 0

    def __init__(self, hooks: dict[int, GradHook], hook: GradHook) -> None:
        RemovableHandle._numbers += 1
        self._key = RemovableHandle._numbers
        self._hooks = hooks
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook away; doing so twice does nothing."""
        self._hooks.pop(self._key, None)


def _array_hook(hook: Callable[[Tensor], Tensor | None]) -> GradHook:
    """Let a hook on tensors see an array, and the array not be changed by it."""

    def wrapped(grad: Array) -> Array | None:
        # Other tensors may have been sent the same array, so the hook must not change it.
        if get_xp(grad) is np:
            seen = np.asarray(grad).view()
            seen.flags.writeable = False
        else:
            seen = grad.copy()  # CuPy knows no read-only arrays
        with no_grad():
            replacement = hook(wrap(seen))
        if replacement is None:
            return None
        if not isinstance(replacement, Tensor) or replacement.shape != grad.shape:
            raise RuntimeError(
                f"register_hook: a hook must return None or a Tensor of shape {grad.shape}, not "
                f"{replacement!r}"
            )
        return replacement.data.astype(grad.dtype, copy=False)

    return wrapped
