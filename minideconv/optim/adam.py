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

from collections.abc import Iterable, Sequence

from minideconv.autograd import Tensor
from minideconv.backend import Array, get_xp
from minideconv.backend.algorithms import accelerate
from minideconv.optim.blocks import as_they_lie, blocks, unless
from minideconv.optim.checks import check_range
from minideconv.optim.optimizer import Group, Numbers, Optimizer, State

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
    counts = True
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

    def remembers(self, group: Group) -> tuple[str, ...]:
        """Return the names of the two running means, m and v."""
        return ("exp_avg", "exp_avg_sq")

    def numbers(self, group: Group, state: State, new: bool) -> tuple[float, float]:
        """Return the learning rate, and the number of this step: 1 is the first."""
        state["step"] = state.get("step", 0) + 1
        return float(group["lr"]), float(state["step"])

    def update(
        self,
        weight: Array,
        grad: Array,
        memory: Sequence[Array],
        numbers: Numbers,
        group: Group,
    ) -> None:
        """Change `weight` and `memory` in place; leave `grad` as it is."""
        (b1, b2), eps, weight_decay = group["betas"], group["eps"], group["weight_decay"]
        decay, shrinks = (0.0, weight_decay) if self.decoupled else (weight_decay, 0.0)
        arrays = as_they_lie(weight, grad, *memory)
        if isinstance(numbers, tuple):
            skip, (lr, step) = None, numbers
        else:
            skip = self.skip
            options = (numbers, skip, (b1, b2), eps, decay, shrinks)
            if accelerate("adam_told", *arrays, *options) is not None:
                return
            lr, step = self.read(numbers)
        # lr m' / (sqrt(v') + eps) = rate m / (sqrt(v) + least): one division less for each weight
        root = (1 - b2**step) ** 0.5
        rate, least, shrink = lr * root / (1 - b1**step), eps * root, 1 - lr * shrinks
        if isinstance(numbers, tuple):
            known = (rate, (b1, b2), least, decay, shrink)
            if accelerate("adam", *arrays, *known) is not None:
                return
        xp = get_xp(weight)
        with unless(skip, arrays[0], *arrays[2:]):
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
