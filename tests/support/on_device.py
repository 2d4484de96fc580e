"""Runs tests that are written in NumPy on CuPy arrays: what they call, not what they say, changes.

A test of an array function makes NumPy arrays, calls, and compares NumPy arrays. `on_device` wraps
the function: NumPy arrays among its arguments go to the GPU as they are stored in memory, what it
changed in place comes back into them, and so does its result. Everything between happens on CuPy
arrays.

`Bound` puts the wrapper in the way of the tests and of nothing else: while test modules are being
imported, the functions of `ops` and `functional` are wrapped ones, which the modules then keep; the
library itself has bound its own before and never meets a wrapper. A module object such as ``ops``
is replaced, in test modules, by one whose functions are wrapped.

Tensors need none of this: they are made on the GPU because it is the default device. Functions of
tensors are wrapped for what else they take: switches, running averages, labels, class weights.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import types
from collections.abc import Callable
from typing import Any

import numpy as np

import minideconv
from minideconv import functional, ops
from minideconv.backend import get_xp, to_cpu, to_device
from minideconv.ops.switches import Switches

PLACE = "gpu"
OPTIONAL = ("llvmlite", "numba")
"""Packages that a machine with a GPU need not have."""
_WRAPPED = (ops.__name__, functional.__name__)


class Journey:
    """The way of one call's arguments to the device and back."""

    def __init__(self) -> None:
        self.pairs: list[tuple[np.ndarray, Any]] = []  # an array, and its twin on the device

    def there(self, value: Any) -> Any:
        """Return `value` with every NumPy array in it, and every Switches, on the device."""
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":  # CuPy has no others
            for host, twin in self.pairs:
                if host is value:
                    return twin
            # A copy: CuPy must not be given memory that the test still owns.
            twin = to_device(value, PLACE)
            self.pairs.append((value, twin))
            return twin
        if isinstance(value, Switches):
            return value.to(PLACE)
        return _rebuilt(value, self.there)

    def back(self, value: Any) -> Any:
        """Return a result as NumPy arrays; an argument that was handed back is itself again."""
        if get_xp(value) is not np:
            for host, twin in self.pairs:
                if twin is value:
                    return host
            return to_cpu(value)
        if isinstance(value, Switches):
            return value.to("cpu")
        return _rebuilt(value, self.back)

    def copy_changes(self) -> None:
        """Write into the test's arrays what the function wrote into their twins."""
        for host, twin in self.pairs:
            now = to_cpu(twin)
            if not np.array_equal(host, now, equal_nan=host.dtype.kind == "f"):
                host[...] = now


def _rebuilt(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a NamedTuple
        return type(value)(*map(change, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(change, value))
    if isinstance(value, dict):
        return {key: change(item) for key, item in value.items()}
    return value


def on_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` as it behaves on the GPU, for callers with NumPy arrays."""

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        journey = Journey()
        arguments, options = journey.there(arguments), journey.there(options)
        try:
            result = function(*arguments, **options)
        finally:
            journey.copy_changes()
        return journey.back(result)

    return wrapper


def _is_op(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and value.__module__.startswith(_WRAPPED)


def _op_modules() -> list[types.ModuleType]:
    names = (name for _, name, _ in pkgutil.iter_modules(ops.__path__, ops.__name__ + "."))
    return [functional, ops, *map(importlib.import_module, names)]


def _import_library() -> None:
    """Let every file of the library bind the functions it calls, before there are wrapped ones.

    A file about a package of an extra that is not installed here is left out: it will not run.
    """
    for _, name, _ in pkgutil.walk_packages(minideconv.__path__, minideconv.__name__ + "."):
        if name.endswith("__main__"):
            continue
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in OPTIONAL:
                raise


class _Wrapped(types.ModuleType):
    """A module of ops as test modules see it; setting an attribute sets the real module's."""

    def __init__(self, real: types.ModuleType) -> None:
        super().__init__(real.__name__, real.__doc__)
        object.__setattr__(self, "_real", real)

    def __getattr__(self, name: str) -> Any:
        return _seen(getattr(self._real, name))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._real, name)

    def __dir__(self) -> list[str]:
        return dir(self._real)


def _seen(value: Any) -> Any:
    if isinstance(value, types.ModuleType) and value.__name__.startswith(_WRAPPED):
        return _Wrapped(value)
    return _wrapped(value) if _is_op(value) else value


_wrapped = functools.cache(on_device)


class Bound:
    """While it is entered, an import of an op gets the wrapped one."""

    def __enter__(self) -> None:
        _import_library()
        self._before: list[tuple[types.ModuleType, str, Any]] = []
        for module in _op_modules():
            for name, value in list(vars(module).items()):
                if _is_op(value):
                    self._before.append((module, name, value))
        for module, name, value in self._before:
            setattr(module, name, _wrapped(value))

    def __exit__(self, *_: object) -> None:
        for module, name, value in self._before:
            setattr(module, name, value)


def show_wrapped(module: types.ModuleType) -> None:
    """Replace, in a test module, every module of ops by one with wrapped functions."""
    for name, value in list(vars(module).items()):
        if isinstance(value, types.ModuleType):
            setattr(module, name, _seen(value))
