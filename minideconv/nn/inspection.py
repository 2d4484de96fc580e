"""Looking inside a network: `activations`, public as `visualize.activations`.

It is here because networks use it too, and they do not import `visualize`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

from minideconv.autograd import Tensor, no_grad
from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import on_device_of
from minideconv.nn.module import Module
from minideconv.nn.utils import device_of_module

__all__ = ["activations"]


def activations(net: Module, *inputs: Any, layers: Iterable[str] | None = None) -> dict[str, Array]:
    """Return what every module of a network computes for an input, by name, in order.

    Parameters
    ----------
    net : Module
        Any network. Its mode is not changed: call ``eval()`` first to see what prediction sees, and
        to leave running statistics alone. No tape is kept.
    *inputs : Tensor, array or anything
        What to call it with. Arrays become tensors where the network's parameters are.
    layers : iterable of str, optional
        The names (`Module.named_modules`) of the modules to look at; all of them if left out. Only
        these are kept, and modules that are computed in one pass stay together around them.

    Returns
    -------
    dict of str to array
        One entry for each call of a module that returns a Tensor, or a tuple with one: the first in
        it is taken, as the pooled map in front of the switches. The name is the module's, ``""``
        for the network itself, whose entry is the last; the second call of the same module is
        ``name#2``, and so on. A module in several places has the first of its names. The arrays are
        copies, where the network is.

    Raises
    ------
    AttributeError
        If one of `layers` is not in the network.

    Examples
    --------
    >>> import numpy as np
    >>> from minideconv import nn
    >>> relu = nn.ReLU()
    >>> net = nn.Sequential(nn.Linear(2, 3), relu, nn.Linear(3, 1), relu)
    >>> seen = activations(net, np.ones((5, 2), np.float32))
    >>> [(name, values.shape) for name, values in seen.items()]
    [('0', (5, 3)), ('1', (5, 3)), ('2', (5, 1)), ('1#2', (5, 1)), ('', (5, 1))]
    """
    modules = dict(net.named_modules())
    if layers is not None:
        modules = {name: net.get_submodule(name) for name in layers}
    # Without parameters a network computes where its input is.
    device = device_of_module(net) if net.arrays() else None
    seen: dict[str, Array] = {}
    with ExitStack() as stack, no_grad():
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(partial(_keep, seen, name)).remove)
        net(
            *(
                Tensor(item, device=device) if isinstance(item, get_xp(item).ndarray) else item
                for item in inputs
            )
        )
    return seen


def _keep(seen: dict[str, Array], name: str, module: Module, args: Any, output: Any) -> None:
    results = output if isinstance(output, tuple | list) else (output,)
    tensor = next((result for result in results if isinstance(result, Tensor)), None)
    if tensor is None:
        return
    key, calls = name, 1
    while key in seen:
        calls += 1
        key = f"{name}#{calls}"
    with on_device_of(tensor.data):
        seen[key] = tensor.data.copy(order="K")  # the network may go on to change it in place
