"""The report: right numbers, self-contained, well-formed, at any moment of a run."""

from __future__ import annotations

import base64
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from minideconv import report
from minideconv.errors import DataError
from minideconv.segmentation import ConfusionMatrix
from minideconv.training.config import TrainConfig
from minideconv.training.run.checkpoint import Checkpoint, save_checkpoint
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.lock import run_lock
from minideconv.training.run.report import report_html
from minideconv.visualize.boards import png_bytes

VOID_TAGS = {"meta", "img", "br", "input", "path", "polyline", "circle"}


class Page(HTMLParser):
    """Collects text, attributes and pictures, and checks that tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID_TAGS:
            assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text += data


def make_run(path, classes, epochs=2, evaluated=True):
    """A run folder written by hand, with metrics chosen here."""
    run = RunFolder(path)
    config = TrainConfig(stage="both", epochs=1, epochs_stage2=1, lr=0.25, output_dir=str(path))
    run.create(config)
    rng = np.random.default_rng(0)
    for epoch in range(1, epochs + 1):
        for step in (10 * epoch - 5, 10 * epoch):
            run.add_metrics(
                {
                    **{"kind": "step", "step": step, "epoch": epoch, "stage": str(epoch)},
                    **{"loss": 3.0 / step, "lr": 0.01, "elapsed": float(step)},
                }
            )
        run.add_metrics(
            {
                **{"kind": "epoch", "step": 10 * epoch, "epoch": epoch, "stage": str(epoch)},
                **{"lr": 0.01, "elapsed": 62.0 * epoch},
                "train": {"loss": 2.0, "pixel_accuracy": 0.5, "mean_iou": 0.2},
                "val": {
                    **{"loss": 1.5, "mean_iou": [0.4321, 0.3][epoch - 1], "pixel_accuracy": 0.5},
                    **{"mean_accuracy": 0.5, "frequency_weighted_iou": None},
                },
            }
        )
    if epochs:
        progress = {"epoch": 1, "step": 10, "best": 0.4321, "best_epoch": 1}
        save_checkpoint(run.best, Checkpoint({}, {"progress": progress, "classes": classes}))
    if evaluated:
        results: dict = {"classes": classes, "epoch": epochs, "samples": {"val": [], "train": []}}
        for subset in ("train", "val"):
            confusion = ConfusionMatrix(len(classes))
            confusion.counts[:2, :2] = [[70, 10], [5, 15]] if subset == "val" else [[1, 0], [0, 1]]
            results[subset] = {
                **{"images": 7, "loss": 1.0, "confusion": confusion.counts.tolist()},
                **confusion.compute(),
            }
            results["samples"][subset].append(
                {"file": f"{subset}_0", "name": f"{subset} image", "pixel_accuracy": 0.625}
            )
            for kind in ("image", "truth", "prediction", "overlay"):
                picture = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
                (run.pictures / f"{subset}_0_{kind}.png").write_bytes(png_bytes(picture))
        run.evaluation.write_text(json.dumps(results))
    return run


def test_the_page_shows_the_run_s_metrics(tmp_path):
    run = make_run(tmp_path / "run", ["background", "cat", "dog"])
    html = report_html(run)
    page = Page(html)
    # IoU of the validation matrix, by hand: 70 / 85 and 15 / 30; dog occurs nowhere.
    for text in ("82.4", "50.0", "66.2"):
        assert text in page.text, text
    assert "85.0%" in page.text  # pixel accuracy, 85 of 100
    assert "validation, 2 classes" in page.text
    assert "The best validation IoU of the run was 43.2 % after epoch 1" in page.text
    assert "20 steps in 2m04s" in page.text
    assert "62.5 % of the pixels right" in page.text
    # The row of the cat: 5 of 20 pixels are taken for background.
    assert re.search(r'title="cat taken for background: 5 pixels"[^>]*>25<', html)
    assert re.search(r'title="background taken for background: 70 pixels"[^>]*>88<', html)
    assert '<tr class="absent" title="no pixel of this class"><th>dog</th>' in html
    assert re.search(r'<tr class="changed"><td>lr</td><td>0\.25</td>', html)
    assert f"python -m minideconv.evaluate {run.path}" in page.text
    assert f"--resume {run.path}" in page.text
    assert html.count("stage 2") >= 3  # in the plan and on the curves


def test_the_page_needs_nothing_but_itself(tmp_path):
    run = make_run(tmp_path / "run", ["background", "cat", "dog"])
    html = report_html(run)
    page = Page(html)
    assert html.count("<script") == 1  # the page's own, in the page
    assert "<script src" not in html
    assert "http" not in html
    assert "url(" not in html
    assert "@import" not in html
    sources = [value for tag, name, value in page.attributes if name in ("src", "href")]
    assert len(sources) == 8
    found = {base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in sources}
    assert found == {path.read_bytes() for path in run.pictures.glob("*_0_*.png")}
    assert all(value for tag, name, value in page.attributes if (tag, name) == ("img", "alt"))


def test_names_cannot_break_the_page(tmp_path):
    run = make_run(tmp_path / "run", ["<b>ackground", 'c"at', "d&g"])
    page = Page(report_html(run))
    assert "<b>ackground" in page.text
    assert "d&g" in page.text
    assert ("td", "title", 'c"at taken for d&g: 0 pixels') in page.attributes


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_run_under_way_has_a_page_too(tmp_path, epochs):
    run = make_run(tmp_path / "run", [], epochs=epochs, evaluated=False)
    page = Page(report_html(run))
    assert f"stopped: {epochs} of 2 epochs" in page.text
    with run_lock(run.path):
        assert f"still running: {epochs} of 2 epochs" in Page(report_html(run)).text
    assert f"stopped: {epochs} of 2 epochs" in Page(report_html(run)).text
    assert ("43.2%" in page.text) == bool(epochs)


def test_a_missing_picture_is_named(tmp_path):
    run = make_run(tmp_path / "run", ["background", "cat"])
    (run.pictures / "val_0_truth.png").unlink()
    assert "val_0_truth.png is missing" in Page(report_html(run)).text


def test_the_command_writes_the_page_again(tmp_path, capsys):
    run = make_run(tmp_path / "run", ["background", "cat"])
    assert report.main([str(run.path)]) == 0
    assert capsys.readouterr().out.strip() == str(run.report)
    assert run.report.read_text(encoding="utf-8") == report_html(run)
    assert report.main([str(tmp_path / "none")]) == 1
    assert "there is no run here" in capsys.readouterr().err
    with pytest.raises(DataError, match="there is no run here"):
        report_html(RunFolder(tmp_path / "none"))


def heights(chart):
    """Return the numbers beside a chart's y axis."""
    return [float(text) for text in re.findall(r'text-anchor="end">([\d.]+)</text>', chart)]


def test_the_axis_of_the_metric_fits_the_data(tmp_path):
    html = report_html(make_run(tmp_path / "run", ["background", "cat", "dog"]))
    chart = html[html.index("<h3>mean IoU</h3>") : html.index("<h3>learning rate</h3>")]
    assert max(heights(chart)) == 0.5  # the data's greatest is 0.4321


def test_speed_memory_and_classes_have_their_curves(tmp_path):
    run = make_run(tmp_path / "run", [], epochs=0, evaluated=False)
    for epoch in (1, 2, 3):
        run.add_metrics(
            {
                **{
                    "kind": "step",
                    "step": 5 * epoch,
                    "epoch": epoch,
                    "stage": "whole",
                    "loss": 1.0,
                },
                **{"lr": 0.1, "images_per_second": 20.0 * epoch, "elapsed": 1.0},
            }
        )
        val = {"loss": None, "mean_iou": 0.2, "class_iou": [0.8, None if epoch == 2 else 0.1]}
        val |= {"pixel_accuracy": 0.5, "mean_accuracy": 0.5, "frequency_weighted_iou": 0.5}
        run.add_metrics(
            {
                **{"kind": "epoch", "step": 5 * epoch, "epoch": epoch, "stage": "whole", "lr": 0.1},
                **{"elapsed": 2.0, "memory": {"process": epoch << 30, "arrays": 1 << 29}},
                **{"train": {"loss": 1.0, "mean_iou": 0.1}, "val": val},
            }
        )
    progress = {"epoch": 1, "step": 5, "best": 0.2, "best_epoch": 1}
    header = {"progress": progress, "classes": ["background", "<cat>"]}
    save_checkpoint(run.best, Checkpoint({}, header))
    (run.pictures / "epoch_001.png").write_bytes(png_bytes(np.zeros((4, 4, 3), np.uint8)))
    html = report_html(run)
    page = Page(html)
    speed = html[html.index("<h3>images a second</h3>") : html.index("<h3>peak of memory")]
    assert max(heights(speed)) == 60
    memory = html[html.index("<h3>peak of memory") : html.index("A curve has no point")]
    assert max(heights(memory)) == 3
    assert memory.count("<polyline") == 2
    curves = html[html.index('<table class="history">') :].partition("</table>")[0]
    background, cat = curves.split("<tr>")[2:]
    assert cat.startswith("<th>&lt;cat&gt;</th>")
    assert re.findall(r"--share:[^>]*>([^<]*)<", cat) == ["10.0", "–", "10.0"]
    assert "over the epochs 1 to 3; every curve goes from 0 to 80.0 %" in page.text
    assert background.count("<polyline") == 1
    assert "<polyline" not in cat  # interrupted: two single points
    assert cat.count("<circle") == 2
    # A legend of the colours, before there is an evaluation.
    assert '<div class="legend">' in html
    assert "void (not counted)" in page.text


def test_without_a_best_checkpoint_none_is_named(tmp_path):
    run = make_run(tmp_path / "run", ["background", "cat"])
    run.best.unlink()
    assert "best.npz" not in report_html(run)
    save_checkpoint(run.best, Checkpoint({}, {"progress": {"epoch": "<script>", "best": 1.0}}))
    assert report_html(run).count("<script") == 1


HOSTILE = "<script>alert(1)</script>\"'&"


def test_names_and_texts_cannot_become_a_part_of_the_page(tmp_path):
    run = make_run(tmp_path / "run", ["background", HOSTILE, "dog"])
    found = json.loads(run.evaluation.read_text())
    found["samples"]["val"][0]["name"] = HOSTILE
    run.evaluation.write_text(json.dumps(found))
    entry = {"file": "val_0_image.png", "name": HOSTILE, "size": HOSTILE}
    (run.pictures / "activations.json").write_text(json.dumps([entry]))
    html = report_html(run)
    assert html.count("<script") == 1
    assert Page(html).text.count(HOSTILE) > 5


@pytest.mark.parametrize(
    ("name", "change", "wrong"),
    [
        ("evaluation.json", {"epoch": HOSTILE}, "evaluation.json.epoch is '<script>"),
        ("evaluation.json", {"classes": "abc"}, "evaluation.json.classes is 'abc'"),
        ("evaluation.json", {"val": []}, "evaluation.json.val is a list of 0"),
        ("evaluation.json", {"val": {"images": HOSTILE}}, "evaluation.json.val"),
        ("evaluation.json", {"classes": ["a", "b"]}, "train.class_iou is a list of 3; it must be"),
        ("evaluation.json", {"samples": [1]}, "evaluation.json.samples is a list of 1"),
        ("evaluation.json", [], "is no result of an evaluation"),
        ("metrics.jsonl", {"step": HOSTILE}, "metrics.jsonl, line 1.step is '<script>"),
        ("metrics.jsonl", {"loss": [1]}, "metrics.jsonl, line 1.loss is a list of 1"),
        ("metrics.jsonl", {"kind": 5}, "metrics.jsonl, line 1.kind is 5"),
        ("metrics.jsonl", [1], "metrics.jsonl, line 1 is a list of 1; it must be an object"),
        ("activations.json", {"a": 1}, "activations.json is an object of"),
        ("activations.json", [{"file": "a.png", "name": 1, "size": ""}], "[0].name is 1"),
        ("activations.json", [{"file": "../../a.png", "name": "", "size": ""}], "without folders"),
        ("activations.json", [{"file": "/etc/passwd", "name": "", "size": ""}], "without folders"),
    ],
)
def test_a_wrong_type_is_one_sentence(tmp_path, capsys, name, change, wrong):
    run = make_run(tmp_path / "run", ["background", "cat", "dog"])
    path = run.pictures / name if name == "activations.json" else run.path / name
    if name == "metrics.jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines[0] = {**lines[0], **change} if isinstance(change, dict) else change
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    elif isinstance(change, dict) and name == "evaluation.json":
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    else:
        path.write_text(json.dumps(change))
    assert report.main([str(run.path)]) == 1
    err = capsys.readouterr().err
    assert wrong in err
    assert err.count("\n") == 1


def test_no_file_from_elsewhere_is_embedded(tmp_path):
    run = make_run(tmp_path / "run", ["background", "cat", "dog"])
    secret = png_bytes(np.full((3, 3, 3), 77, np.uint8))
    (tmp_path / "secret.png").write_bytes(secret)
    (tmp_path / "secret.txt").write_text("a password")
    entries = [
        {"file": name, "name": name, "size": "1"} for name in ("linked.png", "text.png", "pipe.png")
    ]
    (run.pictures / "linked.png").symlink_to(tmp_path / "secret.png")
    (run.pictures / "text.png").write_text("a password")
    os.mkfifo(run.pictures / "pipe.png")
    (run.pictures / "activations.json").write_text(json.dumps(entries))
    html = report_html(run)
    for content in (secret, b"a password"):
        assert base64.b64encode(content).decode()[:-4] not in html
    for entry in entries:
        assert f"{entry['file']} is missing" in html


def test_other_pictures_of_the_folder_do_no_harm(tmp_path):
    run = make_run(tmp_path / "run", ["background", "cat", "dog"], evaluated=False)
    (run.pictures / "epoch_last.png").write_text("x")
    (run.pictures / "epoch_10.png").write_bytes(png_bytes(np.zeros((3, 3, 3), np.uint8)))
    (run.pictures / "epoch_2.png").write_text("x")
    assert "Validation images after epoch 10" in report_html(run)


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    run = make_run(tmp_path / "run", ["background", "cat", "dog"])
    lines = run.metrics.read_text().splitlines(keepends=True)
    run.metrics.write_text("".join([lines[0], lines[1][:9] + "\n", *lines[2:]]))
    with pytest.raises(DataError, match=r"metrics.jsonl: line 2 is no JSON"):
        report_html(run)
