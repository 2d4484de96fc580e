"""What the page of a run shows beside its metrics, and what it does with other folders' content."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from written_run import epoch_line, step_line, write_run

from minideconv import report
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.lock import run_lock
from minideconv.training.run.report import read_sessions, report_html
from minideconv.visualize.boards import png_bytes

pytestmark = pytest.mark.cpu
HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", ["background", "cat", "dog"])


def test_worst_and_best_images_have_their_pictures(run):
    html = report_html(run)
    section = html[html.index("<h2>Worst and best") : html.index("<h2>Through the deconv")]
    assert re.findall(r"(\S+) · IoU ([\d.]+) %", section) == [
        ('class="name">shapes-3', "12.5"),
        ('class="name">shapes-3', "90.0"),
    ]
    alts = re.findall(r'alt="(\w+) of shapes-3"', section)
    assert alts == ["image", "truth", "prediction", "difference"] * 2


def test_layers_of_each_image_are_there_without_a_script(run):
    html = report_html(run)
    section = html[html.index("<h2>Through the deconv") : html.index("<h2>What to do")]
    captions = re.findall(r"<figcaption><b>(\w+)</b>: (\d+) × (\d+) pixels, maps", section)
    assert captions == [("deconv0", "3", "3"), ("deconv1", "6", "6"), ("deconv2", "12", "12")] * 2
    assert "hidden" not in section


def test_classes_over_the_epochs(run):
    html = report_html(run)
    table = html[html.index('<table class="history">') :].partition("</table>")[0]
    assert re.findall(r"<th>(\d+)</th>", table) == ["1", "2", "3"]
    (cat,) = re.findall(r"<tr><th>cat</th>(.*?)</tr>", table)
    assert re.findall(r'--share:([\d.]+)">([\d.]+)<', cat) == [
        ("0.100", "10.0"),
        ("0.200", "20.0"),
        ("0.300", "30.0"),
    ]


def test_sessions_and_throughput_are_said(run):
    html = report_html(run)
    assert "50.0 images a second (median) · waited 1.0% of the time for data" in html
    assert "at most 1.00 GiB of memory" in html
    for text in ("host, Linux, 2 cores", "Python 3.11, NumPy 2.4, minideconv 0.1"):
        assert f"<dd>{text}</dd>" in html
    assert "<dd>cpu (fast, 2 threads)</dd>" in html
    assert "<code>python -m minideconv.train --lr 0.25</code>" in html


@pytest.mark.parametrize("log", [None, b"\xff\xfe", b"", b"epoch 1/5  loss 1\n"])
def test_a_log_of_another_kind_does_no_harm(run, log):
    run.log.unlink()
    if log is not None:
        run.log.write_bytes(log)
    assert read_sessions(run.log) == []
    assert "log.txt tells of no session" in report_html(run)


def test_the_page_looks_for_news_only_while_the_run_goes_on(tmp_path, run):
    going = write_run(tmp_path / "going", ["a", "b"], epochs=1, planned=2, finished=False)
    assert "data-live" not in report_html(going).partition("<style>")[0]
    with run_lock(going.path), run_lock(run.path):
        assert '<html lang="en" data-page="p2e1" data-live="live.js">' in report_html(going)
        assert "data-live" not in report_html(run).partition("<style>")[0]  # it is evaluated


def test_texts_of_the_folder_cannot_become_a_part_of_the_page(tmp_path):
    run = write_run(tmp_path / "run", ["background", HOSTILE])
    run.log.write_text(run.log.read_text().replace("--lr 0.25", HOSTILE).replace("host", HOSTILE))
    layers = json.loads((run.pictures / "layers.json").read_text())
    layers[0]["name"] = layers[0]["layers"][0]["name"] = HOSTILE
    (run.pictures / "layers.json").write_text(json.dumps(layers))
    results = json.loads(run.evaluation.read_text())
    results["extremes"]["worst"][0]["name"] = HOSTILE
    run.evaluation.write_text(json.dumps(results))
    html = report_html(run)
    assert html.count("<script") == 1
    assert html.count("&lt;script&gt;alert(1)") > 10


@pytest.mark.parametrize(
    ("name", "change", "wrong"),
    [
        ("layers.json", {"a": 1}, "layers.json is an object of 1"),
        ("layers.json", [{"name": "a"}], "layers.json[0] has no 'image'"),
        ("evaluation.json", {"extremes": []}, "evaluation.json.extremes is a list of 0"),
        (
            "evaluation.json",
            {"extremes": {"worst": [{"name": "", "file": "../a", "mean_iou": 0}], "best": []}},
            "must be the name of a file, without folders",
        ),
        ("metrics.jsonl", {"data_wait": HOSTILE}, "data_wait is '<script>"),
    ],
)
def test_a_wrong_type_is_one_sentence(run, capsys, name, change, wrong):
    path = run.pictures / name if name == "layers.json" else run.path / name
    if name == "metrics.jsonl":
        path.write_text(json.dumps({**epoch_line(1, [0.1, 0.1, 0.1]), **change}) + "\n")
    elif name == "evaluation.json":
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    else:
        path.write_text(json.dumps(change))
    assert report.main([str(run.path)]) == 1
    error = capsys.readouterr().err
    assert wrong in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("count", [1, 2, 21, 70])
def test_any_number_of_classes(tmp_path, count):
    run = write_run(tmp_path / "run", [f"c{number}" for number in range(count)])
    html = report_html(run)
    assert html.count('<td class="curve">') == min(count, 64)
    assert ('<table class="confusion">' in html) == (count <= 64)


def test_metrics_that_are_not_finite(tmp_path):
    run = write_run(tmp_path / "run", ["a", "b"], epochs=0, planned=2, finished=False)
    run.add_metrics(step_line(5, loss=math.nan, images_per_second=math.inf))
    memory = {"process": math.nan, "arrays": math.inf}
    train = {"loss": math.nan, "mean_iou": None}
    run.add_metrics(epoch_line(1, [0.1, None], train=train, memory=memory))
    page = report_html(run).partition("<script>")[0].lower()
    assert "nan" not in page
    assert not re.search(r"\binf\b", page)
    assert "loss; last validation 1 at step 10" in page


def test_a_page_has_a_bound(run):
    lines = [step_line(step, loss=float(step % 97)) for step in range(1, 20001)]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), dtype=np.uint8)
    large = png_bytes(noise)
    assert len(large) > 8 << 20
    for name in ("worst_0_image", "worst_0_truth", "best_0_image"):
        (run.pictures / f"{name}.png").write_bytes(large)
    html = report_html(run)
    assert len(html) < (24 << 20)
    assert html.count("is left out: the page would be too large") == 2
    values = re.findall(r'data-name="training steps" data-values="([^"]*)"', html)
    assert 300 < len(values[0].split()) <= 400
    assert "96" in {pair.partition(",")[2] for pair in values[0].split()}  # peaks stay


def test_an_older_run_has_its_page_too(run):
    for path in run.pictures.glob("layers*"):
        path.unlink()
    results = json.loads(run.evaluation.read_text())
    del results["extremes"]
    run.evaluation.write_text(json.dumps(results))
    html = report_html(RunFolder(run.path))
    assert "Worst and best" not in html
    assert "Through the deconvolution" not in html
