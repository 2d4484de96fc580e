"""Changes in place: what makes a backward stop, what is refused, what they compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from leaves import grad_of, leaf

from minideconv.autograd import Tensor, no_grad
from minideconv.autograd.elementwise import exp
from minideconv.testing import values


def bump_by_setitem(x: Tensor) -> None:
    x[0] = 1.0


def bump_by_iadd(x: Tensor) -> None:
    x += 1.0


def bump_by_view(x: Tensor) -> None:
    x.reshape(-1)[0] = 1.0


def bump_by_transposed_slice(x: Tensor) -> None:
    x.T[0:1][...] = 1.0


def bump_by_detach(x: Tensor) -> None:
    x.detach()[0] = 1.0


def bump_by_hand(x: Tensor) -> None:
    x.data[0] = 1.0
    x.bump_version()


BUMPS = [
    bump_by_setitem,
    bump_by_iadd,
    bump_by_view,
    bump_by_transposed_slice,
    bump_by_detach,
    bump_by_hand,
]


@pytest.mark.parametrize("bump", BUMPS)
def test_change_of_a_saved_input(bump: object) -> None:
    x = leaf((2, 3), 1)
    y = x * x
    with no_grad():
        bump(x)
    with pytest.raises(RuntimeError, match=r"mul: a tensor saved .* \(2, 3\)\) was changed in pla"):
        y.backward(np.ones((2, 3)))


@pytest.mark.parametrize("bump", BUMPS)
def test_change_of_a_saved_result(bump: object) -> None:
    x = leaf((2, 3), 1)
    y = exp(x)
    with no_grad():
        bump(y)
    with pytest.raises(RuntimeError, match=r"exp: a tensor saved .* changed in place 1 time since"):
        y.backward(np.ones((2, 3)))


@pytest.mark.parametrize("bump", BUMPS)
def test_change_of_what_was_not_saved_is_allowed(bump: object) -> None:
    x = leaf((2, 3), 1)
    y = x + x
    with no_grad():
        bump(x)
        bump(y)
    c = values((2, 3), 2, "integer")
    y.backward(c)
    np.testing.assert_array_equal(grad_of(x), 2 * c)


def test_change_after_backward_is_allowed() -> None:
    w = leaf((3,), 1)
    for _ in range(3):
        (w * w).sum().backward()
        with no_grad():
            w -= w.grad * 0.5
        w.grad = None
    assert w.is_leaf
    assert w._version == [3]


def test_copies_do_not_share_a_version() -> None:
    x = leaf((2, 3), 1)
    y = x * x
    with no_grad():
        x[np.array([0, 1])][...] = 5.0  # indexing with arrays copies
        (x + 0.0)[...] = 5.0
        x.T.reshape(-1)[...] = 5.0  # this reshape has to copy
    y.backward(np.ones((2, 3)))
    np.testing.assert_array_equal(grad_of(x), 2 * x.numpy())


def test_in_place_on_a_recording_leaf_is_refused() -> None:
    x = leaf((2,), 1)
    with pytest.raises(RuntimeError, match=r"x \+= value: this tensor requires .* no_grad\(\)"):
        x += 1
    with pytest.raises(RuntimeError, match=r"x\[\.\.\.\] = value: this tensor requires"):
        x[0] = 1
    with pytest.raises(RuntimeError, match=r"x\[\.\.\.\] = value: this tensor requires"):
        (x * 2)[0] = 1
    with pytest.raises(RuntimeError, match=r"x\[\.\.\.\] = value: the value requires"):
        Tensor(np.zeros(2))[0] = x[0]


def test_augmented_assignment_to_a_recorded_tensor_makes_a_new_one() -> None:
    x = leaf((2,), 1)
    y = x * 2
    first = y
    y += x
    y *= x
    y -= 1
    y /= 2
    assert y is not first
    y.backward(c := values((2,), 2, "integer"))
    np.testing.assert_array_equal(grad_of(x), c * 6 * x.numpy() / 2)
    z = Tensor(np.zeros(2))
    z += x
    assert z.requires_grad


def test_in_place_arithmetic() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    same = x
    x += 1
    x *= Tensor([2.0, 2.0, 2.0])
    x -= np.array([1.0, 1.0, 1.0])
    x /= 2
    assert same is x
    np.testing.assert_allclose(x.numpy(), [1.5, 2.5, 3.5])
    assert x.dtype == np.float32
    i = Tensor([1, 2])
    with pytest.raises(TypeError, match=r"x /= value: a value of .* into a tensor of .* int64"):
        i /= 2
    with pytest.raises(ValueError, match=r"x \+= value: a value of shape \(2, 3\) .* shape \(3,\)"):
        x += np.ones((2, 3))


@pytest.mark.parametrize(
    "value",
    [
        [1, 2, "x"],
        ["1", "2", "3"],
        np.array([1, 2, "x"]),
        np.array([1, 2, "x"], object),
        np.array([1, 2, None]),
        np.array([1, 2, 3j]),
        [1, 2, None],
        [1, 2, 3j],
        [[1], [2, 3]],
        None,
        "1",
        1j,
        np.complex64(1j),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_a_value_that_does_not_fit_changes_nothing(dtype: type, value: Any) -> None:
    x = Tensor(np.array([4, 5, 6], dtype))
    with pytest.raises((TypeError, ValueError), match=r"x\[\.\.\.\] = value: "):
        x[...] = value
    with pytest.raises((TypeError, ValueError), match=r"x \+= value: "):
        x += value
    np.testing.assert_array_equal(x.numpy(), [4, 5, 6])


def test_an_integer_that_does_not_fit_changes_nothing() -> None:
    x = Tensor(np.array([4, 5, 6], np.int8))
    for value in (1000, [1, 2, 1000]):
        with pytest.raises(ValueError, match=r"x\[\.\.\.\] = value: a value of .* int8"):
            x[...] = value
    with pytest.raises(ValueError, match=r"x \+= value: a value of .* int8"):
        x += 1000
    np.testing.assert_array_equal(x.numpy(), [4, 5, 6])


def test_a_list_is_written_with_all_its_digits() -> None:
    x = Tensor(np.zeros((2, 2), np.float64))
    x[0] = [0.1, 0.2]
    x[1] = (1, True)
    np.testing.assert_array_equal(x.numpy(), [[0.1, 0.2], [1, 1]])


@pytest.mark.cpu  # CuPy has no read-only arrays
def test_a_read_only_array_is_not_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Tensor(np.broadcast_to(np.zeros(1), (3,)))[0] = 1.0
