"""By default a student's process is alone: the system refuses it others, signals, connections."""

from __future__ import annotations

import platform
import sys
import time

import pytest
from submissions import RIGHT

from minideconv.course.worker.inside.system_calls import _MACHINES

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() not in _MACHINES,
        reason="the filter is of Linux, on two kinds of processors",
    ),
]


@pytest.fixture
def alone(body):
    """Return a function that hands in a body, under the default limit of one process."""
    return lambda lines: body(lines, "import os, signal, socket, subprocess", processes=1)


@pytest.mark.parametrize(
    "lines",
    [
        "while True: os.fork()",
        "for _ in range(12): os.fork()",
        "subprocess.run(['true'])",
        "subprocess.Popen(['sleep', '1000'], start_new_session=True)",
    ],
)
def test_another_process_is_refused(alone, lines):
    begun = time.monotonic()
    fault = alone(lines).fault(kind="processes")
    assert "starts another process in line" in fault
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "lines",
    [
        "os.kill(os.getppid(), signal.SIGKILL)",
        "os.kill(-1, signal.SIGKILL)",
        "socket.create_connection(('127.0.0.1', 9))",
        "open('/x', 'w')",
        "open('/proc/%d/environ' % os.getppid())",
        f"open({__file__!r})",
        "open('/tmp/results.json', 'w')",
    ],
)
def test_what_is_not_its_own_is_refused(alone, lines):
    assert "raised PermissionError" in alone(lines).fault(kind="raised")


def test_right_code_is_not_disturbed(submit):
    from minideconv.testing.checking.run import Checker
    from minideconv.testing.operations import OPERATIONS

    submission = submit(RIGHT, processes=1)
    operation = OPERATIONS["conv2d"]
    outcomes = list(Checker(operation, submission.worker.call(operation), examples=5).run())
    assert all(outcome.passed for outcome in outcomes)
