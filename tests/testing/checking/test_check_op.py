"""``check_op`` accepts right implementations, and names the mistake of every wrong one."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import ops
from minideconv.errors import UsageError
from minideconv.testing import OperationError, check_op, replay
from minideconv.testing.checking.calls import local_call
from minideconv.testing.checking.diagnosis import name_mistakes, probes
from minideconv.testing.checking.replay import case_from_text
from minideconv.testing.checking.shrink import largest_axis
from minideconv.testing.mistakes import mistakes
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.deconvnet import TinyGeometry

pytestmark = pytest.mark.cpu

BANK = {f"{m.operation} {m.output} {m.name}": m for m in mistakes()}


def our_conv2d_backward(dy, x, w, stride, padding, dilation, groups):
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    rest = [
        (n + 2 * p - d * (k - 1) - 1) % s
        for n, k, s, p, d in zip(x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True)
    ]
    return (
        ops.conv_transpose2d(dy, w, output_padding=rest, **settings),
        ops.conv2d_weight_grad(x, dy, w.shape[2:], **settings),
        dy.sum((0, 2, 3)),
    )


def test_ours_are_right():
    report = check_op(ops.conv2d, "conv2d", our_conv2d_backward)
    assert report.passed
    assert "WRONG" not in report.text()
    assert {o.name.split("/")[0] for o in report.outcomes} == {"conv2d", "conv2d_backward"}
    assert all(outcome.tried for outcome in report.outcomes)


@pytest.mark.parametrize("key", BANK)
def test_every_mistake_is_caught_and_named(key):
    mistake = BANK[key]
    with pytest.raises(OperationError) as caught:
        check_op(mistake.implementation(), mistake.operation)
    failure = next(o.failure for o in caught.value.report.outcomes if o.failure)
    assert failure.mistakes == (mistake.name,)
    head = str(caught.value)[:500]
    assert mistake.name in head
    assert "must be" in head
    # A network's eight parameters do not fit; what is above them does.
    assert len(failure.text()) < 700 or OPERATIONS[mistake.operation].geometry is TinyGeometry
    # The last line shows the same again.
    text = failure.replay.split("'")[1]
    assert "must be" in replay(mistake.implementation(), text)


@pytest.mark.parametrize("key", BANK)
def test_the_counterexample_is_small(key):
    mistake = BANK[key]
    operation = OPERATIONS[mistake.operation]
    with pytest.raises(OperationError) as caught:
        check_op(mistake.implementation(), mistake.operation)
    failure = next(o.failure for o in caught.value.report.outcomes if o.failure)
    _, case = case_from_text(failure.replay.split("'")[1])
    assert largest_axis(case) <= 4
    assert case.arrays.keys() == operation.case(case.geometry, 0).arrays.keys()


def test_mistakes_of_different_names_differ_on_the_probes():
    """What looks the same cannot be told apart, and would be misnamed."""
    for mistake in BANK.values():
        operation = OPERATIONS[mistake.operation]
        call = local_call(operation, {operation.name: mistake.implementation()})
        named = name_mistakes(operation, call)
        assert [n.title for n in named] == [mistake.name]


def test_the_probes_hold_every_family():
    for operation in OPERATIONS.values():
        found = {operation.family(case.geometry) for case in probes(operation)}
        assert found == set(operation.families)


def test_two_mistakes_at_once_are_both_named():
    def wrong(x, w, b=None, **settings):
        settings["stride"] = settings["stride"][::-1]
        return ops.conv2d(x, w[:, :, ::-1, ::-1], b, **settings)

    with pytest.raises(OperationError, match="conv2d: kernel flipped and stride swapped"):
        check_op(wrong, "conv2d")


def test_an_unknown_mistake_is_described():
    def wrong(x, w, b=None, **settings):
        return 3 * ops.conv2d(x, w, b, **settings)

    with pytest.raises(OperationError, match="conv2d: y is wrong: 3 times what it must be"):
        check_op(wrong, "conv2d")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, w, b=None, **_: 1 / 0, "conv2d raised ZeroDivisionError: division by zero"),
        (lambda x, w, b=None, **_: None, "returned None .is a return missing"),
        (lambda x, w, b=None, **_: (x, w), "returned 2 values; it must return y"),
        (lambda x, w, b=None, **_: "y", "returned str for y; it must be an array"),
        (lambda x: x, "conv2d raised TypeError"),
        (lambda x, w, b=None, **k: ops.conv2d(x, w, b, **k).astype(np.float32), "wrong dtype"),
    ],
)
def test_what_gives_no_result_is_said(function, message):
    with pytest.raises(OperationError, match=message):
        check_op(function, "conv2d")


def changes_x(x, w, b=None, **settings):
    y = ops.conv2d(x, w, b, **settings)
    x *= 2
    return y


def reads_memory(x, w, b=None, **settings):
    if not x.flags.c_contiguous and not x.flags.f_contiguous:
        x = np.roll(x, 1, axis=3)
    return ops.conv2d(x, w, b, **settings)


def in_float64(x, w, b=None, **settings):
    return ops.conv2d(x, w, b, **settings).astype(np.float64)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (changes_x, "it changes its argument x"),
        (reads_memory, "the memory layout of an argument changes the result"),
        (in_float64, "y has the wrong dtype in float32"),
    ],
)
def test_broken_promises(function, message):
    with pytest.raises(OperationError, match=message):
        check_op(function, "conv2d")


def test_the_students_own_names_are_used():
    def wrong(image, kernel, bias=None, **settings):
        return ops.conv2d(image, kernel[:, :, ::-1, ::-1], bias, **settings)

    with pytest.raises(OperationError, match=r"conv2d\(image=\[\[\[\[1, 0\]\]\]\], kernel="):
        check_op(wrong, "conv2d")


def test_what_is_no_case_or_operation_is_refused():
    with pytest.raises(UsageError, match="no operation is called 'conv3d'; there are conv2d, "):
        check_op(ops.conv2d, "conv3d")
    for text, message in (
        ("conv9 x=1", "no operation is called 'conv9'"),
        ("conv2d x=1", "cannot be read"),
        ("conv2d batch=1 c_in=1 c_out=1 size=1x1 kernel=1x1 x=1", "has no numbers for w"),
        ("conv2d batch=1 c_in=1 c_out=1 size=1x1 kernel=3x3 x=1 w=1", "cannot be read"),
    ):
        with pytest.raises(UsageError, match=message):
            replay(ops.conv2d, text)
