"""The walk back: what it computes, what it refuses, and what `record` hands to it."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
from leaves import grad_of, leaf

from minideconv.autograd import Tensor, no_grad, record
from minideconv.autograd.elementwise import mul
from minideconv.autograd.shapes import concatenate
from minideconv.backend import Array
from minideconv.testing import values

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
