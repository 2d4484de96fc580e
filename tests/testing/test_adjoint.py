"""The adjoint check rejects wrong pairs with a useful message and never blames a right one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from minideconv.ops import conv2d, conv_transpose2d
from minideconv.testing import (
    AdjointError,
    LinearityError,
    as_matrix,
    check_adjoint,
    check_linear,
    conv_geometries,
    seeds,
    values,
)

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]])
X, Y = values(3, 1), values(2, 2)


def matrix_pair(a, b):
    return lambda x: a @ x, lambda y: b @ y


def test_accepts_the_transpose():
    check_adjoint(*matrix_pair(A, A.T), X, Y)
    check_adjoint(*matrix_pair(A, A.T), X + 0.25, Y, exact=False)


@pytest.mark.parametrize("factor", [2.0, 0.5, -1.0, 2.001])
def test_names_the_factor(factor):
    with pytest.raises(AdjointError, match=rf"factor <A x, y> / <x, A\* y> is {1 / factor:.6g}"):
        check_adjoint(*matrix_pair(A, factor * A.T), X, Y)


def test_message_gives_both_sides_and_shapes():
    with pytest.raises(AdjointError) as caught:
        check_adjoint(*matrix_pair(A, 2 * A.T), np.ones(3), np.ones(2))
    message = str(caught.value)
    assert "<A x, y> = 22 but <x, A* y> = 44 for x (3,) and y (2,)" in message
    assert len(message) < 500


def test_a_single_wrong_entry_is_found():
    wrong = A.T.copy()
    wrong[2, 1] += 1
    with pytest.raises(AdjointError, match="not adjoint"):
        check_adjoint(*matrix_pair(A, wrong), X, Y)


def test_exact_sees_what_a_tolerance_forgives():
    off = 1 + 1e-15
    forward, adjoint = matrix_pair(A, off * A.T)
    check_adjoint(forward, adjoint, X, Y, exact=False)
    with pytest.raises(AdjointError, match="integer-valued data must agree exactly"):
        check_adjoint(forward, adjoint, np.ones(3), np.ones(2), exact=True)


def test_zero_pair_proves_nothing():
    with pytest.raises(AdjointError, match=r"vacuous: .* pair of zero maps would pass too"):
        check_adjoint(lambda x: np.zeros(2), lambda y: np.zeros(3), X, Y)


def test_zero_on_one_side_is_wrong():
    with pytest.raises(AdjointError, match="the adjoint misses"):
        check_adjoint(lambda x: A @ x, lambda y: np.zeros(3), X, Y)
    with pytest.raises(AdjointError, match="forward misses"):
        check_adjoint(lambda x: np.zeros(2), lambda y: A.T @ y, X, Y)


def test_sums_that_happen_to_cancel_are_tried_again():
    row = np.array([[1.0, 1.0]])
    check_adjoint(*matrix_pair(row, row.T), np.array([1.0, -1.0]), np.array([2.0]))  # A x = 0
    check_adjoint(*matrix_pair(row.T, row), np.array([2.0]), np.array([1.0, -1.0]))  # A* y = 0
    square = np.ones((2, 2))
    cancel = np.array([1.0, -1.0])
    check_adjoint(*matrix_pair(square, square), cancel, cancel)  # both
    # ... and a mistake that hides behind the cancellation is found
    with pytest.raises(AdjointError, match="factor"):
        check_adjoint(*matrix_pair(row, 3 * row.T), np.array([1.0, -1.0]), np.array([2.0]))
    with pytest.raises(AdjointError, match="factor"):
        check_adjoint(*matrix_pair(square, 3 * square), cancel, cancel)


def test_float_cancellation_is_vacuous_too():
    row = np.array([[0.1, 0.2]])
    x = np.array([0.2, -0.1])
    with pytest.raises(AdjointError, match="factor"):
        check_adjoint(*matrix_pair(row, 1.5 * row.T), x, np.array([0.3]))


def test_wrong_shape_and_nan_are_named():
    with pytest.raises(AdjointError, match=r"adjoint\(y\) has shape \(2,\) but must have .*\(3,\)"):
        check_adjoint(lambda x: A @ x, lambda y: y, X, Y)
    with pytest.raises(AdjointError, match=r"forward\(x\) is not finite"):
        check_adjoint(lambda x: np.full(2, np.nan), lambda y: A.T @ y, X, Y)


def test_convolution_and_its_mistakes():
    x, y, w = values((2, 3, 6, 7), 0), values((2, 2, 2, 6), 1), values((2, 3, 3, 2), 2)

    def forward(x):
        return conv2d(x, w, stride=(2, 1))

    check_adjoint(forward, lambda y: conv_transpose2d(y, w, None, (2, 1), 0, (1, 0)), x, y)
    for wrong in (w[:, :, ::-1, ::-1], w[:, :, :, ::-1], w[::-1], 2 * w):
        with pytest.raises(AdjointError):
            check_adjoint(
                forward,
                lambda y, wrong=wrong: conv_transpose2d(y, wrong, None, (2, 1), 0, (1, 0)),
                x,
                y,
            )


def test_identity_alone_cannot_see_a_mistake_on_both_sides():
    x, y, w = values((1, 1, 4, 5), 0), values((1, 1, 3, 3), 1), values((1, 1, 2, 3), 2)
    flipped = w[:, :, ::-1, ::-1]
    # Passes: which is why our own tests have anchors (delta kernel, naive loops) beside it.
    check_adjoint(lambda x: conv2d(x, flipped), lambda y: conv_transpose2d(y, flipped), x, y)


@pytest.mark.parametrize("kind", ["normal", "integer"])
def test_no_false_alarm_on_thousands_of_float32_geometries(kind):
    """A tolerance relative to the inner products blames 9 % of right code; ours blames none."""
    seen = itertools.count()

    @settings(max_examples=1200, derandomize=True, database=None, deadline=None)
    @given(conv_geometries(max_channels=4), seeds())
    def run(g, seed):
        next(seen)
        x = values(g.x_shape, seed, kind, np.float32)
        w = values(g.w_shape, seed + 1, kind, np.float32)
        y = values(g.y_shape, seed + 2, kind, np.float32)
        check_adjoint(
            lambda x: conv2d(x, w, **g.kwargs),
            lambda y: conv_transpose2d(y, w, **g.transpose_kwargs),
            x,
            y,
        )

    run()
    assert next(seen) >= 1200


def test_wrong_by_a_little_is_rejected_in_float32():
    """The norm-relative tolerance is tight: 1e-5 relative error in a large map is seen."""
    x = values((1, 2, 8, 9), 0, "normal", np.float32)
    w = values((3, 2, 3, 3), 1, "normal", np.float32)
    y = conv2d(x, w)  # aligned, so that the inner product is as large as it can be
    with pytest.raises(AdjointError, match="allowed is"):
        check_adjoint(
            lambda x: conv2d(x, w),
            lambda y: np.float32(1 + 1e-5) * conv_transpose2d(y, w),
            x,
            y,
        )


def test_linear():
    check_linear(lambda x: A @ x, X, values(3, 5))
    check_linear(lambda x: A @ x, values(3, 5, "normal"), values(3, 6, "normal"))
    with pytest.raises(LinearityError, match=r"at \[0\] f\(2 x1 \+ -3 x2\)"):
        check_linear(lambda x: A @ x + 1, X, values(3, 5))
    with pytest.raises(LinearityError, match="not linear"):
        check_linear(np.abs, X, -X)
    with pytest.raises(LinearityError, match="not linear"):
        check_linear(lambda x: A @ x + 1e-9, values(3, 5, "normal"), values(3, 6, "normal"))


def test_as_matrix():
    assert np.array_equal(as_matrix(lambda x: A @ x, (3,)), A)
    assert np.array_equal(as_matrix(lambda x: x.T.copy(), (1, 2)), np.eye(2))
