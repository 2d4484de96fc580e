"""Gradient clipping; the buffers of a network; the device of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minideconv.autograd import Tensor
from minideconv.backend import Array, Device, as_device, check_writable, device_of, get_xp
from minideconv.backend.dispatch import accelerated, device_guard, on_device_of
from minideconv.engine.cuda import gradients as cuda
from minideconv.nn.module import Module

__all__ = ["clip_grad_norm_", "clip_grad_value_", "device_of_module", "get_buffers", "set_buffers"]

ROW = 4096
"""Squares that are added in the gradients' own type; of more of them float32 loses too much."""


def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float) -> float | Array:
    """Scale all gradients to a common L2 norm of at most `max_norm`; return the norm before.

        g = g max_norm / (norm + 1e-6)    if norm > max_norm

    The norm is taken over all parameters together, as if they were one vector; a single tensor is
    one of them. Squares that are too large or too small for the gradients' type do not matter. If
    the norm is not finite, it is NaN, and the gradients are left alone.
    Source: Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks"
    (ICML 2013), algorithm 1.

    Returns
    -------
    float, or an array of no axis on a GPU
        Computing it does not wait for the device; reading it with ``float`` does. The factor is
        computed on the device too. Gradients that are in one array (``optimizer.flatten()``) take
        two launches.

    Raises
    ------
    ValueError
        If `max_norm` is not positive, or a gradient is read-only.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm_: max_norm is {max_norm}; it must be positive")
    having = _having("clip_grad_norm_", parameters)
    gradients = [p.grad.data for p in having if p.grad is not None]
    _check_writable("clip_grad_norm_", gradients)
    xp = get_xp(*gradients)
    if xp is not np:
        flat_grad = _flat_gradients(having)
        _bump_versions(having)
        if flat_grad is None:
            return _clip_on_device(gradients, max_norm)
        return clip_flat(flat_grad, max_norm, gradients)
    # as they are stored: a view wherever that is dense
    norm = _hypot([_norm(g.ravel(order="K")) for g in gradients])
    if norm > max_norm:
        for gradient in gradients:
            _scale(gradient, max_norm / (norm + 1e-6))
        _bump_versions(having)
    return norm


def _bump_versions(parameters: list[Tensor]) -> None:
    """Tell the tape that gradients were changed in place."""
    for p in parameters:
        if p.grad is not None:
            p.grad.bump_version()


def _having(op: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """Return the parameters that have a gradient, each once."""
    if isinstance(parameters, Tensor):
        parameters = [parameters]
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
    return _clip_on_device(gradients, max_norm)


clip_flat.faster("gpu")(cuda.clip_norm)


@device_guard
def _clip_on_device(gradients: list[Array], max_norm: float) -> Array:
    """Do the same without copying the norm to the host."""
    xp = get_xp(*gradients)
    # Only squares of float64 can be too large: then all is divided by the largest number.
    wide = any(g.dtype == np.float64 for g in gradients)
    scale = sum((abs(g).max() for g in gradients if g.size), np.float64(0)) if wide else 1.0
    scale = xp.where(xp.isfinite(scale) & (scale > 0), scale, 1.0) if wide else 1.0
    square = sum(xp.square(g.astype(np.float64) / scale).sum() for g in gradients)
    norm: Array = xp.where(xp.isfinite(square), xp.sqrt(square) * scale, np.nan)
    factor = xp.where(norm > max_norm, max_norm / (norm + 1e-6), 1.0)
    for gradient in gradients:
        gradient *= factor
    return norm


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every value of every gradient to [-clip_value, clip_value].

    Raises
    ------
    ValueError
        If `clip_value` is not positive, or a gradient is read-only.
    """
    if not clip_value > 0:
        raise ValueError(f"clip_grad_value_: clip_value is {clip_value}; it must be positive")
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
