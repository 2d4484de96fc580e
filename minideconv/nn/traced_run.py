"""`traced_run`: one traced forward of a network, as `trace` needs several of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

from minideconv.autograd import Tensor, tracing
from minideconv.autograd.tracing import Call
from minideconv.errors import UsageError
from minideconv.nn.fusion import no_fusion
from minideconv.nn.mode import evaluating
from minideconv.nn.module import Module
from minideconv.nn.utils import device_of_module

__all__ = ["Run", "traced_run"]


class Run(NamedTuple):
    """One forward: its input, its operations, the module of each, and its output."""

    input: Tensor
    calls: list[Call]
    modules: list[str]
    output: Tensor


def traced_run(network: Module, images: np.ndarray) -> Run:
    """Call the network in evaluation mode and collect its operations.

    Raises
    ------
    UsageError
        If it does not accept the images, or does not return a Tensor.
    """
    arrays = network.arrays()
    dtype = next((a.dtype for a in arrays.values() if a.dtype.kind == "f"), np.float32)
    device = device_of_module(network) if arrays else None
    x = Tensor(images.astype(dtype), requires_grad=True, device=device)
    try:
        with evaluating(), no_fusion(), tracing() as calls, modules_of(network, calls) as modules:
            output = network(x)
    except ValueError as error:
        raise UsageError(
            f"trace: {type(network).__name__} does not accept images of shape {images.shape}:"
            f" {error}"
        ) from error
    if not isinstance(output, Tensor):
        raise UsageError(
            f"trace: {type(network).__name__} returns a {type(output).__name__}; it must return"
            " one Tensor"
        )
    return Run(x, calls, modules, output)


@contextmanager
def modules_of(network: Module, calls: list[Call]) -> Iterator[list[str]]:
    """Collect for each of the calls the name of the innermost module that makes it."""
    found: list[str] = []
    inside: list[str] = []

    def fill() -> None:
        found.extend([inside[-1] if inside else ""] * (len(calls) - len(found)))

    def enter(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            fill()
            inside.append(name)

        return hook

    def leave(*_: Any) -> None:
        fill()
        inside.pop()

    with ExitStack() as stack:
        for name, module in network.named_modules():
            stack.callback(module.register_forward_pre_hook(enter(name)).remove)
            stack.callback(module.register_forward_hook(leave).remove)
        yield found
    fill()
