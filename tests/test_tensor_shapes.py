"""Reshaping, indexing and joining: values, transposes, views, and what is refused.

Each of these operations moves numbers, so its backward is a transpose: with integer values the two
sides of <f(x), y> = <x, f'(y)> are equal exactly. Numerical gradients, and proof that wrong ones
are noticed, are in test_tensor_math.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.autograd import Tensor, no_grad
from minideconv.autograd import shapes as ts
from minideconv.backend import Array
from minideconv.testing import check_adjoint, values

Shape = tuple[int, ...]
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def transpose_of(function: Callable[[Tensor], Tensor], shape: Shape) -> Callable[[Array], Array]:
    def adjoint(y: Array) -> Array:
        x = Tensor(np.zeros(shape), requires_grad=True)
        function(x).backward(y)
        assert x.grad is not None
        return x.grad.numpy()

    return adjoint


def check_transpose(function: Callable[[Tensor], Tensor], shape: Shape, seed: int) -> Array:
    """Check that backward is the exact transpose of `function`; return the result of "taps"."""
    x = values(shape, seed)
    result = function(Tensor(x)).numpy()
    y = values(result.shape, seed + 1)
    adjoint = transpose_of(function, shape)
    if result.size:
        check_adjoint(lambda a: function(Tensor(a)).numpy(), adjoint, x, y, exact=True)
    else:
        assert not adjoint(y).any()
    return function(Tensor(values(shape, 0, "taps"))).numpy()


# ---- views ---------------------------------------------------------------------------------------


@given(shape=SHAPES, seed=SEEDS)
def test_reshape_keeps_row_major_order(shape: Shape, seed: int) -> None:
    size = math.prod(shape)
    moved = check_transpose(lambda x: x.reshape(size), shape, seed)
    assert moved.tolist() == list(range(1, size + 1))
    assert check_transpose(lambda x: x.reshape(1, -1), shape, seed).shape == (1, size)
    assert check_transpose(lambda x: x.reshape((-1, 1)), shape, seed).shape == (size, 1)


@given(shape=SHAPES, data=st.data(), seed=SEEDS)
def test_permute_moves_each_element(shape: Shape, data: st.DataObject, seed: int) -> None:
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    given_axes = tuple(i - len(shape) if data.draw(st.booleans()) else i for i in axes)
    moved = check_transpose(lambda x: x.permute(given_axes), shape, seed)
    before = values(shape, 0, "taps")
    for index in np.ndindex(*shape):
        assert moved[tuple(index[i] for i in axes)] == before[index]
    np.testing.assert_array_equal(Tensor(before).transpose(given_axes).numpy(), moved)


def test_swapaxes_and_t() -> None:
    assert check_transpose(lambda x: x.swapaxes(-1, 0), (2, 3, 4), 1).shape == (4, 3, 2)
    assert check_transpose(lambda x: x.T, (2, 3, 4), 1)[3, 2, 1] == 24
    assert check_transpose(lambda x: x.T, (2, 3), 1).tolist() == [[1, 4], [2, 5], [3, 6]]


def test_flatten_squeeze_unsqueeze() -> None:
    assert check_transpose(lambda x: x.flatten(), (2, 3, 4), 1).shape == (24,)
    assert check_transpose(lambda x: x.flatten(1), (2, 3, 4), 1).shape == (2, 12)
    assert check_transpose(lambda x: x.flatten(0, 1), (2, 3, 4), 1).shape == (6, 4)
    assert check_transpose(lambda x: x.flatten(-2, -1), (2, 3, 4), 1).shape == (2, 12)
    assert Tensor(3.0).flatten().shape == (1,)
    assert check_transpose(lambda x: x.squeeze(), (1, 3, 1), 1).shape == (3,)
    assert check_transpose(lambda x: x.squeeze(0), (1, 3, 1), 1).shape == (3, 1)
    assert check_transpose(lambda x: x.squeeze((0, -1)), (1, 3, 1), 1).shape == (3,)
    assert check_transpose(lambda x: x.squeeze(axis=(0, -1)), (1, 3, 1), 1).shape == (3,)
    assert check_transpose(lambda x: x.squeeze(1), (1, 3, 1), 1).shape == (1, 3, 1)
    assert check_transpose(lambda x: x.squeeze(dim=(0, 1)), (1, 3, 1), 1).shape == (3, 1)
    assert check_transpose(lambda x: x.unsqueeze(0), (2, 3), 1).shape == (1, 2, 3)
    assert check_transpose(lambda x: x.unsqueeze(-1), (2, 3), 1).shape == (2, 3, 1)


@given(shape=SHAPES, extra=st.lists(st.integers(1, 3), max_size=2), data=st.data(), seed=SEEDS)
def test_broadcast_to(shape: Shape, extra: list[int], data: st.DataObject, seed: int) -> None:
    shape = tuple(data.draw(st.sampled_from((1, n))) for n in shape)
    target = (*extra, *(data.draw(st.integers(1, 4)) if n == 1 else n for n in shape))
    moved = check_transpose(lambda x: x.broadcast_to(target), shape, seed)
    before = values(shape, 0, "taps")
    for index in np.ndindex(*target):
        own = index[len(extra) :]
        source = tuple(0 if n == 1 else i for i, n in zip(own, shape, strict=True))
        assert moved[index] == before[source]


def test_views_share_memory() -> None:
    x = Tensor(np.zeros((2, 3)))
    for view in (x.reshape(6), x.T, x[0], x[:, None], x.unsqueeze(0), x.flatten(), x.detach()):
        assert np.shares_memory(view.data, x.data)
        assert view._version is x._version
    for copied in (x[np.array([0, 1])], x.T.reshape(-1), x + 0, x.astype("float32")):
        assert not np.shares_memory(copied.data, x.data)
        assert copied._version is not x._version


def test_astype() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert x.astype(np.float32) is x
    y = x.astype("float64")
    assert y.dtype == np.float64
    y.backward(np.array([1.0, 3.0]))
    assert x.grad is not None
    assert x.grad.dtype == np.float32
    assert x.grad.numpy().tolist() == [1, 3]
    assert not x.astype(np.int64).requires_grad


def test_to_the_same_device_is_the_tensor_itself() -> None:
    x = Tensor([1.0], requires_grad=True)
    assert x.to(x.device) is x


# ---- indexing ------------------------------------------------------------------------------------

ROWS = np.array([2, 0, 2, 2])
COLUMNS = np.array([1, 1, 3, 1])
MASK = values((3, 4), 3) > 0

KEYS: list[Any] = [
    1,
    -1,
    np.int64(2),
    (1, 2),
    slice(None, None, -1),
    slice(2, 0, -1),
    (slice(None), slice(1, None, 2)),
    Ellipsis,
    (Ellipsis, 0),
    None,
    (None, 1, None),
    (slice(0, 0), 1),
    ROWS,
    [2, 0, 2],
    (ROWS, COLUMNS),
    (slice(None), COLUMNS),
    (ROWS[:, None], COLUMNS[:3]),
    (ROWS, None, COLUMNS),
    (1, COLUMNS),
    (ROWS - 3, slice(None, None, 2)),
    MASK,
    (MASK[:, 0],),
    (slice(None), MASK[0]),
    (ROWS, MASK[0][:4].nonzero()[0][:1]),
    np.zeros((2, 0), int),
    Tensor(ROWS),
    (Tensor(ROWS), Tensor(COLUMNS)),
    np.array(1),
]


@pytest.mark.parametrize("key", KEYS)
def test_getitem_and_its_transpose(key: Any) -> None:
    shape = (3, 4)
    plain = (
        tuple(k.numpy() if isinstance(k, Tensor) else k for k in key) if type(key) is tuple else key
    )
    plain = plain.numpy() if isinstance(plain, Tensor) else plain
    taps = values(shape, 0, "taps")
    moved = check_transpose(lambda x: x[key], shape, 1)
    np.testing.assert_array_equal(moved, taps[plain])
    # "taps" shows where each element came from, so the transpose can be had by a naive loop.
    y = values(moved.shape, 2)
    expected = np.zeros(12)
    for place, gradient in zip(moved.ravel(), y.ravel(), strict=True):
        expected[int(place) - 1] += gradient
    np.testing.assert_array_equal(transpose_of(lambda x: x[key], shape)(y), expected.reshape(shape))


def test_repeated_indices_are_summed() -> None:
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    x[np.array([0, 0, 2, 0])].backward(np.array([1.0, 2.0, 4.0, 8.0]))
    assert x.grad is not None
    assert x.grad.numpy().tolist() == [11, 0, 4]
    assert x.grad.dtype == np.float32


def test_small_contributions_are_not_lost_in_float32() -> None:
    x = Tensor(np.zeros(1, np.float32), requires_grad=True)
    x[np.zeros(3, int)].backward(np.array([2.0**24, 1, 1]))
    assert x.grad is not None
    assert x.grad.item() == 2**24 + 2  # added one by one in float32 this would be 2**24


def test_setitem() -> None:
    x = Tensor(np.zeros((3, 4)))
    x[0] = 1
    x[1:, 2] = np.array([2.0, 3.0])
    x[Tensor(np.array([2])), 0] = Tensor([5.0])
    x[MASK] += 10
    expected = np.zeros((3, 4))
    expected[0] = 1
    expected[1, 2], expected[2, 2], expected[2, 0] = 2, 3, 5
    for index in np.ndindex(3, 4):
        expected[index] += 10 * MASK[index]
    np.testing.assert_array_equal(x.numpy(), expected)


def test_augmented_item_assignment_under_no_grad() -> None:
    x = Tensor(np.zeros((2, 3)), requires_grad=True)
    with no_grad():
        x[0] += 2
        x[:, 1] *= 3
    assert x.numpy().tolist() == [[2, 6, 2], [0, 0, 0]]
    assert x.is_leaf


# ---- joining -------------------------------------------------------------------------------------


@given(shape=SHAPES, lengths=st.lists(st.integers(0, 3), min_size=1, max_size=4), data=st.data())
def test_concatenate(shape: Shape, lengths: list[int], data: st.DataObject) -> None:
    seed = data.draw(SEEDS)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    shapes = []
    for length in lengths:
        part = list(shape)
        part[axis] = length
        shapes.append(tuple(part))
    tensors = [Tensor(values(s, seed + i), requires_grad=True) for i, s in enumerate(shapes)]
    result = ts.concatenate(tensors, axis)
    result.backward(y := values(result.shape, seed))
    start = 0
    for tensor, length in zip(tensors, lengths, strict=True):
        piece = [slice(None)] * len(shape)
        piece[axis] = slice(start, start + length)
        np.testing.assert_array_equal(result.numpy()[tuple(piece)], tensor.numpy())
        assert tensor.grad is not None
        np.testing.assert_array_equal(tensor.grad.numpy(), y[tuple(piece)])
        start += length


@given(shape=SHAPES, count=st.integers(1, 4), data=st.data())
def test_stack(shape: Shape, count: int, data: st.DataObject) -> None:
    seed = data.draw(SEEDS)
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    tensors = [Tensor(values(shape, seed + i), requires_grad=True) for i in range(count)]
    result = ts.stack(tensors, axis)
    place = axis % (len(shape) + 1)
    assert result.shape == (*shape[:place], count, *shape[place:])
    result.backward(y := values(result.shape, seed))
    for i, tensor in enumerate(tensors):
        np.testing.assert_array_equal(np.take(result.numpy(), i, axis), tensor.numpy())
        assert tensor.grad is not None
        np.testing.assert_array_equal(tensor.grad.numpy(), np.take(y, i, axis))


def test_joining_only_sends_gradients_where_they_are_wanted() -> None:
    a, b = Tensor(np.zeros((1, 2)), requires_grad=True), np.ones((1, 2))
    result = ts.concatenate([b, a, Tensor(b)])
    result.backward(np.arange(6.0).reshape(3, 2))
    assert a.grad is not None
    assert a.grad.numpy().tolist() == [[2, 3]]


# ---- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: x.reshape(4, 2),
            ValueError,
            r"reshape: 6 elements of shape \(2, 3\) do not fit",
        ),
        (lambda x: x.reshape(4, -1), ValueError, r"reshape: 6 elements .* shape \(4, -1\)"),
        (
            lambda x: x.permute(0, 0),
            ValueError,
            r"transpose: axes \(0, 0\) must name each of the 2",
        ),
        (
            lambda x: x.permute(0),
            ValueError,
            r"transpose: axes \(0,\) .* swapaxes\(i, j\) exchange",
        ),
        (lambda x: x.swapaxes(0, 2), ValueError, r"swapaxes: axis2 is 2; it must be from -2 to 1"),
        (lambda x: x.flatten(1, 0), ValueError, r"flatten: start_dim 1 comes after end_dim 0"),
        (
            lambda x: x.squeeze(axis=1),
            ValueError,
            r"squeeze: axis 1 of shape \(2, 3\) has length 3",
        ),
        (lambda x: x.unsqueeze(4), ValueError, r"unsqueeze: dim is 4; it must be from -3 to 2"),
        (
            lambda x: x.broadcast_to(2, 4),
            ValueError,
            r"broadcast_to: shape \(2, 3\) does not .* \(2, 4\)",
        ),
        (lambda x: x[5], IndexError, r"getitem: [Ii]ndex 5 is out of bounds .* has shape \(2, 3\)"),
        (lambda x: x[0, 0, 0], IndexError, r"getitem: too many indices .* has shape \(2, 3\)"),
        (lambda x: x[1.5], IndexError, r"getitem: .*has shape \(2, 3\)"),
        (lambda x: ts.concatenate([]), ValueError, r"concatenate: needs at least one tensor"),
        (
            lambda x: ts.concatenate([x, x.T]),
            ValueError,
            r"concatenate: tensor 1 has shape \(3, 2\)",
        ),
        (
            lambda x: ts.concatenate([x, x[0]]),
            ValueError,
            r"concatenate: tensor 1 has shape \(3,\)",
        ),
        (
            lambda x: ts.concatenate([x], 2),
            ValueError,
            r"concatenate: axis is 2; it must be from -2",
        ),
        (lambda x: ts.stack([x, x.T]), ValueError, r"stack: tensor 1 has shape \(3, 2\)"),
    ],
)
def test_messages(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(Tensor(np.ones((2, 3)), requires_grad=True))


def test_setitem_messages() -> None:
    x = Tensor(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"x\[\.\.\.\] = value: a value of shape \(4,\) and dtype"):
        x[0] = np.zeros(4)
    with pytest.raises(IndexError, match=r"x\[\.\.\.\] = value: [Ii]ndex 2 is out of bounds"):
        x[2] = 0.0


def test_the_gradient_of_a_slice_is_stored_in_the_order_of_the_one_behind_it():
    x = Tensor(np.zeros((2, 3, 5, 4)), requires_grad=True)
    g = np.ones((2, 2, 4, 3)).transpose(0, 3, 1, 2)  # channels last
    x[:, :, 1:3, :4].backward(g)
    assert x.grad is not None
    dx = x.grad.numpy()
    assert dx.transpose(0, 2, 3, 1).flags.c_contiguous
    assert dx.sum() == g.sum()
    assert (dx[:, :, 1:3] == 1).all()
