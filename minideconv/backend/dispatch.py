"""How a function of arrays is called: by the fastest way there is, on the GPU where they are.

`accelerated` stands above every readable function for which the engine has a faster one. When it is
called, it looks where its first argument is, calls the function that was entered for there, and, if
there is none or that one declines, the readable function itself. ``set_algorithm("reference")``
leaves all faster functions out (`algorithms`). To find the faster functions of ``conv2d_core``,
look for ``conv2d_core.faster``. `keep_choices` lets a backward compute as its forward did.

`device_guard` makes the GPU where the arrays are the current one; `accelerated` does that too. CUDA
has one *current* device for each thread of the host. CuPy takes memory there and starts its kernels
there, wherever the arrays are that it is given: on a machine with two GPUs ``x + 1`` with ``x`` on
``gpu:1`` fails while ``gpu:0`` is current, and ``x.copy()`` leaves the copy on ``gpu:0`` without a
word. So every operation that is given arrays makes their device the current one, for as long as it
runs. The name is that of PyTorch's ``DeviceGuard``, which does the same.

On the CPU, and where the right device is current already, nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import wraps
from inspect import signature
from sys import modules
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from minideconv.backend import Device
from minideconv.backend.algorithms import choice
from minideconv.backend.choice import choices

__all__ = ["Accelerated", "accelerated", "device_guard", "keep_choices", "on_device_of"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Faster = TypeVar("Faster", bound=Callable[..., Any])


class Accelerated(Protocol[Arguments, Result_co]):
    """A readable function of arrays, and the faster ones with the same arguments."""

    ways: dict[str, Callable[..., Any]]
    """The faster functions, by the kind of device: "cpu", "gpu"."""

    def __call__(self, *arguments: Arguments.args, **options: Arguments.kwargs) -> Result_co:
        """Compute it, by a faster function if there is one for these arguments."""

    def faster(self, device: str) -> Callable[[Faster], Faster]:
        """Enter the decorated function as the faster way on arrays of a "cpu" or a "gpu".

        It may decline by returning None. One that changes its arguments in place and has no result
        returns True.
        """


def accelerated(core: Callable[Arguments, Result]) -> Accelerated[Arguments, Result]:
    """Let faster functions compute `core` where there are any, on the GPU where its arrays are.

    `core` is the reference: it may take for granted that its arguments fit, so its caller
    checks them, and bad ones are refused alike whichever function computes. Its first argument is
    an array, on the device that counts.

    Examples
    --------
    >>> import numpy as np
    >>> @accelerated
    ... def double(x):
    ...     return x + x
    >>> @double.faster("cpu")
    ... def shift_left(x):
    ...     return x << 1 if x.dtype.kind == "i" else None
    >>> double(np.array([1, 2])), double(np.array([0.5]))
    (array([2, 4]), array([1.]))
    """
    ways: dict[str, Callable[..., Any]] = {}

    @wraps(core)
    def compute(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        cupy, on_cpu = modules.get("cupy"), True
        if cupy is not None:  # as `device_guard` does, without a call more for every operation
            other = _other_gpu(compute, arguments, options, cupy)
            if other is not None:
                with cupy.cuda.Device(other):
                    return compute(*arguments, **options)
            on_cpu = not isinstance(arguments[0], cupy.ndarray)
        if choice.get() != "reference":
            faster = ways.get("cpu" if on_cpu else "gpu")
            if faster is not None:
                found: Result | None = faster(*arguments, **options)
                if found is not None:
                    return found
        return core(*arguments, **options)

    def enter(device: str) -> Callable[[Faster], Faster]:
        def keep(function: Faster) -> Faster:
            ways[device] = function
            return function

        return keep

    result = cast("Accelerated[Arguments, Result]", compute)
    result.ways, result.faster = ways, enter  # type: ignore[method-assign]  # a protocol has no instances to make
    return result


def keep_choices(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return `function` so that it runs, whenever it is called, with all choices as they are now.

    A layer's backward computes with the algorithm and the precision of its forward.
    """
    kept = [each.get() for each in choices]

    def with_kept_choices(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        now = [each.get() for each in choices]
        if now == kept:  # nearly always
            return function(*arguments, **options)
        with ExitStack() as blocks:
            for each, name in zip(choices, kept, strict=False):  # one may have been imported since
                blocks.enter_context(each.using(name))
            return function(*arguments, **options)

    return with_kept_choices


def device_guard(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Make the GPU of a function's arguments the current one while the function runs.

    Arguments are arrays, what has a ``device`` (a Tensor, Switches), and lists and tuples of these;
    all others, and those on the CPU, do not count.

    Raises
    ------
    ValueError
        By the function that comes back, if its arguments are on different GPUs.
    """

    @wraps(function)
    def guarded(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        cupy = modules.get("cupy")
        other = None if cupy is None else _other_gpu(function, arguments, options, cupy)
        if cupy is None or other is None:
            return function(*arguments, **options)
        with cupy.cuda.Device(other):
            return function(*arguments, **options)

    return guarded


def on_device_of(array: Any) -> AbstractContextManager[Any]:
    """Make the GPU of `array` the current one inside a ``with`` block."""
    cupy = modules.get("cupy")
    gpu = None if cupy is None else next(_gpus((array,), cupy.ndarray), None)
    if cupy is None or gpu is None or gpu == cupy.cuda.runtime.getDevice():
        return _NOTHING
    return cupy.cuda.Device(gpu)


_NOTHING = nullcontext()


def _other_gpu(
    function: Callable[..., Any], arguments: Any, options: Mapping[str, Any], cupy: Any
) -> int | None:
    """Return the number of the GPU that the arguments are on, or None if it is the current one.

    None too if no argument is on a GPU. It is an error if they are on different ones.
    """
    gpu = None
    for found in _gpus((*arguments, *options.values()), cupy.ndarray):
        if gpu is None:
            gpu = found
        elif found != gpu:
            raise _two_gpus(function, arguments, options, cupy.ndarray)
    return None if gpu is None or gpu == cupy.cuda.runtime.getDevice() else gpu


_PLAIN = frozenset((int, float, bool, str, type(None)))  # most arguments are one of these


def _gpus(values: Iterable[Any], ndarray: type) -> Iterator[int]:
    """Yield the number of the GPU of everything in `values` that is on one."""
    for value in values:
        kind = type(value)
        if kind in _PLAIN:
            continue
        if isinstance(value, ndarray):
            yield int(value.device.id)  # type: ignore[attr-defined]  # CuPy is not imported here
        elif isinstance(value, (list, tuple)):
            yield from _gpus(value, ndarray)
        else:
            device = getattr(value, "device", None)
            if type(device) is Device and device.type == "gpu":
                yield device.index


def _two_gpus(
    function: Callable[..., Any], arguments: Any, options: Any, ndarray: type
) -> ValueError:
    """Return the error that names two arguments and their GPUs."""
    bound = signature(function).bind(*arguments, **options).arguments
    where: dict[int, str] = {}
    for name, value in bound.items():
        for gpu in _gpus((value,), ndarray):
            where.setdefault(gpu, name)
    (one, first), (other, second), *_ = where.items()
    name = function.__name__.strip("_").removesuffix("_core")
    if first == second:  # one list of arrays
        first, second = f"one of {first}", "another"
    return ValueError(
        f"{name}: {first} is on gpu:{one} and {second} on gpu:{other}; all arguments must be on one"
        " device: move one of them with .to(device)"
    )
