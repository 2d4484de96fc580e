"""What the system refuses a student's process: processes, signals, connections, files of others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minideconv.course.worker.inside import file_access, system_calls

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(sys.platform != "linux", reason="the filters are of Linux"),
]

INSIDE = Path(system_calls.__file__).parent
PARENT = "os.getppid()"
# What is tried, and which error it must end with: None, if it must work.
SYSTEM_CALLS = {
    "os.fork()": "BlockingIOError",
    "subprocess.run(['true'])": "BlockingIOError",
    "os.posix_spawn('/bin/true', ['true'], {})": "BlockingIOError",
    "os.popen('true').read()": "BlockingIOError",
    "multiprocessing.get_context('fork').Process(target=print).start()": "BlockingIOError",
    f"os.kill({PARENT}, 0)": "PermissionError",
    f"os.kill({PARENT}, signal.SIGKILL)": "PermissionError",
    "os.kill(-1, signal.SIGTERM)": "PermissionError",
    f"os.pidfd_open({PARENT})": "PermissionError",
    "socket.create_connection(('127.0.0.1', 9), 1)": "PermissionError",
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)": "PermissionError",
    "socket.socket(socket.AF_UNIX).connect('/run/service')": "PermissionError",
    "os.kill(os.getpid(), 0)": None,
    "signal.raise_signal(signal.SIGCONT)": None,
    "in_a_thread()": None,
    "float((np.ones((300, 300)) @ np.ones((300, 300))).sum())": None,
}
FILES = {
    "open(outside).read()": "PermissionError",
    "open(outside, 'w')": "PermissionError",
    "os.truncate(outside, 0)": "PermissionError",
    "os.remove(outside)": "PermissionError",
    "os.rename(outside, outside + '2')": "PermissionError",
    "os.symlink(outside, home + '/link') or open(home + '/link').read()": "PermissionError",
    "os.listdir(os.path.dirname(outside))": "PermissionError",
    "os.mkdir(outside + '-folder')": "PermissionError",
    f"open(f'/proc/{{{PARENT}}}/environ').read()": "PermissionError",
    "open(home + '/own', 'w').write('x')": None,
    "os.listdir(home)": None,
    "open('/dev/null', 'w').write('x')": None,
    "__import__('decimal')": None,
    "float((np.ones((300, 300)) @ np.ones((300, 300))).sum())": None,
}
PROGRAM = """
import multiprocessing, os, signal, socket, subprocess, sys, threading
import numpy as np
sys.path.insert(0, sys.argv[1])
home, outside = sys.argv[3:]
import file_access, system_calls

def in_a_thread():
    thread = threading.Thread(target=print)
    thread.start()
    thread.join()

{restrict}
try:
    eval(sys.argv[2])
except Exception as error:
    print(type(error).__name__)
else:
    print("it works")
"""
CALLS_ONLY = "assert system_calls.restrict()"
FILES_ONLY = (
    "assert file_access.restrict([sys.prefix, sys.base_prefix, '/usr', '/lib', '/lib64'],"
    " [home, '/dev/null'])"
)


def said(restrict: str, expression: str, tmp_path: Path) -> str:
    (tmp_path / "home").mkdir()
    outside = tmp_path / "outside.txt"
    outside.write_text("the tests")
    program = PROGRAM.format(restrict=restrict)
    arguments = [str(INSIDE), expression, str(tmp_path / "home"), str(outside)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert outside.read_text() == "the tests"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def landlock():
    """Skip where the kernel has it not: the probe is in a process of its own."""
    probe = "import sys; sys.path.insert(0, sys.argv[1]); import file_access;"
    probe += "sys.exit(not file_access.restrict(['/'], ['/']))"
    if subprocess.run([sys.executable, "-c", probe, str(INSIDE)]).returncode:
        pytest.skip("this kernel has no Landlock")


@pytest.mark.parametrize("expression", SYSTEM_CALLS)
def test_system_calls(expression, tmp_path):
    assert said(CALLS_ONLY, expression, tmp_path) == (SYSTEM_CALLS[expression] or "it works")


@pytest.mark.usefixtures("landlock")
@pytest.mark.parametrize("expression", FILES)
def test_files(expression, tmp_path):
    assert said(FILES_ONLY, expression, tmp_path) == (FILES[expression] or "it works")


def test_without_a_filter_all_that_would_work(tmp_path):
    """The tests above could pass where nothing works."""
    assert said("", "os.posix_spawn('/bin/true', ['true'], {})", tmp_path) == "it works"


def test_without_rules_a_file_is_read(tmp_path):
    assert said("", "open(outside).read()", tmp_path) == "it works"


def test_other_systems_say_that_they_cannot(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not system_calls.restrict()
    assert not file_access.restrict([], [])


def test_other_processors_say_that_they_cannot(monkeypatch):
    monkeypatch.setattr(system_calls.platform, "machine", lambda: "riscv64")
    assert not system_calls.restrict()
