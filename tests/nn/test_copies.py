"""Copies of layers, networks and optimisers: deepcopy, pickle, parameters of any origin.

A copy computes and learns as its original does, at its speed: the weight of a convolution is stored
taps first, whatever it was made from, or is brought into that order once.
"""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest

from minideconv import Tensor, nn, no_grad, optim
from minideconv.engine import layout
from minideconv.nn import Parameter
from minideconv.testing import values


def by_pickle(protocol):
    return lambda thing: pickle.loads(pickle.dumps(thing, protocol))


def by_buffers(thing):
    """Protocol 5 with buffers apart, of bytes: arrays on them cannot be written to."""
    buffers = []
    head = pickle.dumps(thing, 5, buffer_callback=buffers.append)
    return pickle.loads(head, buffers=[bytes(buffer.raw()) for buffer in buffers])


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle 2": by_pickle(2),
    "pickle 4": by_pickle(4),
    "pickle 5": by_pickle(5),
    "pickle 5, buffers": by_buffers,
}
copies = pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)


def network():
    net = nn.Sequential(
        nn.Conv2d(3, 5, (3, 2), padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(5, 4, 3),
        nn.BatchNorm2d(4),
    )
    state = net.state_dict()
    for number, (name, parameter) in enumerate(net.named_parameters()):
        state[name] = values(parameter.shape, number, "normal")
    net.load_state_dict(state)
    return net


def x():
    return Tensor(values((2, 3, 6, 7), 9, "normal", np.float32))


def train(net, optimizer, steps=3):
    for _ in range(steps):
        optimizer.zero_grad()
        y = net(x())
        (y * y * Tensor(values(y.shape, 5, "normal", np.float32))).sum().backward()
        optimizer.step()
    return np.concatenate([p.numpy().ravel() for p in net.parameters()])


@copies
@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_a_copy_of_a_convolution_is_stored_taps_first(make, layer):
    first = layer(3, 5, (3, 2))
    first.weight.grad = Tensor(
        layout.with_taps_first(values(first.weight.shape, 1, "normal", "f4"))
    )
    second = make(first)
    assert layout.is_taps_first(second.weight.data)
    assert layout.is_taps_first(second.weight.grad.data)
    assert (second.weight.data == first.weight.data).all()
    assert (second.weight.grad.data == first.weight.grad.data).all()
    assert not np.shares_memory(second.weight.numpy(), first.weight.numpy())
    assert second.weight.requires_grad
    assert isinstance(second.weight, Parameter)


@pytest.mark.cpu
@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("how", ["assigned", "data", "read-only"])
def test_a_weight_in_another_order_is_sorted_once(layer, how, monkeypatch):
    net = layer(3, 3, (3, 2))
    given = values(net.weight.shape, 1, "normal", np.float32)
    if how == "data":
        net.weight.data = given
    else:
        if how == "read-only":
            given.flags.writeable = False
        net.weight = Parameter(given)
    sorted_ = []
    sort = layout.taps_first
    monkeypatch.setattr(layout, "taps_first", lambda w: sorted_.append(w.shape) or sort(w))
    want = type(net).forward(net, x())
    assert layout.is_taps_first(net.weight.data)
    assert (net.weight.data == given).all()
    kept = net.weight.data
    assert (net(x()).data == want.data).all()
    assert net.weight.data is kept
    assert len(sorted_) == 1


@pytest.mark.cpu
def test_what_was_computed_before_the_order_changed_has_its_gradient():
    net = nn.Conv2d(3, 4, 3)
    want = copy.deepcopy(net)
    net.weight.data = np.ascontiguousarray(net.weight.data)
    (net(x()) * net(x())).sum().backward()
    (want(x()) * want(x())).sum().backward()
    np.testing.assert_array_equal(net.weight.grad.data, want.weight.grad.data)


def test_flat_arrays_store_weights_taps_first():
    net = nn.Conv2d(3, 5, (3, 2))
    net.weight = Parameter(values(net.weight.shape, 1, "normal", np.float32))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    optimizer.flatten()
    assert layout.is_taps_first(net.weight.data)
    assert (net.weight.numpy() == values(net.weight.shape, 1, "normal", np.float32)).all()


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=1e-3, momentum=0.9),
    "AdamW": lambda p: optim.AdamW(p, lr=1e-2),
}


# Other arrays of a network on buffers of bytes can only be read; batch norm says so.
whole_copies = pytest.mark.parametrize("make", list(COPIES.values())[:-1], ids=list(COPIES)[:-1])


@whole_copies
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_copied_pair_learns_what_the_original_learns(make, flat, name):
    net = network()
    optimizer = OPTIMIZERS[name](net.parameters())
    if flat:
        optimizer.flatten()
    train(net, optimizer)
    other, others = make((net, optimizer))
    before = np.concatenate([p.numpy().ravel() for p in other.parameters()])
    found = train(other, others)
    assert (found != before).mean() > 0.9, "it has learnt"
    assert (found == train(net, optimizer)).all()
    if flat:
        assert others.flat_grad.size > found.size
        parts = zip(others._parameters(), optimizer._parameters(), strict=True)
        assert not any(np.shares_memory(a.numpy(), b.numpy()) for a, b in parts)


@whole_copies
def test_a_network_alone_learns_after_its_optimiser_was_flat(make):
    net = network()
    optimizer = OPTIMIZERS["SGD"](net.parameters())
    optimizer.flatten()
    train(net, optimizer)
    other, plain = make(net), copy.deepcopy(net)
    found = train(other, OPTIMIZERS["AdamW"](other.parameters()))
    assert (found == train(plain, OPTIMIZERS["AdamW"](plain.parameters()))).all()


def test_a_shallow_copy_of_a_tensor_is_on_the_same_memory_and_history():
    a = Tensor([1.0, 2.0], requires_grad=True)
    b = copy.copy(a * 2.0)
    b.sum().backward()
    assert a.grad.numpy().tolist() == [2, 2]
    assert np.shares_memory(copy.copy(a).data, a.data)


def test_the_result_of_an_operation_is_not_pickled():
    y = Tensor([1.0], requires_grad=True) * 2.0
    with pytest.raises(RuntimeError, match=r"pickle: .* result of mul; save tensor.detach\(\)"):
        pickle.dump(y, io.BytesIO())
    with no_grad():
        assert by_pickle(5)(y.detach()).numpy() == 2


def test_an_attribute_of_a_subclass_is_copied():
    class Named(Tensor):
        pass

    globals()["Named"] = Named
    Named.__qualname__ = "Named"
    try:
        named = Named([1.0, 2.0])
        named.name = "weight"
        assert by_pickle(4)(named).name == "weight"
        assert copy.copy(named).name == "weight"
    finally:
        del globals()["Named"]
