"""From a layer back to the pixels: `forward_to` a layer, choose units there, `project` them.

    forward_to    net, x (N, C, H, W), layer  ->  x and the layer's output, both on the tape
    project       a signal at the layer's output (N, K, ...)  ->  the signal at x (N, C, H, W)

The projection of Zeiler and Fergus (2014), section 2.1: compute the layer, set all of its units but
one to zero, and go back to the pixels, at each pooling by its switches, at each ReLU by the rule,
at each convolution by the transposed one. With the rule "gradient" and the signal 1 at a unit it is
that unit's gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from minideconv.autograd import Tensor
from minideconv.autograd.tape import gradients_of
from minideconv.backend import Array, get_xp, to_device
from minideconv.backend.dispatch import device_guard
from minideconv.errors import UsageError, some
from minideconv.nn import Module, no_fusion
from minideconv.nn.mode import evaluating
from minideconv.nn.utils import device_of_module
from minideconv.visualize.relu_rules import relu_rule

__all__ = ["Seed", "at_unit", "forward_to", "project", "signal_between"]

Seed = Callable[[Array], Array]
"""From a layer's output to the signal that is sent back from it, of the same shape."""


class _Reached(Exception):
    """The layer has been computed: no error, but the end of a forward."""


def at_unit(
    channel: int, place: Sequence[int] | None = None, strength: float | None = None
) -> Seed:
    """Return the seed of one unit: its activation, and zero at all others.

    Parameters
    ----------
    channel : int
        Of the map (N, K, H, W), or of the scores (N, K).
    place : (int, int), optional
        Row and column; all places of the map if left out.
    strength : float, optional
        What is sent instead of the activation, for example 1 for the gradient.

    Raises
    ------
    UsageError
        If the layer has no such channel or place; raised when the seed is called.
    """

    @device_guard
    def seed(values: Array) -> Array:
        if not 0 <= channel < values.shape[1]:
            raise UsageError(f"unit is {channel}; the layer has units 0..{values.shape[1] - 1}")
        where: tuple[Any, ...] = (slice(None), channel)
        if place is not None:
            sides = values.shape[2:]
            if len(sides) != len(place) or not all(
                0 <= at < side for at, side in zip(place, sides, strict=True)
            ):
                raise UsageError(f"place is {tuple(place)}; the layer's map is {sides}")
            where += tuple(place)
        signal = get_xp(values).zeros_like(values)
        signal[where] = values[where] if strength is None else strength
        return signal

    return seed


def forward_to(
    net: Module, x: Array, layer: str, also: Sequence[str] = ()
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute a network up to a layer, on a tape that leads back to the input alone.

    Parameters
    ----------
    net : Module
        Computed in evaluation mode, each module by itself, and left as it was.
    x : array (N, C, H, W)
        Its input; taken to where the network is.
    layer : str
        A name of `Module.named_modules`, ``""`` for the network. What is behind it is not computed;
        of a module that is called several times, the first call counts.
    also : sequence of str
        Layers in front of it, whose outputs are returned too.

    Returns
    -------
    x : Tensor
        The leaf that the tape leads to.
    outputs : dict of str to Tensor
        Of `layer`, and of those in `also` that were computed, by name.

    Raises
    ------
    UsageError
        If the network has no such layer, or does not compute it, or it returns no Tensor.
    """
    image = Tensor(to_device(x, device_of_module(net)), requires_grad=True)
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: Module, args: Any, output: Any) -> None:
            results = output if isinstance(output, tuple | list) else (output,)
            found = next((result for result in results if isinstance(result, Tensor)), None)
            if name not in outputs and found is not None:
                outputs[name] = found
                if name == layer:
                    raise _Reached

        return hook

    with ExitStack() as stack:
        for name in {layer, *also}:
            module = _submodule(net, name)
            stack.callback(module.register_forward_hook(keep(name)).remove)
        stack.enter_context(_looking(net))
        stack.enter_context(no_fusion())
        with suppress(_Reached):
            net(image)
    if layer not in outputs:
        raise UsageError(f"layer {layer!r} computes nothing for this input")
    return image, outputs


def project(net: Module, x: Array, layer: str, seed: Seed, rule: str = "deconvnet") -> Array:
    """Return what a signal at a layer becomes at the input.

    Parameters
    ----------
    net, x, layer
        See `forward_to`.
    seed : callable
        The signal, from the layer's output: `at_unit`, or a function of your own.
    rule : {"deconvnet", "guided", "gradient"}
        What the ReLUs do; see `relu_rules`.

    Returns
    -------
    array (N, C, H, W)
        At the input `x`, where the network is.

    Examples
    --------
    A network of one convolution: the projection of a unit is its activation times its filter, put
    where the unit looks.

    >>> import numpy as np
    >>> from minideconv import nn
    >>> net = nn.Conv2d(1, 1, 2, bias=False)
    >>> net.weight.data[...] = [[[[1.0, 2.0], [3.0, 4.0]]]]
    >>> image = np.array([[[[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]]], np.float32)
    >>> project(net, image, "", at_unit(0, (0, 0)))[0, 0]
    array([[ 4.,  8.,  0.],
           [12., 16.,  0.],
           [ 0.,  0.,  0.]], dtype=float32)
    """
    image, outputs = forward_to(net, x, layer)
    return signal_between(outputs[layer], image, seed(outputs[layer].data), rule)


def signal_between(output: Tensor, source: Tensor, signal: Array, rule: str = "gradient") -> Array:
    """Send a signal from one tensor back to another on the same tape, which is used up.

    Raises
    ------
    RuntimeError
        If `output` was not computed from `source`, or see `relu_rule`.
    """
    end = source._node or source
    with relu_rule(output, rule):
        (found,) = gradients_of([output._node or output], [signal], [end])
    if found is None:
        raise RuntimeError("signal_between: the output does not depend on the source")
    return found


def _submodule(net: Module, name: str) -> Module:
    try:
        return net.get_submodule(name)
    except AttributeError:
        names = [each for each, _ in net.named_modules() if each]
        raise UsageError(f"layer is {name!r}; {type(net).__name__} has {some(names, 60)}") from None


@contextmanager
def _looking(net: Module) -> Iterator[None]:
    """Evaluate, with parameters that need no gradients, inside the block."""
    learned = [(p, p.requires_grad) for p in net.parameters()]
    for parameter, _ in learned:
        parameter.requires_grad = False
    try:
        with evaluating():
            yield
    finally:
        for parameter, wanted in learned:
            parameter.requires_grad = wanted
