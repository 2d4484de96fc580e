"""Computed twice instead of kept: the same bits, less memory, and nothing happens twice."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from minideconv import functional as F
from minideconv import nn, random
from minideconv.autograd import Tensor, checkpoint, checkpointing, detect_anomaly, no_grad, record
from minideconv.backend.algorithms import ALGORITHMS, algorithm
from minideconv.engine.cpu import memory
from minideconv.models import deconvnet
from minideconv.optim import SGD


def leaf(shape, seed):
    data = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return Tensor(data, requires_grad=True)


def bits(*tensors):
    return [None if t is None else (t.shape, t.dtype.str, t.numpy().tobytes()) for t in tensors]


class Net(nn.Module):
    """Convolution, batch norm, ReLU, dropout of both kinds, pooling and unpooling."""

    def __init__(self, again):
        super().__init__()
        random.manual_seed(3)
        self.again = again
        self.first = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.4),
            nn.Dropout(0.2, rng=np.random.default_rng(7)),
        )
        self.pool = nn.MaxPool2d(2, return_switches=True)
        self.unpool = nn.MaxUnpool2d()
        self.last = nn.ConvTranspose2d(6, 2, 3, padding=1)

    def down(self, x):
        return self.pool(self.first(x))

    def up(self, x, switches):
        return self.last(self.unpool(x, switches))

    def forward(self, x):
        call = checkpoint if self.again else lambda function, *inputs: function(*inputs)
        if self.again == "layers":
            x, switches = self.pool(checkpoint(self.first, x))
        else:
            x, switches = call(self.down, x)
        return call(self.up, x, switches)


def train(net, x, steps=3):
    """Return everything that some steps of training leave behind, as bytes."""
    random.manual_seed(11)
    sgd = SGD(net.parameters(), lr=0.05, momentum=0.9)
    labels = np.random.default_rng(1).integers(0, 2, (x.shape[0], *x.shape[2:]))
    seen = []
    for _ in range(steps):
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        seen += bits(loss, x.grad, *(p.grad for p in net.parameters()))
        sgd.step()
        sgd.zero_grad()
        x.grad = None
    arrays = {name: array.tobytes() for name, array in net.arrays().items()}
    return seen, arrays, random.get_state()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_training_is_the_same_bit_for_bit(name):
    x = leaf((4, 3, 12, 10), 0)
    with algorithm(name):
        assert train(Net("layers"), x) == train(Net(False), x)


def test_only_a_module_shows_its_own_generators():
    """`Net.down` is a method: the generator of the second dropout is not found through it."""
    x = leaf((4, 3, 12, 10), 0)
    net, plain = Net("methods"), Net(False)
    net.first[4].p = plain.first[4].p = 0.0
    assert train(net, x) == train(plain, x)


@pytest.mark.parametrize("wrong", ["numbers drawn anew", "statistics counted twice"])
def test_the_comparison_finds_numbers_drawn_anew_and_statistics_counted_twice(wrong, monkeypatch):
    right = checkpointing._second_call

    @contextlib.contextmanager
    def second_call(drawn):
        with right([] if wrong == "numbers drawn anew" else drawn):
            checkpointing.mode.replaying = wrong == "numbers drawn anew"
            yield

    monkeypatch.setattr(checkpointing, "_second_call", second_call)
    x = leaf((4, 3, 12, 10), 0)
    assert train(Net("layers"), x) != train(Net(False), x)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("recompute", [True, 1, 2])
def test_deconvnet_learns_the_same_bits(recompute, name):
    def run(again):
        random.manual_seed(5)
        net = deconvnet(
            num_classes=2, width=4, input_size=32, fc=8, stages=3, fc_kernel=2, recompute=again
        )
        return train(net, leaf((2, 3, 32, 32), 0), steps=2)

    with algorithm(name):
        assert run(recompute) == run(False)


def operations(loss):
    """Return the names of all operations on the tape."""
    names, todo, seen = [], [loss._node], set()
    while todo:
        node = todo.pop()
        if id(node) not in seen and hasattr(node, "edges"):
            seen.add(id(node))
            names.append(node.name)
            todo += node.edges
    return names


@pytest.mark.parametrize("hooked", ["conv1_1", "conv1_1.bn", "pool2", "unpool1", "deconv2_2.relu"])
def test_a_hook_in_deconvnet_is_called_once_whatever_it_recomputes(hooked):
    def run(recompute):
        random.manual_seed(5)
        net = deconvnet(num_classes=2, width=2, input_size=16, fc=4, stages=2, recompute=recompute)
        seen = []
        net.get_submodule(hooked).register_forward_hook(lambda *call: seen.append(call[2]))
        loss = F.cross_entropy(net(leaf((2, 3, 16, 16), 0)), np.zeros((2, 16, 16), np.int64))
        recomputed = sum(name.startswith("checkpoint of") for name in operations(loss))
        loss.backward()
        assert len(seen) == 1
        result = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
        assert result.requires_grad  # on the tape: gradients can be had too
        return recomputed, bits(loss, *(p.grad for p in net.parameters()))

    (none, wanted), (most, found) = run(False), run(True)
    assert (none, most) == (0, 3)  # of four parts of the network the hooked one is kept
    assert found == wanted


def test_hooks_elsewhere_see_what_a_part_computes_twice():
    """As everything else that a part does beside computing."""
    net, seen = Net("layers"), []
    for inner in (net.first[0], net.last, net):
        inner.register_forward_hook(lambda module, args, output: seen.append(type(module)))
    net(leaf((2, 3, 8, 8), 0)).sum().backward()
    assert seen.count(nn.Conv2d) == seen.count(nn.ConvTranspose2d) == 2
    assert seen.count(Net) == 1


def test_a_hook_that_changes_an_output_changes_it_both_times():
    def run(again):
        net = Net(again)
        net.first[0].register_forward_hook(lambda module, args, output: output * 3.0)
        return train(net, leaf((2, 3, 8, 8), 0))

    assert run("layers") == run(False) != train(Net(False), leaf((2, 3, 8, 8), 0))


def test_recomputing_is_no_setting_of_the_network():
    assert "recompute" not in deconvnet(width=2, input_size=16, fc=4, stages=2).config()


@pytest.mark.cpu  # counts the host's memory
@pytest.mark.usefixtures("no_old_garbage")
def test_the_step_takes_less_memory():
    def peak(recompute):
        random.manual_seed(0)
        net = deconvnet(
            num_classes=2, width=16, input_size=128, fc=32, fc_kernel=1, recompute=recompute
        )
        x = Tensor(np.zeros((2, 3, 128, 128), np.float32))
        labels = np.zeros((2, 128, 128), np.int64)
        F.cross_entropy(net(x), labels).backward()
        net.zero_grad()
        before = memory.use().allocated
        memory.reset_peak()
        F.cross_entropy(net(x), labels).backward()
        return memory.use().peak - before

    assert peak(True) < 0.75 * peak(False)


# ---- what goes in and out ------------------------------------------------------------------------


def test_several_results_some_unused_some_no_tensors():
    x, w = leaf((3, 4), 0), leaf((4,), 1)

    def part(x, factor):
        y = x * w
        return y, y.sum() * factor, "something", Tensor(np.arange(3)), y.exp()

    y, total, text, numbers, _ = checkpoint(part, x, 2.5)
    assert (text, numbers.numpy().tolist()) == ("something", [0, 1, 2])
    assert not numbers.requires_grad
    (y * y).sum().backward()
    once = bits(x.grad, w.grad)
    x.grad = w.grad = None
    other = part(x, 2.5)
    (other[0] * other[0]).sum().backward()
    assert once == bits(x.grad, w.grad)
    x.grad = w.grad = None
    y, total, *_ = checkpoint(part, x, 2.5)
    (y.sum() + total).backward()
    np.testing.assert_allclose(x.grad.numpy(), np.broadcast_to(3.5 * w.numpy(), (3, 4)), rtol=1e-6)


def test_a_parameter_inside_and_outside_gets_one_sum():
    w, x = leaf((4,), 0), leaf((4,), 1)
    arrived = []
    w.register_hook(lambda grad: arrived.append(grad.numpy().copy()))
    y = checkpoint(lambda x: x * w, x) + w * 3.0 + checkpoint(lambda x: x + w, x)
    y.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), x.numpy() + 4, rtol=1e-6)
    assert len(arrived) == 1


def test_a_result_from_outside_that_the_function_uses():
    a, x = leaf((4,), 0), leaf((4,), 1)
    outside = a.exp()
    y = checkpoint(lambda x: x * outside, x)
    (y + outside).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), np.exp(a.numpy()) * (x.numpy() + 1), rtol=1e-6)


def test_inputs_that_need_no_gradient_and_none_at_all():
    constant, w = Tensor(np.ones(3, np.float32)), leaf((3,), 0)
    y = checkpoint(lambda x: x * w, constant)
    y.sum().backward()
    assert constant.grad is None
    np.testing.assert_array_equal(w.grad.numpy(), np.ones(3))
    plain = checkpoint(lambda x: x * 2.0, constant)
    assert not plain.requires_grad


def test_a_function_that_returns_its_input():
    x = leaf((3,), 0)
    y = checkpoint(lambda x: x, x)
    assert y is not x
    (y * 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 2, 2])
    x.grad = None
    a, b = checkpoint(lambda x: (x, x * 1.0), x)
    c = np.array([1, 2, 3], np.float32)
    (a + b).backward(c)
    np.testing.assert_array_equal(x.grad.numpy(), 2 * c)
    np.testing.assert_array_equal(c, [1, 2, 3])


def test_no_gradient_shares_memory_with_what_was_passed():
    x, w = leaf((3,), 0), leaf((3,), 1)
    c = np.array([1, 2, 3], np.float32)
    checkpoint(lambda x: x + w, x).backward(c)
    assert not np.shares_memory(x.grad.numpy(), w.grad.numpy())
    assert not np.shares_memory(x.grad.numpy(), c)


def test_parts_inside_parts():
    calls = []

    def inner(x):
        calls.append("inner")
        return (x * x).exp()

    def outer(x):
        calls.append("outer")
        return checkpoint(inner, x * 0.5) + x

    x = leaf((5,), 0)
    checkpoint(outer, x).sum().backward()
    once = bits(x.grad)
    assert calls == ["outer", "inner", "outer", "inner", "inner"]
    x.grad = None
    (inner(x * 0.5) + x).sum().backward()
    assert bits(x.grad) == once


def test_without_a_tape_it_is_a_plain_call():
    x = leaf((3,), 0)
    with no_grad():
        y = checkpoint(lambda x: [x * 2.0], x)  # not even the kind of the result is looked at
    assert not y[0].requires_grad


def test_backward_inside_no_grad():
    x = leaf((3,), 0)
    y = checkpoint(lambda x: x * x, x).sum()
    with no_grad():
        y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.numpy())


def test_twice_over_a_kept_graph_and_an_error_over_a_freed_one():
    x = leaf((3,), 0)
    y = checkpoint(lambda x: x * x, x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 4 * x.numpy())
    with pytest.raises(RuntimeError, match="an earlier backward\\(\\) already passed"):
        y.backward()


@pytest.mark.cpu  # counts the blocks of the CPU's engine
@pytest.mark.usefixtures("no_old_garbage")
def test_nothing_is_kept_but_the_inputs():
    x = Tensor(memory.empty((1 << 20,)), requires_grad=True)
    x.data[...] = 0.5
    before = memory.use().allocated

    def part(x):
        for _ in range(5):
            y = memory.empty(x.shape)
            np.multiply(x.data, 2, out=y)
            x = record("double", y, (x,), lambda dy, needs, y: (dy * 2,), saved=(y,))
        return x

    y = checkpoint(part, x)
    one = 4 << 20
    assert memory.use().allocated - before < 1.1 * one  # the result
    y.sum().backward()
    del y
    assert memory.use().allocated == before
    np.testing.assert_array_equal(x.grad.numpy(), np.full(1 << 20, 32))


# ---- mistakes ------------------------------------------------------------------------------------


def test_a_function_that_returns_no_tensor():
    with pytest.raises(TypeError, match=r"checkpoint: .*lambda.* returned list; it must return a"):
        checkpoint(lambda x: [x], leaf((3,), 0))
    with pytest.raises(TypeError, match="returned NoneType"):
        checkpoint(lambda x: None, leaf((3,), 0))


@pytest.mark.parametrize("which", ["input", "parameter"])
def test_a_tensor_changed_in_between(which):
    x, w = leaf((3,), 0), leaf((3,), 1)
    y = checkpoint(lambda x: x * w, x)
    with no_grad():
        (x if which == "input" else w)[0] = 5.0
    with pytest.raises(RuntimeError, match=r"checkpoint of .*was changed in place 1 time since"):
        y.sum().backward()


def test_a_second_call_that_gives_something_else():
    sizes = iter([2, 3])
    y = checkpoint(lambda x: x[: next(sizes)], leaf((3,), 0))
    with pytest.raises(
        RuntimeError, match=r"returned shapes \[\(3,\)\] when it was called again but"
    ):
        y.sum().backward()


def test_an_error_inside_leaves_everything_as_it_was():
    x, state = leaf((3,), 0), random.get_state()

    def fails(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        checkpoint(fails, x)
    assert (x * 2.0).requires_grad
    outcomes = iter([False, True])

    def fails_later(x):
        F.dropout(x)
        if next(outcomes):
            raise ZeroDivisionError
        return x * 2.0

    y = checkpoint(fails_later, x)
    state = random.get_state()
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()
    assert random.get_state() == state
    assert (x * 2.0).requires_grad
    assert not checkpointing.mode.replaying


def test_anomalies_are_found_inside():
    x = Tensor(np.array([0.0], np.float32), requires_grad=True)
    found = pytest.raises(RuntimeError, match="detect_anomaly: log made 1 infinity")
    with detect_anomaly(), np.errstate(all="ignore"), found:
        checkpoint(lambda x: x.log(), x)
