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


def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float) -> float | Array:
    """Scale all gradients to a common L2 norm of at most `max_norm`; return the norm before.

        g = g max_norm / (norm + 1e-6)    if norm > max_norm

    The norm is taken over all parameters together, as if they were one vector. If it is not finite,
    it is NaN, and the gradients are left alone.
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
    having = [p for p in parameters if p.grad is not None]
    gradients = [p.grad.data for p in having if p.grad is not None]
    _check_writable("clip_grad_norm_", gradients)
    xp = get_xp(*gradients)
    if xp is not np:
        flat_grad = _flat_gradients(having)
        if flat_grad is None:
            return _clip_on_device(gradients, max_norm)
        return clip_flat(flat_grad, max_norm, gradients)
    # as they are stored: a view wherever that is dense
    flat = [g.ravel(order="K") for g in gradients]
    squares = [float(np.vdot(g, g)) for g in flat]
    norm = math.sqrt(math.fsum(squares)) if all(map(math.isfinite, squares)) else math.nan
    if norm > max_norm:
        for gradient in gradients:
            gradient *= max_norm / (norm + 1e-6)
    return norm


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
    square = sum(xp.square(g.astype(np.float64)).sum() for g in gradients)
    norm: Array = xp.where(xp.isfinite(square), xp.sqrt(square), np.nan)
    factor = xp.where(norm > max_norm, max_norm / (norm + 1e-6), 1.0)
    for gradient in gradients:
        gradient *= factor
    return norm


def clip_grad_value_(parameters: Iterable[Tensor], clip_value: float) -> None:
    """Limit every value of every gradient to [-clip_value, clip_value].

    Raises
    ------
    ValueError
        If `clip_value` is not positive, or a gradient is read-only.
    """
    if not clip_value > 0:
        raise ValueError(f"clip_grad_value_: clip_value is {clip_value}; it must be positive")
    gradients = [p.grad.data for p in parameters if p.grad is not None]
    _check_writable("clip_grad_value_", gradients)
    for gradient in gradients:
        with on_device_of(gradient):
            get_xp(gradient).clip(gradient, -clip_value, clip_value, out=gradient)


def _check_writable(op: str, gradients: list[Array]) -> None:
    check_writable(op, ((f"gradient {number}", g) for number, g in enumerate(gradients)))


def device_of_module(module: Module) -> Device:
    """Return where a module's parameters and buffers are; the default device if it has none."""
    return next((device_of(array) for array in module.arrays().values()), as_device(None))


def get_buffers(model: Module) -> dict[str, Array]:
    """Return copies of the running statistics, by name."""
    return {name: array.copy() for name, array in model.named_buffers()}


def set_buffers(model: Module, buffers: dict[str, Array]) -> None:
    """Put back what `get_buffers` returned."""
    for name, array in model.named_buffers():
        array[...] = buffers[name]
