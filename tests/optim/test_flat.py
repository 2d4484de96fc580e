"""Flat parameters: the same bits as separate parameters, whatever a program does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minideconv as md
from minideconv import Tensor, nn, optim
from minideconv.backend import get_default_device, get_xp, to_cpu, to_default_device
from minideconv.optim.flat import ALIGN, EXTRA
from minideconv.testing import seeds, values

KINDS = {
    "plain": lambda p, **o: optim.SGD(p, lr=0.1, weight_decay=0.1, **o),
    "momentum": lambda p, **o: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, **o),
    "Nesterov": lambda p, **o: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, **o),
    "Adam": lambda p, **o: optim.Adam(p, lr=0.1, weight_decay=0.1, **o),
    "AdamW": lambda p, **o: optim.AdamW(p, lr=0.1, **o),
    "amsgrad": lambda p, **o: optim.Adam(p, lr=0.1, amsgrad=True, **o),
    "RMSprop": lambda p, **o: optim.RMSprop(p, lr=0.1, **o),
    "centered": lambda p, **o: optim.RMSprop(p, lr=0.1, momentum=0.8, centered=True, **o),
    "Adagrad": lambda p, **o: optim.Adagrad(p, lr=0.1, lr_decay=0.2, **o),
}
shapes = st.lists(
    st.lists(st.integers(0, 5), max_size=1).map(tuple)
    | st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4)),
    min_size=1,
    max_size=5,
)
dtypes = st.sampled_from([np.float32, np.float64])


def turned(array, seed):
    """The same array with its axes in another order in memory."""
    order = np.random.default_rng(seed).permutation(array.ndim)
    return array.transpose(order).copy().transpose(np.argsort(order))


def shares_memory(a, b):
    return get_xp(a).may_share_memory(a, b)  # by their bounds


def build(kind, shapes, seed, dtype=np.float32, flat=False, groups=1):
    """Return an optimiser of parameters in drawn orders; its groups have their own rates."""
    params = [
        Tensor(turned(np.asarray(values(s, seed + i, "normal", dtype)), seed), requires_grad=True)
        for i, s in enumerate(shapes)
    ]
    parts = [params[g::groups] for g in range(groups)]
    parts = [{"params": part, "lr": 0.1 / (1 + g)} for g, part in enumerate(parts) if part]
    optimizer = KINDS[kind](parts)
    if flat:
        optimizer.flatten()
    return params, optimizer


def give(params, seed, step, without=()):
    """Send each parameter a gradient as the tape does, in another order in memory."""
    for i, p in enumerate(params):
        if i not in without:
            grad = np.asarray(values(p.shape, seed + 100 * step + i, "normal", p.dtype))
            p._receive(to_default_device(turned(grad, seed + step)))


def bits(params, optimizer):
    state = optimizer.state_dict()
    arrays = {k: v.tobytes() if hasattr(v, "tobytes") else v for k, v in state.items()}
    return [p.numpy().tobytes() for p in params], arrays


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ["reference", "exact"])
@given(shapes, seeds(), dtypes, st.integers(1, 3), st.data())
def test_flat_and_apart_have_the_same_bits(kind, algorithm, shapes, seed, dtype, groups, data):
    """Missing gradients, accumulated ones and changing rates included."""
    runs = [build(kind, shapes, seed, dtype, flat, groups) for flat in (False, True)]
    some = st.sets(st.integers(0, len(shapes) - 1), max_size=1)
    with md.algorithm(algorithm):
        for step in range(4):
            missing, twice = data.draw(some), data.draw(st.booleans())
            for params, optimizer in runs:
                optimizer.zero_grad()
                give(params, seed, step, missing)
                if twice:
                    give(params, seed, step + 50, missing)
                for group in optimizer.param_groups:
                    group["lr"] *= 0.9
                optimizer.step()
            assert bits(*runs[0]) == bits(*runs[1])


def test_the_update_is_called_once_for_each_group(monkeypatch):
    params, optimizer = build("momentum", [(3, 4), (5,), (2, 2)], 0, flat=True, groups=2)
    calls = []
    update = type(optimizer).update
    monkeypatch.setattr(
        type(optimizer), "update", lambda s, w, *rest: (calls.append(w.size), update(s, w, *rest))
    )
    give(params, 0, 0)
    optimizer.step()
    assert calls == [2 * ALIGN, ALIGN]
    optimizer.zero_grad()
    give(params, 0, 1, without={0})
    optimizer.step()  # parameter 0 is left alone, so its group goes one by one
    assert calls[2:] == [4, ALIGN]


def test_parameters_and_gradients_are_views_with_their_shape_and_order():
    weight = Tensor(np.arange(60.0).reshape(3, 1, 4, 5).transpose(3, 2, 0, 1), requires_grad=True)
    bias = Tensor(np.ones(7), requires_grad=True)
    want, strides = weight.numpy().copy(), weight.data.strides
    optimizer = optim.SGD([{"params": [bias]}, {"params": [weight]}], lr=0.1)
    optimizer.flatten()
    assert weight.data.strides == strides
    assert (weight.numpy() == want).all()
    flat = optimizer.flat_grad
    assert flat.shape == (2 * ALIGN + EXTRA,)
    assert not flat.any()
    weight.grad = Tensor(want)
    assert shares_memory(weight.grad.data, flat)
    assert weight.grad.data.strides == strides
    assert (to_cpu(flat)[ALIGN : ALIGN + 60] == np.arange(60)).all()
    assert shares_memory(optimizer.flat_extra, flat)
    assert optimizer.flat_extra.shape == (EXTRA,)


def test_the_tape_writes_into_the_flat_array_and_then_adds():
    w = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    optimizer.flatten()
    (w * w).sum().backward()
    first = w.grad
    assert shares_memory(first.data, optimizer.flat_grad)
    (w * w).sum().backward()
    assert w.grad is first
    assert first.numpy().tolist() == [4.0, 8.0, 12.0]
    optimizer.zero_grad()
    assert w.grad is None
    (w * w).sum().backward()
    assert w.grad.numpy().tolist() == [2.0, 4.0, 6.0]
    optimizer.flat_extra[...] = 5
    optimizer.zero_grad(set_to_none=False)
    assert (to_cpu(optimizer.flat_extra) == 5).all()
    assert w.grad.numpy().tolist() == [0.0, 0.0, 0.0]


def test_hooks_see_the_gradient_before_it_is_written():
    w = Tensor([1.0, 2.0], requires_grad=True)
    optim.SGD([w], lr=0.1).flatten()
    w.register_hook(lambda grad: grad * 10.0)
    for _ in range(2):
        (w * w).sum().backward()
    assert w.grad.numpy().tolist() == [40.0, 80.0]


def test_gradients_that_are_there_move_along():
    params, optimizer = build("plain", [(2, 3), (4,)], 0)
    give(params, 0, 0, without={1})
    want = params[0].grad.data.copy()
    optimizer.flatten()
    assert (params[0].grad.data == want).all()
    assert params[1].grad is None


def test_a_missing_gradient_is_zero_in_the_flat_array():
    params, optimizer = build("plain", [(2, 3), (4,)], 0, flat=True)
    give(params, 0, 0)
    optimizer.zero_grad()
    give(params, 0, 1, without={0})
    flat = optimizer.flat_grad
    assert not flat[:ALIGN].any()
    assert (flat[ALIGN : ALIGN + 4] == params[1].grad.data).all()
    assert params[0].grad is None
    optimizer.complete_grads()
    assert not params[0].grad.data.any()
    flat[0] = 7  # as a sum over processes would
    assert params[0].grad.data.max() == 7
    assert flat[ALIGN] == params[1].grad.data[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("saver", [False, True])
def test_a_saved_state_fits_flat_and_apart(kind, saver):
    """Loaded over another state, in place: the flat arrays stay where they are."""
    shapes = [(3, 4), (5,), (2, 3, 2, 2)]
    params, optimizer = build(kind, shapes, 0, flat=saver)
    for step in range(3):
        optimizer.zero_grad()
        give(params, 0, step)
        optimizer.step()
    saved, weights = optimizer.state_dict(), [p.data.copy() for p in params]
    others, other = build(kind, shapes, 0, flat=not saver)
    give(others, 5, 5)
    other.step()
    kept = {n: dict(state) for n, state in other.state.items()}
    other.load_state_dict(saved)
    for p, w in zip(others, weights, strict=True):
        p.data[...] = w
    if not saver:
        for n, state in other.state.items():
            views = [name for name in state if name != "step"]
            assert all(shares_memory(state[name], kept[n][name]) for name in views)
    for ps, o in ((params, optimizer), (others, other)):
        o.zero_grad()
        give(ps, 0, 7)
        o.step()
    assert bits(params, optimizer) == bits(others, other)


def test_a_fresh_state_is_loaded_over_an_old_one():
    saved = build("momentum", [(3,)], 0)[1].state_dict()
    params, optimizer = build("momentum", [(3,)], 0, flat=True)
    fresh, other = build("momentum", [(3,)], 0)
    before = params[0].numpy().copy()
    give(params, 0, 0)
    optimizer.step()
    optimizer.load_state_dict(saved)
    params[0].data[...] = to_default_device(before)
    for ps, o in ((params, optimizer), (fresh, other)):
        o.zero_grad()
        give(ps, 0, 1)
        o.step()
    assert bits(params, optimizer) == bits(fresh, other)


def test_a_state_from_before_flatten_is_kept():
    runs = [build("Adam", [(3, 4), (5,)], 0) for _ in range(2)]
    for step in range(4):
        for params, optimizer in runs:
            optimizer.zero_grad()
            give(params, 0, step)
            optimizer.step()
        runs[1][1].flatten()  # the first time; then it finds everything in its place
    assert bits(*runs[0]) == bits(*runs[1])


def test_a_group_added_later_moves_in():
    params, optimizer = build("momentum", [(3, 4), (5,)], 0, flat=True)
    late = Tensor(np.ones(3, np.float32), requires_grad=True)
    optimizer.add_param_group({"params": [late]})
    give([*params, late], 0, 0)
    optimizer.step()
    assert optimizer.flat_grad.size == 3 * ALIGN + EXTRA
    assert (late.data != 1).all()


def net():
    return nn.Sequential(nn.Conv2d(2, 3, (3, 2)), nn.ReLU(), nn.Conv2d(3, 1, 1))


def test_loading_a_network_writes_into_the_flat_array():
    network, other = net(), net()
    optimizer = optim.SGD(network.parameters(), lr=0.1)
    optimizer.flatten()
    views = [p.data for p in network.parameters()]
    network.load_state_dict(other.state_dict())
    for p, q, view in zip(network.parameters(), other.parameters(), views, strict=True):
        assert p.data is view
        assert (view == q.data).all()


def test_a_network_that_moves_leaves_and_may_come_back():
    network = net()
    optimizer = optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    optimizer.flatten()
    network.to(get_default_device())  # where it is already: nothing happens
    x = Tensor(np.ones((1, 2, 5, 6), np.float32))
    network(x).sum().backward()
    optimizer.step()
    network.to(dtype=np.float64)
    network(Tensor(np.ones((1, 2, 5, 6)))).sum().backward()
    with pytest.raises(RuntimeError, match=r"SGD: a parameter of shape .* call flatten\(\) again"):
        optimizer.step()
    optimizer.flatten()
    assert optimizer.flat_grad.dtype == np.float64
    optimizer.step()
    assert optimizer.state[0]["momentum_buffer"].dtype == np.float64


def test_a_copied_network_is_its_own():
    import copy

    network = net()
    optimizer = optim.SGD(network.parameters(), lr=0.1)
    optimizer.flatten()
    twin = copy.deepcopy(network)
    twin(Tensor(np.ones((1, 2, 5, 6), np.float32))).sum().backward()
    assert not optimizer.flat_grad.any()
    assert all(p.grad is None for p in network.parameters())


def test_a_change_of_weights_is_seen_by_the_tape():
    params, optimizer = build("plain", [(3,), (4,)], 0, flat=True)
    loss = (params[1] * params[1]).sum()
    give(params, 0, 0)
    optimizer.step()
    with pytest.raises(RuntimeError, match="in place 1 time"):
        loss.backward()


def test_messages():
    a, b = Tensor(np.ones(3), requires_grad=True), Tensor(np.ones(3, "f4"), requires_grad=True)
    optimizer = optim.SGD([a, b], lr=0.1)
    with pytest.raises(ValueError, match=r"these are float32 on (\S+) and float64 on \1$"):
        optimizer.flatten()
    for ask in ("flat_grad", "flat_extra"):
        with pytest.raises(RuntimeError, match=rf"SGD: {ask} is there once flatten\(\)"):
            getattr(optimizer, ask)


# --- wrong versions that the comparison must reject --------------------------------------------


def places_too_near(flat, monkeypatch):
    monkeypatch.setattr(flat, "ALIGN", 1)
    place = flat.ParamSlice.of
    monkeypatch.setattr(flat.ParamSlice, "of", lambda array, start: place(array, max(0, start - 1)))


def gradient_not_added(flat, monkeypatch):
    right = flat.GradBuffer.store
    monkeypatch.setattr(flat.GradBuffer, "store", lambda self, grad, first: right(self, grad, True))


def always_added(flat, monkeypatch):
    kind, right = flat.GradBuffer, flat.GradBuffer.store
    monkeypatch.setattr(kind, "store", lambda self, grad, first: right(self, grad, first=False))


def order_forgotten(flat, monkeypatch):
    place = flat.ParamSlice.of

    def of(array, start):
        right = place(array, start)
        return flat.ParamSlice(right.start, right.stop, right.shape, right.axes[::-1])

    def store(self, grad, first):
        self.dense.reshape(-1)[:] = grad.ravel("K")
        return self.grad

    monkeypatch.setattr(flat.ParamSlice, "of", of)
    monkeypatch.setattr(flat.GradBuffer, "store", store)


MUTANTS = [places_too_near, gradient_not_added, always_added, order_forgotten]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_comparison_rejects(mutant, monkeypatch):
    from minideconv.optim import flat

    mutant(flat, monkeypatch)
    runs = [build("momentum", [(3, 4, 2, 1), (5,)], 3, flat=f) for f in (False, True)]
    for step in range(2):
        for params, optimizer in runs:
            optimizer.zero_grad()
            give(params, 0, step)
            give(params, 0, step + 9)
            optimizer.step()
    assert bits(*runs[0]) != bits(*runs[1])
