"""What a ReLU does to a signal on its way back: the one rule in which three methods differ.

Forward, a ReLU gives ``y = max(a, 0)``. Backward, a signal R arrives at y, and what goes on to a is

| rule        | signal at a           | source                                         |
|-------------|-----------------------|------------------------------------------------|
| "gradient"  | R where a > 0         | Simonyan, Vedaldi, Zisserman (2013), section 3 |
| "deconvnet" | R where R > 0         | Zeiler, Fergus (2014), section 2.1             |
| "guided"    | R where both are > 0  | Springenberg et al. (2015), section 3.4        |

and 0 elsewhere. All other layers are passed as in backpropagation, by their adjoint: a convolution
by the transposed convolution with the same filters, a max pooling by unpooling with its switches, a
bias not at all. So the "deconvolutional network" of Zeiler and Fergus, which rectifies, unpools and
filters with transposed filters, is backpropagation with another rule for the ReLU, and the rule is
all that this file changes.

At a = 0 the signal is stopped, as in PyTorch; a > 0 is known from the output alone, y > 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from minideconv.autograd import Node, Tensor, graph
from minideconv.backend import Array
from minideconv.backend.masks import selected
from minideconv.errors import UsageError

__all__ = ["RELU_RULES", "ReLURule", "relu_rule"]

ReLURule = Callable[[Array, Array], Array]
"""``rule(R, y)``: the signal that goes on, from the one that arrives and the ReLU's output."""

RELU_RULES: dict[str, ReLURule] = {
    "gradient": lambda signal, y: selected(signal, y > 0),
    "deconvnet": lambda signal, y: selected(signal, signal > 0),
    "guided": lambda signal, y: selected(signal, (signal > 0) & (y > 0)),
}
"""The rules by name."""


@contextmanager
def relu_rule(output: Tensor, rule: str) -> Iterator[None]:
    """Let signals from `output` pass the ReLUs behind it by a rule, inside the block.

    The tape says which of its operations are ReLUs, so this works for any network, whether it calls
    ``nn.ReLU`` or ``functional.relu``.

    Parameters
    ----------
    output : Tensor
        Where the walk back will begin; its tape has not been freed.
    rule : str
        A key of `RELU_RULES`.

    Raises
    ------
    UsageError
        If there is no such rule.
    RuntimeError
        If a ReLU is hidden inside another operation: one in one pass with batch normalisation
        (compute the forward inside ``nn.no_fusion()``), or in a ``checkpoint``. The plain gradient
        is then known all the same.

    Examples
    --------
    >>> from minideconv import functional as F
    >>> x = Tensor([-2.0, 3.0, 3.0], requires_grad=True)
    >>> y = F.relu(x)
    >>> with relu_rule(y, "deconvnet"):
    ...     y.backward(Tensor([5.0, 5.0, -5.0]))
    >>> x.grad
    Tensor([5., 5., 0.])
    """
    if rule not in RELU_RULES:
        raise UsageError(f"relu_rule: rule is {rule!r}; it must be one of {', '.join(RELU_RULES)}")
    nodes = [step for step in graph(output) if isinstance(step, Node)]
    hidden = [node.name for node in nodes if _hides_relu(node)]
    if hidden and rule != "gradient":
        raise RuntimeError(
            f"relu_rule: {hidden[0]} may hold ReLUs that the rule {rule!r} cannot change; compute"
            " the forward inside nn.no_fusion(), and without recompute"
        )
    rectifiers = [node for node in nodes if node.name == "relu"]
    before = [node.backward for node in rectifiers]
    for node in rectifiers:
        node.backward = partial(_backward, RELU_RULES[rule])
    try:
        yield
    finally:
        for node, backward in zip(rectifiers, before, strict=True):
            if node.backward is not None:  # no backward pass has freed it
                node.backward = backward


def _backward(
    rule: ReLURule, signal: Array, needs: tuple[bool, ...], y: Array
) -> tuple[Array | None, ...]:
    return (rule(signal, y),)


def _hides_relu(node: Node) -> bool:
    """Whether an operation may have a ReLU inside: a fused one, or a checkpointed part."""
    fused = node.name.startswith("batch_norm_relu") or bool(node.options.get("relu"))
    return fused or node.name.startswith("checkpoint")
