"""A plan notices that its network has changed: no old scores."""

from __future__ import annotations

import numpy as np
import pytest
from plan_checks import distance, scores_of
from random_state import draw_state

from minideconv import Tensor, inference, nn, optim
from minideconv import functional as F
from minideconv.nn.folding import fold_batch_norm_
from minideconv.runtime import watch

pytestmark = pytest.mark.cpu

X = np.random.default_rng(0).standard_normal((2, 3, 9, 8)).astype(np.float32)


class Scaled(nn.Module):
    """A layer with a number that is no parameter, and a parameter of one number."""

    def __init__(self):
        super().__init__()
        self.factor = 2.0
        self.shift = nn.Parameter(np.ones(1, np.float32))

    def forward(self, x):
        return x * self.factor + self.shift


def make():
    net = nn.Sequential(
        nn.Conv2d(3, 20, 3, padding=1),
        nn.BatchNorm2d(20),
        nn.ReLU(),
        nn.ConvTranspose2d(20, 24, 3),
        nn.BatchNorm2d(24),
        Scaled(),
    )
    draw_state(net, np.random.default_rng(1))
    return net.eval()


def step(net, kind=optim.SGD):
    net.train()
    optimizer = kind(net.parameters(), lr=0.1)
    net(Tensor(X)).sum().backward()
    optimizer.step()
    net.eval()


def numpy_step(net):
    """What a student writes."""
    (net(Tensor(X)) ** 2).mean().backward()
    for p in net.parameters():
        p.data -= 0.05 * p.grad.data


def changed(array, value=3.0):
    array[...] = value


def one_number(array):
    array.reshape(-1)[0] += 5


def training_forward(net):
    net.train()
    net(Tensor(X * 3 + 1))
    net.eval()


CHANGES = {
    "a step of an optimiser": step,
    "a step of Adam": lambda net: step(net, optim.Adam),
    "a step in NumPy": numpy_step,
    "another state": lambda net: draw_state(net, np.random.default_rng(2)),
    "running statistics by training": training_forward,
    "running mean in place": lambda net: changed(net[1].running_mean),
    "one number of the running variance": lambda net: one_number(net[4].running_var),
    "running variance, another array": lambda net: setattr(
        net[1], "running_var", np.full(20, 4, np.float32)
    ),
    "one number of a bias": lambda net: one_number(net[0].bias.data),
    "one number of a scale": lambda net: one_number(net[4].weight.data),
    "a weight in place": lambda net: changed(net[3].weight.data, 0.5),
    "a tensor in place": lambda net: net[3].weight.detach().mul_(2.0),
    "one number of a weight, by its version": lambda net: (
        changed(net[3].weight.data[15, 15, 0, 2:], 50.0),
        net[3].weight.bump_version(),
    ),
    "a weight's array": lambda net: setattr(net[3].weight, "data", net[3].weight.data * 2),
    "a parameter": lambda net: setattr(net[0], "bias", nn.Parameter(np.ones(20, np.float32))),
    "a parameter of one number": lambda net: setattr(
        net[5], "shift", nn.Parameter(np.full(1, 7, np.float32))
    ),
    "a parameter that is gone": lambda net: setattr(net[0], "bias", None),
    "a module": lambda net: net.set_submodule("2", nn.Sigmoid()),
    "a module more": lambda net: net.append(nn.Sigmoid()),
    "an option": lambda net: setattr(net[1], "eps", 0.5),
    "a number": lambda net: setattr(net[5], "factor", 5.0),
    "a forward of its own": lambda net: setattr(net[2], "forward", lambda x: F.relu(x) * 2),
    "another type": lambda net: net.to("float64").to("float32") and changed(net[0].bias.data),
    "folded": lambda net: fold_batch_norm_(net) and changed(net[0].bias.data),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_noticed(name):
    net = make()
    plan = inference(net)
    before = plan(X)
    assert distance(before, scores_of(net, X)) < 1e-5
    CHANGES[name](net)
    wanted = scores_of(net, X)
    assert distance(before, wanted) > 1e-3, "the change must change the scores"
    assert distance(plan(X), wanted) < 1e-5
    assert not plan.reason


def test_without_the_watch_the_scores_would_be_old(monkeypatch):
    monkeypatch.setattr(watch.Watch, "same", lambda self: True)
    for change in CHANGES.values():
        net = make()
        plan = inference(net)
        plan(X)
        change(net)
        assert distance(plan(X), scores_of(net, X)) > 1e-3


@pytest.mark.parametrize("part", ["_runs", "_counts", "_arrays", "_kept"])
def test_every_part_of_the_watch_is_needed(part, monkeypatch):
    """Without one of them, some change goes unnoticed."""
    blind = {
        "_runs": lambda self: (setattr(self, "_runs", []), setattr(self, "_seen", b"")),
        "_counts": lambda self: (setattr(self, "_versions", []), setattr(self, "_counts", [])),
        "_arrays": lambda self: (setattr(self, "_parameters", []), setattr(self, "_arrays", [])),
        "_kept": lambda self: (setattr(self, "_attributes", []), setattr(self, "_kept", [])),
    }[part]
    whole = watch.Watch.__init__

    def make_blind(self, network):
        whole(self, network)
        blind(self)

    monkeypatch.setattr(watch.Watch, "__init__", make_blind)
    missed = []
    for name, change in CHANGES.items():
        net = make()
        plan = inference(net)
        plan(X)
        change(net)
        if distance(plan(X), scores_of(net, X)) > 1e-3:
            missed.append(name)
    assert missed


def test_an_equal_parameter_of_one_number_is_looked_at_too():
    """It may take the place of the other unnoticed, and be changed later."""
    net = make()
    plan = inference(net)
    plan(X)
    net[5].shift = nn.Parameter(net[5].shift.data.copy())
    plan(X)
    net[5].shift.data[...] = 7
    assert distance(plan(X), scores_of(net, X)) < 1e-5


def test_nothing_is_made_anew_for_a_network_that_stays(monkeypatch):
    from minideconv.runtime import plan as module

    traced, trace = [], module.trace
    monkeypatch.setattr(module, "trace", lambda *a, **k: traced.append(1) or trace(*a, **k))
    net = make()
    plan = inference(net)
    for _ in range(3):
        plan(X)
        net.train()
        plan(X)
        net.eval()
        net[0].register_forward_hook(lambda *_: None).remove()
        net.zero_grad()
        scores_of(net, X)
    assert len(traced) == 1


def test_forget_makes_plans_anew():
    net = make()
    plan = inference(net)
    plan(X)
    net[3].weight.data[5, 5, 1, 1] += 100  # one number of many: what the watch says it may miss
    plan.forget()
    assert distance(plan(X), scores_of(net, X)) < 1e-5


@pytest.mark.parametrize(
    "array",
    [
        np.arange(5.0),
        np.arange(6000.0).reshape(20, 300),
        np.arange(6000.0).reshape(20, 300).T,
        np.arange(6000.0).reshape(20, 300)[::2, ::3],
        np.arange(60.0)[::-1],
        np.zeros((0, 3)),
        np.array(7),
    ],
    ids=str,
)
def test_what_is_looked_at_is_the_array_itself(array):
    runs = watch.runs_of(array)
    before = b"".join(runs)
    assert len(before) <= 8 * watch.FEW
    assert bool(before) is bool(array.size)
    array += 1
    assert (b"".join(runs) != before) is bool(array.size)
