"""What few labels gave: from run folders into one file, and from the file into the page."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import stored_results

import minideconv.few_labels.__main__ as command
from benchmarks import few_labels
from minideconv.errors import DataError, UsageError
from minideconv.few_labels import FewLabels
from minideconv.training import TrainConfig

pytestmark = pytest.mark.cpu

TINY = [
    *("--train-split", "train", "--val-images", "3", "--image-size", "32", "--input-size", "16"),
    *("--width", "2", "--fc", "4", "--batch-size", "2", "--recalibrate", "1", "--unlabelled", "6"),
    *("--pretext-epochs", "1", "--seed", "5", "--epoch-steps", "2", "--no-nesterov"),
    *(
        "--starts",
        "random",
        "swwae",
        "--seeds",
        "2",
        "--labels",
        "2",
        "4",
        "--class-weights",
        "0.5",
    ),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a small set on drawn pictures, and its results."""
    folder = tmp_path_factory.mktemp("few") / "set"
    assert command.main([*TINY, "--output", str(folder), "--device", "cpu", "-q"]) == 0
    return folder


def copied(run, folder, change=lambda results: None, **settings):
    """Return another folder with the results of `run`, changed."""
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    results["settings"] |= settings
    change(results)
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def on_photographs(run, folder):
    return copied(run, folder, data="voc", data_root="/someone/VOC2012")


def store(*arguments):
    return few_labels.main([*map(str, arguments)])


def settings_of(planned):
    """Return what a set trains, without what does not change its numbers."""
    base = planned.base.to_dict()
    known = TrainConfig.settings(planned.base.model)
    where = {name for name in base if known[name].resume and name != "data_root"}
    kept = {name: value for name, value in base.items() if name not in where}
    return {**planned.to_dict(), "settings": kept}


def planned(text):
    """Return the set that a command begins."""
    python, option, module, *arguments = shlex.split(text)
    assert (python, option, module) == ("python", "-m", "minideconv.few_labels")
    data = "voc" if "--data voc" in text else "shapes"
    network = "probe" if "--network probe" in text else "deconvnet"
    options = command.make_parser(network, data).parse_args(arguments)
    known = command._settings(network, data).keys() - {"data"}
    return command._new(network, data, options, command.given_options(options, known))


def same_set(results):
    return settings_of(planned(results["command"])) == settings_of(FewLabels.from_dict(results))


def test_two_runs_become_one_file(run, tmp_path, capsys):
    out = tmp_path / "few_labels.json"
    assert store(run, on_photographs(run, tmp_path / "voc"), "--out", out) == 0
    assert capsys.readouterr().out == f"shapes, voc: stored in {out}\n"
    text = out.read_text(encoding="utf-8")
    assert "someone" not in text
    found, kept = json.loads(text), json.loads((run / "results.json").read_text())
    assert list(found) == ["shapes", "voc"]
    assert {**found["shapes"], "command": ""} == {**kept, "command": ""}
    assert found["voc"]["results"] == kept["results"]
    for name, results in found.items():
        assert same_set(results), name
    assert few_labels.stored(out) == found
    # One of the two again: the other stays.
    again = copied(run, tmp_path / "again", lambda results: results.update(date="2031-01-02"))
    assert store(again, "--out", out) == 0
    assert few_labels.stored(out) == {**found, "shapes": {**found["shapes"], "date": "2031-01-02"}}


def test_the_command_of_a_set_with_the_defaults_is_short():
    for words in ("", " --data voc --data-root VOCdevkit/VOC2012"):
        text = f"python -m minideconv.few_labels{words}"
        assert command.command_of(planned(text)) == text


def test_the_page_shows_what_is_stored(run, tmp_path, monkeypatch):
    """Every mean, spread and seed of the file is in the table; without a file it says so."""
    monkeypatch.setattr(stored_results, "DOCS", tmp_path)
    out = tmp_path / "few_labels.json"
    store(on_photographs(run, tmp_path / "voc"), "--out", out)
    results = few_labels.stored(out)
    monkeypatch.setattr(few_labels, "stored", lambda: results)
    stored_results.write_few_labels()
    pages = {name: tmp_path / f"generated/few-labels-{name}.md" for name in few_labels.SETS}
    assert pages["shapes"].read_text(encoding="utf-8") == "No results are stored yet.\n"
    assert not pages["shapes"].with_suffix(".svg").exists()
    text, svg = (pages["voc"].with_suffix(end).read_text("utf-8") for end in (".md", ".svg"))
    assert "generated/few-labels-voc.svg" in text
    assert results["voc"]["command"] in text
    assert f"Made on {results['voc']['date']} by" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    runs = [found for group in results["voc"]["results"] for found in group["starts"].values()]
    assert len(rows) == len(runs) == 4
    for row, found in zip(rows, runs, strict=True):
        assert row[3].replace("\xa0", " ") == f"{found['mean']:.3f} ± {found['spread']:.3f}"
        assert row[4] == ", ".join(f"{value:.3f}" for value in found["values"].values())
    assert svg.count("<circle") == 8


def test_the_stored_results_are_whole():
    """What the page shows is what `read_run` takes: done, and with the command of its settings."""
    for name, results in few_labels.stored().items():
        assert same_set(results), name
        assert not re.search(r'"/|~', json.dumps(results)), "a path of someone's machine"
        for group in results["results"]:
            assert list(group["starts"]) == results["starts"]
            for found in group["starts"].values():
                assert found["done"] == results["seeds"] > 2


def test_what_is_no_finished_run_is_refused(run, tmp_path):
    def lose(results):
        results["results"][0]["starts"]["swwae"]["done"] = 1

    def probes(results):
        results["settings"] = TrainConfig(model="probe", freeze=2, epoch_steps=2).to_dict()

    out = tmp_path / "few_labels.json"
    other = {
        "unfinished": (copied(run, tmp_path / "a", lose), "1 of 8 runs are not done; go on with:"),
        "probes": (copied(run, tmp_path / "b", probes), "is a set of shapes-probe; those stored"),
        "later": (copied(run, tmp_path / "c", glow=1), "c/results.json: .* setting 'glow'"),
        "empty": (tmp_path, "No such file"),
    }
    for folder, sentence in other.values():
        with pytest.raises(UsageError, match=sentence):
            store(run, folder, "--out", out)
    with pytest.raises(UsageError, match="name one of them"):
        store(run, run, "--out", out)
    with pytest.raises(UsageError, match="there is no folder"):
        store(run, "--out", tmp_path / "no" / "few.json")
    for text in ("{", "[]", '{"shapes": {}}', '{"other": {}}'):
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(DataError, match="holds no results"):
            store(tmp_path, "--out", out)
    assert not out.exists()
    for text in ("{", "[]", '{"shapes": {}}', '{"other": {}}'):
        out.write_text(text)
        with pytest.raises(DataError, match="holds no results"):
            store(run, "--out", out)
        assert Path(out).read_text() == text
