"""How much a network computes for an input, and how much of it there is to remember."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from math import prod
from typing import Any

from minideconv.autograd import Tensor, no_grad
from minideconv.nn.convolution import Conv2d, ConvTranspose2d
from minideconv.nn.layers import Linear
from minideconv.nn.mode import evaluating
from minideconv.nn.module import Module

__all__ = ["activation_bytes", "multiply_accumulates"]


def multiply_accumulates(net: Module, x: Tensor) -> dict[str, int]:
    r"""Return how many products each layer of a network adds up for an input, by name.

    Convolutions, transposed convolutions and linear layers are counted, by their definitions:

        Conv2d             N K H' W' \cdot C/groups \cdot kh kw     of the output (N, K, H', W')
        ConvTranspose2d    N C H W \cdot K/groups \cdot kh kw       of the input (N, C, H, W)
        Linear             N \cdot in \cdot out

    An algorithm may need fewer products (Winograd). Biases, normalisation, pooling and activations
    are not counted. A backward pass takes about twice the products of the forward.

    Parameters
    ----------
    net : Module
        Is called once, in evaluation mode, which is put back afterwards.
    x : Tensor
        Its input; N is the batch.

    Returns
    -------
    dict of str to int
        Of the layers by their names (`Module.named_modules`), in the order of their first call; a
        layer that is called several times has the sum.

    Examples
    --------
    >>> import numpy as np
    >>> from minideconv import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ConvTranspose2d(8, 2, 2, stride=2))
    >>> multiply_accumulates(net, Tensor(np.zeros((1, 3, 10, 20), np.float32)))
    {'0': 43200, '1': 12800}
    """
    found: dict[str, int] = {}
    layers = (Conv2d, ConvTranspose2d, Linear)
    counted = {name: module for name, module in net.named_modules() if isinstance(module, layers)}
    _watch(net, x, {module: partial(_count, found, name) for name, module in counted.items()})
    return found


def activation_bytes(net: Module, x: Tensor) -> int:
    """Return the bytes of what all layers of a network give for an input, together.

    As much a backward pass needs, about; modules that consist of others are not counted.

    Parameters
    ----------
    net, x
        As for `multiply_accumulates`.

    Examples
    --------
    >>> import numpy as np
    >>> from minideconv import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    >>> activation_bytes(net, Tensor(np.zeros((1, 3, 10, 20), np.float32)))
    12800
    """
    sizes: list[int] = []

    def add(module: Module, args: tuple[Any, ...], y: Any) -> None:
        outputs = y if isinstance(y, tuple) else (y,)
        sizes.extend(each.data.nbytes for each in outputs if isinstance(each, Tensor))

    _watch(net, x, {part: add for part in net.modules() if not [*part.children()]})
    return sum(sizes)


def _watch(net: Module, x: Tensor, hooks: Mapping[Module, Callable[..., None]]) -> None:
    """Call a network once, in evaluation mode, with hooks on its modules."""
    with ExitStack() as stack, no_grad(), evaluating():
        for module, hook in hooks.items():
            stack.callback(module.register_forward_hook(hook).remove)
        net(x)


def _count(found: dict[str, int], name: str, module: Any, args: tuple[Any, ...], y: Tensor) -> None:
    # Each value of the map on the side of weight's first axis meets the rest of the weight once.
    side = args[0] if isinstance(module, ConvTranspose2d) else y
    found[name] = found.get(name, 0) + prod(side.shape) * prod(module.weight.shape[1:])
