"""Processes that are made while worker threads are there: forked, or started anew."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.cpu

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

# A network whose layers are large enough for the workers, and what it computes.
NETWORK = """
import multiprocessing, os, pickle, sys, threading, time, warnings
import numpy as np
import minideconv as md
from minideconv import Tensor, nn, optim
from minideconv.backend import parallel

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads

def network():
    md.manual_seed(3)
    return nn.Sequential(nn.Conv2d(8, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 8, 5, padding=2))

def step(net):
    x = Tensor(np.random.default_rng(0).standard_normal((4, 8, 40, 40), np.float32))
    net.zero_grad()
    y = net(x)
    (y * y).sum().backward()
    arrays = [y.numpy(), *(p.grad.numpy() for p in net.parameters())]
    return [array.sum(dtype=float) for array in arrays]

def work(queue, net, threads):
    if threads:
        parallel.set_num_threads(threads)
    queue.put((step(net), parallel.get_num_threads()))
"""


def run(code, timeout=240):
    done = subprocess.run(
        [sys.executable, "-c", NETWORK + code],
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(autouse=True)
def _workers():
    pytest.importorskip("threadpoolctl", reason="needs threadpoolctl: pip install threadpoolctl")


@needs_fork
def test_a_forked_process_computes_with_workers_of_its_own():
    run(
        """
assert parallel.set_num_threads(2) == 2

def workers():
    wait = threading.Barrier(2)  # both are needed
    return set(parallel.map_ordered(lambda _: (wait.wait(60), threading.get_ident())[1], range(2)))

net = network()
want = step(net)
assert len(workers()) == 2
child = os.fork()
if child == 0:
    good = step(net) == want and parallel.get_num_threads() == 2 and len(workers()) == 2
    os._exit(0 if good else 1)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert step(net) == want
"""
    )


@needs_fork
def test_a_forked_process_knows_that_it_is_one():
    """CUDA does not work in it; `tests/test_gpu_probe.py` has the sentence."""
    run(
        """
from minideconv.backend import gpu_probe
child = os.fork()
if child == 0:
    os._exit(0 if gpu_probe._forked.is_set() else 1)
assert os.waitpid(child, 0)[1] == 0
assert not gpu_probe._forked.is_set()
"""
    )


@needs_fork
def test_processes_may_be_forked_while_other_threads_compute():
    run(
        """
parallel.set_num_threads(2)
net = network()
want = step(net)
ended = threading.Event()

def go_on():
    mine = network()
    while not ended.is_set():
        step(mine)

threads = [threading.Thread(target=go_on) for _ in range(2)]
for thread in threads:
    thread.start()
try:
    for _ in range(12):
        child = os.fork()
        if child == 0:
            os._exit(0 if step(net) == want else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
finally:
    ended.set()
"""
    )


@pytest.mark.parametrize("method", [pytest.param("fork", marks=needs_fork), "spawn", "forkserver"])
def test_multiprocessing_computes_the_same(method, tmp_path):
    """A script, since a process that is started anew imports it; networks travel as pickles."""
    script = tmp_path / "script.py"
    script.write_text(
        NETWORK
        + f"""
if __name__ == "__main__":
    parallel.set_num_threads(2)
    net = network()
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    optimizer.flatten()
    want = step(net)
    context = multiprocessing.get_context({method!r})
    queue = context.Queue()
    for threads in (None, 2, 1):
        child = context.Process(target=work, args=(queue, net, threads))
        child.start()
        found, count = queue.get(timeout=200)
        child.join()
        assert np.allclose(found, want, rtol=1e-4), (found, want)
        assert threads is None or count == threads
"""
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@needs_fork
def test_a_fork_waits_for_a_thread_that_compiles():
    """The lock of numba's compiler would stay locked in the new process for good."""
    pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    run(
        """
from numba.core.compiler_lock import global_compiler_lock
import minideconv.engine.cpu.compiled.kernel

held = threading.Event()

def compile():
    with global_compiler_lock:
        held.set()
        time.sleep(0.5)

thread = threading.Thread(target=compile)
thread.start()
held.wait(60)
child = os.fork()
if not child:
    os._exit(0 if global_compiler_lock._lock.acquire(timeout=20) else 1)
assert os.waitpid(child, 0)[1] == 0, "the new process cannot compile"
thread.join()
"""
    )
