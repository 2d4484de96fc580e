"""Every value of a run's state replaced: who resumes it is refused in a sentence, or it runs.

MINIDECONV_TEST_HOSTILE set (to anything): all of them; else one in eight.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stopped_runs import run
from tampering import refused

from minideconv.training import TrainConfig, Trainer, load_checkpoint, save_checkpoint
from minideconv.training.interrupt import Interrupted
from minideconv.training.run.checkpoint import Checkpoint, check_run_state

pytestmark = pytest.mark.cpu

STOPPED = Path(__file__).parent / "old_run" / "checkpoints" / "last.npz"
ABSENT = object()
VALUES = (ABSENT, None, "x", float("inf"), -1, 10**30, [])


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree if path else ())
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(state: Any, path: tuple[Any, ...], value: Any) -> Any:
    state = copy.deepcopy(state)
    parent = state
    for key in path[:-1]:
        parent = parent[key]
    if value is ABSENT:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return state


@pytest.fixture
def adam(tiny, tmp_path):
    """Another optimiser and schedule than the stored run has, stopped within an epoch."""
    settings = {**tiny, "optimizer": "adamw", "lr_schedule": "plateau", "epochs": 1}
    with pytest.raises(Interrupted):
        run(tmp_path / "run", settings, stop_at=1)
    return tmp_path / "run" / "checkpoints" / "last.npz"


@pytest.mark.parametrize("which", ["sgd", "adam"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers of 1e30 overflow
def test_a_changed_state_is_refused_or_works(which, request, tmp_path):
    source = STOPPED if which == "sgd" else request.getfixturevalue("adam")
    whole = load_checkpoint(source)
    pairs = [(path, value) for path in places(whole.state) for value in VALUES]
    assert len(pairs) > 400
    file, outcomes = tmp_path / "changed.npz", set()
    # One in eight, of which no two neighbours have the same value: there are seven.
    for path, value in pairs if os.environ.get("MINIDECONV_TEST_HOSTILE") else pairs[::8]:
        state = changed(whole.state, path, value)
        try:
            save_checkpoint(file, Checkpoint(whole.model_state, whole.header, state))
        except (TypeError, ValueError):
            continue  # such a file cannot be written
        outcomes.add(bool(_resume(file, (path, value))))
    assert outcomes == {True, False}


def _resume(file: Path, what: Any) -> str:
    def go_on() -> None:
        found = load_checkpoint(file)
        check_run_state(found, file)
        config = {**found.header["config"], "output_dir": None}
        Trainer(TrainConfig.from_dict(config), resume=file).fit()

    try:
        return refused(go_on)
    except BaseException as error:
        error.add_note(f"with {what}")
        raise
