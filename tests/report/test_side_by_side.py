"""``report --compare``: right numbers, what differs, errors in one sentence."""

from __future__ import annotations

import json
import re

import pytest
from written_run import epoch_line, write_run

from minideconv.report import main
from minideconv.report.side_by_side import comparison_html

pytestmark = pytest.mark.cpu
HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.fixture
def runs(tmp_path):
    classes = ["background", HOSTILE]
    first = write_run(tmp_path / "one" / "run", classes, lr=0.25)
    second = write_run(tmp_path / "two" / "run", classes, epochs=2, planned=5, finished=False)
    second.add_metrics(epoch_line(3, [0.8, 0.9]))
    return first, second


def test_the_numbers_of_each_run(runs):
    html = comparison_html(runs)
    rows = re.findall(r'<tr><th class="row\d">(.*?)</th>(.*?)</tr>', html)
    cells = {name: re.findall(r"<td[^>]*>(.*?)</td>", row) for name, row in rows}
    assert cells == {
        "one/run": ["3 of 3", "30", "3m00s", "0.300", "3", "0.300", "50.0"],
        "two/run": ["3 of 5", "30", "3m00s", "0.850", "3", "0.850", "50.0"],
    }
    assert '<td class="best">0.850</td>' in html  # the best of all
    different = html[html.index("What is set differently") : html.index("To write this page")]
    assert re.findall(r"<tr><th>(.*?)</th>", different)[1:] == ["epochs", "lr"]
    assert "<td>0.25</td>" in different
    assert html.count('class="line row0') == html.count('class="line row1') == 6


def test_classes_are_shown_of_finished_runs_alone(runs, tmp_path):
    assert "Not shown: it is there for finished runs" in comparison_html(runs)
    other = write_run(tmp_path / "three", ["background", HOSTILE])
    html = comparison_html([runs[0], other])
    assert "IoU in per cent, validation images" in html
    assert HOSTILE not in html
    assert html.count("<script") == 1
    assert "http" not in html


def test_a_damaged_evaluation_is_no_table(runs, tmp_path):
    other = write_run(tmp_path / "three", ["background", HOSTILE])
    for bad in ({"class_iou": "ab"}, [], {"class_iou": [HOSTILE, 0.1]}, {"class_iou": [0.1]}):
        other.evaluation.write_text(json.dumps({"classes": ["background", HOSTILE], "val": bad}))
        assert "Not shown" in comparison_html([runs[0], other])


def test_the_page_is_written_but_over_no_other_file(runs, tmp_path, capsys):
    page = tmp_path / "page.html"
    command = ["--compare", *(str(run.path) for run in runs), "--output", str(page)]
    assert main(command) == main(command) == 0
    assert page.read_text(encoding="utf-8") == comparison_html(runs)
    page.write_text("mine")
    assert main(command) == 2
    assert "exists and is no earlier output" in capsys.readouterr().err
    assert page.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["--compare", "ONE"], "name 2 to 12 runs, each once"),
        (["--compare", "ONE", "ONE"], "name 2 to 12 runs, each once"),
        (["ONE", "TWO"], "2 runs are named; add --compare"),
        (["ONE", "-o", "a.html"], "--output is the page of --compare"),
        (["--compare", "ONE", "TWO", "--tensorboard"], "--tensorboard is of one run"),
        (["--compare", "ONE", "AUTO"], "the runs are of different tasks: autoencode, segmentation"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(runs, tmp_path, capsys, arguments, wrong):
    auto = {"task": "autoencode", "model": "autoencoder", "stage": "whole"}
    write_run(tmp_path / "auto", ["a"], epochs=0, planned=2, finished=False, **auto)
    paths = {"ONE": str(runs[0].path), "TWO": str(runs[1].path), "AUTO": str(tmp_path / "auto")}
    assert main([paths.get(text, text) for text in arguments]) == 2
    error = capsys.readouterr().err
    assert wrong in error
    assert error.count("\n") == 1
