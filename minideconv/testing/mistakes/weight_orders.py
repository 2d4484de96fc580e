"""A weight whose numbers are read in another order of its axes, as a wrong reshape does it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import permutations

import numpy as np

from minideconv.testing.mistakes.bank import given, right_values, slip, vary
from minideconv.testing.mistakes.results import flattened, unflattened
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["UNKNOWN_ORDERS", "by_group", "weight_orders"]

_KNOWN = ((0, 1, 2, 3), (1, 0, 2, 3), (0, 2, 3, 1), (0, 1, 3, 2))
UNKNOWN_ORDERS = tuple(order for order in permutations(range(4)) if order not in _KNOWN)
"""Orders of four axes that have no name of their own."""


def by_group(change: Callable[[Array], Array], w: Array, groups: int) -> Array:
    """Change each group's part of a weight, or of its gradient."""
    return np.concatenate([change(part) for part in np.split(w, groups)])


def weight_orders(operation: str, output: str) -> None:
    """Register them for an output that reads the weight: as a whole, or a group at a time."""
    name, right = "weight's axes mixed up by reshape", right_values(operation, output)

    @slip(operation, output, name,
          "The weight is reshaped where its axes must be transposed: taps of several kernels are "
          "mixed.")  # fmt: skip
    def _read_as_columns(arrays: Arrays, settings: Settings) -> None:
        change = partial(unflattened, order=(1, 2, 3, 0))
        arrays["w"] = by_group(change, given(arrays, "w"), settings.get("groups", 1))

    def values(
        change: Callable[[Array], Array], whole: bool, arrays: Arrays, settings: Settings
    ) -> Array:
        w = given(arrays, "w")
        groups = settings.get("groups", 1)
        turned = change(w) if whole else by_group(change, w, groups)
        return right({**arrays, "w": turned}, settings)

    vary(operation, output, name, *(
        partial(values, partial(read, order=order), whole)
        for order in UNKNOWN_ORDERS for read in (flattened, unflattened) for whole in (True, False)
    ))  # fmt: skip
