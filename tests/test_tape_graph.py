"""The graph holds what was computed: names, options and inputs are enough to compute it again."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor, nn, ops
from minideconv.autograd import Node, conversions, elementwise, graph, reductions, shapes
from minideconv.backend import get_xp
from minideconv.backend.algorithms import ALGORITHMS, algorithm, compiled, use_compiled
from minideconv.distributed import Single
from minideconv.testing import values

F = md.functional


def leaf(shape, seed=0, kind="normal"):
    return Tensor(values(shape, seed, kind).astype(np.float32), requires_grad=True)


def exported(result):
    """Return the leaves of a graph, and its operations as (name, options, positions of inputs).

    Positions count the leaves first, then the operations.
    """
    steps = graph(result)
    nodes = [step for step in steps if isinstance(step, Node)]
    leaves = [step for step in steps if not isinstance(step, Node)]
    position = {step: i for i, step in enumerate([*leaves, *nodes])}
    return leaves, [
        (s.name, dict(s.options), [None if e is None else position[e] for e in s.edges])
        for s in nodes
    ]


def function_called(name):
    """Return the function that `name` is the name of, wherever it is defined."""
    for room in (F, conversions, elementwise, reductions, shapes):
        if hasattr(room, name):
            return getattr(room, name)
    raise AssertionError(f"no function is called {name}")


NORM = ("x", "weight", "bias")  # between them stand the running statistics, which are options
INPUTS = {"where": ("a", "b"), "batch_norm": NORM, "batch_norm_relu": NORM}
INPUTS |= {"batch_norm_relu_pool": NORM, "sync_batch_norm": NORM}


def computed_again(leaves, operations):
    """Compute the result from nothing but the list."""
    found = list(leaves)
    for name, options, inputs in operations:
        arguments = [None if i is None else found[i] for i in inputs]
        function = function_called(name)
        names = INPUTS.get(name, tuple(inspect.signature(function).parameters))
        if name in ("concatenate", "stack"):
            result = function(arguments, **options)
        elif name in ("reshape", "broadcast_to", "transpose"):
            (sizes,) = options.values()
            result = function(arguments[0], sizes)
        else:
            given = {n: a for n, a in zip(names, arguments, strict=False) if a is not None}
            result = function(**given, **options)
        result = result[0] if isinstance(result, tuple) else result
        found.append(result)
    return found[-1]


def check(result):
    leaves, operations = exported(result)
    np.testing.assert_array_equal(computed_again(leaves, operations).numpy(), result.numpy())
    return operations


def little_network(x, p):
    """Everything that DeconvNet is made of, and a shortcut."""
    y = F.conv2d(x, p["w"], p["b"], stride=2, padding=(1, 2), groups=1)
    y = F.relu(F.batch_norm(y, p["mean"], p["var"], p["gamma"], p["beta"]))
    pooled, switches = F.max_pool2d(y, 2, return_switches=True)
    z = F.linear(pooled.reshape(2, -1), p["v"]).reshape(pooled.shape)
    up = F.max_unpool2d(z + pooled * 0.5, switches)
    scores = F.conv_transpose2d(up, p["u"], stride=2, padding=1, output_padding=(1, 0))
    return F.log_softmax(scores, 1).mean(axis=(-2, -1)) ** 2


@pytest.fixture
def parameters():
    return {
        "w": leaf((4, 3, 3, 3), 1),
        "b": leaf((4,), 2),
        "gamma": leaf((4,), 3),
        "beta": leaf((4,), 4),
        "v": leaf((16, 16), 5),
        "u": leaf((4, 2, 3, 3), 6),
        "mean": md.Tensor(values((4,), 7, "normal").astype(np.float32)).data,
        "var": md.Tensor(np.abs(values((4,), 8, "normal")).astype(np.float32) + 1).data,
    }


def test_a_network_is_computed_again_from_its_list(parameters):
    x = leaf((2, 3, 8, 6), 0)
    operations = check(little_network(x, parameters))
    assert [name for name, _, _ in operations].count("reshape") == 2
    options = {name: options for name, options, _ in operations}
    assert options["conv2d"] == {
        "stride": (2, 2),
        "padding": (1, 2),
        "dilation": (1, 1),
        "groups": 1,
    }
    assert options["conv_transpose2d"]["output_padding"] == (1, 0)
    assert options["max_pool2d"] == {
        "kernel_size": (2, 2),
        "stride": (2, 2),
        "padding": (0, 0),
        "dilation": (1, 1),
        "ceil_mode": False,
    }
    assert options["mean"] == {"axis": (2, 3), "keepdims": False}
    assert options["pow"] == {"b": 2}
    assert options["mul"] == {"b": 0.5}


def test_the_list_shows_which_pool_made_the_switches():
    pooled, switches = nn.MaxPool2d(2, return_switches=True)(leaf((2, 3, 8, 6), 0))
    steps = graph(nn.MaxUnpool2d()(pooled, switches))
    nodes = {step.name: step for step in steps if isinstance(step, Node)}
    (saved,) = nodes["max_pool2d"].saved
    assert nodes["max_unpool2d"].options["switches"] is saved


@pytest.mark.parametrize("wrong", ["stride", "order", "input"])
def test_a_wrong_list_computes_something_else(wrong, parameters):
    result = little_network(leaf((2, 3, 8, 6), 0), parameters)
    leaves, operations = exported(result)
    if wrong == "order":
        operations[-1], operations[-2] = operations[-2], operations[-1]
    elif wrong == "stride":
        operations[0][1]["padding"] = (2, 1)
    else:
        add = next(op for op in operations if op[0] == "add")
        add[2][1] = add[2][0]
    try:
        again = computed_again(leaves, operations).numpy()
    except (IndexError, TypeError, ValueError):
        return
    assert again.shape != result.shape or (again != result.numpy()).any()


IMAGE, ROWS = (2, 3, 6, 8), (3, 4)
CASES = {
    "add": lambda: leaf(ROWS) + leaf((4,), 1),
    "rsub": lambda: 3.0 - leaf(ROWS),
    "div": lambda: leaf(ROWS) / leaf(ROWS, 1),
    "rpow": lambda: 2 ** leaf(ROWS),
    "maximum": lambda: elementwise.maximum(leaf(ROWS), 0.25),
    "neg": lambda: -leaf(ROWS),
    "exp": lambda: leaf(ROWS).exp().tanh().sigmoid(),
    "abs": lambda: (abs(leaf(ROWS)) + 1).log().sqrt(),
    "clip": lambda: leaf(ROWS).clip(-0.5, 0.5),
    "clip below": lambda: leaf(ROWS).clip(minimum=0),
    "where": lambda: elementwise.where(values(ROWS, 3) > 0, leaf(ROWS), 0.5),
    "where 2": lambda: elementwise.where(values(ROWS, 3) > 0, leaf(ROWS), leaf((4,), 1)),
    "sum": lambda: leaf(IMAGE).sum((0, -1), keepdims=True),
    "var": lambda: leaf(IMAGE).var(-1, ddof=1),
    "max": lambda: leaf(IMAGE).max(axis=1),
    "min": lambda: leaf(IMAGE).min(),
    "matmul": lambda: leaf(ROWS) @ leaf(ROWS[::-1], 1),
    "flatten": lambda: leaf(IMAGE).flatten(1),
    "permute": lambda: leaf(IMAGE).permute(0, -1, 1, 2),
    "T": lambda: leaf(ROWS).T,
    "broadcast_to": lambda: leaf((1, 4)).broadcast_to(3, 4),
    "squeeze": lambda: leaf((1, 4)).squeeze().unsqueeze(-1).swapaxes(0, 1),
    "astype": lambda: leaf(ROWS).astype("float64"),
    "getitem": lambda: leaf(IMAGE)[1, ..., None, ::-2],
    "getitem array": lambda: leaf(ROWS)[np.array([2, 0, 2])],
    "concatenate": lambda: shapes.concatenate([leaf(ROWS), leaf((2, 4), 1)], axis=-2),
    "stack": lambda: shapes.stack([leaf(ROWS), leaf(ROWS, 1)], axis=-1),
    "conv2d": lambda: F.conv2d(leaf(IMAGE), leaf((4, 3, 3, 2), 1), None, 2, 1, (1, 2)),
    "conv_transpose2d": lambda: F.conv_transpose2d(leaf(IMAGE), leaf((3, 2, 3, 3), 1), stride=2),
    "linear": lambda: F.linear(leaf(ROWS), leaf((5, 4), 1), leaf((5,), 2)),
    "max_pool2d": lambda: F.max_pool2d(leaf(IMAGE), 3, 2, 1, ceil_mode=True),
    "avg_pool2d": lambda: F.avg_pool2d(leaf(IMAGE), (2, 3), padding=(1, 0), ceil_mode=True),
    "pad": lambda: F.pad(leaf(IMAGE), [1, 2, 0, 1], value=0.5),
    "interpolate": lambda: F.interpolate(leaf(IMAGE), 12, mode="bilinear"),
    "interpolate by": lambda: F.interpolate(leaf(IMAGE), scale_factor=2),
    "batch_norm": lambda: F.batch_norm(leaf(IMAGE), None, None, leaf((3,), 1), leaf((3,), 2)),
    "batch_norm plain": lambda: F.batch_norm(leaf(IMAGE), None, None, training=True, eps=0.5),
    "batch_norm_relu": lambda: F.batch_norm_relu(leaf(IMAGE), None, None, leaf((3,), 1)),
    "batch_norm_relu_pool": lambda: F.batch_norm_relu_pool(leaf(IMAGE), None, None, stride=1)[0],
    "sync_batch_norm": lambda: F.sync_batch_norm(
        leaf(IMAGE), None, None, leaf((3,), 1), leaf((3,), 2), Single(), relu=True
    ),
    "relu": lambda: F.relu(leaf(ROWS)),
    "softplus": lambda: F.softplus(leaf(ROWS)),
    "leaky_relu": lambda: F.leaky_relu(leaf(ROWS), 0.1),
    "softmax": lambda: F.softmax(leaf(ROWS), -1),
    "dropout": lambda: F.dropout(leaf(ROWS), 0.5, training=False),
    "cross_entropy": lambda: F.cross_entropy(
        leaf((5, 3)), np.array([0, 1, 2, 255, 1]), reduction="sum", label_smoothing=0.1
    ),
    "conv2d_weight_grad": lambda: F.conv2d_weight_grad(
        leaf(IMAGE), leaf((2, 4, 6, 8), 1), (3, 3), padding=1
    ),
}

COMPOSED = {
    "dropout2d": lambda: F.dropout2d(leaf(IMAGE), 0.5, rng=np.random.default_rng(0)),
    "group_norm": lambda: F.group_norm(leaf(IMAGE), 3),
    "instance_norm": lambda: F.instance_norm(leaf(IMAGE)),
    "layer_norm": lambda: F.layer_norm(leaf(ROWS), 4),
    "adaptive_avg_pool2d": lambda: F.adaptive_avg_pool2d(leaf(IMAGE), (2, 1)),
    "pixel_shuffle": lambda: F.pixel_shuffle(leaf((1, 4, 2, 3)), 2),
    "mse_loss": lambda: F.mse_loss(leaf(ROWS), leaf(ROWS, 1)),
    "l1_loss": lambda: F.l1_loss(leaf(ROWS), leaf(ROWS, 1)),
    "nll_loss": lambda: F.nll_loss(leaf((5, 3)), np.array([0, 1, 2, 255, 1])),
    "binary_cross_entropy": lambda: F.binary_cross_entropy(
        leaf(ROWS).sigmoid(), Tensor(np.eye(*ROWS))
    ),
    "binary_cross_entropy_with_logits": lambda: F.binary_cross_entropy_with_logits(
        leaf(ROWS), Tensor(np.eye(*ROWS))
    ),
    "dice_loss": lambda: F.dice_loss(leaf((2, 3, 4, 4)), np.zeros((2, 4, 4), np.int64)),
    "focal_loss": lambda: F.focal_loss(leaf((5, 3)), np.array([0, 1, 2, 255, 1])),
}
"""Functions that are made of other operations."""


@pytest.mark.parametrize("name", COMPOSED)
def test_what_is_made_of_other_operations_has_none_of_its_own(name):
    steps = {step.name for step in graph(COMPOSED[name]()) if isinstance(step, Node)}
    assert steps
    assert name not in steps


@pytest.mark.parametrize("name", CASES)
def test_every_operation_is_computed_again_from_its_options(name):
    check(CASES[name]())


@pytest.mark.parametrize("name", ["concatenate", "stack"])
def test_joining_is_one_operation_of_its_name(name):
    (node,) = (step for step in graph(CASES[name]()) if isinstance(step, Node))
    assert node.name == name


def test_every_function_of_functional_is_among_the_cases():
    names = {
        step.name for case in CASES.values() for step in graph(case()) if hasattr(step, "name")
    }
    names |= {"max_unpool2d", "log_softmax"}  # in the network above
    missing = set(F.__all__) - names - set(COMPOSED) - {"one_hot"}  # which has no gradient
    assert not missing


def test_leaves_and_results_come_in_the_order_of_computation():
    x, y = leaf((3,), 0), leaf((3,), 1)
    z = x * y
    result = (z + x).sum()
    steps = graph(result)
    for place, step in enumerate(steps):
        if isinstance(step, Node):
            assert {id(edge) for edge in step.edges} <= {id(before) for before in steps[:place]}
    assert steps[-1] is result._node
    assert [step.name for step in steps if isinstance(step, Node)] == ["mul", "add", "sum"]
    (only,) = graph(x)
    assert only is x


def test_the_graph_ends_at_a_constant():
    x, constant = leaf((3,)), Tensor(np.ones(3, np.float32))
    (_, node) = graph(x * constant)
    assert node.edges[0] is x
    assert node.edges[1] is None
    assert node.options == {}


def test_options_are_freed_with_the_rest_and_reading_them_is_an_error():
    loss = F.cross_entropy(leaf((5, 3)), np.array([0, 1, 2, 255, 1]))
    node = loss._node
    assert "target" in node.options
    loss.backward()
    assert node.options == {}
    with pytest.raises(RuntimeError, match="already passed cross_entropy"):
        graph(loss)


def test_nothing_is_normalised_away_that_an_op_refuses():
    with pytest.raises(TypeError, match="conv2d: stride is 'two'"):
        F.conv2d(leaf(IMAGE), leaf((4, 3, 3, 3)), stride="two")


# ---- gradients declared fresh --------------------------------------------------------------------


def owner(array):
    """Return the array that has the memory of `array`."""
    while isinstance(array.base, type(array)):
        array = array.base
    return array


def check_fresh(result):
    """Every gradient of a node with `fresh` is in memory of its own."""
    node = result._node
    if not node.fresh:
        return False
    grad = Tensor(values(result.shape, 9, "normal").astype(result.dtype)).data
    needs = tuple(edge is not None for edge in node.edges)
    with algorithm(None):
        parts = [part for part in node.backward(grad, needs, *node.saved) if part is not None]
    others = [grad, *(item for item in node.saved if isinstance(item, type(grad)))]
    owners = [owner(array) for array in (*parts, *others)]
    for i, part in enumerate(parts):
        assert all(owner(part) is not other for j, other in enumerate(owners) if i != j)
    for part in parts[1:]:  # weights: whole, so that keeping one keeps nothing else
        assert owner(part).nbytes == part.nbytes
    return True


LARGE = {
    "conv2d": lambda: F.conv2d(
        leaf((2, 16, 20, 20)), leaf((32, 16, 3, 3), 1), leaf((32,), 2), 1, 1
    ),
    "conv2d 1x1": lambda: F.conv2d(leaf((2, 16, 9, 9)), leaf((32, 16, 1, 1), 1), leaf((32,), 2)),
    "conv2d grouped": lambda: F.conv2d(leaf((2, 8, 9, 9)), leaf((8, 2, 3, 3), 1), groups=4),
    "conv2d whole": lambda: F.conv2d(leaf((2, 16, 7, 7)), leaf((32, 16, 7, 7), 1), leaf((32,), 2)),
    "conv_transpose2d": lambda: F.conv_transpose2d(
        leaf((2, 16, 20, 20)), leaf((16, 32, 3, 3), 1), leaf((32,), 2), padding=1
    ),
    "conv_transpose2d whole": lambda: F.conv_transpose2d(
        leaf((2, 32, 1, 1)), leaf((32, 16, 7, 7), 1), leaf((16,), 2)
    ),
    "linear": lambda: F.linear(leaf((2, 3, 64)), leaf((128, 64), 1), leaf((128,), 2)),
    "batch_norm": lambda: F.batch_norm(
        leaf((4, 16, 20, 20)), None, None, leaf((16,), 1), leaf((16,), 2), training=True
    ),
    "batch_norm_relu": lambda: F.batch_norm_relu(
        leaf((4, 16, 20, 20)), None, None, leaf((16,), 1), leaf((16,), 2), training=True
    ),
    "batch_norm_relu_pool": lambda: F.batch_norm_relu_pool(
        leaf((4, 16, 20, 20)), None, None, leaf((16,), 1), leaf((16,), 2), training=True
    )[0],
    "relu": lambda: F.relu(leaf((4, 16, 20, 20))),
    "max_pool2d": lambda: F.max_pool2d(leaf((4, 16, 20, 20)), 2),
    "max_unpool2d": lambda: F.max_unpool2d(
        leaf((4, 16, 10, 10)),
        ops.max_pool2d(leaf((4, 16, 20, 20)).data, 2, return_switches=True)[1],
    ),
    "softmax": lambda: F.softmax(leaf((4, 16, 20, 20)), 1),
    "cross_entropy": lambda: F.cross_entropy(
        leaf((4, 16, 20, 20)), np.zeros((4, 20, 20), np.int64)
    ),
}


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_gradient_declared_fresh_shares_its_memory_with_nothing(name, kernels):
    if kernels and not compiled():
        pytest.skip("numba is not installed (extra fast)")
    before = use_compiled(kernels)
    try:
        with algorithm(name):
            assert all(check_fresh(case()) for case in LARGE.values())
            assert sum(check_fresh(case()) for case in CASES.values()) >= 20
    finally:
        use_compiled(before)


@pytest.mark.parametrize("wrong", ["itself", "twice", "a part"])
def test_a_gradient_that_is_not_fresh_is_found(wrong):
    backward = {
        "itself": lambda g, needs: (g * 2, g),
        "twice": lambda g, needs: (g * 2,) * 2,
        "a part": lambda g, needs: (g * 2, get_xp(g).stack([g, g])[0]),
    }[wrong]
    x, y = leaf((4,)), leaf((4,), 1)
    with pytest.raises(AssertionError):
        check_fresh(md.autograd.record("wrong", x.data + y.data, (x, y), backward, fresh=True))
