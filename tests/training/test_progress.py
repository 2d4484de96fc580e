"""What a run prints: plain lines at intervals, a bar on a terminal, nothing when quiet."""

from __future__ import annotations

import io
import re

import pytest

from minideconv.training.meters import Clock, LossMeter
from minideconv.training.run import progress as module
from minideconv.training.run.progress import BarProgress, Progress, StepInfo, make_progress

INFO = StepInfo(
    stage="2",
    epoch=3,
    epochs=10,
    step=7,
    steps=40,
    loss=1.23456,
    metric=lambda: "IoU 0.457",
    lr=0.002,
    images_per_second=31.4,
    seconds_left=725.0,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Time:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_have_all_figures_at_intervals():
    stream, time = io.StringIO(), Time()
    progress = Progress(stream, interval=10, clock=time)
    for second in range(25):
        time.now = float(second)
        progress.step(INFO)
    line = f"{INFO.where()}  step 7/40  loss 1.2346  IoU 0.457  31.4 img/s  left 12m05s  lr 0.002"
    assert stream.getvalue() == f"{line}\n{line}\n"
    progress.message("hello")
    progress.work("validating", 1, 2)
    progress.close()
    assert stream.getvalue().endswith("\nhello\n")


def test_quiet_is_quiet():
    stream = io.StringIO()
    progress = Progress(stream, interval=0, quiet=True)
    progress.step(INFO)
    progress.message("hello")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("width", [80, 140])
def test_a_bar_shows_the_same_figures_on_one_line(width):
    rich_console = pytest.importorskip("rich.console", reason="rich is not installed (extra cli)")
    stream = Terminal()
    console = rich_console.Console(file=stream, force_terminal=True, width=width, highlight=False)
    progress = BarProgress(console)
    progress.step(INFO)
    progress._bar.refresh()  # instead of waiting for its next tenth of a second
    progress.message("epoch 3 [done]")  # no markup: brackets stay
    progress.work("validating", 5, 9)
    progress.close()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    for part in (INFO.where(), "7/40", "loss 1.2346", "31.4 img/s", "left 12m05s"):
        assert part in text, part
    (line,) = {line for line in re.split(r"[\r\n]+", text) if "1.2346" in line}
    assert INFO.where() in line
    assert "12m05s" in line
    assert ("━" in line) == (width > 100)
    assert "epoch 3 [done]" in text
    assert "validating" in text
    assert "5/9" in text


@pytest.mark.parametrize(
    ("variables", "terminal", "bar"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
    ],
)
def test_where_there_is_a_bar(variables, terminal, bar, monkeypatch):
    pytest.importorskip("rich", reason="rich is not installed (extra cli)")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made = []
    monkeypatch.setattr(module, "BarProgress", lambda: made.append(1))
    stream = Terminal() if terminal else io.StringIO()
    make_progress(stream=stream)
    assert bool(made) == bar
    made.clear()
    make_progress(quiet=True, stream=Terminal())
    assert not made


def test_without_rich_a_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert type(make_progress(stream=Terminal())) is Progress


def test_the_clock_counts_all_sessions_and_estimates_from_this_one():
    time = Time()
    clock = Clock(before=100.0, now=time)
    for _ in range(3):
        assert clock.left(10) is None
        time.now += 2.0
        assert clock.step(16) == pytest.approx(8.0)
    assert clock.left(10) is None
    time.now = 8.0
    assert clock.step(16) == pytest.approx(8.0)
    assert clock.elapsed() == 108.0
    assert clock.left(10) == pytest.approx(20.0)
    time.now = 18.0  # a validation
    clock.lap()
    time.now = 19.0
    assert 8.0 < clock.step(16) < 16.0
    assert clock.left(10) == pytest.approx(65.0)  # validations are part of what is left


@pytest.mark.parametrize("slow", [1, 2, 3])
def test_slow_first_steps_are_not_taken_for_those_that_are_left(slow):
    """On a fresh machine the first step compiles for a quarter of a minute."""
    time = Time()
    clock = Clock(now=time)
    for step in range(1, 7):
        time.now += 18.0 if step <= slow else 0.25
        speed = clock.step(8)
        left = clock.left(100)
        assert left == (None if step <= 3 else pytest.approx(25.0))
        assert speed == pytest.approx(8 / (18.0 if step <= slow else 0.25))


def test_loss_means_over_the_interval_and_the_epoch():
    meter = LossMeter()
    for loss in (1.0, 3.0):
        meter.add(loss)
    assert meter.interval_mean() == 2.0
    meter.start_interval()
    assert meter.interval_mean() == 2.0  # until there is something newer
    meter.add(8.0)
    assert meter.interval_mean() == 8.0
    assert meter.epoch_mean() == 4.0
    copy = LossMeter()
    copy.load_state_dict(meter.state_dict())
    copy.add(0.0)
    assert (copy.interval_mean(), copy.epoch_mean()) == (4.0, 3.0)
    assert meter.epoch_mean() == 4.0
    meter.start_epoch()
    assert meter.epoch_mean() is None
    assert meter.interval_mean() == 2.0


def test_a_step_without_a_target_is_in_no_mean():
    meter = LossMeter()
    assert meter.interval_mean() is None
    meter.add(3.0)
    meter.add(None)
    assert (meter.interval_mean(), meter.epoch_mean()) == (3.0, 3.0)
    meter.start_interval()
    meter.add(None)
    assert (meter.interval_mean(), meter.epoch_mean()) == (None, 3.0)
    meter.start_interval()
    meter.add(5.0)
    assert (meter.interval_mean(), meter.epoch_mean()) == (5.0, 4.0)


def test_the_clock_measures_the_share_of_the_time_that_batches_took():
    now = [0.0]
    clock = Clock(now=lambda: now[0])

    def batches():
        for seconds in (1.0, 0.0, 2.0):
            now[0] += seconds
            yield seconds

    now[0] = 50.0  # a validation, say
    clock.lap()
    source = batches()
    for work in (3.0, 2.0):
        clock.fetch(source)
        now[0] += work
    assert clock.waiting() == pytest.approx(1 / 6)
    clock.lap()
    assert clock.fetch(source) == 2.0
    now[0] += 6.0
    assert clock.waiting() == pytest.approx(1 / 4)
