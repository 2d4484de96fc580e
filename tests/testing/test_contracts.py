"""The contract check names the promise that was broken."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.testing import ContractError, check_contract, noncontiguous, values

X = values((2, 3, 4, 5), 0, "normal")
LABELS = np.arange(6).reshape(2, 3)


def test_accepts_what_keeps_the_promises():
    check_contract(lambda x: 2 * x, [X], shape=(2, 3, 4, 5))
    check_contract(lambda x, labels: (x.sum(axis=(1, 3)), labels), [X, LABELS], shape=(2, 4))
    check_contract(lambda x: (x + 1, "not an array"), [X])


def test_views_are_equal_and_laid_out_differently():
    views = list(noncontiguous(X))
    assert len(views) == 4
    for _, view in views:
        assert np.array_equal(view, X)
        assert not view.flags.c_contiguous


def _counter():
    calls = iter(range(100))
    return lambda x: x + next(calls)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: np.multiply(x, 2, out=x), "changed its argument 0"),
        (lambda x: x * np.float64(1), "float32 inputs gave a float64 result"),
        (lambda x: x.astype(np.float32), "float64 inputs gave a float32 result"),
        (lambda x: x[:1], r"result has shape \(1, 3, 4, 5\), not \(2, 3, 4, 5\)"),
        (_counter(), "two calls with equal arguments"),
        (lambda x: x.ravel(order="K").reshape(x.shape) * 1, "Fortran-ordered changed the result"),
        (lambda x: x.astype(x.dtype, order="C") / np.zeros(1, x.dtype), "not finite"),
        (lambda x: None, "returned no array"),
    ],
)
def test_names_the_broken_promise(function, message):
    with np.errstate(all="ignore"), pytest.raises(ContractError, match=message):
        check_contract(function, [X], shape=(2, 3, 4, 5))


def test_integer_results_must_not_depend_on_strides_at_all():
    def order_dependent(x):
        return x.sum() + (0 if x.flags.c_contiguous else 1)

    with pytest.raises(ContractError, match="strides must not matter"):
        check_contract(order_dependent, [values((2, 3), 0)])
