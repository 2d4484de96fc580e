"""`nn.trace.trace`: what a network computes, as a list."""

from __future__ import annotations

import numpy as np
import pytest
from small_networks import Function

from minideconv import Tensor, models, nn, no_grad
from minideconv import functional as F
from minideconv.autograd import is_grad_enabled, tracing
from minideconv.backend import to_cpu
from minideconv.errors import UsageError
from minideconv.nn.graph import Length, Value
from minideconv.nn.lengths import fit, fit_stop
from minideconv.nn.trace import trace


def net(**options):
    return models.deconvnet(3, width=2, input_size=32, fc=3, stages=2, **options)


def test_operations_arguments_and_modules():
    graph = trace(net(), 32)
    names = [(o.module, o.name) for o in graph.operations]
    assert names[:4] == [
        ("conv1_1.layer", "conv2d"),
        ("conv1_1.bn", "batch_norm"),
        ("conv1_1.relu", "relu"),
        ("conv1_2.layer", "conv2d"),
    ]
    assert names[-1] == ("seg_score", "conv2d")
    first, bn = graph.operations[:2]
    assert first.inputs[0] is graph.input
    assert [v.name for v in first.inputs[1:]] == ["conv1_1.layer.weight", "conv1_1.layer.bias"]
    assert bn.inputs[0] is first.result
    assert bn.options["running_var"].name == "conv1_1.bn.running_var"
    pools = [o for o in graph.operations if o.name == "max_pool2d"]
    unpools = [o for o in graph.operations if o.name == "max_unpool2d"]
    assert all(pool.gives_switches for pool in pools)
    assert [o.options["switches"] for o in unpools] == pools[::-1]
    assert graph.output is graph.operations[-1].result
    assert graph.output.shapes == ((1, 3, 32, 32), (2, 3, 32, 32))


@pytest.mark.parametrize("recording", [True, False])
def test_the_network_stays_as_it_is(recording):
    network = net(dropout=0.5).train()
    before = {k: v.copy() for k, v in network.state_dict().items()}
    hooks = sum(len(m._hooks) for m in network.modules())
    if recording:
        trace(network, 32)
    else:
        with no_grad():
            trace(network, 32)
            assert not is_grad_enabled()
    assert network.training
    assert network.conv1_1.bn.training
    assert all(p.grad is None for p in network.parameters())
    assert all((v == before[k]).all() for k, v in network.state_dict().items())
    assert sum(len(m._hooks) for m in network.modules()) == hooks


def test_recomputed_stages_and_frozen_parameters_are_traced_as_others():
    frozen = net(recompute=True)
    for parameter in frozen.parameters():
        parameter.requires_grad = False
    names = [o.name for o in trace(frozen, 32).operations]
    assert names == [o.name for o in trace(net(), 32).operations]


def test_what_the_output_does_not_need_is_left_out():
    def forward(module, x):
        F.max_pool2d(x.exp(), 2)
        return x.tanh()

    assert [o.name for o in trace(Function(forward), 4).operations] == ["tanh"]


def test_in_place_sums_are_operations():
    def forward(module, x):
        y = x * 2.0
        y += x
        return y

    with no_grad():
        assert [o.name for o in trace(Function(forward), 4).operations] == ["mul", "add"]


def test_lengths_are_found_in_every_trace_or_not_at_all():
    small = Value(((1, 3, 8, 9), (2, 3, 12, 10), (4, 3, 9, 14)), "float32")
    pooled = Value(((1, 3, 4, 4), (2, 3, 6, 5), (4, 3, 4, 7)), "float32")
    assert fit([5, 5, 5], [small]) == 5
    assert fit([1, 2, 4], [small]) == Length(small, 0, 0)
    assert fit([6, 8, 6], [small, pooled]) == Length(pooled, 2, 2)
    assert fit([8, 12, 10], [small, pooled]) is None
    assert fit_stop([8, 12, 9], [8, 12, 9], [small]) is True
    # min(8, 4 + 4), min(9, 6 + 4), min(9, 4 + 4): the end of the axis once.
    assert fit_stop([8, 9, 8], [8, 9, 9], [pooled]) == Length(pooled, 2, 4)
    assert fit_stop([8, 7, 8], [8, 9, 9], [pooled]) is None


def test_a_size_by_another_rule_is_refused():
    def halved(module, x):
        return x[:, :, : x.shape[2] // 2]

    with pytest.raises(UsageError, match=r"stop .* no length of another array plus a constant"):
        trace(Function(halved), 6, dynamic_size=True)
    assert trace(Function(halved), 6).output.length(2) == 3


def test_a_constant_of_the_image_is_refused():
    for function in (
        lambda m, x: x + Tensor(x.numpy().mean(axis=0)),
        lambda m, x: x * float(x.numpy().max()),
    ):
        with pytest.raises(UsageError, match=r"change with the image|for different images"):
            trace(Function(function), 4)


def test_a_constant_of_the_module_is_none():
    graph = trace(Function(lambda m, x: x + Tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)), 4)
    constant = graph.operations[0].inputs[0]
    assert not constant.name
    np.testing.assert_array_equal(to_cpu(constant.array), [1, 2, 3])


def test_tracing_is_of_this_thread_and_ends():
    import threading

    def other():
        Tensor([1.0]).exp()

    with tracing() as calls:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert not calls
        with tracing() as inner:
            Tensor([1.0]).exp()
        Tensor([1.0]).tanh()
    Tensor([1.0]).exp()
    assert [c.name for c in inner] == ["exp"]
    assert [c.name for c in calls] == ["tanh"]


def test_a_shared_module_is_traced_at_each_call():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.conv(self.conv(x))

    graph = trace(Twice(), 4)
    first, second = graph.operations
    assert first.inputs[1] is second.inputs[1]
    assert first.module == second.module == "conv"
