"""The backward of max pooling for code that is given the input, not the switches.

The contract's backward starts from the switches. Autograd, and a cache, start from the input: the
cases are the same, and so is what must come of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from minideconv.testing.operations.operation import (
    Arrays,
    Case,
    Functions,
    Operation,
    Settings,
)

__all__ = ["given_the_input"]


def given_the_input(operation: Operation) -> Operation:
    """Return max_pool2d_backward for functions ``(dy, x, kernel_size, stride, padding) -> dx``."""

    def call_arguments(case: Case) -> tuple[Arrays, Settings]:
        arrays, settings = operation.call_arguments(case)
        return {**arrays, "x": case.arrays["x"]}, {**settings, **case.geometry.settings}

    def run(functions: Functions, arrays: Arrays, settings: Settings) -> Sequence[Any]:
        pooling = {name: value for name, value in settings.items() if name != "size"}
        return functions[operation.name](arrays["dy"], arrays["x"], **pooling)

    def written(words: dict[str, str]) -> str:
        pooling = [word for name, word in words.items() if name not in ("dy", "switches", "size")]
        return f"max_pool2d({', '.join(pooling)}), backward from {words['dy']}"

    return replace(
        operation, arguments=("dy", "x"), call_arguments=call_arguments, run=run, written=written
    )
