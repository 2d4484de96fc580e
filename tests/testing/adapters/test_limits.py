"""An operation within limits draws what a signature can express, and only that."""

from __future__ import annotations

import os

import numpy as np
import pytest

from minideconv import ops
from minideconv.errors import UsageError
from minideconv.testing import OperationError, check_op
from minideconv.testing.adapters import SIGNATURES, Limits, within
from minideconv.testing.adapters.limits import few_geometries
from minideconv.testing.checking.calls import Returned
from minideconv.testing.checking.diagnosis import name_mistakes
from minideconv.testing.checking.probing import probes
from minideconv.testing.faults import StudentFault
from minideconv.testing.mistakes import mistakes
from minideconv.testing.operations import OPERATIONS

LIMITED = {
    f"{make().name} {name}": (make().operation(name, {name: print}), limits)
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
    full, limits = LIMITED[key]
    operation = within(full, limits)
    geometries = drawn(operation)
    assert {operation.family(g) for g in geometries} == set(operation.families)
    assert len(set(geometries)) > 30, "limits must leave some variety"
    for g in geometries[:60]:
        for field in limits.square:
            assert len(set(getattr(g, field))) == 1
        for field, value in limits.fixed.items():
            assert getattr(g, field, value) == value
        assert limits.fits(g)
        # Legal by the operation's own checks, and asked for as the operation itself would.
        case = operation.case(g, 1)
        arrays, settings = operation.call_arguments(case)
        assert arrays.keys() >= set(operation.arguments)
        want = full.oracle(arrays, settings)
        for output, expected in operation.expected(case).items():
            assert np.array_equal(expected.value, want[output].value)
        for smaller in operation.smaller(case):
            assert limits.fits(smaller.geometry)
            assert all(len(set(getattr(smaller.geometry, f))) == 1 for f in limits.square)
            operation.expected(smaller)
    assert {operation.family(p.geometry) for p in probes(operation)} == set(operation.families)


@pytest.mark.parametrize("key", LIMITED)
def test_a_mistake_that_shows_within_the_limits_keeps_its_name(key):
    """What cannot be drawn cannot tell two mistakes apart: then there is no name at all."""
    full, limits = LIMITED[key]
    operation = within(full, limits)
    for mistake in mistakes(full.name)[:: 1 if os.environ.get("MINIDECONV_TEST_BANK") else 11]:
        if mistake.output not in operation.outputs:
            continue

        def call(arrays, settings, *, strided=False, mistake=mistake):
            outputs = {o: e.value for o, e in operation.oracle(arrays, settings).items()}
            try:
                return Returned({**outputs, mistake.output: mistake.values(arrays, settings)})
            except Exception as error:
                raise StudentFault("raised", str(error)) from error

        for found in name_mistakes(operation, call):
            assert mistake.name in [m.name for m in found.mistakes] or not found.mistakes


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


@pytest.mark.parametrize("value", [1, (1,), (1, 1.0), [1, 1], None])
def test_a_setting_of_both_axes_is_fixed_to_a_pair(value):
    with pytest.raises(UsageError, match=r"^Limits: dilation is fixed to .*, must be a pair"):
        Limits(fixed={"dilation": value})
