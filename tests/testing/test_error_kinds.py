"""Kinds of errors: what NumPy and PyTorch say, and what a student raises."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.testing.error_kinds import ANY, INDEX, OTHER, SHAPE, TRUTH, Fails, error_kind

pytestmark = pytest.mark.cpu

X = np.zeros((2, 3))


def rejected():
    raise ValueError("the stride does not fit the input's shape")


@pytest.mark.parametrize(
    ("fails", "kind"),
    [
        (lambda: X[2, 0], INDEX),
        (lambda: X[:, 5], INDEX),
        (lambda: X + np.zeros((2, 4)), SHAPE),
        (lambda: X.reshape(4, 2), SHAPE),
        (lambda: X @ X, SHAPE),
        (lambda: np.tensordot(X, X, 1), SHAPE),
        (lambda: np.einsum("ab,ab", X, X.T), SHAPE),
        (lambda: np.zeros(-1), SHAPE),
        (lambda: np.pad(X, -1), SHAPE),
        (lambda: X.__setitem__(slice(0, 1), np.zeros((2, 3))), SHAPE),
        (lambda: bool(X), TRUTH),
        (lambda: None + X[0], OTHER),
        (rejected, OTHER),
    ],
)
def test_what_numpy_says(fails, kind):
    with pytest.raises(Exception) as caught:  # noqa: PT011  # any: its kind is what is asked
        fails()
    assert error_kind(f"f raised {type(caught.value).__name__}: {caught.value}") == kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("IndexError: index 5 is out of bounds for dimension 0 with size 3", INDEX),
        ("RuntimeError: The size of tensor a (3) must match the size of tensor b (4)", SHAPE),
        ("RuntimeError: shape '[4]' is invalid for input of size 6", SHAPE),
        ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)", SHAPE),
        ("RuntimeError: Boolean value of Tensor with more than one value is ambiguous", TRUTH),
        ("NotImplementedError: no groups", OTHER),
        ("NotImplementedError: no groups in line 4 of broadcast_all", OTHER),
    ],
)
def test_what_pytorch_says(said, kind):
    assert error_kind(f"f raised {said}") == kind


@pytest.mark.parametrize("kind", ANY)
def test_a_mistake_of_the_bank_raises_an_error_of_its_kind(kind):
    error = Fails(kind).error()
    assert error_kind(f"f raised {type(error).__name__}: {error}") == kind
