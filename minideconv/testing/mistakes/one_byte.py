"""Switches that are kept in one byte, which shows in planes of more than 128 or 256 pixels only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.checking.probing import value_of
from minideconv.testing.mistakes.bank import Mistake, given, register, right_values
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

NAME = "switches in one byte"
SENTENCE = ("Places beyond 255 (of int8, beyond 127) do not fit into a byte and begin again at 0; "
            "keep them in int64 or int32.")  # fmt: skip


def _cut(switches: Array, dtype: Any) -> Array:
    return switches.astype(dtype).astype(np.int64)


def _values(operation: str, output: str, dtype: Any) -> Callable[[Arrays, Settings], Array]:
    right = right_values(operation, output)

    def values(arrays: Arrays, settings: Settings) -> Array:
        if output == "switches":
            return _cut(right(arrays, settings), dtype)
        switches = _cut(given(arrays, "switches"), dtype)
        area = int(np.prod(settings["size"] if "size" in settings else _size(arrays)))
        return right({**arrays, "switches": switches % area}, settings)  # -1 is the last pixel

    return values


def _size(arrays: Arrays) -> tuple[int, ...]:
    return given(arrays, "dx").shape[2:]


def _recognise(operation: str, output: str) -> Callable[[Call], bool]:
    ways = [_values(operation, output, dtype) for dtype in (np.uint8, np.int8)]

    def recognise(call: Call) -> bool:
        known = OPERATIONS[operation]
        for make in known.long.values():
            case = make()
            arguments = known.call_arguments(case)
            try:
                got = call(*arguments).outputs.get(output)
            except StudentFault:
                continue
            if got is None or np.array_equal(got, known.expected(case)[output].value):
                continue
            cut = [value_of(way, arguments) for way in ways]
            if any(value is not None and np.array_equal(got, value) for value in cut):
                return True
        return False

    return recognise


for _operation, _output in (
    ("max_pool2d", "switches"),
    ("max_pool2d_backward", "dx"),
    ("max_unpool2d", "x"),
    ("max_unpool2d_backward", "dy"),
):
    register(
        Mistake(
            _operation,
            _output,
            NAME,
            SENTENCE,
            _values(_operation, _output, np.uint8),
            recognise=_recognise(_operation, _output),
        )
    )
