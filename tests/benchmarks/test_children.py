"""Contenders in processes of their own: what they answer, how they die, how many live at once."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import ClassVar

import pytest

from benchmarks import children
from benchmarks.children import Child, race
from benchmarks.modes import BenchmarkError
from benchmarks.timing import Sample


def test_a_child_takes_steps_and_returns_its_peak(net):
    child = Child("numpy", net, threads=1)
    try:
        sample = child()
        assert 0 < sample.cpu < 60
        assert child.parameters > 0
        assert 10e6 < child.peak < 4e9
    finally:
        child.stop()
    assert child.process.poll() is not None


def test_a_killed_child_is_explained(net):
    child = Child("numpy", net, threads=1)
    try:
        os.kill(child.process.pid, signal.SIGKILL)
        with pytest.raises(BenchmarkError, match=r"numpy, tiny network, batch 2 was killed, most"):
            child()
    finally:
        child.stop()


def test_a_failing_child_returns_its_error(net):
    with pytest.raises(BenchmarkError, match="failed: ValueError: deconvnet: input_size"):
        Child("numpy", replace(net, input_size=1), threads=1)


class Fake:
    """A child without a process, of 5 GiB."""

    living: ClassVar[list[str]] = []
    most = 0

    def __init__(self, name, net, threads):
        self.name, self.parameters, self.peak = name, 7, 5 * 2**30
        Fake.living.append(name)
        Fake.most = max(Fake.most, len(Fake.living))

    def __call__(self):
        return Sample(1.0, 1.0, 0.0)

    def stop(self):
        Fake.living.remove(self.name)


@pytest.mark.parametrize(("gib", "most", "first"), [(100, 4, 3), (18, 3, 6), (6, 2, 9)])
def test_as_many_live_at_once_as_memory_holds(monkeypatch, net, gib, most, first):
    monkeypatch.setattr(children, "Child", Fake)
    monkeypatch.setattr(
        children, "available_bytes", lambda: gib * 2**30 - sum(5 * 2**30 for _ in Fake.living)
    )
    monkeypatch.setattr(Fake, "most", 0)
    samples, peaks, parameters = race(["a", "b", "c", "d"], net, threads=1, rounds=3)
    assert Fake.most == most
    assert Fake.living == []
    assert parameters == 7
    assert peaks == dict.fromkeys("abcd", 5 * 2**30)
    # the first is in every group; the others take their turns once
    assert {n: len(got) for n, got in samples.items()} == {"a": first, "b": 3, "c": 3, "d": 3}
