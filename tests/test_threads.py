"""Threads: each computes as it has chosen, and together they lose nothing.

MINIDECONV_TEST_ROUNDS sets how many rounds there are; 1000 take a minute.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor, nn, optim
from minideconv import functional as F
from minideconv.autograd import is_grad_enabled
from minideconv.backend import algorithms, default_device, get_default_device, parallel
from minideconv.nn import fusion
from minideconv.ops import get_workspace_limit, workspace_limit
from minideconv.testing import values

pytestmark = pytest.mark.cpu

ROUNDS = int(os.environ.get("MINIDECONV_TEST_ROUNDS", "250"))
THREADS = 8


@pytest.fixture(autouse=True)
def _take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*functions):
    """Call the functions at once, each in a thread; return what they returned."""
    start = threading.Barrier(len(functions))

    def run(function):
        start.wait(60)
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [each.result(300) for each in [pool.submit(run, f) for f in functions]]


CHOICES = [
    {"algorithm": name, "precision": ("fp32", "bf16", "tf32")[number % 3], "grad": number % 4 != 3}
    for number, name in enumerate(["reference", "exact", "fast", "fast"] * 2)
]


def case():
    x = values((2, 16, 9, 8), 0, "normal", np.float32)
    layer = nn.Conv2d(16, 16, 3, padding=1)
    layer.weight.data[...] = values(layer.weight.shape, 1, "normal")
    return x, layer


def computed(choice, x, layer):
    """What a thread computes in one round: results, own gradients, and what holds in it."""
    with md.algorithm(choice["algorithm"]), md.precision(choice["precision"]):
        inside = md.get_algorithm(), md.get_precision(), is_grad_enabled()
        mine = Tensor(x, requires_grad=True)
        if not choice["grad"]:
            with md.no_grad():
                y = layer(mine)
            return inside, is_grad_enabled(), y.requires_grad, y.numpy(), None
        y = layer(mine)
        (y * y).sum().backward()
        return inside, is_grad_enabled(), y.requires_grad, y.numpy(), mine.grad.numpy()


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_threads_with_different_choices_give_what_each_alone_gives():
    x, layer = case()
    alone = [computed(choice, x, layer) for choice in CHOICES]
    kinds = 3 if algorithms.compiled() else 2  # without compiled kernels two are the same
    assert len({tuple(found[3].ravel()[:50]) for found in alone}) >= kinds, "they differ"
    layer.zero_grad()
    before = md.get_algorithm(), md.get_precision(), is_grad_enabled()
    wrong = []

    def rounds(number):
        for turn in range(ROUNDS):
            found = computed(CHOICES[number], x, layer)
            if not equal(found[:4], alone[number][:4]):
                wrong.append((number, turn))
            if found[4] is not None and not np.array_equal(found[4], alone[number][4]):
                wrong.append((number, turn, "gradient"))

    together(*[lambda number=number: rounds(number) for number in range(THREADS)])
    assert wrong == []
    assert (md.get_algorithm(), md.get_precision(), is_grad_enabled()) == before


@pytest.mark.parametrize("flat", [False, True])
def test_no_gradient_of_a_shared_parameter_is_lost(flat):
    """Integers, so that the sums are exact in any order."""
    layer = nn.Conv2d(2, 3, (3, 2))
    if flat:
        optim.SGD(layer.parameters(), lr=0.1).flatten()
    layer.weight.data[...] = values(layer.weight.shape, 1)
    x = Tensor(values((1, 2, 5, 4), 2, dtype=np.float32))

    def backward():
        layer(x).sum().backward()

    backward()
    want = [THREADS * ROUNDS * p.grad.numpy() for p in layer.parameters()]
    layer.zero_grad()
    together(*[lambda: [backward() for _ in range(ROUNDS)]] * THREADS)
    for p, one in zip(layer.parameters(), want, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), one)


def test_no_gradient_with_a_graph_is_lost():
    """So large that to add takes longer than a thread's turn."""
    shared = Tensor(np.zeros((400, 400), np.float32), requires_grad=True)

    def backward():
        for _ in range(50):
            (shared * 1.0).sum().backward(create_graph=True)

    together(*[backward] * THREADS)
    np.testing.assert_array_equal(shared.grad.numpy(), THREADS * 50.0)


BLOCKS = {
    "algorithm": (md.algorithm, md.get_algorithm, ["reference", "exact", "fast"]),
    "precision": (md.precision, md.get_precision, ["tf32", "bf16", "fp16"]),
    "workspace_limit": (workspace_limit, get_workspace_limit, [1000, 2000, 3000]),
    "default_device": (default_device, lambda: str(get_default_device()), ["cpu"] * 3),
    "no_grad": (lambda _: md.no_grad(), lambda: None if is_grad_enabled() else "off", ["off"] * 3),
    "no_fusion": (
        lambda _: fusion.no_fusion(),
        lambda: None if fusion._fusing.get() else "off",
        ["off"] * 3,
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_that_overlap_in_time_do_not_meet(name):
    """One begins, the other begins, the first ends, the second ends."""
    block, get, (one, other, _) = BLOCKS[name]
    before, step = get(), [threading.Event() for _ in range(3)]

    def first():
        with block(one):
            step[0].set()
            assert step[1].wait(60)
            assert get() == one
        assert get() == before
        step[2].set()

    def second():
        assert step[0].wait(60)
        assert get() == before
        with block(other):
            step[1].set()
            assert step[2].wait(60)
            assert get() == other
        assert get() == before

    together(first, second)
    assert get() == before


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_generators_may_end_in_any_order(name):
    block, get, (one, other, _) = BLOCKS[name]
    before = get()

    def inside(value):
        with block(value):
            yield

    for first_ends in (0, 1):
        both = [inside(one), inside(other)]
        for each in both:
            next(each)
        assert get() == other
        both[first_ends].close()
        assert get() == (other, one)[first_ends]
        both[1 - first_ends].close()
        assert get() == before


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_may_be_entered_inside_itself_and_again(name):
    block, get, (one, *_) = BLOCKS[name]
    before, same = get(), block(one)
    for _ in range(2):
        with same:
            with same:
                assert get() == one
            assert get() == one
        assert get() == before


@pytest.mark.parametrize("name", BLOCKS)
def test_what_goes_on_after_the_call_cannot_be_decorated(name):
    block, get, (one, *_) = BLOCKS[name]
    before = get()

    def generator():
        yield

    async def coroutine():
        pass

    async def both():
        yield

    for function in (generator, coroutine, both):
        with pytest.raises(TypeError, match=f"cannot decorate the .* function {function.__name__}"):
            block(one)(function)
    assert block(one)(get)() == one
    assert get() == before


@pytest.mark.parametrize("name", BLOCKS)
def test_tasks_that_take_turns_in_a_thread_do_not_meet(name):
    block, get, wanted = BLOCKS[name]
    before = get()

    async def task(value):
        with block(value):
            for _ in range(5):
                await asyncio.sleep(0)
                assert get() == value
        await asyncio.sleep(0)
        assert get() == before

    async def main():
        await asyncio.gather(*map(task, wanted))

    asyncio.run(main())
    assert get() == before


def test_what_the_main_thread_sets_holds_in_threads_that_have_not_chosen():
    before = md.get_algorithm()
    go_on, seen = threading.Event(), []

    def running():
        seen.append(md.get_algorithm())
        assert go_on.wait(60)
        seen.append(md.get_algorithm())
        md.set_algorithm("exact")
        seen.append(md.get_algorithm())

    thread = threading.Thread(target=running)
    thread.start()
    try:
        while not seen:
            pass
        md.set_algorithm("reference")
        go_on.set()
        thread.join(60)
        assert seen == [before, "reference", "exact"]
        assert md.get_algorithm() == "reference"
        assert together(md.get_algorithm) == ["reference"]
    finally:
        md.set_algorithm(before)


def test_what_a_thread_or_a_block_sets_holds_there_alone():
    before = algorithms.compiled()

    def other():
        md.use_compiled(False)
        md.set_precision("bf16")
        return algorithms.compiled(), md.get_precision()

    assert together(other) == [(False, "bf16")]
    assert (algorithms.compiled(), md.get_precision()) == (before, "fp32")
    with md.algorithm("exact"):
        md.set_algorithm("reference")
        assert md.get_algorithm() == "reference"
        assert together(md.get_algorithm) == ["fast"]
    assert md.get_algorithm() == "fast"


def test_backward_computes_as_its_forward_did_in_any_thread():
    x, layer = case()
    asked = []
    from minideconv.ops import conv

    faster = conv.conv2d_weight_grad_core.ways["cpu"]
    conv.conv2d_weight_grad_core.ways["cpu"] = lambda *given: asked.append(md.get_algorithm())
    try:
        with md.algorithm("exact"):
            y = layer(Tensor(x)).sum()
        together(lambda: [md.set_algorithm("fast"), y.backward()])
    finally:
        conv.conv2d_weight_grad_core.ways["cpu"] = faster
    assert asked == ["exact"]


@pytest.fixture
def workers():
    pytest.importorskip("threadpoolctl", reason="needs threadpoolctl: pip install threadpoolctl")
    yield parallel.set_num_threads
    parallel.set_num_threads(1)


def test_workers_compute_with_the_callers_choices(workers):
    workers(2)
    with md.algorithm("reference"), workspace_limit(1234), md.no_grad():
        found = parallel.map_ordered(
            lambda _: (md.get_algorithm(), get_workspace_limit(), is_grad_enabled()), range(8)
        )
    assert set(found) == {("reference", 1234, False)}


def test_the_number_of_workers_may_change_while_others_compute(workers):
    workers(2)
    x, layer = case()
    want = layer(Tensor(x)).numpy()

    def compute():
        return all(
            parallel.map_ordered(lambda i: i * i, range(9)) == [i * i for i in range(9)]
            and np.array_equal(layer(Tensor(x)).numpy(), want)
            for _ in range(ROUNDS)
        )

    def change():
        return all(workers(1 + turn % 3) for turn in range(ROUNDS))

    assert all(together(compute, compute, compute, change))


def test_dropout_in_threads_draws_from_one_generator():
    """Two threads never draw the same numbers."""
    x = Tensor(np.ones((1000,), np.float32))
    masks = together(*[lambda: F.dropout(x, 0.5).numpy().tobytes()] * THREADS)
    assert len(set(masks)) == THREADS
