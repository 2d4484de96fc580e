"""live.js: one whole call at any time, seldom enough, and never the end of a run."""

from __future__ import annotations

import json
import os

import pytest

from minideconv.training.run.live import Live
from minideconv.training.run.pace import Pace

pytestmark = pytest.mark.cpu


def said(live):
    text = live.path.read_text()
    assert text.startswith("minideconvLive(")
    assert text.endswith(");\n")
    return json.loads(text.removeprefix("minideconvLive(").removesuffix(");\n"))


def test_it_is_written_every_two_seconds_at_most(tmp_path):
    now = [0.0]
    live = Live(tmp_path / "live.js", lambda: now[0])
    for number in range(50):
        live.tell(lambda number=number: {"text": str(number)})
        now[0] += 0.5
        assert said(live)["text"] == str(number // 4 * 4)
    live.tell(lambda: {"text": "now"}, at_once=True)
    assert said(live)["text"] == "now"


def test_it_names_the_page_and_how_the_run_ended(tmp_path):
    live = Live(tmp_path / "live.js")
    live.page_written("p0")  # `report RUN` of a run that has said nothing makes no file
    assert not live.path.exists()
    live.tell(lambda: {"text": "a", "share": 0.5})
    live.page_written("p1")
    live.end("stopped")
    found = said(live)
    assert found.pop("written") > 1.7e9
    assert found == {"text": "a", "share": 0.5, "page": "p1", "state": "stopped"}
    live.tell(lambda: {"text": "b"}, at_once=True)
    assert said(live)["state"] == "running"


def test_that_it_cannot_be_written_ends_no_run(tmp_path):
    live = Live(tmp_path / "none" / "live.js")
    live.tell(lambda: {"text": "a"}, at_once=True)
    live.end("done")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("share", [0.005, 0.25])
def test_a_pace_keeps_its_share_of_the_time(share):
    now, work = [0.0], [0.0]

    def do():
        now[0] += 0.03
        work[0] += 0.03

    pace = Pace(share, now=lambda: now[0])
    while now[0] < 200:
        pace.do(do)
        now[0] += 0.01
    assert 0.7 * share < (work[0] - 0.03) / now[0] <= share  # the first is done at once
