"""Wrong versions of batch_norm_backward: what becomes of eps, in one place or in all."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.mistakes.bank import slip
from minideconv.testing.mistakes.batch_norm import Parts
from minideconv.testing.mistakes.batch_norm_backward import (
    OPERATION,
    assembled,
    differentiates,
    mean,
    total,
)
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

LEFT_OUT = "eps left out"
OUTSIDE = ("eps outside of the root", "The divisor is sqrt(var) + eps; it is sqrt(var + eps).")


# Left out -----------------------------------------------------------------------------------


@slip(OPERATION, "dx", LEFT_OUT, "The divisor is sqrt(var); it is sqrt(var + eps).")
def _without_eps(arrays: Arrays, settings: Settings) -> None:
    settings["eps"] = 0.0


def left_out(where: str, *, factor: float = 0, first: float = 0, second: float = 0) -> None:
    """Register powers of std / sqrt(var) that dy's, mean(dy)'s and mean(dy xh)'s term have."""

    @differentiates("dx", LEFT_OUT, where)
    def _in_one_place(p: Parts, dy: Array) -> Array:
        ratio = p.std / np.sqrt(p.var)
        scale, through = p.weight / p.std, p.xh * mean(dy * p.xh)
        result: Any = dy * ratio**factor - mean(dy) * ratio**first - through * ratio**second
        return np.asarray(scale * result)


left_out("The factor is weight / sqrt(var); it is weight / sqrt(var + eps).",
         factor=1, first=1, second=1)  # fmt: skip
left_out("xh is (x - mean) / sqrt(var); it is (x - mean) / sqrt(var + eps).", second=2)
left_out("One xh of xh mean(dy xh) is (x - mean) / sqrt(var); both are (x - mean) / sqrt(var + "
         "eps).", second=1)  # fmt: skip
left_out("The variance's gradient has var ** -1.5; it is (var + eps) ** -1.5.", second=3)
left_out("The mean's gradient is divided by sqrt(var); it is by sqrt(var + eps).", first=1)
left_out("The gradients of mean and variance have sqrt(var) and var ** -1.5; they have sqrt(var + "
         "eps) and (var + eps) ** -1.5.", first=1, second=3)  # fmt: skip
left_out("dy is divided by sqrt(var); it is by sqrt(var + eps).", factor=1)
left_out("dy and its mean are divided by sqrt(var); they are by sqrt(var + eps).",
         factor=1, first=1)  # fmt: skip


@differentiates("dweight", LEFT_OUT, "xh is (x - mean) / sqrt(var); it is (x - mean) / sqrt(var + "
                "eps).")  # fmt: skip
def _weight_no_eps(p: Parts, dy: Array) -> Array:
    return total(dy * p.centred / np.sqrt(p.var))


# Fixed --------------------------------------------------------------------------------------


@slip(OPERATION, "dx", "eps fixed at 1e-5", "The forward's eps is not used.")
def _eps_fixed(arrays: Arrays, settings: Settings) -> None:
    settings["eps"] = 1e-5


@differentiates("dweight", "eps fixed at 1e-5", "The forward's eps is not used.")
def _weight_eps_fixed(p: Parts, dy: Array) -> Array:
    return total(dy * p.centred / np.sqrt(p.var + 1e-5))


# Outside of the root ------------------------------------------------------------------------


@differentiates("dx", *OUTSIDE)
def _eps_outside_of_scale(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, scale=p.weight / (np.sqrt(p.var) + p.eps))


@differentiates("dx", *OUTSIDE)
def _eps_outside(p: Parts, dy: Array) -> Array:
    std = np.sqrt(p.var) + p.eps
    return assembled(p, dy, xh=p.centred / std, scale=p.weight / std)


@differentiates("dx", *OUTSIDE)
def _eps_outside_of_xh(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, xh=p.centred / (np.sqrt(p.var) + p.eps))


@differentiates("dx", *OUTSIDE)
def _eps_outside_and_derived(p: Parts, dy: Array) -> Array:
    deviation = np.sqrt(p.var)
    std = deviation + p.eps
    through = p.centred * mean(dy * p.centred) / (std * deviation)
    return p.weight / std * (dy - mean(dy) - through)


@differentiates("dx", "eps outside of the power", "The variance's gradient has var ** -1.5 + eps; "
                "it is (var + eps) ** -1.5.")  # fmt: skip
def _eps_outside_of_power(p: Parts, dy: Array) -> Array:
    cubed = p.var**-1.5 + p.eps
    return assembled(p, dy, second=p.centred * mean(dy * p.centred) * cubed * p.std)


@differentiates("dweight", "eps outside of the root", "xh is (x - mean) / (sqrt(var) + eps); it is "
                "(x - mean) / sqrt(var + eps).")  # fmt: skip
def _weight_eps_outside(p: Parts, dy: Array) -> Array:
    return total(dy * p.centred / (np.sqrt(p.var) + p.eps))
