"""Blocks go round: never two arrays on one, and back when the last view dies."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.engine.cpu import memory
from minideconv.engine.cpu.arena import make_arena

pytestmark = pytest.mark.usefixtures("quick_collections")

LARGE = (1 << 20) + 24
POOLS = {"arena": memory.Pool, "numpy": lambda: memory.Pool(lambda: None)}

linux = pytest.mark.skipif(sys.platform != "linux", reason="the arena is for Linux")


@pytest.fixture(params=POOLS)
def pool(request):
    return POOLS[request.param]()


def address(array):
    return array.__array_interface__["data"][0]


@given(
    shape=st.lists(st.integers(0, 70), min_size=0, max_size=4).map(tuple),
    dtype=st.sampled_from(["float32", "float64", "uint8", "bool", "int64"]),
)
def test_an_array_has_its_shape_and_type_and_begins_on_a_cache_line(shape, dtype):
    array = memory.empty(shape, dtype)
    assert type(array) is np.ndarray
    assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.flags.aligned
    if array.nbytes >= 4096:
        assert address(array) % 64 == 0
    array[...] = 1
    assert (array == 1).all()


def test_types_that_are_no_numbers_are_numpys_business():
    array = memory.empty((2000,), object)
    assert array[0] is None
    assert memory.empty((2000,), "datetime64[s]").dtype.kind == "M"


@pytest.mark.parametrize("size", [4096, 100_000, LARGE])
def test_a_block_is_used_again_after_its_array_died(pool, size):
    array = pool.empty((size,), np.uint8)
    place = address(array)
    del array
    assert address(pool.empty((size,), np.uint8)) == place


@pytest.mark.parametrize("size", [4096, LARGE])
@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[3:5],
        lambda a: a.reshape(2, -1).T,
        lambda a: a.view(np.uint16),
        lambda a: memoryview(a),
        lambda a: np.frombuffer(a, np.int8),
        lambda a: np.lib.stride_tricks.as_strided(a, (2, 2), (1, 1)),
        lambda a: np.asarray(a.view(np.matrix)),
    ],
    ids=["slice", "transpose", "type", "memoryview", "frombuffer", "strided", "subclass"],
)
def test_every_view_keeps_the_block(pool, view, size):
    array = pool.empty((size,), np.uint8)
    place, seen = address(array), view(array)
    allocated = pool.use().allocated
    del array
    assert pool.use().allocated == allocated
    assert address(pool.empty((size,), np.uint8)) != place
    del seen
    gc.collect()
    assert pool.use().allocated == 0
    assert address(pool.empty((size,), np.uint8)) == place


def test_an_array_in_a_cycle_comes_back_when_the_cycle_is_collected(pool):
    cycle = [pool.empty((LARGE,), np.uint8)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert pool.use().allocated == 0


@given(
    st.data(),
    st.sampled_from(sorted(POOLS)),
    st.lists(st.sampled_from([4096, 5000, 40_000, 262_144, 300_000, LARGE]), max_size=25),
)
def test_living_arrays_never_share_memory(data, name, sizes):
    pool, living = POOLS[name](), []
    for number, size in enumerate(sizes):
        array = pool.empty((size,), np.uint8)
        array[:] = number
        living.append((array, number))
        if data.draw(st.booleans()):
            living.pop(data.draw(st.integers(0, len(living) - 1)))
    assert all((array == number).all() for array, number in living)
    assert pool.use().allocated >= sum(array.nbytes for array, _ in living)


def test_the_figures(pool):
    assert pool.use() == memory.MemoryUse(0, 0, 0)
    first = pool.empty((LARGE,), np.uint8)
    one = pool.use().allocated
    assert LARGE <= one <= LARGE * 9 // 8
    second = pool.empty((LARGE,), np.uint8)
    assert pool.use() == memory.MemoryUse(2 * one, 2 * one, 0)
    del second
    assert pool.use() == memory.MemoryUse(one, 2 * one, one)
    pool.reset_peak()
    assert pool.use().peak == one
    pool.trim()
    assert pool.use() == memory.MemoryUse(one, one, 0)
    first[:] = 7  # trim leaves what is in use alone
    pool.trim()
    assert (first == 7).all()


@pytest.mark.parametrize("size", [4096, LARGE])
def test_the_limit_bounds_what_waits(pool, size):
    arrays = [pool.empty((size,), np.uint8) for _ in range(8)]
    block = pool.use().allocated // 8
    pool.set_limit(3 * block)
    del arrays
    assert pool.use().reserved <= 3 * block
    pool.set_limit(None)
    arrays = [pool.empty((size,), np.uint8) for _ in range(8)]
    del arrays
    assert pool.use().reserved == 8 * block
    pool.set_limit(0)
    assert pool.use().reserved == 0


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@linux
def test_trim_returns_pages_to_the_system():
    pool = memory.Pool()
    size = 64 << 20
    kept, array = pool.empty((size,), np.uint8), pool.empty((size,), np.uint8)
    kept[:] = array[:] = 1
    with_both = resident()
    del array
    pool.use()
    assert resident() > with_both - size // 4
    pool.trim()
    assert resident() < with_both - size // 2
    assert kept.all()


@linux
def test_large_blocks_begin_at_different_places_of_a_page():
    pool = memory.Pool()
    places = {address(array) % 4096 for array in [pool.empty((1 << 20,), "u1") for _ in range(8)]}
    assert len(places) == 8


def test_threads(pool):
    wrong = []

    def work(number):
        rng, living = np.random.default_rng(number), []
        for _ in range(200):
            array = pool.empty((int(rng.choice([5000, 50_000, 400_000])),), np.uint8)
            array[::64] = number
            living.append(array)
            if len(living) > 3:
                wrong.append(not (living.pop(int(rng.integers(3)))[::64] == number).all())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del threads
    gc.collect()
    assert len(wrong) > 700
    assert not any(wrong)
    assert pool.use().allocated == 0


@linux
def test_a_child_process_does_not_wait_for_the_parents_threads():
    code = """
import os, numpy as np
from minideconv.engine import memory
array = memory.empty((1 << 20,), np.uint8)
array[:] = 5
with memory._pool._lock:  # as another thread of the parent might
    child = os.fork()
    if child == 0:
        mine = memory.empty((1 << 20,), np.uint8)
        mine[:] = 6
        os._exit(0 if (array == 5).all() else 1)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert (array == 5).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_arrays_may_outlive_everything_at_the_end_of_the_program():
    code = """
import sys, numpy as np
from minideconv.engine import memory
class Last:
    def __init__(self): self.array = memory.empty((1 << 20,), np.uint8); self.array[:] = 3
    def __del__(self): assert int(self.array[-1]) == 3; self.array[:] = 4
sys.last, here = Last(), Last()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


@linux
def test_a_process_with_a_limit_on_addresses_has_no_arena():
    code = """
import resource
from minideconv.engine.cpu.arena import make_arena
assert make_arena() is not None
resource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33))
assert make_arena() is None
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_when_the_arena_is_full_numpy_helps_out():
    class Tiny:
        start, reserved = 0, 0

        def take(self, size):
            return None

    pool = memory.Pool(Tiny)
    array = pool.empty((LARGE,), np.uint8)
    array[:] = 1
    assert pool.use().allocated >= LARGE


def test_the_workspace_of_a_name_is_the_same_memory_and_each_thread_has_its_own():
    first = memory.workspace("test", (300, 7))
    assert address(first) % 64 == 0
    assert address(memory.workspace("test", (20,), np.float64)) == address(first)
    assert address(memory.workspace("other", (300, 7))) != address(first)
    found = []
    thread = threading.Thread(target=lambda: found.append(memory.workspace("test", (300, 7))))
    thread.start()
    thread.join()
    assert address(found[0]) != address(first)
    assert memory.workspace("test", (3000, 7)).shape == (3000, 7)


@pytest.mark.usefixtures("no_old_garbage")
def test_a_large_workspace_is_lent():
    before = memory.use().allocated
    scratch = memory.workspace("large", (9 << 20,))
    assert memory.use().allocated - before >= 36 << 20
    scratch[-1] = 1
    del scratch
    assert memory.use().allocated == before


@linux
def test_the_machine_has_an_arena():
    assert make_arena() is not None
