"""Modules: names, state, modes, and what happens to a state that does not fit."""

from __future__ import annotations

import numpy as np
import pytest

import minideconv as md
from minideconv import nn
from minideconv.autograd import Tensor
from minideconv.nn import BatchNorm2d, Conv2d, Module, Parameter, ReLU, Sequential


class Two(Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Sequential(Conv2d(2, 3, (1, 2)), BatchNorm2d(3), ReLU())
        self.scale = Parameter(np.ones(1, np.float32))
        self.second = Conv2d(3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) * self.scale


def test_names_are_joined_by_dots_in_the_order_of_assignment():
    net = Two()
    assert [name for name, _ in net.named_parameters()] == [
        "scale",
        "first.0.weight",
        "first.0.bias",
        "first.1.weight",
        "first.1.bias",
        "second.weight",
    ]
    assert [name for name, _ in net.named_buffers()] == [
        "first.1.running_mean",
        "first.1.running_var",
        "first.1.num_batches_tracked",
    ]
    assert [name for name, _ in net.named_modules()] == [
        "", "first", "first.0", "first.1", "first.2", "second",
    ]  # fmt: skip
    assert net.num_parameters() == 1 + 3 * 2 * 2 + 3 + 3 + 3 + 3


def test_a_parameter_shared_by_two_modules_is_listed_once():
    net = Sequential(Conv2d(2, 2, 1), Conv2d(2, 2, 1))
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]


def test_train_and_eval_reach_every_module():
    net = Two()
    assert all(not m.training for m in net.eval().modules())
    assert all(m.training for m in net.train().modules())


def test_state_goes_round_and_is_a_copy():
    a, b = Two(), Two()
    a(Tensor(np.random.default_rng(0).normal(size=(4, 2, 3, 5)).astype(np.float32)))
    state = a.state_dict()
    assert state["first.1.num_batches_tracked"] == 1
    b.load_state_dict(state)
    for name, value in b.state_dict().items():
        assert (value == state[name]).all(), name
    state["scale"][0] = 7
    assert a.scale.numpy()[0] == b.scale.numpy()[0] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("scale"), r"'scale' is missing \(1 missing, 0 unknown names\)"),
        (lambda s: s.update(x=np.ones(1)), r"'x' is not in the network \(0 missing, 1 unknown"),
        (
            lambda s: s.update({"second.weight": np.ones((1, 4, 1, 1))}),
            r"'second.weight' has shape \(1, 4, 1, 1\) in the state but \(1, 3, 1, 1\) in this Two",
        ),
        *[
            (
                lambda s, value=value: s.update({"second.weight": value}),
                f"'second.weight' is a {kind} of dtype {dtype}.*; it must hold real numbers, to"
                " become float32",
            )
            for value, kind, dtype in (
                (np.full((1, 3, 1, 1), "a"), "ndarray", "<U1"),
                (np.full((1, 3, 1, 1), 1j), "ndarray", "complex128"),
                (np.full((1, 3, 1, 1), None), "ndarray", "object"),
                (None, "NoneType", "object"),
            )
        ],
        (
            lambda s: s.update({"first.0.bias": [[1.0], [2.0, 3.0]]}),
            "'first.0.bias' is a list whose rows have different lengths; it must be an array",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    net = Two()
    state = {name: value + 1 for name, value in net.state_dict().items()}
    change(state)
    before = net.state_dict()
    with pytest.raises((ValueError, TypeError), match="^load_state_dict: .*" + message):
        net.load_state_dict(state)
    for name, value in net.state_dict().items():
        assert (value == before[name]).all(), name


@pytest.mark.parametrize("state", [None, 3, ["scale"]])
def test_a_state_that_is_no_mapping(state):
    kind = type(state).__name__
    with pytest.raises(TypeError, match=f"^load_state_dict: the state is a {kind}; it must be a d"):
        Two().load_state_dict(state)


def test_to_changes_the_floating_type_only_and_drops_gradients():
    net = Two()
    net(Tensor(np.ones((2, 2, 3, 4), np.float32))).sum().backward()
    assert net.scale.grad is not None
    net.to(dtype=np.float64).to(md.get_default_device())
    assert net.scale.grad is None
    assert {v.dtype for _, v in net.named_buffers()} == {np.dtype(np.float64), np.dtype(np.int64)}
    assert all(p.dtype == np.float64 and p.requires_grad for p in net.parameters())
    assert net(Tensor(np.ones((2, 2, 3, 4)))).dtype == np.float64


def test_zero_grad_and_parameters_after_assignment():
    net = Two()
    net(Tensor(np.ones((2, 2, 3, 4), np.float32))).sum().backward()
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_forgetting_super_init_is_explained():
    class Hasty(Module):
        def __init__(self) -> None:
            self.weight = Parameter(np.ones(1, np.float32))

    with pytest.raises(
        RuntimeError, match=r"call super\(\).__init__\(\) before assigning 'weight'"
    ):
        Hasty()


def test_an_unknown_attribute_and_a_missing_forward():
    with pytest.raises(AttributeError, match="Two has no attribute 'third'"):
        Two().third  # noqa: B018 (reading it raises)
    with pytest.raises(NotImplementedError, match="Module does not define forward"):
        Module()(1)


def test_printing_shows_the_outline():
    text = repr(Two())
    assert "(first): Sequential(" in text
    assert "    (0): Conv2d(2, 3, kernel_size=(1, 2), stride=(1, 1), padding=(0, 0))" in text
    assert len(nn.Sequential(ReLU(), ReLU())) == 2


def test_without_strict_what_fits_is_loaded_and_the_rest_is_named():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = net.state_dict()
    state = {name: a + 1 for name, a in before.items() if name != "1.bias"}
    found = net.load_state_dict({**state, "2.weight": np.zeros(3)}, strict=False)
    assert found.missing_keys == ["1.bias"]
    assert found.unexpected_keys == ["2.weight"]
    after = net.state_dict()
    assert (after["1.bias"] == before["1.bias"]).all()
    assert all((after[name] == array).all() for name, array in state.items())
    with pytest.raises(ValueError, match="1 missing, 1 unknown"):
        net.load_state_dict({**state, "2.weight": np.zeros(3)})
    assert net.load_state_dict(before) == ([], [])


@pytest.mark.parametrize("strict", [True, False])
def test_a_state_that_fails_half_way_changes_nothing(strict):
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = net.state_dict()
    better = {name: array + 1 for name, array in before.items()}

    class Corrupt(dict):
        def __getitem__(self, name):
            if name == "1.bias":
                raise OSError("the file ends here")
            return super().__getitem__(name)

    wrong = [
        ({**better, "1.bias": np.zeros(7)}, ValueError),
        ({**better, "1.bias": np.array(["a"])}, TypeError),
        ({**better, "1.bias": np.zeros(1, complex)}, TypeError),
        (Corrupt(better), OSError),
        ({**better, "1.bias": np.array([1e300])}, FloatingPointError),  # under errstate(raise)
    ]
    for state, error in wrong:
        with np.errstate(all="raise"), pytest.raises(error):
            net.load_state_dict(state, strict=strict)
        now = net.state_dict()
        assert all((now[name] == before[name]).all() for name in before)


def test_apply_visits_every_module_once_the_inner_ones_first():
    shared = nn.ReLU()
    net = nn.Sequential(nn.Sequential(nn.Linear(1, 1), shared), shared)
    seen = []
    assert net.apply(seen.append) is net
    assert seen == [net[0][0], shared, net[0], net]
