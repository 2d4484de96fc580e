"""The updates of FISTA and ADMM, compiled: one walk over memory; plain loops become vectors."""

from __future__ import annotations

from minideconv.engine.cpu.compiled.kernel import kernel

__all__ = ["admm_update", "fista_update"]


@kernel(writes="y x")
def fista_update(y, x, gradient, step, threshold, momentum):
    """`ops.shrinkage.fista_update` of flat arrays; the numbers have the arrays' type."""
    for i in range(y.size):
        z = y[i] - step * gradient[i]
        new = z - min(max(z, -threshold), threshold)
        y[i] = new + momentum * (new - x[i])
        x[i] = new


@kernel(writes="state correction")
def admm_update(state, correction, threshold, relaxation):
    """`ops.shrinkage.admm_update` of flat arrays; the numbers have the arrays' type."""
    for i in range(state.size):
        t = state[i]
        t += relaxation * (correction[i] - min(max(t, -threshold), threshold))
        state[i] = t
        clipped = min(max(t, -threshold), threshold)
        correction[i] = t - (clipped + clipped)
