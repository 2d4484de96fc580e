"""RMSprop: the gradient divided by the root of its running mean square.

    v = a v + (1 - a) g²             running mean of the square
    m = a m + (1 - a) g              running mean, kept if centered
    s = sqrt(v - m²) + eps           sqrt(v) + eps if not centered
    w = w - lr g / s                 with momentum: b = momentum b + g / s,  w = w - lr b

g is the gradient plus ``weight_decay w``. Source: Hinton, Srivastava, Swersky, "Neural networks for
machine learning", lecture 6e (2012); Graves, "Generating sequences with recurrent neural networks"
(2013), equations 38 to 41, for the centered form. As in PyTorch, and unlike Graves, eps is outside
the root.
"""

from __future__ import annotations

from collections.abc import Iterable

from minideconv.autograd import Tensor
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_flag
from minideconv.optim.blocks import blocks
from minideconv.optim.checks import check_range
from minideconv.optim.optimizer import Arrays, Group, Numbers, Optimizer, Skip, State

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """RMSprop, also centered, and with momentum.

    Parameters
    ----------
    params : iterable of parameters, or of dicts (groups) with "params" and options of their own
    lr : float >= 0
        Learning rate.
    alpha : float in [0, 1)
        How much of the running means is kept at each step.
    eps : float >= 0
        Keeps the division finite where the gradient has always been 0.
    weight_decay : float >= 0
        Times the weight, added to the gradient.
    momentum : float >= 0
    centered : bool
        Divide by the standard deviation of the gradient in the place of its root mean square.

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range, or `params` are not parameters.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
        )

    def check(self, group: Group) -> None:
        """Raise ValueError if a hyper-parameter of `group` is out of its range."""
        for name in ("lr", "eps", "weight_decay", "momentum"):
            check_range(self.name, name, group[name])
        check_flag(self.name, "centered", group["centered"])
        check_range(self.name, "alpha", group["alpha"], below=1.0)

    def remembers(self, group: Group) -> tuple[str, ...]:
        """Return the names of v, and of b and m where they are kept."""
        momentum = ("momentum_buffer",) if group["momentum"] else ()
        return ("square_avg", *momentum, *(("grad_avg",) if group["centered"] else ()))

    def numbers(self, group: Group, state: State, new: bool) -> tuple[float, float]:
        """Return the learning rate, and `alpha`."""
        return float(group["lr"]), float(group["alpha"])

    def update(
        self, weight: Array, grad: Array, memory: Arrays, numbers: Numbers, group: Group, skip: Skip
    ) -> None:
        """Change `weight` and `memory` in place; leave `grad` as it is."""
        (lr, _), xp, a = numbers, get_xp(weight), group["alpha"]
        momentum, centered = group["momentum"], group["centered"]
        square, *others = memory
        velocity = others[0] if momentum else None
        mean = others[-1] if centered else None
        for w, g, v, b, m in blocks(weight, grad, square, velocity, mean, skip=skip):
            d = g + group["weight_decay"] * w
            v *= a
            v += (1 - a) * (d * d)
            spread = v
            if m is not None:
                m *= a
                m += (1 - a) * d
                spread = xp.maximum(v - m * m, 0)  # rounding may bring it below
            d = d / (xp.sqrt(spread) + group["eps"])
            if b is not None:
                b *= momentum
                b += d
                d = b
            w -= lr * d
