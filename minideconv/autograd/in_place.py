"""Methods that change a tensor's numbers where they are, as PyTorch's with a ``_`` at the end.

The tape cannot record a change in place (see `operators`): these are for constants and, inside
``no_grad()``, for parameters. Each counts up the version of the memory, so that a backward that
needs the former values stops with an error. Each returns the tensor.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv import random
from minideconv.autograd.grad_mode import is_grad_enabled
from minideconv.autograd.methods import Operand, read_array
from minideconv.autograd.tensor import Tensor
from minideconv.backend import get_xp, has_repeats, to_default_device, to_device
from minideconv.backend.checks import check_number
from minideconv.backend.dispatch import device_guard

__all__ = ["METHODS", "new_value", "unfit"]


def new_value(name: str, x: Tensor, value: Any) -> Any:
    """Return what `x` is changed with: an array of real numbers, or one of Python's numbers."""
    if is_grad_enabled() and (x.requires_grad or getattr(value, "requires_grad", False)):
        what = "the value requires" if not x.requires_grad else "this tensor requires"
        raise RuntimeError(
            f"{name}: {what} gradients and a change in place cannot be recorded; make it inside "
            "no_grad(), or compute a new tensor"
        )
    if get_xp(x.data) is np and not x.data.flags.writeable:
        raise ValueError(f"{name}: this tensor is read-only; change a copy of it")
    if has_repeats(x.data):
        raise ValueError(
            f"{name}: several numbers of this tensor, of shape {x.shape}, are one in memory; change"
            " a copy of it"
        )
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, bool | int | float):  # these take any type
        return value
    array = read_array(name, value)
    if array.dtype.kind not in "fiub":
        raise unfit(TypeError(), name, x, array)
    return to_default_device(array) if hasattr(value, "shape") else to_device(array, x.device)


def unfit(error: Exception, name: str, x: Tensor, value: Any) -> Exception:
    """Return the sentence for a value that does not go into `x`."""
    kind = TypeError if isinstance(error, TypeError) else ValueError
    given = f"shape {np.shape(value)} and dtype {getattr(value, 'dtype', type(value).__name__)}"
    return kind(
        f"{name}: a value of {given} does not fit into a tensor of shape {x.shape} and dtype "
        f"{x.dtype} on {x.device}"
    )


def _changed(name: str, x: Tensor, value: Any, change: Callable[[Any, Any], Any]) -> Tensor:
    """Call ``change(array, value)``, count the change, and return `x`."""
    new = new_value(name, x, value)
    try:
        change(x.data, new)
    except (OverflowError, TypeError, ValueError) as error:
        raise unfit(error, name, x, new) from None
    x.bump_version()
    return x


def _assign(array: Any, value: Any) -> None:
    array[...] = value


def _method(name: str, change: Callable[[Any, Any], Any]) -> Callable[[Tensor, Operand], Tensor]:
    """Make a method with one argument."""

    def method(x: Tensor, value: Operand) -> Tensor:
        return _changed(name, x, value, change)

    return _named(method, name, f"Change this tensor in place: ``{name}(value)``.")


def _function(name: str) -> Callable[[Tensor], Tensor]:
    """Make a method without one, of the function of the arrays' module."""
    of_array = {"neg_": "negative", "abs_": "absolute"}.get(name, name[:-1])

    def method(x: Tensor) -> Tensor:
        function = getattr(get_xp(x.data), of_array)
        return _changed(name, x, 0, lambda array, _: function(array, out=array))

    return _named(method, name, f"Change each number to what `{name[:-1]}` makes of it, in place.")


def _named(method: Any, name: str, doc: str) -> Any:
    method.__name__ = method.__qualname__ = name
    method.__doc__ = doc
    return device_guard(method)


def _scaled(name: str, sign: int) -> Any:
    def method(x: Tensor, value: Operand, alpha: float = 1) -> Tensor:
        if not isinstance(alpha, Tensor):  # a factor and a tensor, PyTorch's older order, is one
            check_number(name, "alpha", alpha)
        if isinstance(value, bool | int | float):
            value, alpha = value * alpha, 1

        def change(array: Any, new: Any) -> None:
            array += new * (sign * alpha) if (sign, alpha) != (1, 1) else new

        return _changed(name, x, value, change)

    what = "Add `value` times `alpha`" if sign > 0 else "Subtract `value` times `alpha`"
    return _named(method, name, f"{what}, in place.")


def zero_(x: Tensor) -> Tensor:
    """Set all numbers to 0, in place."""
    return _changed("zero_", x, 0, _assign)


@device_guard
def clamp_(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Limit all numbers to [min, max], in place."""
    if min is None and max is None:
        raise ValueError("clamp_: min and max are both None; give at least one")
    for name, limit in (("min", min), ("max", max)):
        if limit is not None:
            check_number("clamp_", name, limit)
    xp = get_xp(x.data)
    return _changed("clamp_", x, 0, lambda array, _: xp.clip(array, min, max, out=array))


@device_guard
def masked_fill_(x: Tensor, mask: Any, value: float) -> Tensor:
    """Set the numbers where `mask` is true to `value`, in place."""
    chosen = mask.data if isinstance(mask, Tensor) else to_device(mask, x.device)
    xp = get_xp(x.data)
    return _changed("masked_fill_", x, value, lambda array, v: xp.copyto(array, v, where=chosen))


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Draw all numbers anew from a normal distribution, in place."""
    check_number("normal_", "mean", mean)
    check_number("normal_", "std", std, 0)
    return _drawn("normal_", x, lambda rng: rng.standard_normal(x.shape) * std + mean)


def uniform_(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Draw all numbers anew, uniformly from [low, high), in place."""
    check_number("uniform_", "low", low)
    check_number("uniform_", "high", high)
    if not (low <= high and math.isfinite(high - low)):
        raise ValueError(
            f"uniform_: low is {low} and high {high}; both must be finite, and low not above high"
        )
    return _drawn("uniform_", x, lambda rng: rng.uniform(low, high, x.shape))


def _drawn(name: str, x: Tensor, draw: Callable[[np.random.Generator], Any]) -> Tensor:
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: a tensor of {x.dtype} cannot hold it; it must be one of floats")
    new_value(name, x, 0)  # refuses before anything is drawn
    drawn = np.asarray(draw(random.default_rng()), x.dtype)
    return _changed(name, x, to_device(drawn, x.device), _assign)


METHODS: dict[str, Any] = {
    "add_": _scaled("add_", 1),
    "sub_": _scaled("sub_", -1),
    "mul_": _method("mul_", operator.imul),
    "div_": _method("div_", operator.itruediv),
    "pow_": _method("pow_", operator.ipow),
    "copy_": _method("copy_", _assign),
    "fill_": _method("fill_", _assign),
    "zero_": zero_,
    "clamp_": clamp_,
    "masked_fill_": masked_fill_,
    "normal_": normal_,
    "uniform_": uniform_,
    **{name: _function(name) for name in ("abs_", "exp_", "neg_", "sqrt_", "tanh_")},
}
"""The methods by name; `operators` puts them into the class Tensor."""
