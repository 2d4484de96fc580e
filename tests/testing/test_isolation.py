"""No test depends on unseeded random numbers, or on which tests ran before it."""

from __future__ import annotations

import gc
import json
import os
import random as python
import subprocess
import sys
from pathlib import Path

import isolation
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unseeded import unseeded

from minideconv import random
from minideconv.engine.cpu import memory

ROOT = Path(__file__).parents[2]
FOLDERS = ("tests", "benchmarks", "tutorials", "docs/_ext", "minideconv")

SHARED = """
import json, os, sys
import pytest

pytest_plugins = ["isolation"]

def pytest_sessionfinish():
    import test_planted
    with open("drawn.json", "w") as file:
        json.dump(test_planted.DRAWN, file)
"""

PLANTED = """
import os
import random as python
import signal
import pytest
from minideconv import random
from minideconv.backend.algorithms import get_algorithm, set_algorithm
from minideconv.backend import set_default_device
from minideconv.ops import set_workspace_limit

DRAWN = {}

@pytest.fixture(scope="module")
def shared():
    DRAWN["shared"] = random.default_rng().random()

def test_first():
    DRAWN["first"] = random.default_rng().random(), python.random()

def test_second(shared):
    DRAWN["second"] = random.default_rng().random(), python.random()

def test_leaves_an_algorithm():
    set_algorithm("reference")

def test_finds_its_own_algorithm():
    assert get_algorithm() == "exact"

def test_leaves_more(tmp_path):
    set_workspace_limit(77)
    os.environ["CUDA_LEFT"] = "behind"
    os.chdir(tmp_path)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

def test_finds_no_more():
    assert "CUDA_LEFT" not in os.environ
"""


def draws():
    """Return a number from every global generator; PyTorch's where it has been imported."""
    torch = sys.modules.get("torch")
    numbers = [python.random(), np.random.random(), random.default_rng().random()]  # noqa: NPY002 (seeded, too)
    return numbers if torch is None else [*numbers, torch.rand(1).item()]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Return a function that runs tests of PLANTED: what was printed, and what they drew."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "conftest.py").write_text(SHARED)
    (folder / "test_planted.py").write_text(PLANTED)
    paths = [str(ROOT), str(ROOT / "tests" / "support")]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "MINIDECONV_ALGORITHM": "exact"}

    def run(*tests):
        which = [f"test_planted.py::{test}" for test in tests]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", *which],
            capture_output=True,
            text=True,
            env=os.environ | environment,
            cwd=folder,
            timeout=300,
        )
        return done.stdout, json.loads((folder / "drawn.json").read_text())

    return run


def test_random_numbers_are_the_same_alone_and_after_others(planted):
    _, one = planted("test_first", "test_second")
    _, other = planted("test_second")
    assert one["second"] == other["second"]
    assert one["shared"] == other["shared"]
    assert not set(one["first"]) & set(one["second"])


def test_a_setting_that_is_left_behind_fails_and_is_put_back(planted):
    output, _ = planted(
        *("test_leaves_an_algorithm", "test_finds_its_own_algorithm"),
        *("test_leaves_more", "test_finds_no_more"),
    )
    assert "test_leaves_an_algorithm leaves behind: get_algorithm() was 'exact' and is" in output
    assert "get_workspace_limit() was None and is 77" in output
    assert "the working directory was" in output
    assert "the environment was {} and is {'CUDA_LEFT': 'behind'}" in output
    assert "the handler of SIGTERM was" in output
    assert "4 passed, 2 errors" in output


def test_every_global_generator_begins_with_the_name_of_the_test(request):
    found = draws()
    assert len(set(found)) == len(found)
    isolation.seed_by_name("another test")
    assert all(one != two for one, two in zip(draws(), found, strict=True))
    isolation.seed_by_name(request.node.nodeid)
    assert draws() == found


DRAWN = []


@given(st.integers())
def _draw(_):
    DRAWN.append(tuple(draws()))


def test_every_example_of_hypothesis_draws_the_same():
    DRAWN.clear()
    _draw()
    assert len(DRAWN) > 1
    assert len(set(DRAWN)) == 1


def test_what_earlier_tests_have_left_in_cycles_is_not_counted(request):
    gc.disable()
    try:
        cycle = [memory.empty((1 << 20,))]
        cycle.append(cycle)
        del cycle
        with_garbage = memory.use().allocated
        request.getfixturevalue("no_old_garbage")
        before = memory.use().allocated
        assert with_garbage - before >= 4 << 20
    finally:
        gc.enable()
    gc.collect()
    assert memory.use().allocated == before


def test_pytorch_that_comes_late_gets_the_seed_that_it_would_have_had(monkeypatch):
    torch = pytest.importorskip("torch", reason="needs torch")
    pytorchs = isolation.PYTORCHS
    monkeypatch.delitem(sys.modules, "torch")
    pytorchs.seed(5)
    state = pytorchs.getstate()
    monkeypatch.undo()
    pytorchs.setstate(state)
    found = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == found


@pytest.mark.parametrize(
    "code",
    [
        "import numpy as np; np.random.default_rng()",
        "import numpy; numpy.random.default_rng(None)",
        "from numpy import random; random.default_rng(seed=None)",
        "from numpy.random import default_rng as rng; rng()",
        "import numpy as np; np.random.Generator(np.random.PCG64())",
        "import numpy as np; np.random.normal(size=3)",
        "import numpy as np; np.random.seed(0)",
        "import numpy.random as r; r.RandomState()",
        "import random; random.shuffle([1, 2])",
        "from random import Random; Random()",
        "import torch; torch.randn(3)",
        "def test_it(torch): torch.rand(3)",
        "import pytest; torch = pytest.importorskip('torch'); torch.randint(0, 3, (2,))",
        "import uuid; uuid.uuid4()",
        "import os; os.urandom(4)",
        "hash('a')",
    ],
)
def test_unseeded_randomness_is_found(code):
    assert len(list(unseeded(code))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "import numpy as np; np.random.default_rng(0).normal()",
        "import numpy as np; np.random.Generator(np.random.PCG64(seed=3))",
        "from minideconv import random; random.default_rng()",
        "from minideconv.random import default_rng; default_rng()",
        "import random; random.Random(0).shuffle([1, 2])",
        "def draw(rng, random): rng.random(); random.normal()",
        "import torch; torch.rand(3, generator=torch.Generator().manual_seed(0))",
        "import torch; torch.manual_seed(0)",
        "class A:\n def __hash__(self): return 0",
    ],
)
def test_seeded_randomness_is_accepted(code):
    assert list(unseeded(code)) == []


def test_no_file_uses_unseeded_randomness():
    found = [
        f"{path.relative_to(ROOT)}, {problem}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for problem in unseeded(path.read_text(encoding="utf-8"))
        if path != Path(__file__)  # its draws() show that the generators are seeded
    ]
    assert found == []
