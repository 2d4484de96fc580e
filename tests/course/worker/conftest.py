"""Submissions as files, called in workers; no process and no folder may be left behind."""

from __future__ import annotations

import os
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from submissions import Submission, processes_of, within

from minideconv.course.worker.inside import tree


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path, monkeypatch):
    # Not tmp_path, which no other user may enter: a process of another user works here.
    folder = Path(tempfile.mkdtemp(prefix="worker-tests-"))
    folder.chmod(0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    before = tree.below(os.getpid())
    yield
    folder.rmdir()  # which must be empty
    if sys.platform == "linux":
        within(5, lambda: not (tree.below(os.getpid()) - before))
        assert not tree.below(os.getpid()) - before
        assert not processes_of(folder)


@pytest.fixture
def submit(tmp_path, _nothing_is_left):
    """Return a function that hands in a file: ``submit(source, **limits)``."""
    made = []

    def submit(source, name="conv.py", *, forbid=(), arrays="numpy", **limits):
        options = {"forbid": forbid, "arrays": arrays}
        made.append(Submission(tmp_path / f"in{len(made)}", source, name, limits, options))
        return made[-1]

    yield submit
    for submission in made:
        submission.worker.close()


@pytest.fixture
def body(submit):
    """Return a function that hands in a conv2d with a given body, below lines of a module."""

    def body(lines, module="", **options):
        text = textwrap.indent(textwrap.dedent(lines).strip(), "    ")
        head = textwrap.dedent(module)
        return submit(f"{head}\ndef conv2d(x, w, b=None, **settings):\n{text}\n", **options)

    return body
