"""Hooks: what they see and may change, when they are called, and how they go away."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from minideconv import nn, no_grad
from minideconv.autograd import Tensor


class Times(nn.Module):
    """Multiplies; the factor may be given by name."""

    def forward(self, x, by=2):
        return x * by


def log(calls, name):
    return lambda *arguments: calls.append((name, *arguments[1:]))


def test_a_hook_sees_arguments_and_output_before_and_behind_the_forward():
    module, calls = Times(), []
    module.register_forward_pre_hook(log(calls, "before"))
    module.register_forward_hook(log(calls, "behind"))
    module.register_forward_pre_hook(log(calls, "before too"), with_kwargs=True)
    module.register_forward_hook(log(calls, "behind too"), with_kwargs=True)
    assert module(3) == 6
    assert module(3, by=4) == 12
    assert calls == [
        *[("before", (3,)), ("before too", (3,), {})],
        *[("behind", (3,), 6), ("behind too", (3,), {}, 6)],
        *[("before", (3,)), ("before too", (3,), {"by": 4})],
        *[("behind", (3,), 12), ("behind too", (3,), {"by": 4}, 12)],
    ]


def test_the_module_itself_is_what_a_hook_gets_first():
    module, seen = Times(), []
    module.register_forward_pre_hook(lambda one, args: seen.append(one))
    module.register_forward_hook(lambda one, args, output: seen.append(one))
    module(1)
    assert [one is module for one in seen] == [True, True]


def test_what_a_hook_returns_takes_the_place_one_after_the_other():
    module = Times()
    module.register_forward_hook(lambda module, args, output: output + 1)
    module.register_forward_hook(lambda module, args, output: None)
    module.register_forward_hook(lambda module, args, output: output * 10)
    assert module(3) == 70
    module.register_forward_pre_hook(lambda module, args: args[0] + 1)  # one value
    assert module(3) == 90
    module.register_forward_pre_hook(lambda module, args: (*args, 5))  # a tuple
    assert module(3) == 210
    module.register_forward_pre_hook(lambda module, args: None)
    module.register_forward_pre_hook(
        lambda module, args, kwargs: (args[:1], {"by": -args[1]}), with_kwargs=True
    )
    seen = []
    module.register_forward_hook(log(seen, "last"), with_kwargs=True)
    assert module(3) == -190
    assert seen == [("last", (4,), {"by": -5}, -190)]  # arguments as the hooks in front left them


@pytest.mark.parametrize("zero", [0, False, "", ()])
def test_only_none_leaves_an_output_as_it_is(zero):
    module = Times()
    module.register_forward_hook(lambda module, args, output: zero)
    assert module(3) is zero


@pytest.mark.parametrize("wrong", [3, (1,), ((1,), {}, 2), ({}, (1,)), [(1,), {}]])
def test_a_wrong_pair_is_one_sentence(wrong):
    module = Times()
    module.register_forward_pre_hook(lambda module, args, kwargs: wrong, with_kwargs=True)
    kind = type(wrong).__name__
    with pytest.raises(
        TypeError, match=rf"^Times: a forward pre-hook .* a {kind}; it must .* \(ar"
    ):
        module(3)


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_what_cannot_be_called_is_no_hook(register):
    module = Times()
    with pytest.raises(TypeError, match=r"^Times: a hook is a int; it must be a function or"):
        getattr(module, register)(3)
    assert module(3) == 6


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_removed_hook_is_called_no_more(register):
    module, calls = Times(), []
    first, second, third = (
        getattr(module, register)(lambda *arguments, name=name: calls.append(name))
        for name in "abc"
    )
    second.remove()
    module(1)
    second.remove()  # twice does nothing
    first.remove()
    module(1)
    third.remove()
    module(1)
    assert "".join(calls) == "acc"


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_may_come_and_go_while_they_are_called(register):
    module, calls = Times(), []

    def once(*arguments):
        calls.append("once")
        handles[0].remove()
        handles[1].remove()
        getattr(module, register)(lambda *arguments: calls.append("new"))

    handles = [getattr(module, register)(once)]
    handles.append(getattr(module, register)(lambda *arguments: calls.append("next")))
    module(1)
    assert calls == ["once", "next"]  # those of this call are called
    module(1)
    assert calls[2:] == ["new"]


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_an_exception_passes_through_and_leaves_the_module_as_it_is(register):
    class Stop(Exception):
        pass

    def stop(*arguments):
        raise Stop

    module, calls = Times(), []
    handle = getattr(module, register)(stop)
    module.register_forward_hook(log(calls, "behind"))
    with pytest.raises(Stop):
        module(1)
    assert not calls
    handle.remove()
    assert module(1) == 2
    assert len(calls) == 1


def test_hooks_of_an_inner_module_are_called_where_the_outer_one_calls_it():
    net, calls = nn.Sequential(Times(), nn.Sequential(Times())), []
    for name, module in net.named_modules():
        module.register_forward_hook(log(calls, name))
    assert net(1) == 4
    assert calls == [("0", (1,), 2), ("1.0", (2,), 4), ("1", (2,), 4), ("", (1,), 4)]


def test_gradients_pass_a_hook_and_what_it_puts_in_place():
    layer = nn.Linear(2, 2, bias=False)
    with no_grad():
        layer.weight[...] = np.array([[1, 2], [3, 4]], np.float32)
    layer.register_forward_hook(lambda module, args, output: output * 10.0)
    x = Tensor(np.ones((1, 2), np.float32), requires_grad=True)
    layer(x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[40, 60]])


def test_hooks_are_no_part_of_the_state_nor_of_a_pickle():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm2d(2))
    names, text = list(net.state_dict()), repr(net)
    net[0].register_forward_hook(lambda *arguments: None)  # a lambda cannot be pickled
    net.register_forward_pre_hook(lambda *arguments: None)
    assert (list(net.state_dict()), repr(net)) == (names, text)
    other = pickle.loads(pickle.dumps(net))
    other[0].register_forward_hook(lambda module, args, output: output * 0.0)
    assert other(Tensor(np.ones((3, 2), np.float32))).shape == (3, 2)
    net.load_state_dict(other.state_dict())


class Counter:
    def __init__(self):
        self.calls = 0

    def __call__(self, module, args, output):
        self.calls += 1


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_has_hooks_of_its_own(copied):
    module, calls = Times(), []
    module.counter = Counter()
    handle = module.register_forward_hook(module.counter)
    twin = copied(module)
    deep = copied is copy.deepcopy
    assert (twin.counter is not module.counter) == deep
    twin.register_forward_hook(log(calls, "twin"))
    module(1)
    assert (module.counter.calls, calls) == (1, [])
    twin(1)
    assert (twin.counter.calls, len(calls)) == (1 if deep else 2, 1)
    handle.remove()  # the original's alone
    module(1)
    twin(1)
    assert (module.counter.calls, twin.counter.calls) == ((1, 2) if deep else (3, 3))


def test_a_handle_does_not_keep_the_module():
    module = Times()
    handle = module.register_forward_hook(lambda *arguments: None)
    gone = weakref.ref(module)
    del module
    gc.collect()
    assert gone() is None
    handle.remove()


def test_without_hooks_a_call_is_the_forward_alone(monkeypatch):
    def fail(*arguments):
        raise AssertionError("a module without hooks looked for some")

    module = Times()
    module.register_forward_hook(lambda *arguments: None).remove()
    monkeypatch.setattr("minideconv.nn.module.call_with_hooks", fail)
    assert (module(3), Times()(3)) == (6, 6)
    assert nn.Module._hooks == {}  # what one module registers is its own


def test_converting_to_synchronised_batch_norm_keeps_hooks(monkeypatch):
    from minideconv.distributed import Single

    shared, seen = nn.BatchNorm2d(2), []
    net = nn.Sequential(shared, nn.ReLU(), nn.Sequential(shared))
    net.register_buffer("unused", np.zeros(1, np.float32))
    net[1].parent = net  # modules that hold each other
    shared.register_forward_hook(lambda *arguments: seen.append(1))
    nn.SyncBatchNorm2d.convert_sync_batchnorm(net, Single())
    assert isinstance(net[0], nn.SyncBatchNorm2d)
    assert net[2][0] is net[0]
    net(Tensor(np.random.default_rng(0).standard_normal((3, 2, 4, 4)).astype(np.float32)))
    assert len(seen) == 2
