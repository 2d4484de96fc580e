"""Adagrad: each coordinate's rate falls with the sum of its squared gradients.

    s = s + g²
    w = w - r g / (sqrt(s) + eps)        r = lr / (1 + (t - 1) lr_decay) at step t = 1, 2, ...

s begins with `initial_accumulator_value`; g is the gradient plus ``weight_decay w``. Source: Duchi,
Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic optimization"
(2011), section 1.1, with the diagonal in the place of the matrix.
"""

from __future__ import annotations

from collections.abc import Iterable

from minideconv.autograd import Tensor
from minideconv.backend import Array, get_xp
from minideconv.optim.blocks import blocks
from minideconv.optim.checks import check_range
from minideconv.optim.optimizer import Arrays, Group, Numbers, Optimizer, Skip, State

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Adagrad.

    Parameters
    ----------
    params : iterable of parameters, or of dicts (groups) with "params" and options of their own
    lr : float >= 0
        Learning rate.
    lr_decay : float >= 0
        How fast the learning rate itself falls.
    weight_decay : float >= 0
        Times the weight, added to the gradient.
    initial_accumulator_value : float >= 0
        Where the sum of squares begins. It is an option, and not part of the saved sum.
    eps : float >= 0
        Keeps the division finite where the gradient has always been 0.

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range, or `params` are not parameters.
    """

    counts = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )

    def check(self, group: Group) -> None:
        """Raise ValueError if a hyper-parameter of `group` is out of its range."""
        for name in ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
            check_range(self.name, name, group[name])

    def remembers(self, group: Group) -> tuple[str, ...]:
        """Return the name of the sum s."""
        return ("sum",)

    def numbers(self, group: Group, state: State, new: bool) -> tuple[float, float]:
        """Return the learning rate, and the number of this step: 1 is the first."""
        state["step"] = state.get("step", 0) + 1
        return float(group["lr"]), float(state["step"])

    def update(
        self, weight: Array, grad: Array, memory: Arrays, numbers: Numbers, group: Group, skip: Skip
    ) -> None:
        """Change `weight` and `memory` in place; leave `grad` as it is."""
        (lr, t), xp = numbers, get_xp(weight)
        if skip is not None:  # on a GPU, where the steps that were left out are counted too
            lr, t = lr.astype("float64"), t.astype("float64") - skip[1]
        rate = lr / (1 + (t - 1) * group["lr_decay"])
        for w, g, s in blocks(weight, grad, memory[0], skip=skip):
            d = g + group["weight_decay"] * w
            s += d * d
            w -= rate * (d / (xp.sqrt(s + group["initial_accumulator_value"]) + group["eps"]))
