"""Adam, and AdamW: steps of about lr in every coordinate, whatever the gradient's scale.

    m = b1 m + (1 - b1) g            running mean of the gradient
    v = b2 v + (1 - b2) g²           running mean of its square
    w = w - lr m' / (sqrt(v') + eps)     m' = m / (1 - b1^t),  v' = v / (1 - b2^t)

With amsgrad, the largest v there was takes the place of v in the division.

Both means start at 0; the divisions by 1 - b^t undo that bias at step t. The two differ in weight
decay: Adam adds ``weight_decay w`` to g, where it is normalised away like any gradient; AdamW
shrinks w itself, by ``1 - lr weight_decay``, before the step.

Sources: Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1; Loshchilov
and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2; Reddi, Kale, Kumar, "On the
convergence of Adam and beyond" (2018), algorithm 2, for amsgrad, with PyTorch's bias corrections.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from minideconv.autograd import Tensor
from minideconv.backend import Array, get_xp
from minideconv.backend.checks import check_flag
from minideconv.backend.dispatch import accelerated
from minideconv.engine.cpu import optimizers as cpu
from minideconv.engine.cuda import optimizers as cuda
from minideconv.optim.blocks import blocks
from minideconv.optim.checks import check_range
from minideconv.optim.optimizer import Arrays, Group, Numbers, Optimizer, Skip, State

__all__ = ["Adam", "AdamW", "adam"]


@accelerated
def adam(
    weight: Array,
    grad: Array,
    mean: Array,
    square: Array,
    numbers: Numbers,
    betas: Sequence[float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
    skip: Skip = None,
) -> None:
    """Take one step: change `weight`, `mean` and `square`, the m and v of above, in place.

    `numbers` are lr and t, the number of the step; AdamW's weight decay is `decoupled`.
    """
    amsgrad(weight, grad, mean, square, None, numbers, betas, eps, weight_decay, decoupled, skip)


adam.faster("cpu")(cpu.adam)
adam.faster("gpu")(cuda.adam)


def amsgrad(
    weight: Array,
    grad: Array,
    mean: Array,
    square: Array,
    largest: Array | None,
    numbers: Numbers,
    betas: Sequence[float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
    skip: Skip = None,
) -> None:
    """Take a step as `adam`; `largest`, if given, is the largest `square` so far, and changed."""
    (lr, t), (b1, b2) = numbers, betas
    if skip is not None:  # on a GPU, where the steps that were left out are counted too
        lr, t = lr.astype("float64"), t.astype("float64") - skip[1]
    # lr m' / (sqrt(v') + eps) = rate m / (sqrt(v) + least): one division less for each weight
    root = (1 - b2**t) ** 0.5
    rate, least = lr * root / (1 - b1**t), eps * root
    for w, g, m, v, top in blocks(weight, grad, mean, square, largest, skip=skip):
        xp = get_xp(w)
        d = g if decoupled else g + weight_decay * w
        m *= b1
        m += (1 - b1) * d
        v *= b2
        v += (1 - b2) * (d * d)
        if decoupled:
            w *= 1 - lr * weight_decay
        if top is not None:
            xp.maximum(top, v, out=top)
            v = top
        w -= rate * (m / (xp.sqrt(v) + least))


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
    amsgrad : bool
        Divide by the root of the largest v so far, so that no rate rises again. Computed without
        the engine's kernels.

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range, or `params` are not parameters.
    """

    counts = True
    decoupled = False  # whether weight decay shrinks the weight itself

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad
        )

    def check(self, group: Group) -> None:
        """Raise ValueError if a hyper-parameter of `group` is out of its range."""
        for name in ("lr", "eps", "weight_decay"):
            check_range(self.name, name, group[name])
        check_flag(self.name, "amsgrad", group["amsgrad"])
        betas = group["betas"]
        if not isinstance(betas, Sequence) or len(betas) != 2:
            raise ValueError(f"{self.name}: betas is {betas!r}; it must be a pair of numbers")
        for i, beta in enumerate(betas):
            check_range(self.name, f"betas[{i}]", beta, below=1.0)

    def remembers(self, group: Group) -> tuple[str, ...]:
        """Return the names of the two running means, m and v, and of the largest v if kept."""
        if group["amsgrad"]:
            return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
        return ("exp_avg", "exp_avg_sq")

    def numbers(self, group: Group, state: State, new: bool) -> tuple[float, float]:
        """Return the learning rate, and the number of this step: 1 is the first."""
        state["step"] = state.get("step", 0) + 1
        return float(group["lr"]), float(state["step"])

    def update(
        self, weight: Array, grad: Array, memory: Arrays, numbers: Numbers, group: Group, skip: Skip
    ) -> None:
        """Change `weight` and `memory` in place; leave `grad` as it is."""
        # As floats: an integer of any size is legal, and compiled code knows those of 64 bits.
        betas = tuple(float(beta) for beta in group["betas"])
        options = (betas, float(group["eps"]), float(group["weight_decay"]), self.decoupled)
        step: Any = amsgrad if group["amsgrad"] else adam
        step(weight, grad, *memory, numbers, *options, skip)


class AdamW(Adam):
    """Adam with decoupled weight decay: the weight shrinks by ``1 - lr * weight_decay`` per step.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad
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
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)
