"""Adam, and AdamW: steps of about lr in every coordinate, whatever the gradient's scale.

    m = b1 m + (1 - b1) g            running mean of the gradient
    v = b2 v + (1 - b2) g²           running mean of its square
    w = w - lr m' / (sqrt(v') + eps)     m' = m / (1 - b1^t),  v' = v / (1 - b2^t)

Both means start at 0; the divisions by 1 - b^t undo that bias at step t. The two differ in weight
decay: Adam adds ``weight_decay w`` to g, where it is normalised away like any gradient; AdamW
shrinks w itself, by ``1 - lr weight_decay``, before the step.

Sources: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1; Loshchilov
and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from minideconv.algorithms import accelerate
from minideconv.autograd import Tensor
from minideconv.backend import Array, get_xp
from minideconv.optim.blocks import as_they_lie, blocks
from minideconv.optim.optimizer import Group, Optimizer, State, check_range

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam, with weight decay as an addition to the gradient.

    Parameters
    ----------
    params : iterable of parameters, or of dicts (groups) with "params" and options of their own
    lr : float >= 0
        Learning rate: about the size of a step in each coordinate.
    betas : pair of float in [0, 1)
        How much of the two running means is kept at each step.
    eps : float >= 0
        Keeps the division finite where the gradient has always been 0.
    weight_decay : float >= 0

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range, or `params` are not parameters.
    """

    options = ("lr", "betas", "eps", "weight_decay")
    decoupled = False  # whether weight decay shrinks the weight itself

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def check(self, group: Group) -> None:
        """Raise ValueError if a hyper-parameter of `group` is out of its range."""
        for name in ("lr", "eps", "weight_decay"):
            check_range(self.name, name, group[name])
        betas = group["betas"]
        if not isinstance(betas, Sequence) or len(betas) != 2:
            raise ValueError(f"{self.name}: betas is {betas!r}; it must be a pair of numbers")
        for i, beta in enumerate(betas):
            check_range(self.name, f"betas[{i}]", beta, below=1.0)

    def update(self, weight: Array, grad: Array, group: Group, state: State) -> None:
        """Change the parameter's array `weight` in place; leave `grad` as it is."""
        xp = get_xp(weight)
        lr, (b1, b2), weight_decay = group["lr"], group["betas"], group["weight_decay"]
        if not state:
            state.update(step=0, exp_avg=xp.zeros_like(weight), exp_avg_sq=xp.zeros_like(weight))
        state["step"] += 1
        # lr m' / (sqrt(v') + eps) = rate m / (sqrt(v) + least): one division less for each weight
        root = math.sqrt(1 - b2 ** state["step"])
        rate, least = lr * root / (1 - b1 ** state["step"]), group["eps"] * root
        decay, shrink = (0.0, 1 - lr * weight_decay) if self.decoupled else (weight_decay, 1.0)
        arrays = as_they_lie(weight, grad, state["exp_avg"], state["exp_avg_sq"])
        options = (rate, (b1, b2), least, decay, shrink)
        if accelerate("adam", *arrays, *options) is not None:
            return
        for w, g, m, v, d, t in blocks(*arrays, scratch=2):
            xp.multiply(w, decay, out=d)
            d += g
            m *= b1
            xp.multiply(d, 1 - b1, out=t)
            m += t
            v *= b2
            d *= d
            d *= 1 - b2
            v += d
            xp.sqrt(v, out=t)
            t += least
            xp.divide(m, t, out=t)
            t *= rate
            if self.decoupled:
                w *= shrink
            w -= t


class AdamW(Adam):
    """Adam with decoupled weight decay: the weight shrinks by ``1 - lr * weight_decay`` per step.

    Parameters
    ----------
    params, lr, betas, eps
        As for `Adam`.
    weight_decay : float >= 0
        Relative to `lr`, and not normalised by the gradient's size.
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
