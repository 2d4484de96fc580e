"""The kernel tests of tests/cuda again, with every access to memory checked and threads shuffled.

Each run is a process of its own: a sanitizer must be loaded before Python is, and on the fake
device an allocator must be set before anything is allocated. What a run would not notice it cannot
rule out, so a kernel that reads or writes one element too far is planted in each.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from device_tier import ON_CI, TESTS, TOOLS

PLANTED = """
import sys
import numpy as np
from minideconv.engine.cuda import module
source = 'extern "C" __global__ void planted(float* x, i64 n) { GRID_STRIDE(i, n) BODY }'
module.source = lambda file: (module.KERNELS / "common.cuh").read_text() + source.replace(
    "BODY", sys.argv[1])
module.parameters = lambda file: {"planted": (("float", True), ("i64", False))}
SETUP
module.launch("planted.cu", "planted", 1000, (x, 1000))
END
"""
ON_HOST = (
    "import os, hostshim; os.environ.pop('LD_PRELOAD', None); "
    "module.host_compiler = hostshim.RawModule; x = np.zeros(1000, 'f4')",
    "",
)
ON_FAKE = (
    "import fakecuda; fakecuda.install(); import cupy; cupy.cuda.set_allocator(None); "
    "x = cupy.zeros(1000, 'f4')",
    "print(x.get()[:3])",
)
RIGHT = "x[i] = i;"
TOO_FAR = "x[i + 1] = i;"  # the last thread writes behind the array
OVERFLOW = "x[i] = (i32)i * 4294967;"


@pytest.fixture(scope="session", autouse=True)
def _tools():
    needed = [TOOLS / "hostshim" / "hostshim.py", TOOLS / "fakecuda" / "fakecuda.py"]
    missing = [str(path) for path in needed if not path.exists()]
    missing += [] if shutil.which("g++") else ["g++"]
    if missing:
        reason = f"checked kernels need {' and '.join(missing)}"
        pytest.fail(reason) if ON_CI else pytest.skip(reason)


def run(arguments, **environment):
    """Run Python in the checkout, with the tools at hand; return the finished process."""
    names = ("CI", "HYPOTHESIS_PROFILE", "MINIDECONV_TEST_DEVICE", "PYTEST_ADDOPTS")
    env = {key: value for key, value in os.environ.items() if key not in names}
    folders = [TESTS.parent, TOOLS / "hostshim", TOOLS / "fakecuda"]
    env |= {"PYTHONPATH": os.pathsep.join(map(str, folders)), "HYPOTHESIS_PROFILE": "again"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=TESTS.parent,
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=900,
    )


def sanitized():
    """Return the environment in which kernels are compiled with sanitizers, and those loaded."""
    libraries = []
    for name in ("libasan.so", "libubsan.so"):
        found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True)
        path = Path(found.stdout.strip())
        if not path.is_absolute():
            reason = f"the compiler g++ has no {name}"
            pytest.fail(reason) if ON_CI else pytest.skip(reason)
        libraries.append(str(path))
    return {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "HOSTSHIM_SAN": "address,undefined",
    }


def kernel_tests(**environment):
    """Run the kernel tests, those of right kernels only."""
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cuda"]
    done = run(arguments, MINIDECONV_TEST_MEMORY="1", **environment)
    text = done.stdout[-6000:] + done.stderr[-6000:]
    assert done.returncode == 0, text
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, text
    assert int(passed[1]) > 100, "hardly any kernel test was run:\n" + text
    assert "kernels on the CPU need" not in done.stdout, text


def planted(how, body):
    """Run a kernel with this body in a process that checks memory."""
    if how == "guard pages" and find_spec("cupy") is None:
        reason = "the fake device needs CuPy (group gpu-tests)"
        pytest.fail(reason) if ON_CI else pytest.skip(reason)
    setup, end = ON_HOST if how == "sanitizers" else ON_FAKE
    code = PLANTED.replace("SETUP", setup).replace("END", end)
    return run(["-c", code, body], **(sanitized() if how == "sanitizers" else {}))


@pytest.mark.parametrize("how", ["sanitizers", "guard pages"])
def test_a_right_kernel_passes(how):
    done = planted(how, RIGHT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("how", "body", "message"),
    [
        ("sanitizers", TOO_FAR, "heap-buffer-overflow"),
        ("sanitizers", OVERFLOW, "signed integer overflow"),
        ("guard pages", TOO_FAR, "byte 4000 of a 4000-byte allocation"),
    ],
)
def test_a_planted_mistake_is_found(how, body, message):
    done = planted(how, body)
    assert done.returncode != 0, done.stdout
    assert message in done.stderr, done.stderr


@pytest.mark.ladder
def test_kernels_under_sanitizers():
    kernel_tests(**sanitized(), MINIDECONV_TEST_ORDER="shuffle")


@pytest.mark.ladder
def test_kernels_with_guard_pages():
    kernel_tests(MINIDECONV_TEST_DEVICE="fakecuda", MINIDECONV_TEST_ORDER="reverse")
