"""An operation within limits draws legal geometries that a signature can express, and only those."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import ops
from minideconv.errors import UsageError
from minideconv.testing import OperationError, check_op
from minideconv.testing.adapters import SIGNATURES, Limits, within
from minideconv.testing.adapters.limits import few_geometries
from minideconv.testing.checking.calls import local_call
from minideconv.testing.checking.diagnosis import name_mistakes, probes
from minideconv.testing.mistakes import mistakes
from minideconv.testing.operations import OPERATIONS

LIMITED = {
    f"{make().name} {name}": (name, limits)
    for make in SIGNATURES.values()
    for name, limits in make().limits.items()
}


def drawn(operation, count=300):
    rng = np.random.default_rng(7)
    return [
        operation.draw(lambda low, high: int(rng.integers(low, high + 1))) for _ in range(count)
    ]


@pytest.mark.parametrize("key", LIMITED)
def test_what_is_drawn_is_within_the_limits(key):
    name, limits = LIMITED[key]
    operation = within(OPERATIONS[name], limits)
    geometries = drawn(operation)
    assert {operation.family(g) for g in geometries} == set(operation.families)
    assert len(set(geometries)) > 30, "limits must leave some variety"
    for g in geometries:
        for field in limits.square:
            assert len(set(getattr(g, field))) == 1
        for field, value in limits.fixed.items():
            assert getattr(g, field, value) == value
        assert limits.fits(g)
        # Legal by the operation's own checks, and asked for as the operation itself would.
        case = operation.case(g, 1)
        arrays, settings = operation.call_arguments(case)
        assert arrays.keys() == set(operation.arguments)
        full = OPERATIONS[name].oracle(arrays, settings)
        for output, expected in operation.expected(case).items():
            assert np.array_equal(expected.value, full[output].value)
    assert {operation.family(p.geometry) for p in probes(operation)} == set(operation.families)


@pytest.mark.parametrize("key", LIMITED)
def test_a_mistake_that_shows_within_the_limits_keeps_its_name(key):
    name, limits = LIMITED[key]
    operation = within(OPERATIONS[name], limits)
    shows = 0
    for mistake in mistakes(name):
        if mistake.output not in operation.outputs:
            continue
        function = local_call(
            operation, {name: _outputs_of(mistake.implementation(), name, operation.outputs)}
        )
        for found in name_mistakes(operation, function):
            shows += 1
            assert mistake.name in [m.name for m in found.mistakes] or not found.mistakes
    assert shows > 3


def _outputs_of(function, name, outputs):
    every = OPERATIONS[name].outputs
    if outputs == every:
        return function
    return lambda *args, **settings: tuple(
        value
        for output, value in zip(every, function(*args, **settings), strict=True)
        if output in outputs
    )


def test_a_function_that_cannot_do_all_is_checked_for_what_it_can():
    def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
        assert stride[0] == stride[1]
        assert dilation == (1, 1)
        assert groups == 1
        assert b is None
        return ops.conv2d(x, w, stride=stride, padding=padding)

    can = Limits(square=("stride",), fixed={"dilation": (1, 1), "groups": 1}, without=("b",))
    assert check_op(conv2d, "conv2d", limits=can, examples=8).passed
    with pytest.raises(OperationError, match="AssertionError"):
        check_op(conv2d, "conv2d", examples=8)
    with pytest.raises(UsageError, match="limits are those of the signature 'cs231n'"):
        check_op(conv2d, "conv2d", limits=can, signature="cs231n")


def test_few_geometries_are_of_every_family():
    operation = few_geometries(OPERATIONS["conv2d"], each=3)
    geometries = drawn(operation)
    assert len(set(geometries)) == 3 * len(operation.families)
    assert sum(map(operation.telling, set(geometries))) >= 2 * len(operation.families)
