"""Samples, turns and medians, on clocks that the tests wind themselves."""

from __future__ import annotations

import math
import time

import pytest

from benchmarks import timing
from benchmarks.timing import Sample, Timed, alternate, measure, summary

QUIET, NOISY = 0.01, 0.5


def test_a_sample_is_seconds_per_call():
    sample = measure(lambda: time.sleep(0.02), repeats=2)
    assert sample.wall > 0.015
    assert sample.cpu < sample.wall  # it slept


def test_unknown_load_counts_as_quiet():
    assert Sample(1, 1, math.nan).quiet
    assert not Sample(1, 1, NOISY).quiet


def test_contenders_take_turns():
    order = []

    def contender(name):
        def turn():
            order.append(name)
            return Sample(1, 1, QUIET)

        return turn

    samples = alternate({"a": contender("a"), "b": contender("b")}, rounds=3, threads=1)
    assert order == ["a", "b"] * 3
    assert {name: len(got) for name, got in samples.items()} == {"a": 3, "b": 3}


def test_noisy_samples_are_taken_again_where_wall_time_counts():
    noise = {"quiet": QUIET, "noisy": NOISY}
    contenders = {n: lambda n=n: Sample(1, 1, noise[n]) for n in noise}
    samples = alternate(contenders, rounds=4, threads=2, rest=0)
    assert len(samples["quiet"]) == 4
    assert len(samples["noisy"]) == 6  # half as many again, and no more
    assert len(alternate(contenders, rounds=4, threads=1)["noisy"]) == 4


def test_one_thread_counts_processor_time_of_all_samples():
    samples = [Sample(9.0, 1.0, NOISY), Sample(9.0, 2.0, QUIET), Sample(9.0, 3.0, NOISY)]
    kept = summary(samples, threads=1)
    assert kept["ms"] == kept["cpu_ms"] == 2000
    assert (kept["quiet"], kept["samples"]) == (1, 3)


def test_more_threads_count_wall_time_of_quiet_samples():
    samples = [Sample(5.0, 1, NOISY), Sample(1.0, 1, QUIET), Sample(2.0, 1, QUIET)]
    assert summary(samples, threads=2)["ms"] == 1500
    assert summary(samples[:1], threads=2)["ms"] == 5000  # nothing better is known
    assert summary(samples[:1], threads=2)["quiet"] == 0


def test_wall_time_is_trusted_if_three_samples_were_quiet():
    quiet, noisy = Sample(1.0, 1, QUIET), Sample(1.0, 1, NOISY)
    assert summary([quiet] * 3 + [noisy] * 4, threads=2)["trusted"]
    assert not summary([quiet] * 2 + [noisy] * 4, threads=2)["trusted"]
    assert summary([noisy] * 4, threads=1)["trusted"]  # processor time
    assert summary([quiet], threads=2)["trusted"]  # a trial of one round


def test_a_turn_prepares_first_and_repeats_short_calls(monkeypatch):
    def one_ms_each(function, repeats=1):
        for _ in range(repeats):
            function()
        return Sample(1e-3, 1e-3, QUIET)

    monkeypatch.setattr(timing, "measure", one_ms_each)
    log = []
    contender = Timed(lambda: log.append("call"), lambda: log.append("prepare"), least=5e-3)
    log.clear()
    contender()
    assert log == ["prepare", *["call"] * (1 + 5)]


def test_work_of_others_is_seen(monkeypatch):
    """Another process's second on a core is a share of ours."""
    clock = iter([10.0, 11.0])
    monkeypatch.setattr(timing, "_others_on_cores", lambda: next(clock))
    monkeypatch.setattr(timing, "cores", lambda: 2)
    sample = measure(lambda: time.sleep(0.01))
    assert sample.others == pytest.approx(1 / (2 * sample.wall))
    assert not sample.quiet
