"""The tape: which arrays gradients share, what it keeps, and when that is free again."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from leaves import grad_of, leaf

from minideconv.autograd import Tensor, no_grad, record
from minideconv.autograd.elementwise import exp
from minideconv.backend import Array, to_cpu
from minideconv.testing import values

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
