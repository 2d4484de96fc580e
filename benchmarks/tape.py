"""Section `tape`: what Python costs, in microseconds per op, on tensors too small to cost anything.

Each op is called on a tensor of a few numbers: on plain arrays (`alone`), recorded by the tape
(`forward`), and backward. Ops that keep the shape are applied ten times in a row, so that what one
call of ``backward`` costs by itself is shared out as in a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from benchmarks.modes import available, switch, the_torch
from benchmarks.plans import Plan
from benchmarks.timing import Timed, alternate, summary
from minideconv import Tensor, ops
from minideconv import functional as F
from minideconv.nn import Parameter

__all__ = ["both", "cases", "chained", "rows"]

CHAIN = 10
SIZE = (2, 2, 4, 4)


@dataclass(frozen=True)
class Case:
    """One op (or a pair that belongs together) as a function of its input."""

    name: str
    alone: Callable[[Any], Any]
    ours: Callable[[Any], Any]
    torch: Callable[[Any], Any]
    ops: int = 1  # recorded by one application
    chain: int = CHAIN


def rows(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Measure every op, and return how many microseconds one of them takes."""
    torch = the_torch()
    switch(available(("fast", "numpy"))[0])
    x = np.random.default_rng(0).standard_normal(SIZE, np.float32)
    for case in cases(torch):
        mine, theirs = Parameter(x), torch.from_numpy(x.copy()).requires_grad_(True)
        contenders = {
            "alone": chained(case.alone, x, case.chain),
            "forward": chained(case.ours, mine, case.chain),
            "both": both(case.ours, mine, case.chain),
            "torch_forward": chained(case.torch, theirs, case.chain),
            "torch_both": both(case.torch, theirs, case.chain),
        }
        least = plan.tape_repeats * 1e-4
        samples = alternate(
            {name: Timed(run, least=least) for name, run in contenders.items()},
            plan.rounds,
            threads,
        )
        calls = case.ops * case.chain
        us = {name: 1e3 * summary(got, threads)["ms"] / calls for name, got in samples.items()}
        yield {
            "name": case.name,
            "microseconds": {
                "alone": round(us["alone"], 2),
                "forward": round(us["forward"], 2),
                "backward": round(us["both"] - us["forward"], 2),
                "torch_forward": round(us["torch_forward"], 2),
                "torch_backward": round(us["torch_both"] - us["torch_forward"], 2),
            },
        }


def chained(function: Callable[[Any], Any], x: Any, times: int) -> Callable[[], Any]:
    """Return what applies `function` so often in a row, to `x` first."""
    return lambda: reduce(lambda y, _: function(y), range(times), x)


def both(function: Callable[[Any], Any], x: Any, times: int) -> Callable[[], Any]:
    """Forward and backward, from a gradient of ones or from the loss itself."""
    forward = chained(function, x, times)
    result = forward()
    ones = None
    if result.ndim:
        ones = Tensor(np.ones_like(result.data)) if isinstance(x, Tensor) else result.detach()

    def run() -> None:
        x.grad = None
        forward().backward(ones)

    return run


def cases(torch: Any) -> Iterator[Case]:
    """Yield every op that is measured."""
    functional = torch.nn.functional
    c = SIZE[1]
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((c, c, 3, 3), np.float32) / 4
    scale, shift, mean, var = (np.ones(c, np.float32) for _ in range(4))
    mine = [Parameter(array.copy()) for array in (weight, scale, shift)]
    theirs = [torch.from_numpy(a.copy()).requires_grad_(True) for a in (weight, scale, shift)]
    w, s, b = mine
    tw, ts, tb = theirs
    tmean, tvar = torch.ones(c), torch.ones(c)
    norm = functional.batch_norm

    yield Case("add", lambda x: x + x, lambda x: x + x, lambda x: x + x)
    yield Case("divide", lambda x: x / x, lambda x: x / x, lambda x: x / x)
    flat = (SIZE[0], -1)
    yield Case(
        "reshape (each of two)",
        lambda x: x.reshape(flat).reshape(SIZE),
        lambda x: x.reshape(flat).reshape(SIZE),
        lambda x: x.reshape(flat).reshape(SIZE),
        ops=2,
    )
    yield Case("x[:, :1]", lambda x: x[:, :1], lambda x: x[:, :1], lambda x: x[:, :1])
    yield Case("mean", lambda x: x.mean(), lambda x: x.mean(), lambda x: x.mean(), chain=1)
    yield Case("relu", ops.relu, F.relu, functional.relu)
    yield Case(
        "conv2d 3x3",
        lambda x: ops.conv2d(x, weight, shift, padding=1),
        lambda x: F.conv2d(x, w, b, padding=1),
        lambda x: functional.conv2d(x, tw, tb, padding=1),
    )
    yield Case(
        "conv_transpose2d 3x3",
        lambda x: ops.conv_transpose2d(x, weight, shift, padding=1),
        lambda x: F.conv_transpose2d(x, w, b, padding=1),
        lambda x: functional.conv_transpose2d(x, tw, tb, padding=1),
    )
    yield Case(
        "batch_norm",
        lambda x: ops.batch_norm(x, mean, var, scale, shift, training=True),
        lambda x: F.batch_norm(x, mean, var, s, b, training=True),
        lambda x: norm(x, tmean, tvar, ts, tb, training=True),
    )
    yield Case(
        "batch_norm + relu (ours: one op)",
        lambda x: ops.batch_norm_relu(x, mean, var, scale, shift, training=True),
        lambda x: F.batch_norm_relu(x, mean, var, s, b, training=True),
        lambda x: functional.relu_(norm(x, tmean, tvar, ts, tb, training=True)),
    )
    yield Case(
        "max_pool2d, max_unpool2d (each)",
        lambda x: ops.max_unpool2d(*ops.max_pool2d(x, 2, return_switches=True)),
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_switches=True)),
        lambda x: functional.max_unpool2d(*functional.max_pool2d(x, 2, return_indices=True), 2, 2),
        ops=2,
    )
    labels = rng.integers(0, c, (SIZE[0], *SIZE[2:]))
    their_labels = torch.from_numpy(labels)
    yield Case(
        "cross_entropy",
        lambda x: ops.cross_entropy(x, labels),
        lambda x: F.cross_entropy(x, labels),
        lambda x: functional.cross_entropy(x, their_labels),
        chain=1,
    )
