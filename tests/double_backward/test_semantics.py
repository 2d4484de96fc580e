"""What `grad` and ``backward(create_graph=True)`` promise: histories, sums, hooks, refusals."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor, grad, nn, no_grad, optim
from minideconv import functional as F
from minideconv.autograd import checkpoint, record
from minideconv.distributed import Single
from minideconv.nn import Parameter


def leaf(*numbers, dtype="float64"):
    return Tensor(list(numbers), requires_grad=True, dtype=dtype)


def numbers(*tensors):
    return [None if tensor is None else tensor.numpy().tolist() for tensor in tensors]


# ---- grad ----------------------------------------------------------------------------------------


def test_grad_touches_no_grad():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (x * w).sum()
    assert numbers(*md.grad(y, [x, w])) == [[3.0, 4.0], [1.0, 2.0]]
    assert x.grad is None
    assert w.grad is None


def test_grad_by_a_result_on_the_way_and_by_what_it_was_made_of():
    """PyTorch's meaning: the gradient by x also counts what goes through h."""
    x = leaf(2.0)
    h = x * x
    y = (h * h + x).sum()
    assert numbers(*grad(y, [h, x])) == [[8.0], [33.0]]


def test_grad_of_several_outputs_is_the_sum():
    x = leaf(1.0, 2.0)
    total = grad([x * 2.0, x * x], x, [np.array([1.0, 10.0]), Tensor([1.0, 1.0])])
    assert numbers(*total) == [[4.0, 24.0]]


def test_grad_of_a_tensor_by_itself():
    x = leaf(1.0, 2.0)
    seed = np.array([3.0, 4.0])
    (found,) = grad(x, x, seed)
    assert numbers(found) == [[3.0, 4.0]]
    assert found.data is not seed


def test_operations_off_the_way_are_not_asked():
    x, w = leaf(1.0), leaf(2.0)
    asked = []

    def backward(g, needs, a, b):
        asked.append(needs)
        return g * b, g * a

    y = record("product", x.data * w.data, (x, w), backward, (x, w))
    z = y + record("other", w.data, (w,), lambda g, needs: pytest.fail("not on the way"))
    assert numbers(*grad(z, x, np.ones(1))) == [[2.0]]
    assert asked == [(True, False)]


def test_grad_frees_the_graph_unless_told():
    x = leaf(2.0)
    y = (x * x).sum()
    grad(y, x, retain_graph=True)
    grad(y, x)
    with pytest.raises(RuntimeError, match="passed sum and freed"):
        grad(y, x)


def test_unused_inputs():
    x, other = leaf(1.0), leaf(1.0)
    y = (x * x).sum()
    with pytest.raises(RuntimeError, match="no output depends on number 1 of inputs"):
        grad(y, [x, other])
    assert numbers(*grad(y, [x, other], allow_unused=True)) == [[2.0], None]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: grad(x * x, Tensor([1.0])), RuntimeError, "number 0 of inputs does not require"),
        (lambda x: grad(Tensor(1.0), x), RuntimeError, "number 0 of outputs does not require"),
        (lambda x: grad(x * x, x), RuntimeError, "needs a gradient of that shape"),
        (lambda x: grad(x * x, x, np.ones(3)), ValueError, r"shape \(3,\) but the tensor"),
        (lambda x: grad(x * x, x, [1.0, 1.0]), ValueError, "2 grad_outputs for 1 outputs"),
        (lambda x: grad(x * x, []), ValueError, "inputs is empty"),
        (lambda x: grad(x * x, [np.ones(2)]), TypeError, "number 0 is a ndarray"),
    ],
)
def test_refusals_of_grad(call, kind, message):
    with pytest.raises(kind, match=message):
        call(leaf(1.0, 2.0))


# ---- gradients with a history --------------------------------------------------------------------


def test_derivatives_of_every_order():
    """d^n/dx^n exp(2 x) = 2^n exp(2 x); of x**5 the sixth is 0."""
    x = leaf(0.3, -0.7)
    y = (x * 2.0).exp()
    for order in range(1, 6):
        (y,) = grad(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(y.numpy(), 2.0**order * np.exp(2 * x.numpy()), rtol=1e-14)
    y = x**5
    for factor, power in ((5, 4), (20, 3), (60, 2), (120, 1), (120, 0), (0, 0)):
        (y,) = grad(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(y.numpy(), factor * x.numpy() ** power, rtol=1e-14)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_third_derivatives(name):
    """Of s = sigmoid: s' = s - s^2, s'' = s' (1 - 2 s), s''' = s'' (1 - 2 s) - 2 s'^2."""
    scale = 2.0 if name == "tanh" else 1.0  # tanh(x) = 2 sigmoid(2 x) - 1
    x = leaf(-1.5, -0.2, 0.0, 0.4, 3.0)
    s = 1 / (1 + np.exp(-scale * x.numpy()))
    first = s - s * s
    second = first * (1 - 2 * s)
    third = second * (1 - 2 * s) - 2 * first**2
    y = getattr(x, name)()
    for order, want in enumerate((first, second, third), 1):
        (y,) = grad(y.sum(), x, create_graph=True)
        factor = 2 * scale**order if name == "tanh" else 1.0
        np.testing.assert_allclose(y.numpy(), factor * want, rtol=1e-12, atol=1e-15)


def test_second_derivative_of_relu_is_zero_and_first_order_terms_stay():
    x = leaf(-1.0, 0.0, 2.0)
    (slope,) = grad((F.relu(x) * x).sum(), x, create_graph=True)
    assert numbers(slope) == [[0.0, 0.0, 4.0]]
    assert numbers(*grad(slope.sum(), x)) == [[0.0, 0.0, 2.0]]


def test_a_cotangent_may_require_gradients_itself():
    """The gradient is linear in it: differentiated by it, it is the derivative itself."""
    x, v = leaf(1.0, 2.0), leaf(0.0, 0.0)
    (pulled,) = grad(x * x, x, v, create_graph=True)
    assert numbers(*grad(pulled, v, np.array([1.0, 10.0]))) == [[2.0, 40.0]]  # forward mode


def test_recording_is_on_inside_no_grad():
    x = leaf(3.0)
    y = x**3
    with no_grad():
        (slope,) = grad(y, x, np.ones(1), create_graph=True)
        assert not (x * x).requires_grad
    assert numbers(*grad(slope, x, np.ones(1))) == [[18.0]]


def test_backward_accumulates_with_a_history():
    x = leaf(2.0)
    (x**3).sum().backward()  # 12, without a history
    (x**3).sum().backward(create_graph=True)  # 12, with one
    (x**2).sum().backward(create_graph=True)  # 4, with one
    assert numbers(x.grad) == [[28.0]]
    first = x.grad
    x.grad = None
    first.sum().backward()
    assert numbers(x.grad) == [[14.0]]  # 6 x + 2
    assert numbers(first) == [[28.0]]


def test_a_plain_backward_adds_without_a_history():
    x = leaf(2.0)
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    (x**3).sum().backward()
    assert numbers(x.grad) == [[24.0]]
    assert not x.grad.requires_grad


def test_gradients_of_two_leaves_are_two_arrays():
    a, b = leaf(1.0), leaf(2.0)
    (a + b).sum().backward(create_graph=True)
    with no_grad():
        a.grad *= 5.0
    assert numbers(a.grad, b.grad) == [[5.0], [1.0]]
    first, second = grad((a + b).sum(), [a, b])
    first += 1.0
    assert numbers(second) == [[1.0]]


def test_hooks_see_and_replace_gradients_with_a_history():
    x = leaf(2.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.requires_grad))
    h = x * x
    squares = h.register_hook(lambda g: g * g)  # (2 h)^2 in place of 2 h
    y = (h * h).sum()
    (slope,) = grad(y, x, create_graph=True)
    assert seen == [True]
    assert numbers(slope) == [[4 * 16 * 4.0]]  # 4 h^2 2 x = 8 x^5
    squares.remove()  # it would see the gradient by h of the second walk too
    assert numbers(*grad(slope, x, np.ones(1))) == [[40 * 16.0]]


def test_a_hook_that_returns_something_else_is_refused():
    x = leaf(2.0)
    x.register_hook(lambda g: g.numpy())
    with pytest.raises(RuntimeError, match="must return None or a Tensor"):
        (x * x).sum().backward(create_graph=True)


def test_retain_grad_has_a_history():
    x = leaf(2.0)
    h = x * x
    h.retain_grad()
    (h * h).sum().backward(create_graph=True)
    assert numbers(h.grad) == [[8.0]]  # 2 x^2
    assert numbers(*grad(h.grad, x, np.ones(1), retain_graph=True)) == [[8.0]]
    h.grad = x.grad = None
    grad((h * h).sum(), x)
    assert h.grad is None


def test_float32_and_float64_meet():
    x, w = leaf(1.0, 2.0, dtype="float32"), leaf(3.0, 4.0)
    (dx, dw) = grad((x * x * w * w).sum(), [x, w], create_graph=True)
    assert (dx.dtype, dw.dtype) == (np.float32, np.float64)
    (ddx, ddw) = grad(dx.sum() * 1.0 + dw.sum(), [x, w])
    assert (ddx.dtype, ddw.dtype) == (np.float32, np.float64)
    assert numbers(ddx, ddw) == [[2 * 9 + 12.0, 2 * 16 + 32.0], [12.0 + 2.0, 32.0 + 8.0]]


# ---- the graph: kept, freed, changed -------------------------------------------------------------


def test_the_graph_is_kept_by_default_and_freed_on_request():
    x = leaf(2.0)
    y = ((x * 1.0) ** 3).sum()
    (slope,) = grad(y, x, create_graph=True)
    assert numbers(*grad(slope, x, np.ones(1), retain_graph=True)) == [[12.0]]
    grad(y, x)
    with pytest.raises(RuntimeError, match="freed"):
        grad(slope, x, np.ones(1))


def test_a_graph_freed_while_gradients_get_theirs_cannot_be_passed_again():
    x = leaf(2.0)
    y = (x**3).sum()
    (slope,) = grad(y, x, create_graph=True, retain_graph=False)
    assert numbers(slope) == [[12.0]]
    with pytest.raises(RuntimeError, match="freed"):
        grad(y, x)


def test_dropped_gradients_free_their_memory():
    x = leaf(*range(5))
    (slope,) = grad((x**3).sum(), x, create_graph=True)
    node = weakref.ref(slope._node)
    del slope
    gc.collect()
    assert node() is None


def test_the_cycle_of_a_stored_gradient_ends_with_zero_grad():
    x = Parameter(np.arange(5.0))
    (x**3).sum().backward(create_graph=True)
    node = weakref.ref(x.grad._node)
    optim.SGD([x], 0.1).zero_grad()
    gc.collect()
    assert node() is None


def test_a_change_in_place_between_two_gradients_is_an_error():
    x = leaf(2.0)
    (slope,) = grad((x**3).sum(), x, create_graph=True)
    with no_grad():
        x *= 2.0
    with pytest.raises(RuntimeError, match="changed in place 1 time"):
        grad(slope, x, np.ones(1))


def test_a_change_in_place_before_the_first_gradient_is_an_error():
    x = leaf(2.0)
    y = (x**3).sum()
    with no_grad():
        x *= 2.0
    with pytest.raises(RuntimeError, match="pow: a tensor saved for backward"):
        grad(y, x, create_graph=True)


def test_a_parameter_that_was_moved_keeps_what_was_saved():
    """`flatten` moves the numbers between forward and backward; the gradient is that of before."""
    x = Parameter(np.array([2.0]))
    y = (x**3).sum()
    optim.SGD([x], 0.1).flatten()
    with no_grad():
        x *= 10.0  # other memory than what was saved
    (slope,) = grad(y, x, create_graph=True)
    assert numbers(slope, *grad(slope, x, np.ones(1))) == [[12.0], [12.0]]


def test_flattened_parameters_refuse_stored_histories():
    x = Parameter(np.array([2.0]))
    optim.SGD([x], 0.1).flatten()
    with pytest.raises(RuntimeError, match=r"after optimizer.flatten\(\) have a fixed place"):
        (x**3).sum().backward(create_graph=True)


def test_anomalies_are_found():
    x = leaf(0.0)
    with np.errstate(all="ignore"), md.detect_anomaly():
        y = x.sqrt()
        with pytest.raises(RuntimeError, match="div made 1 infinity"):
            grad(y, x, np.ones(1), create_graph=True)


# ---- what states no differentiable backward ------------------------------------------------------


def refused(name):
    return pytest.raises(RuntimeError, match=f"^{name}: it states no backward in recorded")


def test_an_operation_of_the_program_without_a_rule_is_named():
    x = leaf(2.0)
    y = record("cube", x.data**3, (x,), lambda g, needs, x: (g * 3 * x**2,), (x,))
    assert numbers(*grad(y, x, np.ones(1), retain_graph=True)) == [[12.0]]
    with refused("cube"):
        grad(y, x, np.ones(1), create_graph=True)
    with refused("cube"):
        y.sum().backward(create_graph=True)
    assert x.grad is None


def test_it_is_not_asked_where_it_is_not_on_the_way():
    x, w = leaf(2.0), leaf(3.0)
    y = x * x + record("cube", w.data**3, (w,), lambda g, needs, w: (g * 3 * w**2,), (w,))
    assert numbers(*grad(y, x, np.ones(1), create_graph=True)) == [[4.0]]


def test_synchronised_batch_norm_refuses():
    x = Tensor(np.arange(12.0).reshape(2, 3, 2, 1), requires_grad=True)
    y = F.sync_batch_norm(x, None, None, None, None, Single())
    with refused("sync_batch_norm"):
        y.backward(np.ones(y.shape), create_graph=True)


def test_a_checkpoint_refuses_by_name():
    layer = nn.Linear(2, 2)
    x = Tensor(np.ones((1, 2), np.float32), requires_grad=True)
    y = checkpoint(layer, x)
    with pytest.raises(RuntimeError, match="checkpoint of Linear: it states no backward in"):
        grad(y, x, np.ones((1, 2)), create_graph=True)


def test_grad_without_a_graph_passes_a_checkpoint():
    x = leaf(1.0, 2.0)
    y = checkpoint(lambda x: x * x, x)
    assert numbers(*grad(y, x, np.ones(2))) == [[2.0, 4.0]]


def test_a_broadcast_operand_that_is_summed_over_many_values():
    rng = np.random.default_rng(11)
    x = rng.standard_normal((2, 3, 17, 13))
    b = Tensor(rng.standard_normal((3, 1, 1)), requires_grad=True)
    y = (Tensor(x) * b * b).sum()
    (first,) = grad(y, b, create_graph=True)
    total = x.sum(axis=(0, 2, 3)).reshape(3, 1, 1)
    np.testing.assert_allclose(first.numpy(), 2 * total * b.numpy(), rtol=1e-12)
    (second,) = grad(first.sum(), b)
    np.testing.assert_allclose(second.numpy(), 2 * total, rtol=1e-12)
