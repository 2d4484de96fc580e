"""The Tensor: an array that remembers how it was computed."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv.autograd.grad_mode import no_grad
from minideconv.autograd.hooks import GradHook, RemovableHandle, apply_hooks
from minideconv.autograd.methods import TensorMethods, as_array
from minideconv.autograd.tape import Node, Version, backward_pass
from minideconv.backend import Array, Device, get_xp, memory_order, to_device
from minideconv.backend.checks import check_flag
from minideconv.backend.dispatch import device_guard, on_device_of
from minideconv.backend.parallel import hold_at_fork

__all__ = ["Tensor", "receiving", "wrap"]

receiving = threading.RLock()
"""Held while a gradient is added to a ``.grad``: several threads may have a parameter in common."""

hold_at_fork(receiving)

_FOR_SIZES = "a tensor of given sizes is made by empty(2, 3), zeros(2, 3) or randn(2, 3)"


class Tensor(TensorMethods):
    """An array that remembers how it was computed.

    Parameters
    ----------
    data : array, Tensor, number or nested sequence of numbers
        An array is used as it is, not copied (but for one in the other byte order), and keeps its
        dtype. Python floats become float32,
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
    Gradients have no history unless ``backward(create_graph=True)`` or `grad` is asked for one.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4., 6.])
    """

    __slots__ = ("_grad", "_grad_buffer", "_hooks", "_node", "_requires_grad", "_version")

    _grad: Tensor | None
    _grad_buffer: Any  # an `optim.flat.GradBuffer`; None: a gradient is an array of its own
    _hooks: dict[int, GradHook] | None  # of a leaf; those of a result are its node's
    _node: Node | None  # what made this tensor; None for a leaf
    _requires_grad: bool
    _version: Version

    def __init__(
        self,
        data: Any,
        requires_grad: bool = False,
        device: Device | str | None = None,
        dtype: Any = None,
    ) -> None:
        array = as_array(data, device, dtype)
        shared = isinstance(data, Tensor) and array is data.data
        self.data = array
        self._grad = self._grad_buffer = self._hooks = self._node = None
        self._version = data._version if shared else [0]
        self._requires_grad = False
        if requires_grad is not False:
            self.requires_grad = check_flag("Tensor", "requires_grad", requires_grad, _FOR_SIZES)

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
        value = check_flag("requires_grad_", "requires_grad", value)
        if value and self.data.dtype.kind != "f":
            raise TypeError(
                f"requires_grad: a tensor of {self.data.dtype} has no gradient; make it of floats, "
                "for example with dtype='float32'"
            )
        self._requires_grad = value

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
            if self._grad_buffer is not None:
                value = self._grad_buffer.store(to_device(value.data, self.device), first=True)
        self._grad = value

    # ---- the tape -------------------------------------------------------------------------------

    def backward(
        self,
        grad: Tensor | Array | float | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
    ) -> None:
        """Add the gradient of this tensor to the ``.grad`` of every leaf it was computed from.

        Parameters
        ----------
        grad : Tensor, array or None
            The gradient of something with respect to this tensor, of the same shape; None means 1
            and is allowed for a single number only.
        retain_graph : bool, optional
            Keep what the operations saved, so that backward can pass here again. By default it is
            freed as backward goes along, unless `create_graph`.
        create_graph : bool, default False
            Give the gradients a history, so that they have gradients themselves. A leaf's ``.grad``
            then leads back to the leaf, and holds the graph until ``.grad`` is None or the next
            ``backward()`` replaces it; `grad` hands the gradients over instead.

        Raises
        ------
        RuntimeError
            If no gradients were recorded, if `grad` is missing, if an earlier backward freed what
            is needed, if a saved tensor was changed in place, or if with `create_graph` an
            operation states no differentiable backward.
        ValueError
            If `grad` has the wrong shape.
        """
        if create_graph is not False and check_flag("backward", "create_graph", create_graph):
            self._backward_with_graph(grad, retain_graph)
        else:
            backward_pass(self._node or self, self._seed(grad, "backward"), bool(retain_graph))

    def _seed(self, grad: Any, caller: str) -> Array:
        """Return the gradient with which a walk back from this tensor begins."""
        if not self._requires_grad:
            raise RuntimeError(
                f"{caller}: this tensor does not require gradients; create an input or a parameter "
                "with requires_grad=True and compute outside no_grad()"
            )
        if grad is None:
            if self.data.size != 1:
                raise RuntimeError(
                    f"{caller}: a tensor of shape {self.shape} needs a gradient of that shape; "
                    "pass one, or reduce the tensor to one number first, for example with .sum()"
                )
            with on_device_of(self.data):
                return get_xp(self.data).ones_like(self.data)
        seed = as_array(grad, self.device, self.dtype)
        if seed.shape != self.shape:
            raise ValueError(
                f"{caller}: grad has shape {seed.shape} but the tensor has shape {self.shape}; "
                "they must be equal"
            )
        return seed

    def detach(self) -> Tensor:
        """Return a leaf with the same memory that does not require gradients."""
        return wrap(self.data, self._version)

    def retain_grad(self) -> None:
        """Make ``backward()`` leave a gradient in ``.grad`` though this is not a leaf."""
        self._check_requires_grad("retain_grad")
        if self._node is not None:
            self._node.retained = weakref.ref(self)  # the node must not keep the result alive

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(grad)`` in each backward pass, when the gradient of this tensor is complete.

        The hook gets the gradient as a Tensor that it must not change in place. What it returns, if
        not None, is used in place of the gradient. ``remove()`` of the handle that comes back takes
        the hook away again.
        """
        self._check_requires_grad("register_hook")

        owner = self._node or self
        if owner._hooks is None:
            owner._hooks = {}
        return RemovableHandle(owner._hooks, _TensorHook(hook))

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
    def _receive(self, grad: Array) -> None:
        """Add `grad`, an array that nothing else refers to, to ``.grad``."""
        if self._hooks:
            grad = get_xp(grad).array(apply_hooks(self._hooks, grad))  # a hook may keep what it saw
        with receiving:
            if self._grad_buffer is not None:
                self._grad = self._grad_buffer.store(grad, first=self._grad is None)
                return
            if self._grad is not None:
                grad += self._grad.data  # not the other way round: the program may hold the old one
            self._grad = wrap(grad)

    def _move(self, data: Array, version: Version, grad_buffer: Any = None) -> None:
        """Keep the numbers in the array `data` from now on, and the gradient in `grad_buffer`."""
        self.data, self._version, self._grad_buffer = data, version, grad_buffer
        self.grad = self._grad

    @staticmethod
    def from_dlpack(source: Any) -> Tensor:
        """Return a tensor on the memory of `source`, an array of any library with DLPack."""
        kind, number = map(int, source.__dlpack_device__())
        near = to_device(np.zeros(0), "cpu" if kind == 1 else Device("gpu", number))  # 1: kDLCPU
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
        new._requires_grad, new._grad_buffer, new._hooks = self._requires_grad, None, None
        if hasattr(self, "__dict__"):
            new.__dict__.update(self.__dict__)
        memo[id(self)] = new
        return new

    def __copy__(self) -> Tensor:
        """Return another tensor on the same memory, with the same history."""
        new = type(self).__new__(type(self))
        for name in ("data", *Tensor.__slots__):
            setattr(new, name, getattr(self, name))
        if hasattr(self, "__dict__"):
            new.__dict__.update(self.__dict__)
        return new

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: numbers in their order in memory, which NumPy alone forgets."""
        if self._node is not None:
            raise RuntimeError(
                f"pickle: only leaves can be saved, this is the result of {self._node.name}; "
                "save tensor.detach()"
            )
        arrays = (self.data, None if self._grad is None else self._grad.data)
        own = getattr(self, "__dict__", {})
        return {"arrays": [_stored(a) for a in arrays], "learns": self._requires_grad, "own": own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become a tensor of its own, in no optimiser's flat array, and without hooks."""
        data, grad = map(_restored, state["arrays"])
        if state["learns"] and get_xp(data) is np and not data.flags.writeable:
            data = data.copy(order="K")  # pickles may have bytes for buffers, which cannot learn
        self.data, self._version = data, [0]
        self._grad = None if grad is None else wrap(grad)
        self._requires_grad = state["learns"]
        self._node = self._grad_buffer = self._hooks = None
        if state["own"]:
            self.__dict__.update(state["own"])

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


class _TensorHook:
    """A function of the program that sees gradients as Tensors, called by a walk back."""

    __slots__ = ("hook",)

    def __init__(self, hook: Callable[[Tensor], Tensor | None]) -> None:
        self.hook = hook

    def __call__(self, grad: Array) -> Array | None:
        # Other tensors may have been sent the same array, so the hook must not change it.
        seen = grad.view() if get_xp(grad) is np else grad.copy()
        if get_xp(grad) is np:  # CuPy has no read-only arrays
            seen.flags.writeable = False
        with no_grad():
            replacement = self.hook(wrap(seen))
        if replacement is None:
            return None
        self._check(replacement, grad.shape)
        return replacement.data.astype(grad.dtype, copy=False)

    def on_tensor(self, grad: Tensor) -> Tensor:
        """Call it with a gradient that may have a history, and return what takes its place."""
        replacement = self.hook(grad)
        if replacement is None:
            return grad
        self._check(replacement, grad.shape)
        return replacement if replacement.dtype == grad.dtype else replacement.astype(grad.dtype)

    def _check(self, replacement: Any, shape: tuple[int, ...]) -> None:
        if not isinstance(replacement, Tensor) or replacement.shape != shape:
            raise RuntimeError(
                f"register_hook: a hook must return None or a Tensor of shape {shape}, not "
                f"{replacement!r}"
            )


def _stored(array: Array | None) -> tuple[Array, list[int]] | None:
    """Return an array with its axes in the order of memory, and how to turn them back."""
    if array is None:
        return None
    axes = memory_order(array)
    return array.transpose(axes), np.argsort(axes).tolist()


def _restored(stored: tuple[Array, list[int]] | None) -> Any:
    return None if stored is None else stored[0].transpose(stored[1])


def wrap(data: Array, version: Version | None = None) -> Tensor:
    """Make a leaf of an array without converting or checking it."""
    tensor = Tensor.__new__(Tensor)
    tensor.data = np.asarray(data) if isinstance(data, np.generic) else data
    tensor._version = [0] if version is None else version
    tensor._grad = tensor._grad_buffer = tensor._hooks = tensor._node = None
    tensor._requires_grad = False
    return tensor
