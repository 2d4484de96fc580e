"""`Attributes`: what a module's attributes may be called and what they may be, and `Parameter`."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from minideconv.autograd import Tensor
from minideconv.autograd.other_names import advice
from minideconv.backend import Array, get_xp

__all__ = ["Attributes", "Parameter", "buffer_array", "check_name", "no_such"]


def check_name(kind: type, name: str) -> None:
    """Raise unless a parameter, a module or a buffer of a module of class `kind` may have a name.

    Names with dots would be those of other modules' parameters, and a method under whose name
    something else is kept could no longer be called. Other attributes of the class are defaults.
    """
    caller = f"{kind.__name__}: {name!r}"
    if not name or "." in name:
        raise ValueError(
            f"{caller} cannot name a parameter, a module or a buffer; "
            "a name must not be empty, nor have dots, which join the names of modules"
        )
    of_class = inspect.getattr_static(kind, name, None)
    method = isinstance(of_class, property | staticmethod | classmethod)
    if method or inspect.isroutine(of_class) or name in ("training", "_buffer_names", "_hooks"):
        raise ValueError(
            f"{caller} is what the module itself needs, "
            "and cannot name a parameter, a module or a buffer; choose another name"
        )


def buffer_array(caller: str, value: Any) -> Array:
    """Return what a buffer may be: an array, that of a tensor, or a number of NumPy's as one."""
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise TypeError(
                f"{caller} is a buffer, which is not learned, and this tensor requires gradients; "
                "use tensor.detach()"
            )
        return value.data
    if isinstance(value, np.generic):
        return np.asarray(value)
    if not isinstance(value, get_xp(value).ndarray):
        raise TypeError(
            f"{caller} is a buffer, which must be an array, not a {type(value).__name__}; "
            "`del` it first for anything else"
        )
    return value


def no_such(
    what: str, target: str, kind: type, path: str, name: str, there: Iterable[str]
) -> AttributeError:
    """Return the error for a name with dots that leads to no module or parameter."""
    names = ", ".join(there) or "none"
    owner = f"{path!r}, a {kind.__name__}," if path else f"this {kind.__name__}"
    return AttributeError(
        f"no {what} is called {target!r}: {owner} has no {what} {name!r}; it has {names}"
    )


class Parameter(Tensor):
    """A Tensor that a module learns: it requires a gradient and appears in ``parameters()``.

    It can be given other numbers: ``layer.weight.data = value``, an array or a Tensor.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad)

    # And no property: `data` is read several times at every operation, and set hardly ever.
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "data":
            value = _numbers(value)
        object.__setattr__(self, name, value)


def _numbers(value: Any) -> Array:
    """Return the array of a Tensor or an array, or raise unless it holds numbers."""
    if isinstance(value, Tensor):
        value = value.data
    if not (isinstance(value, np.ndarray) or get_xp(value) is not np):
        raise TypeError(
            f"Parameter: data is a {type(value).__name__}; it must be an array or a Tensor"
        )
    if value.dtype.kind not in "fiub":
        raise TypeError(f"Parameter: data has dtype {value.dtype}; it must be one of numbers")
    return value


class Attributes:
    """The part of a `Module` that decides what an attribute is, and where it is found."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter | Attributes):
            self._check_name(name, "assigning")
            self._forget_buffer(name)
        else:
            value = self._checked(name, value)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._forget_buffer(name)

    def __getattr__(self, name: str) -> Any:
        """Raise an error for what is missing; what is there is found without this method."""
        hint = advice("Module", name)
        if "training" not in self.__dict__:
            hint = "; call super().__init__() first"
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def _checked(self, name: str, value: Any) -> Any:
        """Return what is no parameter and no module as attribute `name` may hold it, or raise."""
        caller = f"{type(self).__name__}: {name!r}"
        if name in self.__dict__.get("_buffer_names", ()):
            return buffer_array(caller, value)
        if value is not None:
            self._check_free(name, value)
        if found := list(_held(value)):
            module: Any = self
            known = {id(known) for known in (*module.modules(), *module.parameters())}
            lost = [type(one).__name__ for one in found if id(one) not in known]
            if lost:
                raise TypeError(
                    f"{caller} is a {type(value).__name__} with a {lost[0]} in it, "
                    "which would be neither learned nor saved; use ModuleList(layers) "
                    "or Sequential(*layers), or make each of them an attribute"
                )
        return value

    def _check_name(self, name: str, doing: str) -> None:
        """Raise unless this module, already initialised, may have something under a name."""
        if "training" not in self.__dict__:
            raise RuntimeError(
                f"{type(self).__name__}: call super().__init__() before {doing} {name!r}"
            )
        check_name(type(self), name)

    def _check_free(self, name: str, value: Any) -> None:
        """Raise if `value`, no parameter and no module, would take the place of one."""
        before = self.__dict__.get(name)
        if isinstance(before, Parameter | Attributes):
            kind = "Parameter" if isinstance(before, Parameter) else "Module"
            raise TypeError(
                f"{type(self).__name__}: {name!r} is a {kind}; "
                f"it may become a Parameter, a Module or None, and not a {type(value).__name__}: "
                "change parameter.data, or `del` the attribute first"
            )

    def _forget_buffer(self, name: str) -> None:
        names = self.__dict__.get("_buffer_names", ())
        self.__dict__["_buffer_names"] = tuple(other for other in names if other != name)

    @property
    def _parameters(self) -> dict[str, Parameter]:
        return {name: v for name, v in vars(self).items() if isinstance(v, Parameter)}

    @property
    def _modules(self) -> dict[str, Any]:
        return {name: v for name, v in vars(self).items() if isinstance(v, Attributes)}

    @property
    def _buffers(self) -> dict[str, Array]:
        return {name: vars(self)[name] for name in vars(self).get("_buffer_names", ())}


def _held(value: Any) -> Iterator[Parameter | Attributes]:
    """Yield the parameters and modules in a list, a tuple, a set, a dict, or such inside such."""
    if isinstance(value, SimpleNamespace):
        value = vars(value)
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.ravel().tolist()
    if isinstance(value, list | tuple | set | frozenset | dict | deque):
        for one in value.values() if isinstance(value, dict) else value:
            if isinstance(one, Parameter | Attributes):
                yield one
            else:
                yield from _held(one)
