"""A plan gives what the network gives: every network, every operation, drawn ones."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from device_tier import chosen_device
from hypothesis import given, settings
from plan_checks import check, distance, scores_of
from random_state import draw_state
from small_networks import NETWORKS, OPERATIONS, Example, Function, inputs, network

from minideconv import Tensor, inference, models, nn, ops, parallel
from minideconv import functional as F
from minideconv.autograd import detect_anomaly
from minideconv.autograd.tracing import tracing
from minideconv.backend.algorithms import algorithm, compiled, use_compiled
from minideconv.errors import UsageError
from minideconv.testing import network_geometries, seeds

ON_CPU = chosen_device() == "cpu"

MORE = {
    "autoencoder": Example(
        lambda: models.Autoencoder(3, width=2, stages=3, input_size=16), (18, 21), True
    ),
    "autoencoder bilinear": Example(
        lambda: models.Autoencoder(3, 2, 2, 16, upsampling="bilinear"), (18, 21), True
    ),
    "swwae": Example(lambda: models.SWWAE(3, width=2, stages=3, input_size=16), (17, 22), True),
    "probe": Example(lambda: models.Probe(4, width=2, stages=2, input_size=16), (18, 21), True),
    # 16 channels and more: each compiled kernel, those of pooling included
    "deconvnet wide": Example(
        lambda: models.deconvnet(5, width=16, input_size=24, fc=32, stages=2, fc_kernel=1),
        (27, 24),
        True,
    ),
    "fcn8s wide": Example(
        lambda: models.fcn(8, num_classes=5, width=16, fc=24, fc_kernel=1, padding="same"),
        (33, 40),
        True,
    ),
    "swwae wide": Example(
        lambda: models.SWWAE(3, width=16, stages=2, input_size=16), (18, 21), True
    ),
}
ALL = {**NETWORKS, **MORE, **{f"op {name}": example for name, example in OPERATIONS.items()}}
WAYS = [("reference", False), ("exact", False), ("fast", False), ("exact", True), ("fast", True)]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{'compiled' if way[1] else 'numpy'}")
def way(request):
    name, kernels = request.param
    before = compiled()
    if kernels:
        pytest.importorskip("numba", reason="compiled kernels need numba")
    use_compiled(kernels)
    with algorithm(name):
        yield
    use_compiled(before)


@pytest.mark.parametrize("name", ALL)
def test_scores_are_the_networks(name):
    example = ALL[name]
    net = network(example)
    plan = inference(net)
    for x in inputs(example):
        check(plan, net, x)
        assert bool(plan.reason) is not ON_CPU


@pytest.mark.cpu
@pytest.mark.parametrize("name", [*MORE, "deconvnet five stages, odd", "fcn8s", "vgg16 bn"])
def test_with_each_algorithm(way, name):
    net = network(ALL[name])
    plan = inference(net)
    for x in inputs(ALL[name])[:2]:
        check(plan, net, x)
        assert not plan.reason


@pytest.mark.cpu
@pytest.mark.parametrize("name", [*NETWORKS, *MORE])
def test_a_plan_is_as_exact_as_the_network(name):
    """Beside float64, in which both are the same but for 1e-9."""
    example = ALL[name]
    net, wide = network(example), network(example).to("float64")
    (x,) = inputs(example)[:1]
    truth = scores_of(wide, x.astype(np.float64))
    check(inference(wide), wide, x.astype(np.float64), 1e-11)
    errors = [distance(y.astype(np.float64), truth) for y in (inference(net)(x), scores_of(net, x))]
    assert errors[0] < 2 * errors[1] + 1e-6


def module_of(geometry):
    """A drawn network as a Module, with its switches on the way."""
    layers = {}
    for number, layer in enumerate(geometry.layers):
        g = layer.geometry
        if layer.kind in ("conv2d", "conv_transpose2d"):
            kind = nn.Conv2d if layer.kind == "conv2d" else nn.ConvTranspose2d
            options = g.kwargs if layer.kind == "conv2d" else g.transpose_kwargs
            layers[number] = kind(layer.in_shape[1], layer.out_shape[1], g.kernel, **options)
        elif layer.kind == "batch_norm":
            layers[number] = nn.BatchNorm2d(layer.in_shape[1])

    def forward(module, x):
        switches = {}
        for number, layer in enumerate(geometry.layers):
            if number in layers:
                x = layers[number](x)
            elif layer.kind == "relu":
                x = F.relu(x)
            elif layer.kind == "max_pool2d":
                x, switches[number] = F.max_pool2d(x, **layer.geometry.kwargs, return_switches=True)
            else:
                x = F.max_unpool2d(x, switches[layer.pool])
        return x

    module = Function(forward)
    module.layers = nn.ModuleList(layers.values())
    return module


@pytest.mark.cpu
@given(network_geometries(), seeds())
def test_drawn_networks(geometry, seed):
    net, rng = module_of(geometry), np.random.default_rng(seed)
    draw_state(net, rng)
    net.in_channels = geometry.x_shape[1]
    plan = inference(net)
    for shape in (geometry.x_shape, (3, *geometry.x_shape[1:])):
        check(plan, net, rng.standard_normal(shape).astype(np.float32))
        assert not plan.reason


@pytest.mark.cpu
@settings(max_examples=20)
@given(network_geometries(max_channels=20, max_size=12), seeds())
def test_drawn_networks_of_more_channels(geometry, seed):
    test_drawn_networks.hypothesis.inner_test(geometry, seed)


# ---------------------------------------------------------------------------------------------
# What comes back


def small():
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3),
        nn.ReLU(),
    )
    draw_state(net, np.random.default_rng(0))
    return net.eval()


def drawn(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


ALIASING = {
    "a kernel's result": lambda m, x: m.net(x),
    "a view of it": lambda m, x: m.net(x)[:, :, 1:-1],
    "a view of a view": lambda m, x: m.net(x).transpose(0, 2, 3, 1)[:, 1:].reshape(-1, 16),
    "the input": lambda m, x: x,
    "a view of the input": lambda m, x: (m.net(x).sum() * 0 + x)[:, 1:],
    "what was pooled": lambda m, x: F.max_pool2d(m.net(x), 2),
}


@pytest.mark.parametrize("name", ALIASING)
def test_no_later_call_changes_a_result(name):
    net = Function(ALIASING[name])
    net.net = small()
    plan = inference(net)
    a, b = drawn(1, 3, 12, 13), drawn(1, 3, 12, 13, seed=2)
    first = plan(Tensor(a))
    kept = first.numpy().copy()
    plan(Tensor(b))
    np.testing.assert_array_equal(first.numpy(), kept)
    assert distance(kept, scores_of(net, a)) < 1e-5


def test_a_tensor_for_a_tensor_and_an_array_for_an_array():
    net = small()
    plan, x = inference(net), drawn(2, 3, 8, 9)
    y = plan(Tensor(x, requires_grad=True))
    assert isinstance(y, Tensor)
    assert not y.requires_grad
    z = plan(Tensor(x).data)
    assert not isinstance(z, Tensor)
    assert distance(Tensor(z).numpy(), y.numpy()) == 0


@pytest.mark.cpu
def test_the_input_may_have_any_strides_and_is_not_changed():
    net, x = small(), drawn(4, 3, 8, 18)
    plan = inference(net)
    for view in (x, x[::2, :, ::-1], np.asfortranarray(x), x.transpose(0, 1, 3, 2), x[..., ::2]):
        before = view.copy()
        view.flags.writeable = False
        assert distance(plan(view), scores_of(net, before)) < 1e-5
        np.testing.assert_array_equal(view, before)


def test_the_networks_mode_does_not_count_and_stays():
    net = nn.Sequential(small(), nn.Dropout(0.5)).train()
    plan, x = inference(net), drawn(2, 3, 8, 9)
    before = {name: array.copy() for name, array in net.state_dict().items()}
    wanted = scores_of(net, x)
    for mode in (True, False, True):
        net.train(mode)
        assert distance(plan(Tensor(x)).numpy(), wanted) < 1e-5
        assert net.training is mode
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


# ---------------------------------------------------------------------------------------------
# Several shapes, several threads


@pytest.mark.cpu
def test_a_plan_for_each_shape_and_the_oldest_goes(monkeypatch):
    from minideconv.runtime import plan as module

    made, program = [], module.Program
    monkeypatch.setattr(module, "Program", lambda *a: made.append(a[-1]) or program(*a))
    net = small()
    plan = inference(net, plans=2)
    shapes = [(1, 3, 8, 9), (2, 3, 8, 9), (1, 3, 8, 9), (3, 3, 8, 9), (1, 3, 8, 9), (2, 3, 8, 9)]
    for shape in shapes:
        check(plan, net, drawn(*shape))
    assert made == [1, 2, 3, 2]  # the last one had gone
    assert repr(plan) == "InferencePlan of Sequential: (1, 3, 8, 9), (2, 3, 8, 9)"


@pytest.mark.cpu
@pytest.mark.parametrize("workers", [1, 2])
def test_threads_may_call_one_plan_at_once(workers):
    net = network(ALL["deconvnet wide"])
    plan = inference(net, plans=2)
    xs = [drawn(1 + i % 3, 3, 27, 24, seed=i) for i in range(9)]
    wanted = [scores_of(net, x) for x in xs]
    barrier = Barrier(4)

    def call(number):
        barrier.wait()
        order = np.random.default_rng(number).permutation(len(xs))
        return [(i, plan(xs[i])) for _ in range(5) for i in order]

    try:
        parallel.set_num_threads(workers)
        with ThreadPoolExecutor(4) as pool:
            results = [pair for found in pool.map(call, range(4)) for pair in found]
    finally:
        parallel.set_num_threads(1)
    assert len(results) == 180
    assert max(distance(y, wanted[i]) for i, y in results) < 1e-5


@pytest.mark.cpu
def test_the_number_of_workers_changes_no_bit():
    net = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3), nn.Conv2d(64, 5, 5))
    x, plan, found = drawn(4, 3, 60, 50), inference(net), []
    try:
        for workers in (1, 2, 3):
            parallel.set_num_threads(workers)
            found.append(plan(x))
    finally:
        parallel.set_num_threads(1)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert distance(found[0], scores_of(net, x)) < 1e-5


def test_copies_and_pickles_have_a_network_of_their_own():
    net, x = nn.Sequential(nn.Conv2d(3, 4, 3)), drawn(1, 3, 8, 9)
    plan = inference(net, plans=3)
    wanted = plan(Tensor(x)).numpy()
    for copied in (copy.deepcopy(plan), pickle.loads(pickle.dumps(plan))):
        assert copied.network is not net
        assert distance(copied(Tensor(x)).numpy(), wanted) < 1e-6


# ---------------------------------------------------------------------------------------------
# Where there is no plan


def of_numbers(module, x):
    return Tensor(ops.relu(x.data) * 2)


def of_batches(module, x):
    n = x.shape[0]
    products = (x.reshape(n, -1) @ x.reshape(n, -1).T).reshape(n * n, 1, 1, 1)
    return module.layer(products * x[:1, :1])


def with_layer(function):
    net = Function(function)
    net.layer = nn.Conv2d(1, 16, 3)
    return net


NO_PLAN = {
    "numbers of no tensor": (of_numbers, "uses numbers that change with the image"),
    "a shape of its own": (of_batches, "foretold"),
    "an unknown operation": (lambda m, x: x.prod(axis=1), "has the operation prod"),
    "an array beside it": (lambda m, x: x * Tensor(2.0).data, "one operand is an array"),
}


@pytest.mark.cpu
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("name", NO_PLAN)
def test_a_network_that_no_plan_can_have_is_called_itself(name):
    function, sentence = NO_PLAN[name]
    net = with_layer(function)
    plan = inference(net)
    for count in (3, 1):
        x = drawn(count, 3, 4, 5)
        for _ in range(2):
            np.testing.assert_array_equal(plan(x), scores_of(net, x))
        if count == 3:
            assert sentence in plan.reason
            assert "\n" not in plan.reason


@pytest.mark.cpu
def test_inputs_that_no_plan_can_have_go_to_the_network():
    plan = inference(nn.Sequential(nn.Linear(4, 2)))
    assert plan(drawn(3, 4)).shape == (3, 2)
    assert "plans are for images" in plan.reason
    plan = inference(nn.Sequential(nn.Conv2d(3, 16, 3)))
    assert plan(drawn(3, 8, 9)).shape == (16, 6, 7)
    assert plan(drawn(0, 3, 8, 9)).shape == (0, 16, 6, 7)
    with pytest.raises(ValueError, match="conv2d: x has 4 channels"):
        plan(drawn(1, 4, 8, 9))
    with pytest.raises((TypeError, ValueError), match="float64"):
        plan(drawn(1, 3, 8, 9).astype(np.float64))
    with pytest.raises(TypeError, match="must be a Tensor"):
        plan([[1.0]])


def test_hooks_see_each_call():
    net, x, seen = small(), drawn(1, 3, 8, 9), []
    plan = inference(net)
    plan(Tensor(x))
    for _ in range(2):  # the second time its list of hooks is there already
        handle = net[1].register_forward_hook(lambda module, args, y: seen.append(y.shape))
        plan(Tensor(x))
        assert seen.pop() == (1, 16, 8, 9)
        assert not ON_CPU or plan.reason == "a module has a hook, which is to see each call"
        handle.remove()
        plan(Tensor(x))
        assert not seen
        assert not ON_CPU or not plan.reason


def test_a_hook_sees_no_call_that_only_records():
    net, seen = small(), []
    net[1].register_forward_hook(lambda module, args, y: seen.append(y.shape))
    inference(net)(Tensor(drawn(3, 3, 8, 9)))
    assert seen == [(3, 16, 8, 9)]


@pytest.mark.cpu
def test_a_network_that_refuses_drawn_images_is_called_itself():
    def positive(module, x):
        if x.data.min() < 0:
            raise RuntimeError("a negative number\nin an image")
        return x * 2

    net = Function(positive)
    plan, x = inference(net), np.abs(drawn(1, 3, 4, 5))
    np.testing.assert_array_equal(plan(x), x * 2)
    assert plan.reason == "inference: Function cannot be traced: a negative number in an image"
    with pytest.raises(RuntimeError, match="negative"):
        plan(-x)


@pytest.mark.cpu
@pytest.mark.usefixtures("kernels")
def test_no_more_memory_is_kept_than_may_be(monkeypatch):
    from minideconv.runtime import plan as module

    net = small()
    plan = inference(net)
    for count in (1, 2, 3):
        plan(drawn(count, 3, 20, 20))
    assert len(plan._programs) == 3
    monkeypatch.setattr(module, "_MOST", 100_000)
    for count in (4, 5):
        check(plan, net, drawn(count, 3, 20, 20))
        assert len(plan._programs) == 1


def test_an_operation_that_is_looked_at_is_carried_out():
    net, x = small(), drawn(1, 3, 8, 9)
    plan = inference(net)
    plan(Tensor(x))
    with tracing() as calls:
        plan(Tensor(x))
    assert [call.name for call in calls].count("conv2d") == 2
    bad = Tensor(np.full((1, 3, 8, 9), np.inf, np.float32))
    with np.errstate(all="ignore"), detect_anomaly(), pytest.raises(RuntimeError, match="infinit"):
        plan(bad)


@pytest.mark.cpu
def test_a_plan_after_some_calls():
    net, x = small(), drawn(1, 3, 8, 9)
    plan = inference(net, after=2)
    reasons = []
    for _ in range(4):
        assert distance(plan(x), scores_of(net, x)) < 1e-5
        reasons.append(bool(plan.reason))
    assert reasons == [True, True, False, False]
    plan(drawn(2, 3, 8, 9))
    assert plan.reason == "a plan is made after 2 calls with a shape"


@pytest.mark.cpu
def test_the_listing_says_what_each_step_is():
    net = network(ALL["deconvnet wide"])
    text = inference(net).listing((1, 3, 27, 24))
    lines = text.splitlines()
    assert lines[0].startswith("conv1_1.layer, conv1_1.bn, conv1_1.relu  ")
    assert "conv2d + relu" in lines[0]
    assert "1 x 16 x 27 x 24" in lines[0]
    assert not any("batch_norm" in line for line in lines)
    assert lines[-1].startswith(f"{len(lines) - 1} steps; ")
    with pytest.raises(UsageError, match=r"^inference: there is no plan: inference: Function has"):
        inference(Function(NO_PLAN["an unknown operation"][0])).listing((1, 3, 4, 5))


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((5,), TypeError, "inference: network is 5; it must be a Module"),
        ((nn.ReLU(), 0), ValueError, "inference: plans is 0; it must be at least 1"),
        ((nn.ReLU(), 1, -1), ValueError, "inference: after is -1; it must be at least 0"),
        ((nn.ReLU(), 1.5), TypeError, "inference: plans is 1.5; it must be an integer"),
    ],
)
def test_wrong_arguments(arguments, error, sentence):
    with pytest.raises(error) as found:
        inference(*arguments)
    assert str(found.value).startswith(sentence.split(";")[0])
