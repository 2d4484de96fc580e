"""Worker threads: results in order, errors passed on, and no dependence on their number."""

from __future__ import annotations

import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minideconv import ops
from minideconv.backend import parallel
from minideconv.backend.algorithms import algorithm
from minideconv.testing import values


@pytest.fixture
def threads():
    pytest.importorskip("threadpoolctl", reason="needs threadpoolctl: pip install threadpoolctl")
    yield parallel.set_num_threads
    parallel.set_num_threads(1)


def test_results_come_in_the_order_of_the_items(threads):
    threads(3)
    gate = threading.Event()

    def wait_if_first(i: int) -> int:
        if i == 0:
            gate.wait(10)
        elif i == 2:
            gate.set()  # the first can only finish after the third has started
        return i * i

    assert parallel.map_ordered(wait_if_first, range(4)) == [0, 1, 4, 9]


def test_an_error_in_a_worker_reaches_the_caller(threads):
    threads(2)
    with pytest.raises(ZeroDivisionError):
        parallel.map_ordered(lambda i: 1 // i, [1, 0, 2])


@pytest.mark.parametrize("name", ["reference", "exact", "fast"])
def test_convolutions_are_bit_equal_for_any_number_of_threads(threads, name):
    x = values((7, 5, 33, 29), seed=0, kind="normal", dtype=np.float32)
    w = values((6, 5, 3, 2), seed=1, kind="normal", dtype=np.float32)
    results = []
    for count in (1, 2, 3):
        assert threads(count) == count
        with ops.workspace_limit(40_000), algorithm(name):
            y = ops.conv2d(x, w, None, (1, 2), (1, 0))
            results.append((y, *ops.conv2d_backward(y, x, w, (1, 2), (1, 0))[:2]))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert (a == b).all()


def test_the_number_may_change_while_others_compute(threads):
    """More rounds of it: MINIDECONV_TEST_ROUNDS."""
    x = values((5, 4, 17, 19), seed=0, kind="normal", dtype=np.float32)
    w = values((6, 4, 3, 2), seed=1, kind="normal", dtype=np.float32)
    expected = ops.conv2d(x, w, None, (1, 2), (1, 0))
    rounds = range(int(os.environ.get("MINIDECONV_TEST_ROUNDS") or 40))
    ended = threading.Event()

    def change(first: int) -> None:
        count = first
        while not ended.is_set():
            count = count % 4 + 1
            threads(count)

    def compute() -> bool:
        with ops.workspace_limit(20_000):
            return all((ops.conv2d(x, w, None, (1, 2), (1, 0)) == expected).all() for _ in rounds)

    with ThreadPoolExecutor(5) as pool:
        changing = [pool.submit(change, first) for first in (1, 3)]
        computing = [pool.submit(compute) for _ in range(3)]
        try:
            assert [future.result(120) for future in computing] == [True] * 3
        finally:
            ended.set()
        assert [future.result(120) for future in changing] == [None, None]


def test_a_worker_may_change_it(threads):
    threads(2)
    assert parallel.map_ordered(lambda i: threads(2 + i), range(3)) == [2, 3, 4]
    assert parallel.map_ordered(lambda i: i, range(9)) == list(range(9))


def test_a_number_below_one_is_refused():
    with pytest.raises(ValueError, match="threads is 0; it must be at least 1"):
        parallel.set_num_threads(0)


def test_of_several_errors_the_first_items_is_raised(threads):
    threads(3)
    gate = threading.Barrier(2)

    def fail(i: int) -> None:
        if i < 2:
            gate.wait(10)
            raise (KeyError if i else ValueError)(i)

    with pytest.raises(ValueError, match="0"):
        parallel.map_ordered(fail, range(3))


def test_nothing_is_begun_after_an_error(threads):
    threads(2)
    begun = []

    def fail(i: int) -> None:
        begun.append(i)
        raise ValueError(i)

    with pytest.raises(ValueError, match="0"):
        parallel.map_ordered(fail, range(100))
    assert len(begun) <= 2


def test_an_item_may_be_shared_out_itself(threads):
    threads(2)

    def square(i: int) -> list[int]:
        return parallel.map_ordered(lambda j: i * j, range(3))

    assert parallel.map_ordered(square, range(4)) == [[i * j for j in range(3)] for i in range(4)]


def test_workers_keep_nothing_of_what_they_did(threads):
    threads(3)

    class Large:
        pass

    result = parallel.map_ordered(lambda _: Large(), range(6))
    kept = [weakref.ref(each) for each in result]
    del result
    deadline = time.monotonic() + 10  # a worker that came too late has yet to drop its request
    while any(each() for each in kept) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(each() for each in kept)
