"""Loss scaling: scales, counters and weights through overflows equal to PyTorch's, on the CPU."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv import Tensor, optim

START = ([1.0, -2.0, 3.0], [[0.5, 4.0]])

options = st.fixed_dictionaries(
    {
        "init_scale": st.sampled_from([1.0, 3.0, 2.0**16, 2.0**127]),
        "growth_factor": st.sampled_from([2.0, 1.5]),
        "backoff_factor": st.sampled_from([0.5, 0.3]),
        "growth_interval": st.integers(1, 4),
    }
)


def step(scaler, optimizer, params, factor, unscale):
    optimizer.zero_grad()
    loss = sum((p * p).sum() for p in params) * factor
    scaler.scale(loss).backward()
    if unscale:
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@given(st.lists(st.sampled_from([1.0, 1.0, math.inf, math.nan]), min_size=1, max_size=15), options,
       st.booleans())  # fmt: skip
@example([math.inf] * 3 + [1.0] * 5, {"growth_interval": 2}, False)
def test_every_step(torch, kind, flat, factors, options, unscale):
    ours = [Tensor(np.array(a), requires_grad=True) for a in START]
    theirs = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in START]
    optimizers = [getattr(m, kind)(p, lr=0.01) for m, p in ((optim, ours), (torch.optim, theirs))]
    if flat:
        optimizers[0].flatten()
    scaler, reference = optim.GradScaler(**options), torch.amp.GradScaler("cpu", **options)
    for at, factor in enumerate(factors):
        if at == 7:
            saved = scaler.state_dict()
            scaler = optim.GradScaler()
            scaler.load_state_dict(saved)
        step(scaler, optimizers[0], ours, factor, unscale)
        step(reference, optimizers[1], theirs, factor, unscale)
        assert scaler.state_dict() == reference.state_dict()
        for p, q in zip(ours, theirs, strict=True):
            # their reciprocal of the scale is rounded to float32
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-6)
