"""Items made by processes: the same bytes, and nothing is left of the processes in the end."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from python_items import Numbers, Surroundings

from minideconv.data import item_processes
from minideconv.data.cache import ItemCache
from minideconv.data.loader import DataLoader
from minideconv.data.shapes import Shapes
from minideconv.data.shard import Subset
from minideconv.data.transforms import Compose, RandomCrop, Resize, paper_train
from minideconv.errors import DataError, UsageError

ROOT = Path(__file__).parents[2]
SECONDS = 60  # in which a process has ended, however busy the machine is


def begin(loader: DataLoader):
    """Return an iterator and its first batch, when every process is ready to make items."""
    batches = iter(loader)
    first = next(batches)
    loader._processes.wait()
    return batches, first


def run(loader: DataLoader, epochs: int = 1) -> list[tuple[bytes, bytes]]:
    """Return the bytes of whole epochs; the first batch is made here, the rest by processes."""
    found = []
    for _ in range(epochs):
        batches, first = begin(loader)
        found += [(x.tobytes(), y.tobytes()) for x, y in (first, *batches)]
    return found


def makers(batches) -> set[int]:
    """Return the numbers of the processes that made the items of `Numbers`."""
    return {int(pid) for _, masks in batches for pid in np.unique(masks)}


def ended(processes) -> bool:
    """Wait until all have ended; their exit codes have been collected too."""
    limit = time.monotonic() + SECONDS
    while any(process.poll() is None for process in processes):
        if time.monotonic() > limit:
            return False
        time.sleep(0.01)
    return True


def drawn(length: int = 300, **options) -> Shapes:
    return Shapes("train", length=length, size=16, difficulty="easy", **options)


@pytest.fixture(scope="module")
def usual() -> list[tuple[bytes, bytes]]:
    """Two epochs without threads and processes."""
    return run(DataLoader(drawn(), 8, paper_train(16), True, seed=3, cache_mb=1), epochs=2)


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("cache_mb", [0, 1])
def test_neither_threads_nor_processes_change_a_byte(workers, cache_mb, usual):
    def loader(processes: int) -> DataLoader:
        step = paper_train(16)
        options = {"workers": workers, "cache_mb": cache_mb, "processes": processes}
        return DataLoader(drawn(), 8, step, True, seed=3, **options)

    with_processes = loader(2)
    batches, first = begin(with_processes)
    assert len(with_processes._processes.running) == 2
    found = [(x.tobytes(), y.tobytes()) for x, y in (first, *batches)]
    assert found + run(with_processes) == usual
    assert with_processes._processes.running == []  # in the second epoch all is there
    assert run(loader(0), epochs=2) == usual


def test_items_are_made_by_the_processes():
    loader = DataLoader(Numbers(), 7, processes=2)
    batches, _ = begin(loader)
    processes = loader._processes.running
    pids = {process.pid for process in processes}
    assert len(pids) == 2
    assert os.getpgid(0) not in map(os.getpgid, pids)  # a terminal's Ctrl-C goes to a whole group
    assert makers(batches) <= pids
    assert makers(loader) <= pids  # there are items to be made in the next epoch too
    loader.close()
    assert ended(processes)


@pytest.mark.parametrize("workers", [0, 3])
def test_nothing_waits_for_processes_that_are_starting(workers, monkeypatch):
    monkeypatch.setattr(item_processes, "_PROGRAM", "import time; time.sleep(1000)")
    loader = DataLoader(Numbers(), 4, workers=workers, processes=2)
    assert makers(loader) == {os.getpid()}
    limit = time.monotonic() + SECONDS
    while len(loader._processes.running) < 2 and time.monotonic() < limit:
        time.sleep(0.01)
    processes = loader._processes.running
    loader.close()
    assert len(processes) == 2
    assert ended(processes)


def test_what_processes_made_is_kept_here(monkeypatch):
    data = drawn()
    loader = DataLoader(data, 4, paper_train(16), cache_mb=1, processes=2)
    batches, _ = begin(loader)
    monkeypatch.setattr(Shapes, "_draw", lambda *_: pytest.fail("drawn here"))
    list(batches)
    assert all(index in data.cache and index in loader._preparation for index in range(300))
    monkeypatch.undo()
    for index in (5, 250):
        np.testing.assert_array_equal(data.instances(index), drawn().instances(index))
        assert not data[index][0].flags.writeable


def test_a_data_set_that_keeps_its_items_needs_no_processes():
    data = drawn()
    for index in range(300 - item_processes._WORTH + 1):
        data[index]
    loader = DataLoader(data, 4, paper_train(16), processes=2)  # its own cache keeps nothing
    batches, _ = begin(loader)
    assert loader._processes.running == []
    del batches


@pytest.mark.parametrize("options", [{}, {"processes": 0}])
def test_processes_are_not_the_default(options):
    loader = DataLoader(Numbers(), 4, workers=2, **options)
    batches, _ = begin(loader)
    assert loader._processes.running == []
    assert makers(batches) == {os.getpid()}


def test_data_sets_whose_items_do_not_hold_the_gil_have_no_processes(monkeypatch):
    monkeypatch.setattr(Numbers, "holds_gil", False)
    loader = DataLoader(Numbers(), 4, processes=2)
    batches, _ = begin(loader)
    assert loader._processes.running == []
    assert makers(batches) == {os.getpid()}


@pytest.mark.parametrize("processes", [1, 2])
def test_resuming_in_the_middle_of_an_epoch(processes, usual):
    def loader() -> DataLoader:
        options = {"workers": 2, "cache_mb": 1, "processes": processes}
        return DataLoader(drawn(), 8, paper_train(16), True, seed=3, **options)

    first = loader()
    batches, batch = begin(first)
    got = [batch, next(batches), next(batches)]
    state = first.state_dict()
    batches.close()
    second = loader()
    second.load_state_dict(state)
    found = [(x.tobytes(), y.tobytes()) for x, y in got] + run(second) + run(second)
    assert found == usual


@pytest.mark.parametrize(("batch", "size"), [(7, 2), (3, 4)])
def test_parts_of_batches_are_the_batches(batch, size):
    def loader(**options) -> DataLoader:
        return DataLoader(drawn(600), batch, paper_train(16), True, cache_mb=1, **options)

    whole = list(loader())
    parts = [loader(shard=(rank, size), processes=1) for rank in range(size)]
    found = []
    for part in parts:
        batches, first = begin(part)
        assert len(part._processes.running) == 1
        found.append([first, *batches])
        part.close()
    for k, pair in enumerate(whole):
        for kind, array in enumerate(pair):
            pieces = [batches[k][kind] for batches in found]
            np.testing.assert_array_equal(np.concatenate(pieces), array)


def test_an_index_that_occurs_twice_and_one_from_the_end():
    loader = DataLoader(Numbers(), 4, sampler=[*range(400), 7, 7, -1, -1], processes=2)
    batches, first = begin(loader)
    images = np.concatenate([images[:, 0, 0, 0] for images, _ in (first, *batches)])
    assert images.tolist() == [*(k % 251 for k in range(400)), 7, 7, 250, 250]  # -1 % 251


# -- What goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("bad", r"item 400 \(number-400\) failed with ZeroDivisionError: made to fail"),
        ("broken", r"^picture\.jpg is broken\.$"),
    ],
)
def test_an_item_that_fails_is_named_as_without_processes(workers, kind, message):
    loader = DataLoader(Numbers(**{kind: 400}), 7, workers=workers, processes=2)
    batches, _ = begin(loader)
    processes = loader._processes.running
    with pytest.raises(DataError, match=message):
        list(batches)
    assert len(processes) == 2
    assert ended(processes)


def test_a_step_that_fails_is_named_as_without_processes():
    loader = DataLoader(Numbers(), 4, Compose([Resize(4), Resize(3)]), processes=2)
    loader._preparation.fixed[1].size = "a side"
    batches = iter(loader)
    with pytest.raises(DataError, match=r"item 0 \(number-0\) failed with"):
        next(batches)


@pytest.mark.parametrize("killed", [1, 2])
@pytest.mark.parametrize("workers", [0, 3])
def test_killed_processes_change_nothing(killed, workers):
    loader = DataLoader(Numbers(), 4, workers=workers, processes=2)
    batches, first = begin(loader)
    processes = loader._processes.running
    for process in processes[:killed]:
        os.kill(process.pid, signal.SIGKILL)
    images = np.concatenate([images[:, 0, 0, 0] for images, _ in (first, *batches)])
    assert images.tolist() == [k % 251 for k in range(600)]
    loader.close()
    assert ended(processes)


@pytest.mark.parametrize("workers", [0, 3])
def test_processes_that_die_of_an_item_change_nothing(workers):
    loader = DataLoader(Numbers(deadly=400), 4, workers=workers, processes=1)
    batches, first = begin(loader)
    (process,) = loader._processes.running
    images, masks = zip(first, *batches, strict=True)
    assert np.concatenate(images)[:, 0, 0, 0].tolist() == [k % 251 for k in range(600)]
    assert (masks[50] == process.pid).all()
    assert (masks[100] == os.getpid()).all()  # with the item of which it died
    assert ended([process])


def test_what_cannot_be_pickled_is_made_here():
    data = Numbers()
    data.function = lambda: None
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(data)
    loader = DataLoader(data, 4, workers=2, processes=2)
    batches, first = begin(loader)
    assert loader._processes.running == []
    assert makers([first, *batches]) == {os.getpid()}


def test_what_other_processes_cannot_import_is_made_here(monkeypatch):
    module = types.ModuleType("a_module_without_a_file")
    exec("from python_items import Numbers\nclass Own(Numbers): pass", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    loader = DataLoader(module.Own(), 4, workers=2, processes=2)
    batches, first = begin(loader)
    assert makers([first, *batches]) == {os.getpid()}
    assert ended(loader._processes.running)


def test_no_program_to_start(monkeypatch):
    for executable in (None, "/no/such/program", sys.executable + "-no"):
        monkeypatch.setattr(sys, "executable", executable)
        loader = DataLoader(Numbers(), 4, processes=2)
        batches, first = begin(loader)
        assert makers([first, *batches]) == {os.getpid()}
        loader.close()


def test_what_items_print_is_not_taken_for_an_answer(capfd):
    loader = DataLoader(Numbers(loud=True), 4, processes=2)
    batches, _ = begin(loader)
    assert os.getpid() not in makers(batches)
    loader.close()
    assert capfd.readouterr() == ("", "")


def test_processes_leave_the_gpu_alone():
    loader = DataLoader(Surroundings(), 4, processes=2)
    batches, _ = begin(loader)
    for _, masks in batches:
        assert (masks == [False, True]).all()
    loader.close()


def test_messages():
    with pytest.raises(UsageError, match="processes is -1; it must be at least 0"):
        DataLoader(Numbers(), 4, processes=-1)


# -- Their end --------------------------------------------------------------------------------


def test_no_process_survives_a_loop_left_early_or_by_an_error():
    loader = DataLoader(Numbers(), 4, workers=2, processes=2)
    for _ in loader:
        processes = loader._processes.running  # perhaps still starting
        break
    assert ended(processes)
    batches, _ = begin(loader)
    processes = loader._processes.running
    assert len(processes) == 2
    with pytest.raises(KeyError):
        batches.throw(KeyError("leave"))
    assert ended(processes)
    batches, _ = begin(loader)
    processes = loader._processes.running
    del batches
    assert ended(processes)
    assert loader._processes.running == []


@pytest.mark.parametrize("collect", [False, True])
def test_no_process_survives_its_loader(collect):
    loader = DataLoader(Numbers(), 4, workers=2, processes=2)
    batches, _ = begin(loader)
    processes = loader._processes.running
    assert len(list(batches)) == 149
    assert len(processes) == 2
    if collect:
        circle = [loader]
        circle.append(circle)
        del circle
    del loader, batches
    gc.collect()
    assert ended(processes)


def test_two_loops_over_one_loader():
    loader = DataLoader(Numbers(), 4, workers=2, processes=2)
    one, _ = begin(loader)
    other, _ = begin(loader)
    other.close()  # ends the processes under the other loop's feet
    assert len(list(one)) == 149


def start(*program: str) -> subprocess.Popen[str]:
    """Start a program in a session of its own, as from a terminal."""
    paths = [str(ROOT), str(ROOT / "tests" / "support")]
    return subprocess.Popen(
        [sys.executable, *program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,
    )


def alive(pid: int) -> bool:
    """Return whether a process runs; one whose exit code has not been collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


BEGIN = """
import os, sys, signal
from python_items import Numbers
from minideconv.data.loader import DataLoader
loader = DataLoader(Numbers(), 4, workers=2, processes=2)
batches = iter(loader)
next(batches)
loader._processes.wait()
print(*[process.pid for process in loader._processes.running], flush=True)
"""


INTERRUPTED = """
try:
    print("interrupt me", flush=True)  # from here on, not between two lines of the script
    sys.stdin.readline()
except KeyboardInterrupt:
    pids = [process.pid for process in loader._processes.running]
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    rest = [int(pid) for _, masks in list(batches)[8:] for pid in masks.flat]
    print(set(rest) <= set(pids), len(rest), flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    "end", ["pass", "os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)", "1 / 0"]
)
def test_no_process_survives_the_program(end):
    with start("-c", f"{BEGIN}\n{end}") as program:
        out, err = program.communicate(timeout=SECONDS)
    pids = [int(word) for word in out.split()]
    assert len(pids) == 2
    limit = time.monotonic() + SECONDS
    while any(map(alive, pids)) and time.monotonic() < limit:
        time.sleep(0.01)
    assert not any(map(alive, pids))
    assert err.count("\n") == (0 if "/" not in end else 3), err  # a traceback of the script alone


def test_ctrl_c_is_for_the_program_alone():
    # A shell starts what it puts into the background with SIGINT ignored, and so would Python.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    with start("-c", listen + BEGIN + INTERRUPTED) as program:
        pids = program.stdout.readline().split()
        assert program.stdout.readline() == "interrupt me\n"
        os.killpg(program.pid, signal.SIGINT)
        out, err = program.communicate(timeout=SECONDS)
    assert len(pids) == 2
    assert out == f"True {(149 - 8) * 4 * 30}\n"
    assert err == ""


STUCK = """
import faulthandler, os, sys
from itertools import islice
from python_items import Stuck
from minideconv.data.loader import DataLoader
faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True)
loader = DataLoader(Stuck(sys.argv[1]), 4, workers=2, processes=2)
batches = iter(loader)
next(batches)
loader._processes.wait()
list(islice(batches, 98))  # the next batch but one is stuck, and under way
stuck = os.open(sys.argv[1], os.O_WRONLY)  # waits for the process that opens it
try:
    batches.throw(KeyboardInterrupt)
except KeyboardInterrupt:
    print("ended", flush=True)
"""


def test_one_ctrl_c_ends_a_loop_one_of_whose_processes_hangs(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with start("-c", STUCK, str(tmp_path / "pipe"), str(SECONDS)) as program:
        out, err = program.communicate(timeout=2 * SECONDS)
    assert (out, err) == ("ended\n", "")


def test_a_data_set_of_the_users_own_script_runs_the_script_once(tmp_path):
    """There is no ``if __name__ == "__main__"`` in it."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os\n"
        "from python_items import Numbers\n"
        "from minideconv.data.loader import DataLoader\n"
        "print('begin')\n"
        "class Own(Numbers): pass\n"
        "loader = DataLoader(Own(), 4, workers=2, processes=2)\n"
        "batches = iter(loader)\n"
        "next(batches)\n"
        "loader._processes.wait()\n"
        "print({int(pid) for _, masks in batches for pid in masks.flat} == {os.getpid()})\n"
    )
    with start(str(program)) as running:
        assert running.communicate(timeout=SECONDS) == ("begin\nTrue\n", "")


# -- Copies -----------------------------------------------------------------------------------


def test_a_copy_of_a_cache_is_empty_and_has_the_room():
    cache = ItemCache(6 / 2**20)
    cache.get(3, lambda: (np.zeros(4, np.uint8),))
    copy = pickle.loads(pickle.dumps(cache))
    assert 3 in cache
    assert 3 not in copy
    copy.get(1, lambda: (np.zeros(7, np.uint8),))
    copy.get(2, lambda: (np.zeros(6, np.uint8),))
    assert (1 in copy, 2 in copy) == (False, True)


def test_what_was_taken_out_of_a_cache_leaves_its_room():
    cache = ItemCache(6 / 2**20)
    for key in range(3):
        cache.get(key, lambda: (np.zeros(4, np.uint8),))
        taken = cache.take_all()
        assert list(taken) == [key]
    assert cache.take_all() == {}


def test_a_copy_of_drawn_pictures_draws_the_same(usual):
    data, crop = drawn(), RandomCrop(5)
    data[4]
    copy, _ = pickle.loads(pickle.dumps((data, crop)))
    assert 4 not in copy.cache
    np.testing.assert_array_equal(copy[4][0], data[4][0])
    assert repr(copy) == repr(data)


def test_a_copy_of_a_part_of_a_data_set_is_that_part():
    part = Subset(drawn(), range(5))
    copy = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(copy[4][0], part[4][0])
    assert (len(copy), copy.name(4)) == (5, part.name(4))
