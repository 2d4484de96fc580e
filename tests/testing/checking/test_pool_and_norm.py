"""Pooling, unpooling and batch norm: wrong code is caught and named, right code is not blamed."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from right_pool_and_norm import STYLES, ours_norm, two_pass_norm, views_pool
from wrong_pool_and_norm import WRONG

from minideconv.testing import OperationError, check_op, replay
from minideconv.testing.checking.calls import local_call
from minideconv.testing.checking.probing import probes, sized_probes
from minideconv.testing.checking.replay import case_from_text, case_text
from minideconv.testing.checking.run import Checker
from minideconv.testing.checking.shrink import largest_axis
from minideconv.testing.checking.sizes import diagnose_all
from minideconv.testing.mistakes import mistakes
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.operation import Case
from minideconv.testing.operations.unpooling import last_windows

pytestmark = pytest.mark.cpu

NAMES = ("max_pool2d", "max_pool2d_backward", "max_unpool2d", "max_unpool2d_backward",
         "batch_norm", "batch_norm_backward")  # fmt: skip
BANK = [m for name in NAMES for m in mistakes(name)]


def failure_of(operation, functions):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of wrong code, such as a division by 0
        try:
            check_op(functions[operation], operation, beside=functions)
        except OperationError as error:
            failure = next(o.failure for o in error.report.outcomes if o.failure)
            return failure, str(error)[:500]
    return pytest.fail("it is not caught")


# The bank -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(m, id=f"{m.operation} {m.output} {m.name}")
        for m in BANK[:: 1 if os.environ.get("MINIDECONV_TEST_BANK") else 10]
    ],
)
def test_every_mistake_is_caught_named_and_shown_small(mistake):
    failure, head = failure_of(mistake.operation, mistake.functions())
    assert failure.mistakes == (mistake.name,)
    assert mistake.name in head
    large = mistake.name == "switches in one byte"
    assert len(failure.text()) < (3000 if large else 900)
    text = failure.replay.split("'")[1]
    with np.errstate(all="ignore"):
        again = replay(mistake.implementation(), text, beside=mistake.functions())
    wrong = " raised " if failure.kind == "raised" else "must be"
    assert wrong in head
    assert wrong in again
    _, case = case_from_text(text)
    assert largest_axis(case) <= 4 or large


def test_the_bank_is_large():
    assert len({(m.operation, m.output, m.name) for m in BANK}) >= 300


@pytest.mark.parametrize("name", NAMES)
def test_the_probes_hold_every_family(name):
    operation = OPERATIONS[name]
    found = [operation.family(case.geometry) for case in probes(operation)]
    assert set(found) == set(operation.families)
    assert min(found.count(family) for family in operation.families) >= 2
    assert {case.arrays[next(iter(case.arrays))].dtype for case in sized_probes(operation)} == {
        np.dtype("float32")
    }


def test_the_overlapping_probes_of_unpooling_hold_overwritten_values():
    operation = OPERATIONS["max_unpool2d"]
    lost = 0
    for case in probes(operation):
        arrays, settings = operation.call_arguments(case)
        last = last_windows(arrays["switches"], settings["size"])
        overwritten = arrays["switches"].size - int((last >= 0).sum())
        assert not (overwritten and operation.family(case.geometry) == "disjoint")
        lost += overwritten
    assert lost > 10


# Mistakes that are not in the bank ----------------------------------------------------------


@pytest.mark.parametrize(("operation", "functions", "names"), [
    pytest.param(*wrong, id=f"{wrong[0]} {wrong[1][wrong[0]].__name__} {wrong[2]}")
    for wrong in WRONG
])  # fmt: skip
def test_wrong_code_is_caught_and_never_misnamed(operation, functions, names):
    failure, _ = failure_of(operation, functions)
    assert set(failure.mistakes) <= set(names)
    assert bool(failure.mistakes) == bool(names)


def test_there_are_enough_of_them():
    assert len(WRONG) >= 40
    assert {operation for operation, _, _ in WRONG} == set(NAMES)


# Right code ---------------------------------------------------------------------------------

EVERY = [pytest.param(style, name, id=f"{style} {name}") for style in STYLES
         for name in STYLES[style]]  # fmt: skip


@pytest.mark.parametrize(("style", "name"), EVERY)
def test_right_code_passes(style, name):
    report = check_op(STYLES[style][name], name, beside=STYLES[style], examples=8, seed=3)
    assert {o.name for o in report.outcomes} >= {f"{name}/numbers of any size", f"{name}/float32"}
    assert all(outcome.tried for outcome in report.outcomes)


def test_the_memory_layout_of_the_switches_matters_to_zeros_like():
    """A mistake that one of our own right versions had: zeros_like keeps the order of the axes."""

    def function(dx, switches):
        dy = np.zeros_like(switches, dtype=dx.dtype)
        dy.reshape(-1)[...] = STYLES["loops"]["max_unpool2d_backward"](dx, switches).ravel()
        return dy

    with pytest.raises(OperationError, match="the memory layout of an argument changes the result"):
        check_op(function, "max_unpool2d_backward")


@pytest.mark.parametrize(("style", "name"), EVERY)
def test_right_code_is_right_on_every_case(style, name):
    operation = OPERATIONS[name]
    checker = Checker(operation, local_call(operation, STYLES[style]))
    rng = np.random.default_rng([len(style), len(name)])
    for number in range(40):
        geometry = operation.draw(lambda low, high: int(rng.integers(low, high + 1)))
        seed = int(rng.integers(2**16))
        case = operation.case(geometry, seed, operation.kind_for(geometry, number))
        narrow = {role: a.astype(np.float32) for role, a in case.arrays.items()}
        for tried in (
            case,
            Case(geometry, narrow),
            operation.sized_case(geometry, seed, operation.sizes[number % len(operation.sizes)]),
        ):
            failure = checker.wrong(tried)
            assert failure is None, failure.entry + checker.written(tried)


def test_pytorch_is_right():
    torch = pytest.importorskip("torch")
    from right_pool_and_norm_torch import STYLES as OF_TORCH
    from right_pool_and_norm_torch import library_unpool

    torch.set_num_threads(1)
    functions = OF_TORCH["PyTorch"]
    for name in functions:
        assert check_op(functions[name], name, beside=functions, examples=8).passed
    # What the library does with two values of one pixel is not defined; with one each it is.
    outcomes = Checker(
        OPERATIONS["max_unpool2d"],
        local_call(OPERATIONS["max_unpool2d"], {"max_unpool2d": library_unpool}),
    ).run()
    assert next(outcomes).passed


# The contract -------------------------------------------------------------------------------


def test_switches_of_any_integer_type_are_taken_and_others_refused():
    def pool(dtype):
        def function(x, kernel_size, stride=None, padding=(0, 0)):
            y, switches = views_pool(x, kernel_size, stride, padding)
            return y, switches.astype(dtype)

        return function

    for dtype in (np.int32, np.int64):
        assert check_op(pool(dtype), "max_pool2d", examples=3).passed
    with pytest.raises(OperationError, match="switches are float64, must be integers"):
        check_op(pool(np.float64), "max_pool2d")


def test_views_with_negative_strides_are_taken():
    def function(x, kernel_size, stride=None, padding=(0, 0)):
        y, switches = views_pool(x, kernel_size, stride, padding)
        return y[::-1].copy()[::-1], switches[..., ::-1].copy()[..., ::-1]

    assert check_op(function, "max_pool2d", examples=3).passed


def test_running_statistics_may_be_returned_in_place_of_updated():
    def returned(x, weight, bias, mean, var, **settings):
        new = mean.copy(), var.copy()
        y, cache = ours_norm(x, weight, bias, *new, **settings)
        return y, cache, *new

    assert check_op(returned, "batch_norm", examples=3).passed


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda y, cache: None, "batch_norm returned None .is a return missing"),
        (lambda y, cache: y, "batch_norm returned a single ndarray; it must return .y, cache."),
        (lambda y, cache: (y, cache, 1), "batch_norm returned 3 values; it must return .y, cache."),
    ],
)
def test_a_batch_norm_without_a_cache_is_said(result, message):
    def function(*args, **settings):
        return result(*two_pass_norm(*args, **settings))

    with pytest.raises(OperationError, match=message):
        check_op(function, "batch_norm")


def test_the_backward_needs_the_students_forward():
    backward = STYLES["views"]["batch_norm_backward"]
    assert check_op(two_pass_norm, "batch_norm", backward, examples=3).passed
    with pytest.raises(OperationError, match="there is no function batch_norm"):
        check_op(backward, "batch_norm_backward")


def test_each_family_of_batch_norm_looks_at_its_own_outputs():
    """Without running statistics only their families fail: the rest keeps its points."""

    def function(x, weight, bias, mean, var, **settings):
        return two_pass_norm(x, weight, bias, mean.copy(), var.copy(), **settings)

    with pytest.raises(OperationError, match="running statistics not updated") as caught:
        check_op(function, "batch_norm")
    wrong = [o.name for o in caught.value.report.outcomes if not o.passed]
    assert wrong == ["batch_norm/running-statistics"]


def test_a_mistake_in_ties_fails_in_ties_only():
    failing = next(m for m in BANK if m.name == "last maximum in place of the first")
    with pytest.raises(OperationError) as caught:
        check_op(failing.implementation(), "max_pool2d")
    wrong = [o.name for o in caught.value.report.outcomes if not o.passed]
    assert wrong == ["max_pool2d/ties"]


@pytest.mark.parametrize("name", NAMES)
def test_a_case_is_read_back_from_its_text(name):
    operation = OPERATIONS[name]
    for case in [*probes(operation), *sized_probes(operation)]:
        text = case_text(operation, case)
        known, again = case_from_text(text)
        assert known is operation
        assert again.geometry == case.geometry
        assert again.arrays.keys() == case.arrays.keys()
        for role, array in case.arrays.items():
            assert again.arrays[role].dtype == array.dtype
            assert np.array_equal(again.arrays[role], array)


# Rounding -----------------------------------------------------------------------------------


def test_two_values_a_channel_are_compared_to_their_terms():
    """dx is some 1e-5 of its terms there: right code passes, a wrong eps is seen."""
    operation = OPERATIONS["batch_norm_backward"]
    x = np.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    geometry = operation.geometry(2, 1, (1, 1))
    case = Case(geometry, {"x": x, "dy": np.array([2.0, -1.0]).reshape(x.shape)})
    expected = operation.expected(case)["dx"]
    assert 0 < np.abs(expected.value).max() < 1e-4 * expected.terms.max()
    for style in ("loops", "views", "taps", "strides", "float64", "projection", "ours"):
        assert Checker(operation, local_call(operation, STYLES[style])).wrong(case) is None
    wrong = next(m for m in BANK if m.operation == operation.name and m.name == "eps left out")
    assert Checker(operation, local_call(operation, wrong.functions())).wrong(case) is not None


def test_other_rounding_is_not_taken_for_cancelling_squares():
    """A mean that is off is wrong in large numbers, too, but by other amounts."""

    def shifted(x, weight, bias, mean, var, training=True, momentum=0.1, eps=1e-5):
        y, cache = two_pass_norm(x, weight, bias, mean, var, training, momentum, eps)
        return y * x.dtype.type(1 + 1e-5 * np.abs(x).max() ** 0.5), cache

    operation = OPERATIONS["batch_norm"]
    call = local_call(operation, {"batch_norm": shifted})
    assert not any(n.mistakes for n in diagnose_all(operation, call).named)
