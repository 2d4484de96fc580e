"""The tape: what it computes, what it keeps, what it frees, and what it refuses."""

from __future__ import annotations

import copy
import gc
import threading
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest

from minideconv import nn
from minideconv.autograd import (
    Tensor,
    detect_anomaly,
    is_grad_enabled,
    no_grad,
    record,
)
from minideconv.autograd.elementwise import exp, mul
from minideconv.autograd.shapes import concatenate
from minideconv.backend import Array, get_default_device, to_cpu
from minideconv.testing import values


def leaf(shape: tuple[int, ...], seed: int = 0, dtype: type = np.float64) -> Tensor:
    return Tensor(values(shape, seed, "integer", dtype=dtype), requires_grad=True)


def grad_of(tensor: Tensor) -> Array:
    assert tensor.grad is not None
    return tensor.grad.numpy()


# ---- making tensors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1.0, 2.0], np.float32),
        ([[1, 2], [3, 4.5]], np.float32),
        (3, np.int64),
        ([1, 2], np.int64),
        (True, np.bool_),
        (np.zeros(2), np.float64),
        (np.float64(2), np.float64),
        (np.zeros(2, np.float32), np.float32),
        (np.zeros(2, np.float16), np.float16),
        (np.zeros(2, np.uint8), np.uint8),
        ([], np.float32),
    ],
)
def test_default_dtype(data: object, dtype: type) -> None:
    assert Tensor(data).dtype == dtype


def test_dtype_argument_converts() -> None:
    assert Tensor([1, 2], dtype="float32", requires_grad=True).dtype == np.float32
    assert Tensor(np.zeros(2), dtype=np.float32).dtype == np.float32


@pytest.mark.cpu  # shared memory
def test_array_is_shared_and_tensor_of_tensor_shares_its_version() -> None:
    array = np.zeros(3)
    tensor = Tensor(array)
    array[0] = 5
    assert tensor[0].item() == 5
    again = Tensor(tensor)
    again[1] = 7
    assert array[1] == 7
    assert tensor._version == again._version == [1]


@pytest.mark.parametrize("data", [3, [1, 2], [True], np.zeros(2, np.uint8)])
def test_integers_have_no_gradient(data: object) -> None:
    with pytest.raises(TypeError, match=r"requires_grad: a tensor of \w+ has no gradient"):
        Tensor(data, requires_grad=True)


@pytest.mark.parametrize("data", ["text", {"a": 1}, object(), [None], np.zeros(1, complex)])
def test_what_a_tensor_cannot_hold(data: object) -> None:
    with pytest.raises(TypeError, match="Tensor: cannot hold"):
        Tensor(data)


def test_ragged_list() -> None:
    with pytest.raises(ValueError, match="Tensor: the rows of a nested list must have equal"):
        Tensor([[1.0, 2.0], [3.0]])


def test_attributes() -> None:
    x = Tensor(np.zeros((2, 3, 4), np.float32))
    assert (x.shape, x.ndim, x.size, len(x)) == ((2, 3, 4), 3, 24, 2)
    assert x.device == get_default_device()
    assert x.is_leaf
    assert not x.requires_grad
    assert x.T.shape == (4, 3, 2)
    assert [part.shape for part in x] == [(3, 4), (3, 4)]


def test_scalars_as_python_numbers() -> None:
    x = Tensor(2.5)
    assert (x.item(), float(x), int(x), bool(x), f"{x:.2f}") == (2.5, 2.5, 2, True, "2.50")
    with pytest.raises(ValueError, match=r"item: needs exactly one element, .* shape \(2,\)"):
        Tensor([1.0, 2.0]).item()
    with pytest.raises(ValueError, match=r"bool: a tensor of shape \(2,\) is neither"):
        bool(Tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="len: a tensor with no axes"):
        len(x)
    with pytest.raises(TypeError, match="len: a tensor with no axes"):
        iter(x)


@pytest.mark.cpu  # elsewhere the repr has the device
def test_repr() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == "Tensor([1., 2.], requires_grad=True)"
    assert repr(x * 2) == "Tensor([2., 4.], made by mul)"
    assert repr(Tensor(np.zeros(1))) == "Tensor([0.], dtype=float64)"
    assert f"{x}" == repr(x)


def test_tensor_is_a_key_and_equals_nothing_strange() -> None:
    x, y = Tensor([1.0]), Tensor([1.0])
    assert {x: 1, y: 2} == {x: 1, y: 2}
    assert len({x, y}) == 2
    assert (x == None) is False  # noqa: E711 (`==` is what is tested)
    assert (x != "text") is True


@pytest.mark.cpu  # shared memory
def test_array_protocol() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert np.asarray(x) is x.data
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    copied = np.array(x, copy=True)
    assert not np.shares_memory(copied, x.data)
    assert np.shares_memory(np.array(x, copy=False), x.data)
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float64, copy=False)


def test_numpy_on_the_left_makes_a_tensor() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    for left in (np.ones(2, np.float32), np.ones(2, np.float32)[0], np.float64(3)):
        for result in (left + x, left - x, left * x, left / x):
            assert isinstance(result, Tensor)
            assert result.shape == (2,)
            assert result.dtype == np.float32
    assert isinstance(np.ones((2, 2), np.float32) @ x, Tensor)
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.exp(x)


@pytest.mark.cpu  # shared memory
def test_dlpack_both_ways() -> None:
    x = Tensor(np.arange(6.0).reshape(2, 3))
    array = np.from_dlpack(x)
    assert np.shares_memory(array, x.data)
    back = Tensor.from_dlpack(array)
    assert np.shares_memory(back.data, x.data)
    assert back.dtype == np.float64


class Marked(Tensor):
    """A subclass with an attribute, like nn.Parameter."""

    def __init__(self, data: object) -> None:
        super().__init__(data, requires_grad=True)
        self.mark = "kept"


def test_subclass_is_a_leaf_and_results_are_plain_tensors() -> None:
    p = Marked([1.0, 2.0])
    y = p * 3
    assert type(y) is Tensor
    y.backward(np.ones(2))
    assert grad_of(p).tolist() == [3, 3]
    assert repr(p).startswith("Marked([1., 2.]")


def test_deepcopy() -> None:
    p = Marked([1.0, 2.0])
    (p * p).sum().backward()
    q = copy.deepcopy(p)
    assert type(q) is Marked
    assert q.mark == "kept"
    assert q.requires_grad
    assert not np.shares_memory(q.data, p.data)
    assert not np.shares_memory(grad_of(q), grad_of(p))
    assert grad_of(q).tolist() == grad_of(p).tolist()
    with pytest.raises(RuntimeError, match=r"deepcopy: only leaves .* result of mul"):
        copy.deepcopy(p * 2)


def test_deepcopy_keeps_the_order_in_memory() -> None:
    layer = nn.Conv2d(3, 4, (2, 5))  # stored taps first: another order is turned at every call
    layer(Tensor(np.ones((1, 3, 4, 6), np.float32))).sum().backward()
    twin = copy.deepcopy(layer)
    assert twin.weight.data.strides == layer.weight.data.strides
    assert grad_of(twin.weight).strides == grad_of(layer.weight).strides


# ---- walking back --------------------------------------------------------------------------------


def test_many_paths_are_summed_once_each() -> None:
    x = Tensor(np.float64(1), requires_grad=True)
    y = x
    for _ in range(60):  # 2**60 paths, 60 nodes
        y = y + y
    y.backward()
    assert grad_of(x) == 2.0**60


def test_diamond_whose_sides_have_different_lengths() -> None:
    x = leaf((2, 3), 1)
    left = x * 2
    right = left
    for _ in range(5):
        right = right * 3
    (left * right + x).backward(c := values((2, 3), 2, "integer"))
    a = x.numpy()
    np.testing.assert_array_equal(grad_of(x), c * (2 * 2 * 2 * 243 * a + 1))


def test_wide_fan_out() -> None:
    x = leaf((3,), 1)
    total = Tensor(np.zeros(3))
    for k in range(2000):
        total = total + x * float(k)
    total.backward(c := values((3,), 2, "integer"))
    np.testing.assert_array_equal(grad_of(x), c * (1999 * 2000 / 2))


@pytest.mark.parametrize("length", [10_000, 100_000])
def test_long_chain_forward_backward_and_disposal(length: int) -> None:
    x = leaf((2,), 1)
    y = x
    for _ in range(length):
        y = -y
    y.backward(c := values((2,), 2, "integer"))
    np.testing.assert_array_equal(grad_of(x), c)
    for _ in range(length):
        y = -y
    del y  # a chain that no backward has passed is taken apart without recursion too
    gc.collect()


def test_gradients_add_up_until_they_are_dropped() -> None:
    x = leaf((2,), 1)
    c = values((2,), 3, "integer")
    (x * 2).backward(c)
    first = x.grad
    assert first is not None
    before = first.numpy().copy()
    (x * 5).backward(c)
    np.testing.assert_array_equal(grad_of(x), 7 * c)
    np.testing.assert_array_equal(first.numpy(), before)  # the earlier one keeps its values
    x.grad = None
    (x * 3).backward(c)
    np.testing.assert_array_equal(grad_of(x), 3 * c)


def test_backward_of_a_leaf() -> None:
    x = leaf((2,), 1)
    c = values((2,), 3, "integer")
    x.backward(c)
    np.testing.assert_array_equal(grad_of(x), c)
    assert not np.shares_memory(grad_of(x), c)


def test_grad_may_be_tensor_array_or_number_and_takes_the_dtype() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    (x * 2).backward(Tensor([1.0, 3.0]))
    (x * 2).backward(np.array([1.0, 3.0]))
    assert grad_of(x).tolist() == [4, 12]
    assert grad_of(x).dtype == np.float32
    s = Tensor(2.0, requires_grad=True)
    (s * s).backward(0.5)
    assert grad_of(s) == 2


def test_only_what_is_needed() -> None:
    x, y = leaf((2,), 1), leaf((2,), 2)
    y.requires_grad = False
    z = x * y
    assert z.requires_grad
    z.backward(np.ones(2))
    assert y.grad is None
    assert not (y * 2).requires_grad
    assert (y * 2).is_leaf


def test_mixed_precision_gradients_take_their_tensors_dtype() -> None:
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = Tensor(np.ones((2, 3)), requires_grad=True)
    z = x * y
    assert z.dtype == np.float64
    z.backward(values((2, 3), 1))
    assert grad_of(x).dtype == np.float32
    assert grad_of(y).dtype == np.float64


# ---- gradient buffers ----------------------------------------------------------------------------


def test_two_leaves_never_share_a_gradient() -> None:
    a, b = leaf((3,), 1), leaf((3,), 2)
    (a + b).backward(c := values((3,), 3, "integer"))
    assert not np.shares_memory(grad_of(a), grad_of(b))
    a.grad.data[...] = 99
    np.testing.assert_array_equal(grad_of(b), c)


def test_the_same_tensor_twice() -> None:
    a = leaf((3,), 1)
    y = a + a
    y.retain_grad()
    y.backward(c := values((3,), 3, "integer"))
    np.testing.assert_array_equal(grad_of(a), 2 * c)
    np.testing.assert_array_equal(grad_of(y), c)


def test_cotangent_of_the_caller_is_left_alone() -> None:
    a = leaf((2, 3), 1)
    c = values((2, 3), 3, "integer")
    kept = c.copy()
    (a.reshape(3, 2).reshape(2, 3) + a + a).backward(c)
    np.testing.assert_array_equal(c, kept)
    np.testing.assert_array_equal(grad_of(a), 3 * c)
    assert not np.shares_memory(grad_of(a), c)


def test_views_of_one_gradient_are_not_added_to() -> None:
    # Both reshapes send a view of one array to x, and the third use adds to what has arrived.
    x = leaf((2, 3), 1)
    other = leaf((6,), 2)
    y = x.reshape(6) + other
    z = y + x.flatten()
    z.backward(c := values((6,), 3, "integer"))
    np.testing.assert_array_equal(grad_of(x), (2 * c).reshape(2, 3))
    np.testing.assert_array_equal(grad_of(other), c)


def test_an_array_returned_for_two_inputs_is_not_shared() -> None:
    a, b = leaf((3,), 1), leaf((3,), 2)

    def backward(grad: Array, needs: object) -> tuple[Array, Array]:
        fresh = grad * 2
        return fresh, fresh.reshape(3)

    record("both", a.data + b.data, (a, b), backward).backward(values((3,), 3))
    assert not np.shares_memory(grad_of(a), grad_of(b))


def test_a_saved_array_returned_as_gradient_is_copied() -> None:
    a = leaf((3,), 1)
    constant = Tensor(np.arange(3.0)).data
    y = record("dot", (a.data * constant).sum(), (a,), lambda g, needs, c: (c,), saved=(constant,))
    y.backward()
    a.grad.data[...] = 7
    np.testing.assert_array_equal(to_cpu(constant), np.arange(3.0))


@pytest.mark.parametrize("fresh", [True, False])
def test_a_gradient_declared_fresh_is_kept_without_a_copy(fresh: bool) -> None:
    a = leaf((3, 4), 1)
    made: list[Array] = []

    def backward(grad: Array, needs: object) -> tuple[Array]:
        made.append(grad * 2)
        return (made[0],)

    record("double", a.data * 2, (a,), backward, fresh=fresh).backward(values((3, 4), 2))
    assert (a.grad.data is made[0]) == fresh


def test_a_second_gradient_is_added_to_a_fresh_one_and_to_no_other() -> None:
    a, b = leaf((3,), 1), leaf((3,), 2)
    made: list[Array] = []

    def backward(grad: Array, needs: object) -> tuple[Array, Array]:
        made.extend([grad * 2, grad * 3])
        return made[0], made[1]

    y = record("both", a.data + b.data, (a, b), backward, fresh=True)
    z = y + a.reshape(3) + a + b
    kept = z.detach()
    z.backward(c := values((3,), 3, "integer"))
    np.testing.assert_array_equal(grad_of(a), 4 * c)
    np.testing.assert_array_equal(grad_of(b), 4 * c)
    np.testing.assert_array_equal(c, values((3,), 3, "integer"))
    assert kept.shape == (3,)


def test_a_gradient_that_is_a_small_view_of_something_large_is_copied() -> None:
    a = leaf((3,), 1)
    y = record("corner", a.data * 1, (a,), lambda g, needs: (np.zeros((100, 3))[0],))
    y.backward(values((3,), 2))
    assert grad_of(a).base is None


# ---- memory --------------------------------------------------------------------------------------


def test_saved_arrays_are_freed_while_backward_runs() -> None:
    x = leaf((4,), 1)
    alive_at: list[int] = []
    refs: list[weakref.ref[Array]] = []

    def step(t: Tensor) -> Tensor:
        kept = t.data * 1.0
        refs.append(weakref.ref(kept))

        def backward(grad: Array, needs: object, kept: Array) -> tuple[Array]:
            alive_at.append(sum(ref() is not None for ref in refs))
            return (grad * 2,)

        return record("step", t.data * 2, (t,), backward, saved=(kept,))

    y = x
    for _ in range(6):
        y = step(y)
    gc.disable()  # freed by reference counts alone
    try:
        y.backward(np.ones(4))
        assert alive_at == [6, 5, 4, 3, 2, 1]
        assert not any(ref() is not None for ref in refs)
    finally:
        gc.enable()


def test_gradients_of_intermediates_are_freed_while_backward_runs() -> None:
    x = leaf((4,), 1)
    refs: list[weakref.ref[Array]] = []
    alive_at: list[int] = []

    def step(t: Tensor) -> Tensor:
        def backward(grad: Array, needs: object) -> tuple[Array]:
            alive_at.append(sum(ref() is not None for ref in refs))
            out = grad * 2
            refs.append(weakref.ref(out))
            return (out,)

        return record("step", t.data * 2, (t,), backward)

    y = x
    for _ in range(5):
        y = step(y)
    y.backward(np.ones(4))
    assert alive_at == [0, 1, 1, 1, 1]  # only the gradient being passed on


def test_results_that_are_not_saved_are_freed_during_forward() -> None:
    x = leaf((4,), 1)
    y = x + 1.0
    ref = weakref.ref(y.data)
    z = y + 1.0
    del y
    assert ref() is None
    z.backward(np.ones(4))


def test_graph_and_tensors_have_no_reference_cycles() -> None:
    x = leaf((4,), 1)
    gc.collect()
    gc.disable()
    try:
        y = (x * x).exp()
        y.retain_grad()
        ref, node = weakref.ref(y), weakref.ref(y._node)
        del y
        assert ref() is None
        assert node() is None
    finally:
        gc.enable()


def test_a_long_chain_does_not_hold_what_it_need_not() -> None:
    x = Tensor(np.ones(100_000, np.float32), requires_grad=True)
    tracemalloc.start()
    y = x
    for _ in range(50):
        y = y + 1.0  # keeps nothing
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size < 2 * x.data.nbytes
    y.backward(np.ones(100_000))


def test_no_grad_keeps_nothing() -> None:
    x = leaf((4,), 1)
    with no_grad():
        y = exp(x * x)
    assert y.is_leaf
    assert not y.requires_grad


# ---- a second backward ---------------------------------------------------------------------------


def test_the_error_of_a_second_backward_names_the_remedy() -> None:
    x = leaf((2,), 1)
    y = (x * x).sum()
    y.backward()
    before = grad_of(x).copy()
    with pytest.raises(RuntimeError, match=r"already passed sum .*run the forward pass again, or"):
        y.backward()
    np.testing.assert_array_equal(grad_of(x), before)


def test_second_backward_through_a_shared_trunk_changes_nothing() -> None:
    x = leaf((2,), 1)
    trunk = x * x
    one, two = trunk.sum(), (trunk * x).sum()
    one.backward()
    before = grad_of(x).copy()
    with pytest.raises(RuntimeError, match="already passed mul"):
        two.backward()
    np.testing.assert_array_equal(grad_of(x), before)


def test_retain_graph() -> None:
    x = leaf((2,), 1)
    y = x * x
    c = values((2,), 2, "integer")
    y.backward(c, retain_graph=True)
    y.backward(c)
    np.testing.assert_array_equal(grad_of(x), 4 * x.numpy() * c)
    with pytest.raises(RuntimeError, match="already passed mul"):
        y.backward(c)


# ---- changes in place ----------------------------------------------------------------------------


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


# ---- what backward refuses -----------------------------------------------------------------------


def test_non_scalar_backward_without_gradient() -> None:
    y = leaf((2, 3), 1) * 2
    with pytest.raises(
        RuntimeError, match=r"backward: a tensor of shape \(2, 3\) needs a gradient"
    ):
        y.backward()


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 2), ()])
def test_backward_with_a_gradient_of_the_wrong_shape(shape: tuple[int, ...]) -> None:
    y = leaf((2, 3), 1) * 2
    with pytest.raises(ValueError, match=r"backward: grad has shape .* but the tensor has .*2, 3"):
        y.backward(np.ones(shape))


def test_backward_without_requires_grad() -> None:
    with pytest.raises(RuntimeError, match="backward: this tensor does not require gradients"):
        Tensor(1.0).backward()
    with no_grad():
        y = leaf((), 1) * 2
    with pytest.raises(RuntimeError, match="backward: this tensor does not require gradients"):
        y.backward()


def test_one_element_needs_no_gradient() -> None:
    x = leaf((1, 1), 1)
    (x * 3).backward()
    assert grad_of(x).tolist() == [[3]]


def test_grad_attribute_is_checked() -> None:
    x = leaf((2,), 1)
    with pytest.raises(TypeError, match="grad: must be a Tensor or None, not ndarray"):
        x.grad = np.zeros(2)
    with pytest.raises(ValueError, match=r"grad: has shape \(3,\) but the tensor has shape \(2,\)"):
        x.grad = Tensor(np.zeros(3))


def test_requires_grad_of_a_result_cannot_be_switched() -> None:
    y = leaf((2,), 1) * 2
    with pytest.raises(RuntimeError, match="requires_grad: this tensor is the result of mul"):
        y.requires_grad = False
    assert y.detach().requires_grad_().requires_grad


# ---- hooks ---------------------------------------------------------------------------------------


def test_hook_sees_the_complete_gradient_once() -> None:
    x = leaf((2,), 1)
    y = x * 2
    seen: list[Tensor] = []
    handle = y.register_hook(seen.append)
    z = y * 3 + y * 4
    z.backward(c := values((2,), 2, "integer"), retain_graph=True)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0].numpy(), 7 * c)
    handle.remove()
    handle.remove()
    z.backward(c)
    assert len(seen) == 1


@pytest.mark.parametrize("on_leaf", [True, False])
def test_hook_replaces_the_gradient(on_leaf: bool) -> None:
    x = leaf((2,), 1)
    y = x if on_leaf else x * 2
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: g + 1)  # in the order of registration
    (y * 3).backward(c := values((2,), 2, "integer"))
    expected = 3 * c * 10 + 1
    np.testing.assert_array_equal(grad_of(x), expected if on_leaf else 2 * expected)


@pytest.mark.cpu  # CuPy has no read-only arrays
def test_hook_cannot_change_the_gradient_in_place() -> None:
    a, b = leaf((2,), 1), leaf((2,), 2)

    def hook(g: Tensor) -> None:
        g *= 2

    a.register_hook(hook)
    with pytest.raises(ValueError, match=r"x \*= value: this tensor is read-only"):
        (a + b).backward(np.ones(2))


def test_what_a_hook_kept_does_not_change_with_grad() -> None:
    x = leaf((2,), 1)
    kept: list[Tensor] = []
    x.register_hook(kept.append)
    record("double", x.data * 2, (x,), lambda g, needs: (g * 2,)).backward(np.ones(2))
    x.grad.data[...] = 99
    assert kept[0].numpy().tolist() == [2, 2]


def test_hook_that_returns_nonsense() -> None:
    x = leaf((2,), 1)
    x.register_hook(lambda g: g[0])
    with pytest.raises(
        RuntimeError, match=r"register_hook: a hook must return None or a Tensor of"
    ):
        (x * 2).backward(np.ones(2))


def test_hooks_need_a_gradient() -> None:
    with pytest.raises(RuntimeError, match="register_hook: this tensor does not require"):
        Tensor(1.0).register_hook(lambda g: None)
    with pytest.raises(RuntimeError, match="retain_grad: this tensor does not require"):
        Tensor(1.0).retain_grad()


def test_retain_grad_after_hooks_and_over_two_passes() -> None:
    x = leaf((2,), 1)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    z = y * 3
    assert y.grad is None
    z.backward(c := values((2,), 2, "integer"), retain_graph=True)
    np.testing.assert_array_equal(grad_of(y), 30 * c)
    z.backward(c)
    np.testing.assert_array_equal(grad_of(y), 60 * c)


# ---- the switches --------------------------------------------------------------------------------


def test_no_grad_nests_and_recovers() -> None:
    def fail_inside() -> None:
        with no_grad():
            with no_grad():
                assert not is_grad_enabled()
            assert not is_grad_enabled()
            raise KeyError

    assert is_grad_enabled()
    with pytest.raises(KeyError):
        fail_inside()
    assert is_grad_enabled()


def test_no_grad_decorates() -> None:
    @no_grad()
    def infer(x: Tensor, depth: int = 2) -> Tensor:
        """Infer."""
        assert not is_grad_enabled()
        return infer(x, depth - 1) if depth else x * 2

    assert infer.__name__ == "infer"
    assert not infer(leaf((2,), 1)).requires_grad
    assert is_grad_enabled()


def test_no_grad_refuses_a_generator() -> None:
    def generate() -> object:
        yield 1

    with pytest.raises(TypeError, match="no_grad: cannot decorate the generator function generate"):
        no_grad()(generate)


def test_no_grad_belongs_to_its_thread() -> None:
    inside: list[bool] = []
    with no_grad():
        thread = threading.Thread(target=lambda: inside.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert inside == [True]


def test_anomaly_names_the_first_operation_and_its_line() -> None:
    x = Tensor([1.0, 0.0, -1.0], requires_grad=True)
    with np.errstate(all="ignore"):
        (x.log() * 2).sum()  # not checked outside the block
        with detect_anomaly(), pytest.raises(RuntimeError) as caught:
            (x.log() * 2).sum()
    text = str(caught.value)
    assert text.startswith("detect_anomaly: log made 1 NaN and 1 infinity among 3 values (")
    assert "test_autograd.py, line" in text
    assert text.endswith("(x.log() * 2).sum())")


def test_anomaly_in_backward_names_the_operation_and_its_forward_line() -> None:
    x = Tensor([4.0, 0.0], requires_grad=True)
    with np.errstate(all="ignore"), detect_anomaly():
        y = x.sqrt()
        z = (y * 2).sum()
        with pytest.raises(RuntimeError) as caught:
            z.backward()
    text = str(caught.value)
    assert text.startswith(
        "detect_anomaly: the backward of sqrt made 1 infinity among 2 values for"
    )
    assert text.endswith("y = x.sqrt())")


def test_anomaly_that_came_in_with_a_leaf() -> None:
    x = Tensor([1.0, np.nan])
    with detect_anomaly(), pytest.raises(RuntimeError, match="input 0 of add already held 1 NaN"):
        x + 1


def test_anomaly_also_without_recording() -> None:
    with np.errstate(all="ignore"), detect_anomaly(), no_grad(), pytest.raises(RuntimeError):
        Tensor([0.0]).log()


# ---- record --------------------------------------------------------------------------------------


def test_record_hands_needs_and_saved_to_backward() -> None:
    x, y = leaf((2,), 1), leaf((2,), 2)
    y.requires_grad = False
    got: list[object] = []

    def backward(grad: Array, needs: tuple[bool, ...], *saved: object) -> tuple[Array | None, ...]:
        got.extend([needs, *saved])
        return grad * 5, None, None

    constant = np.arange(4)
    z = record("op", x.data + 1, (x, None, y), backward, saved=(y, constant, None, "option"))
    z.backward(c := values((2,), 3, "integer"))
    assert got[0] == (True, False, False)
    assert got[1] is y.data
    assert got[2] is constant
    assert got[3:] == [None, "option"]
    np.testing.assert_array_equal(grad_of(x), 5 * c)


def test_none_means_no_gradient_and_still_releases_what_is_before() -> None:
    x, w = leaf((2,), 1), leaf((2,), 2)
    before = x * w
    y = record("stop", before.data * 1, (before,), lambda g, needs: (None,))
    (y + w).backward(c := values((2,), 3, "integer"))
    assert x.grad is None
    np.testing.assert_array_equal(grad_of(w), c)
    with pytest.raises(RuntimeError, match="already passed mul"):
        before.backward(c)


def test_backward_of_the_wrong_form_is_reported() -> None:
    x = leaf((2, 3), 1)
    with pytest.raises(RuntimeError, match=r"op: its backward returned 2 gradients for 1 inputs"):
        record("op", x.data, (x,), lambda g, needs: (g, g)).backward(np.ones((2, 3)))
    with pytest.raises(RuntimeError, match=r"op: its backward returned a gradient of shape \(3,\)"):
        record("op", x.data, (x,), lambda g, needs: (g[0],)).backward(np.ones((2, 3)))


def test_integer_results_are_not_recorded() -> None:
    x = leaf((3,), 1)
    y = record("argmax", x.data.argmax(), (x,), lambda g, needs: (g,))
    assert not y.requires_grad
    assert y.shape == ()


def test_detach_cuts() -> None:
    x = leaf((2,), 1)
    y = (x * 2).detach() * x
    y.backward(c := values((2,), 2, "integer"))
    np.testing.assert_array_equal(grad_of(x), 2 * x.numpy() * c)


def test_threads_build_and_walk_their_own_graphs() -> None:
    results: dict[int, Array] = {}
    shared = Tensor(np.ones(3))

    def work(k: int) -> None:
        x = Tensor(np.full(3, float(k)), requires_grad=True)
        y = x
        for _ in range(200):
            y = mul(y, shared) + x
        y.backward(np.ones(3))
        results[k] = grad_of(x)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results[k].tolist() == [201.0] * 3 for k in range(4))


def test_concatenate_of_a_tensor_with_itself() -> None:
    x = leaf((2, 3), 1)
    concatenate([x, x * 2, x], 1).backward(c := values((2, 9), 2, "integer"))
    np.testing.assert_array_equal(grad_of(x), c[:, :3] + 2 * c[:, 3:6] + c[:, 6:])
