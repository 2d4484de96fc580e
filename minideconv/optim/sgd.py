"""Stochastic gradient descent, with momentum.

    d = g + weight_decay w
    v = momentum v + (1 - dampening) d      v = d at the first step
    w = w - lr v                            Nesterov: w - lr (d + momentum v)

Sources: Polyak, "Some methods of speeding up the convergence of iteration methods" (1964), for
momentum; Sutskever et al., "On the importance of initialization and momentum in deep learning"
(2013), for Nesterov's. As in PyTorch, and unlike those papers and Caffe, lr multiplies v and not d:
when lr changes, the momentum is scaled along with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from minideconv.autograd import Tensor
from minideconv.backend import Array
from minideconv.backend.checks import check_flag
from minideconv.backend.dispatch import accelerated
from minideconv.engine.cpu import optimizers as cpu
from minideconv.engine.cuda import optimizers as cuda
from minideconv.optim.blocks import blocks
from minideconv.optim.checks import check_range
from minideconv.optim.optimizer import Arrays, Group, Numbers, Optimizer, Skip, State

__all__ = ["SGD", "sgd"]


@accelerated
def sgd(
    weight: Array,
    grad: Array,
    velocity: Array | None,
    numbers: Numbers,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
    skip: Skip = None,
) -> None:
    """Take one step: change `weight` and `velocity`, the v of above, in place.

    `numbers` are lr and 1 - dampening, or 1 at the first step; `velocity` is None where `momentum`
    is 0.
    """
    lr, undamped = numbers
    for w, g, v in blocks(weight, grad, velocity, skip=skip):
        d = g + weight_decay * w
        if v is not None:
            v *= momentum
            v += undamped * d
            d = d + momentum * v if nesterov else v
        w -= lr * d


sgd.faster("cpu")(cpu.sgd)
sgd.faster("gpu")(cuda.sgd)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum and weight decay.

    Parameters
    ----------
    params : iterable of parameters, or of dicts (groups) with "params" and options of their own
    lr : float >= 0
        Learning rate.
    momentum : float >= 0
    dampening : float
        How much less than its full weight a gradient has in the momentum.
    weight_decay : float >= 0
        Times the weight, added to the gradient once per step.
    nesterov : bool
        Look ahead along the momentum; needs ``momentum > 0`` and ``dampening = 0``.

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range, or `params` are not parameters.

    Examples
    --------
    >>> w = Tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().tolist()
    [0.5, -1.0]
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    def check(self, group: Group) -> None:
        """Raise ValueError if a hyper-parameter of `group` is out of its range."""
        for name in ("lr", "momentum", "weight_decay"):
            check_range("SGD", name, group[name])
        check_flag("SGD", "nesterov", group["nesterov"])
        check_range("SGD", "dampening", group["dampening"], low=-float("inf"))
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov is True with momentum {group['momentum']} and dampening"
                f" {group['dampening']}; it needs a momentum above 0 and a dampening of 0"
            )

    def remembers(self, group: Group) -> tuple[str, ...]:
        """Return the name of the velocity v, if there is momentum."""
        return ("momentum_buffer",) if group["momentum"] else ()

    def numbers(self, group: Group, state: State, new: bool) -> tuple[float, float]:
        """Return the learning rate, and the weight of d in v: all of it at the first step."""
        return float(group["lr"]), 1.0 if new else 1.0 - group["dampening"]

    def update(
        self, weight: Array, grad: Array, memory: Arrays, numbers: Numbers, group: Group, skip: Skip
    ) -> None:
        """Change `weight` and `memory` in place; leave `grad` as it is."""
        # As floats: an integer of any size is legal, and compiled code knows those of 64 bits.
        options = (float(group["momentum"]), float(group["weight_decay"]), group["nesterov"])
        sgd(weight, grad, memory[0] if memory else None, numbers, *options, skip)
