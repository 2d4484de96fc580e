"""Submissions that hang, end, crash, flood or fork: each one is a fault with a sentence."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from submissions import CONV2D, RIGHT, gone, numbered, within

from minideconv.course.worker import StudentFault, process
from minideconv.testing.operations import OPERATIONS

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(sys.platform != "linux", reason="counts processes in /proc"),
]


# Time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "lines"),
    [
        ("", "while True: pass"),
        ("import time", "time.sleep(1000)"),
        ("import threading", "threading.Event().wait()"),
        ("import signal", "signal.signal(15, signal.SIG_IGN)\nwhile True: pass"),
        ("import os, signal", "os.kill(os.getpid(), signal.SIGSTOP)"),
        ("", "while True:\n    try:\n        while True: pass\n    except BaseException: pass"),
    ],
    ids=["loop", "sleep", "wait", "ignores SIGTERM", "stops itself", "catches all"],
)
def test_a_call_that_does_not_return(body, module, lines):
    began = time.monotonic()
    text = body(lines, module, call=0.3).fault(kind="time")
    assert text == "conv2d did not return within 0.3 s: an endless loop, or too slow"
    assert time.monotonic() - began < 8


def test_an_import_that_does_not_end_is_tried_once(submit):
    submission = submit("while True: pass", load=1.0)
    text = submission.fault(kind="time")
    assert text.startswith("conv.py, when it is imported, did not return within 1 s")
    began = time.monotonic()
    assert submission.fault(kind="time") == text
    assert time.monotonic() - began < 0.1


def test_after_three_calls_that_hang_the_rest_is_refused_at_once(body):
    submission = body("while True: pass", call=0.2)
    for seed in range(3):
        submission.fault(numbered(seed), kind="time")
    began = time.monotonic()
    for seed in range(3, 300):
        text = submission.fault(numbered(seed), kind="refused")
    assert text == "conv2d is not called any more: 3 of its calls did not return in time"
    # What is known is said again.
    assert "within 0.2 s" in submission.fault(numbered(1), kind="time")
    assert time.monotonic() - began < 4


def test_many_slow_calls_end_with_the_time_of_the_operation(body):
    submission = body("time.sleep(0.3); return x", "import time", operation=0.5)
    submission.call()
    with contextlib.suppress(StudentFault):  # already refused on a machine that is busy
        submission.call()
    text = submission.fault(kind="refused")
    assert text == "conv2d is not called any more: its calls took more than 0.5 s together"


def test_a_hanging_backward_does_not_stop_the_forward(submit):
    backward = "\ndef conv2d_backward(dy, x, w, **settings):\n    while True: pass\n"
    submission = submit(RIGHT + backward, call=0.7)
    operation = OPERATIONS["conv2d_backward"]
    for seed in range(4):
        case = numbered(seed, operation)
        submission.fault(case, operation, kind="time" if seed < 3 else "refused")
    assert submission.call().outputs["y"].shape == (1, 1, 1, 1)


def test_a_thread_that_goes_on_disturbs_nothing(submit):
    submission = submit(
        RIGHT
        + """
import threading
def spin():
    while True: pass
for _ in range(3):
    threading.Thread(target=spin).start()
"""
    )
    for seed in range(5):
        case = numbered(seed)
        want = CONV2D.expected(case)["y"].value
        np.testing.assert_array_equal(submission.call(case).outputs["y"], want)


def test_processor_time_is_limited_too(body):
    text = body("while True: pass", cpu=1.0, call=60.0).fault(kind="time")
    assert text == "conv2d used up the processor time that the whole file may take"


# The process ends ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "kind", "said"),
    [
        ("os._exit(0)", "exit", "conv2d ended the Python process with exit status 0; "
         "it must return its result"),
        ("os._exit(3)", "exit", "exit status 3"),
        ("sys.exit()", "exit", "conv2d called sys.exit() in line 3 of conv2d; it must return"),
        ("raise SystemExit(0)", "exit", "called sys.exit()"),
        ("os.kill(os.getpid(), 9)", "exit", "was killed: by itself, or for the memory"),
        ("os.kill(os.getpid(), 15)", "exit", "ended the Python process by SIGTERM"),
        ("os.killpg(0, 9)", "exit", "was killed"),
        ("os.abort()", "crash", "crashed the Python process: an abort of the interpreter"),
        ("ctypes.string_at(0)", "crash", "crashed the Python process: a segmentation fault"),
        ("os.execv('/bin/true', ['true'])", "exit", "ended the Python process with exit status 0"),
        ("raise KeyboardInterrupt", "raised", "raised KeyboardInterrupt"),
    ],
)  # fmt: skip
def test_a_process_that_ends(body, lines, kind, said):
    submission = body(f"{lines}\nreturn x", "import ctypes, os, sys")
    assert said in submission.fault(kind=kind)


def test_exit_in_the_module(submit):
    text = submit("import os\nos._exit(0)").fault(kind="exit")
    assert text.startswith("conv.py, when it is imported, ended the Python process with exit")
    text = submit("import sys\n\nsys.exit('done')").fault(kind="exit")
    assert "conv.py, when it is imported, called sys.exit() in line 3 of conv.py" in text


def test_the_next_call_has_a_new_process_a_few_times(body):
    submission = body("if x[0, 0, 0, 0] > 0: os._exit(1)\nreturn x * w", "import os", restarts=2)
    submission.fault(numbered(1), kind="exit")
    submission.call(numbered(-1))
    submission.fault(numbered(2), kind="exit")
    text = submission.fault(numbered(3), kind="refused")
    assert text == "conv2d is not called any more: 2 of its calls ended the process"


# Output -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        "while True: print('again')",
        "while True: os.write(2, b'x' * 2**20)",
        "while True: sys.stderr.write('x' * 4096)",
        "os.system('yes')",
    ],
)
def test_printing_without_end(body, lines):
    submission = body(lines, "import os, sys", printed=100_000)
    text = submission.fault(kind="output")
    assert text == "conv2d printed more than 100,000 bytes"
    assert 0 < len(submission.worker.printed) <= 65536


def test_what_is_printed_is_kept_and_no_fault(body):
    submission = body("print('in a call'); return x * w", "print('in the module \\u00e9')")
    submission.call()
    submission.worker.close()
    assert submission.worker.printed == "in the module é\nin a call\n"


# Memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        "np.zeros(10**11) + 1",
        "a = np.ones((10**9,))",
        "[0] * 10**11",
        "kept = []\nwhile True: kept.append(bytes(10**7))",
        "x = 'x'\nwhile True: x += x",
    ],
)
def test_a_huge_allocation(body, lines):
    submission = body(lines, "import numpy as np", memory=512 * 2**20, call=60.0)
    text = submission.fault(kind="memory")
    assert text.startswith("conv2d asked for more memory than it may have in line")


def test_memory_of_several_processes_counts_together(body):
    lines = """
    for _ in range(4):
        if os.fork() == 0:
            held = np.ones(80 * 2**17)  # 80 MB
            time.sleep(30)
    time.sleep(30)
    """
    submission = body(lines, "import os, time\nimport numpy as np", memory=300 * 2**20)
    assert submission.fault(kind="memory") == "conv2d used more than 300 MB of memory"


def test_a_large_file_is_not_written(body):
    text = body(
        "with open('large', 'wb') as file:\n    for _ in range(64): file.write(bytes(2**20))"
    ).fault(kind="raised")
    assert "OSError" in text


def test_a_huge_result_is_refused_before_it_is_copied(body):
    submission = body("return np.broadcast_to(x, (10**6, 10**6, 1, 1))", "import numpy as np")
    text = submission.fault(kind="output")
    assert "1000000x1000000x1x1 numbers" in text


# Processes ----------------------------------------------------------------------------------


def test_a_fork_bomb(body):
    lines = """
    for _ in range(40):
        if os.fork() == 0:
            time.sleep(60)
    time.sleep(60)
    """
    text = body(lines, "import os, time").fault(kind="processes")
    assert text == "conv2d started more than 7 other processes"


@pytest.mark.parametrize("own", [False, True])
def test_a_fork_bomb_of_daemons(body, own, monkeypatch):
    """Each in a session of its own, its parent gone: still below the keeper."""
    lines = """
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            os.environ.clear()
            if os.fork() == 0:
                time.sleep(60)
            os._exit(0)
    time.sleep(60)
    """
    if not own:
        monkeypatch.setattr(process, "own_user", lambda *_: None)
    body(lines, "import os, time").fault(kind="processes")


def test_a_process_that_shows_late_is_ended_too():
    """The list of children may leave one out at first: it is killed while it is awaited."""
    program = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import keeper
child = os.fork()
if child == 0:
    time.sleep(60)
begin = time.monotonic()
keeper._reap(keeper.load("tree"), begin + 30)
print(time.monotonic() - begin)
"""
    folder = Path(process.__file__).parent / "inside"
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 30


def test_processes_that_outlive_the_call_end_with_the_worker(body):
    lines = """
    import subprocess
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True, env={})
    orphan = subprocess.run(
        ["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True
    )
    print(child.pid, orphan.stdout)
    return x * w
    """
    submission = body(lines)
    submission.call()
    submission.worker.close()
    pids = [int(text) for text in submission.worker.printed.split()]
    assert len(pids) == 2
    assert within(5, lambda: all(map(gone, pids)))


def test_a_fork_bomb_that_doubles(body):
    """2 to the power of 9 processes, if nothing stopped it."""
    lines = "for _ in range(9):\n    os.fork()\ntime.sleep(60)"
    submission = body(lines, "import os, time")
    with pytest.raises(StudentFault) as caught:
        submission.call()
    # Where the system counts a user's processes, one of them may be refused first.
    assert caught.value.kind in ("processes", "raised")


@pytest.fixture
def as_the_graders_user(monkeypatch):
    """Run the process as the user who grades, also where that is root."""
    monkeypatch.setattr(process, "own_user", lambda *_: None)


@pytest.mark.usefixtures("as_the_graders_user")
def test_the_first_process_that_a_student_may_kill(body):
    submission = body("os.kill(os.getppid(), 9); time.sleep(20)", "import os, time")
    assert "ended the Python process" in submission.fault(kind="exit")


@pytest.mark.usefixtures("as_the_graders_user")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP"])
def test_a_keeper_that_is_killed_or_stopped_leaves_nothing(body, how):
    lines = f"""
    pid = os.fork()
    if pid == 0:
        time.sleep(1000)
    print(pid)
    os.kill(os.getppid(), signal.{how})
    time.sleep(1000)
    """
    submission = body(lines, "import os, signal, time", call=1.0)
    submission.fault(kind="time")
    pid = int(submission.worker.printed)
    assert within(5, lambda: gone(pid))


GRADER = """
import sys
from pathlib import Path
from minideconv.course.worker import Limits, Worker
from minideconv.testing.operations import OPERATIONS
conv2d = OPERATIONS["conv2d"]
case = conv2d.case(conv2d.draw(lambda low, high: low), seed=1)
with Worker(Path(sys.argv[1]), limits=Limits(processes=8)) as worker:
    worker.call(conv2d)(*conv2d.call_arguments(case))
"""


def test_a_grader_that_is_killed_leaves_nothing(body):
    lines = """
    import os, subprocess, time
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    with open(os.environ["HOME"] + "/part", "w") as file:
        file.write(f"{os.getpid()} {os.getppid()} {child.pid}")
    os.rename(file.name, os.environ["HOME"] + "/pids")
    time.sleep(1000)
    """
    folder = Path(tempfile.gettempdir())
    grader = subprocess.Popen([sys.executable, "-c", GRADER, str(body(lines).file)])
    assert within(20, lambda: list(folder.glob("student-*/pids")))
    pids = next(folder.glob("student-*/pids")).read_text().split()
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    assert within(5, lambda: all(gone(int(pid)) for pid in pids))
    assert within(5, lambda: not list(folder.iterdir()))
