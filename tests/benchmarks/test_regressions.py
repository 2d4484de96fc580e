"""Two versions against each other: the process of one, what is joined, and what is refused."""

from __future__ import annotations

import json
import shutil

import pytest

from benchmarks import regressions
from benchmarks.modes import BenchmarkError
from benchmarks.regressions import ROOT, Version, joined, main, table
from minideconv.errors import UsageError

pytestmark = pytest.mark.cpu


@pytest.fixture
def _torch():
    pytest.importorskip("torch", reason="PyTorch is not installed (group oracles)")


@pytest.mark.usefixtures("_torch")
def test_a_version_is_measured_by_the_programs_from_here(tmp_path):
    """A copy of the package alone: the programs that measure are not in it."""
    shutil.copytree(ROOT / "minideconv", tmp_path / "minideconv")
    with Version(tmp_path) as version:
        rows = version.ask(do="list")
        assert {row.split(":")[0] for row in rows} == set(regressions.SECTIONS)
        assert len(set(rows)) == len(rows) > 200
        version.ask(do="build", row="tape: relu, forward and backward")
        assert 0 < version.ask(do="run") < 1
        with pytest.raises(BenchmarkError, match="nonsense: KeyError"):
            version.ask(do="build", row="tape: nonsense")
        assert version.ask(do="list") == rows, "it goes on"
    assert version.process.poll() is not None


FOUND = {"machine": {"cpu": "A machine"}, "date": "2026-11-30", "here": "b+", "before": "a"}


TIMES = {"before": 1000, "here": 1000}  # ms, of what takes a second


def row_of(name, *ratios):
    return joined(name, [{"here": 2e-3, "before": 1e-3, "ratio": ratio} for ratio in ratios])


def test_a_row_is_the_median_over_pairs():
    row = row_of("tape: add", 1.5, 1.0, 0.9)
    assert row == {
        "row": "tape: add", "before": 1, "here": 2, "ratio": 1.0, "pairs": 3, "interval": None,
    }  # fmt: skip
    text = table({**FOUND, "rows": [row, row_of("x", 0.9, 0.9, 0.9)]})
    assert "A machine, 2026-11-30, b+ against a; 2 rows, median 0.950, none slower." in text
    assert "| x | 1 | 2 | 0.900 |  |" in text


def test_a_row_is_slower_if_its_interval_is_above_one():
    """Of fifteen pairs the fourth from either end; a row that differs both ways is not settled."""
    slow = row_of("slow", *[0.9] * 3, 1.01, *[1.2] * 11)
    noise = row_of("noise", *[0.9] * 4, *[1.2] * 11)
    assert [slow["interval"], noise["interval"]] == [[1.01, 1.2], [0.9, 1.2]]
    assert regressions.slower(slow)
    assert not regressions.slower(noise)
    assert not regressions.slower(row_of("hardly", *[1.02] * 15))
    text = table({**FOUND, "rows": [slow, noise]})
    assert "slower: slow; above 1.03 with 1 within the interval: noise." in text
    assert "| noise | 1 | 2 | 1.200 | 0.900 to 1.200 |" in text


def test_a_row_above_the_limit_is_measured_more_often(monkeypatch):
    measured = []

    class Fake:
        def __init__(self, folder):
            self.folder = folder

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def ask(self, do, row=""):
            return ["tape: same", "tape: slower", "optim: left out"] if do == "list" else None

    def pair(versions, row, turns):
        measured.append(row)
        above = row.endswith("slower") and measured.count(row) <= 3
        return {"here": 1.0, "before": 1.0, "ratio": 1.5 if above else 1.0}

    monkeypatch.setattr(regressions, "Version", Fake)
    monkeypatch.setattr(regressions, "pair", pair)
    rows = regressions.measure({"here": ROOT, "before": ROOT}, ["tape"], 1)
    assert [(row["row"], row["pairs"]) for row in rows] == [("tape: same", 3), ("tape: slower", 15)]
    assert rows[1]["ratio"] == 1, "it is not left as soon as it has fallen"
    assert set(measured) == {"tape: same", "tape: slower"}


def test_the_slower_rows_of_a_stored_run_are_measured_once_more(tmp_path, monkeypatch, capsys):
    """The new pairs alone count; what was measured at first is said beside them."""
    slow, noise = row_of("slow", *[1.2] * 15), row_of("noise", *[0.9] * 4, *[1.2] * 11)
    file, out = tmp_path / "found.json", tmp_path / "again.json"
    file.write_text(json.dumps({**FOUND, "rows": [slow, noise]}), encoding="utf-8")
    monkeypatch.setattr(Version, "__init__", lambda self, folder: None)
    monkeypatch.setattr(Version, "__exit__", lambda *_: None)
    for ratio, verdict in ((1.0, "none slower"), (1.1, "slower: slow")):
        got = {"here": 1.0, "before": 1.0, "ratio": ratio}
        monkeypatch.setattr(regressions, "pair", lambda versions, row, turns, got=got: got)
        arguments = [str(ROOT), "--again", str(file), "--out", str(out)]
        assert main(arguments) == (ratio > 1)
        assert f"median {(ratio + 1.2) / 2:.3f}, {verdict}" in capsys.readouterr().out
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert rows == [{**row_of("slow", *[1.1] * 15), **TIMES, "first": [1.2, 1.2, 1.2]}, noise]
    assert main(["--table", str(out)]) == 0
    assert "1.100 to 1.100; at first 1.200, 1.200 to 1.200 |" in capsys.readouterr().out


def test_what_is_no_checkout_is_refused(tmp_path):
    for arguments in ([], [str(tmp_path)], [str(tmp_path / "none")]):
        with pytest.raises(UsageError, match=r"^FOLDER is .*; it must be a checkout of minidecon"):
            main(arguments)


def test_stored_rows_are_shown(tmp_path, capsys):
    row = {
        "row": "tape: add",
        "before": 1.0,
        "here": 1.0,
        "ratio": 1.0,
        "pairs": 3,
        "interval": None,
    }
    found = {**FOUND, "rows": [row]}
    file = tmp_path / "found.json"
    file.write_text(json.dumps(found), encoding="utf-8")
    assert main(["--table", str(file)]) == 0
    assert "none slower" in capsys.readouterr().out
