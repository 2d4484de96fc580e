"""What docs/pytorch.md's names of functions compute, here and in PyTorch, from the same numbers."""

from __future__ import annotations

import numpy as np

import minideconv as md
from minideconv import Tensor, nn
from minideconv import functional as F

X = np.random.default_rng(0).standard_normal((2, 4, 7, 9))
LABELS = np.random.default_rng(3).integers(0, 4, (2, 7, 9))


def both(compute):
    """One function of a library and its tensor, which runs in both."""
    return lambda torch: (
        compute(md, Tensor(X)).numpy(),
        compute(torch, torch.tensor(X)).numpy(),
    )


def switched(lib, x):
    """Say with numbers what is recorded where."""
    seen = []
    with lib.set_grad_enabled(False):
        seen.append(lib.is_grad_enabled())
        with lib.enable_grad():
            seen.append(lib.is_grad_enabled())
    return lib.tensor([*seen, lib.is_grad_enabled()])


def hot(torch):
    theirs = torch.nn.functional.one_hot(torch.tensor(LABELS), 5)
    return F.one_hot(Tensor(LABELS), 5).numpy(), theirs.numpy()


def constant(torch):
    ours, theirs = nn.Parameter(np.zeros((2, 3))), torch.zeros(2, 3)
    return nn.init.constant_(ours, 0.5).numpy(), torch.nn.init.constant_(theirs, 0.5).numpy()


CASES = {
    "clamp": both(lambda lib, x: lib.clamp(x, -0.5, 0.2)),
    "max": both(lambda lib, x: lib.max(x, 1)[0] + lib.max(x, 1).indices),
    "topk": both(lambda lib, x: lib.topk(x, 3, 2).values),
    "diag": both(lambda lib, x: lib.diag(x[0, 0], 1)),
    "flip": both(lambda lib, x: lib.flip(x, (1, 3))),
    "bincount": both(lambda lib, x: lib.bincount(lib.tensor([1, 4, 1]), minlength=3)),
    "enable_grad": both(switched),
    "set_grad_enabled": both(switched),
    "functional.one_hot": hot,
    "nn.init.constant_": constant,
    "nn.init.calculate_gain": lambda torch: (
        nn.init.calculate_gain("leaky_relu", 0.2),
        torch.nn.init.calculate_gain("leaky_relu", 0.2),
    ),
}
"""By the name in the table."""
