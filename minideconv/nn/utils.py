"""Gradient clipping; the buffers of a network; the device of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minideconv.autograd import Tensor
from minideconv.autograd.other_names import refusing
from minideconv.autograd.tensor import wrap
from minideconv.backend import Array, Device, as_device, check_writable, device_of, get_xp
from minideconv.backend.checks import check_iterable, check_number
from minideconv.backend.dispatch import accelerated, device_guard, on_device_of
from minideconv.engine.cuda import gradients as cuda
from minideconv.nn.module import Module

__all__ = ["clip_grad_norm_", "clip_grad_value_", "device_of_module", "get_buffers", "set_buffers"]

ROW = 4096
"""Squares that are added in the gradients' own type; of more of them float32 loses too much."""


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0
) -> Tensor:
    """Scale all gradients to a common norm of at most `max_norm`; return the norm before.

        g = g max_norm / (norm + 1e-6)    if norm > max_norm

    The norm is taken over all parameters together, as if they were one vector; a single tensor is
    one of them. It is ``(sum |g|^p)^(1/p)`` with ``p = norm_type``, the largest ``|g|`` for
    infinity. Squares that are too large or too small for the gradients' type do not matter. If
    the norm is not finite, it is NaN, and the gradients are left alone.
    Source: Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks"
    (ICML 2013), algorithm 1.

    Returns
    -------
    Tensor of no axis, float64
        It is where the gradients are. On a GPU computing it does not wait for the device; reading
        it with ``float`` or ``item()`` does. The factor is computed on the device too. Gradients
        that are in one array (``optimizer.flatten()``) take two launches, for the L2 norm.

    Raises
    ------
    ValueError
        If `max_norm` is not positive, `norm_type` is less than 1, or a gradient is read-only.
    """
    check_number("clip_grad_norm_", "max_norm", max_norm, 0, above=True, legal="positive")
    norm_type = math.inf if norm_type == "inf" else norm_type  # type: ignore[comparison-overlap]  # PyTorch's name
    power = float(check_number("clip_grad_norm_", "norm_type", norm_type, 1))
    having = _having("clip_grad_norm_", parameters)
    gradients = [p.grad.data for p in having if p.grad is not None]
    _check_writable("clip_grad_norm_", gradients)
    xp = get_xp(*gradients)
    if xp is not np:
        flat_grad = _flat_gradients(having) if power == 2 else None
        _bump_versions(having)
        if flat_grad is None:
            return wrap(_clip_on_device(gradients, max_norm, power))
        return wrap(clip_flat(flat_grad, max_norm, gradients))
    # as they are stored: a view wherever that is dense
    vectors = [g.ravel(order="K") for g in gradients]
    norms = [_norm(g) if power == 2 else _other_norm(g, power) for g in vectors]
    norm = _hypot(norms) if power == 2 else _other_norm(np.array(norms), power)
    if norm > max_norm:
        for gradient in gradients:
            _scale(gradient, max_norm / (norm + 1e-6))
        _bump_versions(having)
    return wrap(np.asarray(norm))


def _bump_versions(parameters: list[Tensor]) -> None:
    """Tell the tape that gradients were changed in place."""
    for p in parameters:
        if p.grad is not None:
            p.grad.bump_version()


def _having(op: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """Return the parameters that have a gradient, each once."""
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    if isinstance(parameters, Module):
        raise TypeError(
            f"{op}: parameters is a {type(parameters).__name__}; it must be its parameters:"
            " model.parameters()"
        )
    must = "Tensors: model.parameters()"
    check_iterable(op, "parameters", parameters, must)
    found: dict[int, Tensor] = {}
    for p in parameters:
        if not isinstance(p, Tensor):
            raise TypeError(f"{op}: parameters has a {type(p).__name__}; all must be Tensors")
        if p.grad is not None:
            found[id(p)] = p
    return list(found.values())


def _norm(g: np.ndarray) -> float:
    """Return the L2 norm of a vector, whatever the size of its numbers; NaN if it is not finite.

    The squares are added as they are where their sum is neither too large for the type nor so small
    that what was lost below its smallest number counts.
    """
    if g.dtype.char == "e":
        g = g.astype(np.float32)  # in which all its squares fit
    kind = np.finfo(g.dtype)
    with np.errstate(over="ignore", under="ignore"):
        square = _square(g)
    if float(g.size * (kind.tiny / kind.eps)) < square < math.inf:
        return math.sqrt(square)
    largest = float(max(g.max(), -g.min(), key=float)) if g.size else 0.0
    if largest == 0 or not math.isfinite(largest):
        return math.nan if largest else 0.0
    scaled = g / g.dtype.type(largest)
    return largest * math.sqrt(_square(scaled))


def _square(g: np.ndarray) -> float:
    """Return the sum of squares: of each row of numbers in their type, of the rows in float64."""
    rows = g[: g.size // ROW * ROW].reshape(-1, ROW)
    rest = g[rows.size :]
    return float(np.vecdot(rows, rows).sum(dtype=np.float64)) + float(np.vdot(rest, rest))


def _other_norm(g: np.ndarray, power: float) -> float:
    """Return the norm of a vector for any other power; NaN if it is not finite."""
    size = np.abs(g.astype(np.float64))
    largest = float(size.max()) if g.size else 0.0
    if not math.isfinite(largest):
        return math.nan
    if largest == 0 or power == math.inf:
        return largest
    norm = largest * float(((size / largest) ** power).sum()) ** (1 / power)
    return norm if math.isfinite(norm) else math.nan


def _hypot(norms: list[float]) -> float:
    """Return the norm of a vector of norms; NaN if one is not finite."""
    norm = math.hypot(*norms)
    return norm if math.isfinite(norm) else math.nan


def _scale(gradient: np.ndarray, factor: float) -> None:
    """Multiply in place, by a factor that may be too small for the gradient's type."""
    if factor >= np.finfo(gradient.dtype).tiny:
        gradient *= factor
    else:
        np.multiply(gradient, factor, out=gradient, dtype=np.float64, casting="same_kind")


def _flat_gradients(parameters: list[Tensor]) -> Array | None:
    """Return the flat array of these parameters' gradients, if they are all that are in it."""
    buffers = [p._grad_buffer for p in parameters]
    if buffers[0] is None:
        return None
    array, count = buffers[0].flat
    same = all(buffer is not None and buffer.flat[0] is array for buffer in buffers)
    return array if same and len({id(p) for p in parameters}) == count else None


@accelerated
def clip_flat(flat: Array, max_norm: float, gradients: list[Array]) -> Array:
    """Clip all that is in the array `flat`; `gradients` are its views."""
    return _clip_on_device(gradients, max_norm, 2.0)


clip_flat.faster("gpu")(cuda.clip_norm)


@device_guard
def _clip_on_device(gradients: list[Array], max_norm: float, power: float) -> Array:
    """Do the same without copying the norm to the host."""
    xp = get_xp(*gradients)
    norm = _norm_on_device(gradients) if power == 2 else _other_norm_on_device(gradients, power)
    factor = xp.where(norm > max_norm, max_norm / (norm + 1e-6), 1.0)
    for gradient in gradients:
        gradient *= factor
    return norm


def _norm_on_device(gradients: list[Array]) -> Array:
    xp = get_xp(*gradients)
    # Only squares of float64 can be too large: then all is divided by the largest number.
    wide = any(g.dtype == np.float64 for g in gradients)
    scale = sum((abs(g).max() for g in gradients if g.size), np.float64(0)) if wide else 1.0
    scale = xp.where(xp.isfinite(scale) & (scale > 0), scale, 1.0) if wide else 1.0
    square = sum(xp.square(g.astype(np.float64) / scale).sum() for g in gradients)
    norm: Array = xp.where(xp.isfinite(square), xp.sqrt(square) * scale, np.nan)
    return norm


def _other_norm_on_device(gradients: list[Array], power: float) -> Array:
    xp = get_xp(*gradients)
    sizes = [abs(g.astype(np.float64)) for g in gradients]
    largest = xp.stack([size.max() for size in sizes if size.size]).max()
    if power == math.inf:
        norm = largest
    else:
        scale = xp.where(largest > 0, largest, 1.0)
        norm = sum(((size / scale) ** power).sum() for size in sizes) ** (1 / power) * scale
    finite: Array = xp.where(xp.isfinite(norm), norm, np.nan)
    return finite


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every value of every gradient to [-clip_value, clip_value].

    Raises
    ------
    ValueError
        If `clip_value` is not positive, or a gradient is read-only.
    """
    check_number("clip_grad_value_", "clip_value", clip_value, 0, above=True, legal="positive")
    having = _having("clip_grad_value_", parameters)
    gradients = [p.grad.data for p in having if p.grad is not None]
    _check_writable("clip_grad_value_", gradients)
    for gradient in gradients:
        with on_device_of(gradient):
            get_xp(gradient).clip(gradient, -clip_value, clip_value, out=gradient)
    _bump_versions(having)


def _check_writable(op: str, gradients: list[Array]) -> None:
    check_writable(op, ((f"gradient {number}", g) for number, g in enumerate(gradients)))


def device_of_module(module: Module) -> Device:
    """Return where a module's parameters and buffers are; the default device if it has none."""
    return next((device_of(array) for array in module.arrays().values()), as_device(None))


def get_buffers(model: Module) -> dict[str, Array]:
    """Return copies of the running statistics, by name."""
    return {name: array.copy() for name, array in model.named_buffers()}


def set_buffers(model: Module, buffers: dict[str, Array]) -> None:
    """Put back what `get_buffers` returned; if it does not fit, nothing changes.

    Raises
    ------
    ValueError
        If a buffer is missing in it, has another shape, or is read-only in the model.
    """
    own = dict(model.named_buffers())
    for name, array in own.items():
        if name not in buffers or buffers[name].shape != array.shape:
            there = buffers[name].shape if name in buffers else "missing"
            raise ValueError(
                f"set_buffers: {name!r} has shape {array.shape} in the network and is {there} in"
                " what was to be put back"
            )
    check_writable("set_buffers", own.items())
    for name, array in own.items():
        array[...] = buffers[name]


__getattr__ = refusing(__name__)
