"""``python -m minideconv.compare``: trains, loads, writes one report, refuses in one sentence."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from minideconv.compare.__main__ import main
from minideconv.compare.budget import network_configs
from minideconv.errors import UsageError
from minideconv.training.run.evaluation_data import evaluation_data
from minideconv.training.run.trained import load_trained
from minideconv.visualize.html import percent

pytestmark = pytest.mark.cpu  # the runs choose their device

TINY = [
    *("--train-images", "4", "--val-images", "3", "--image-size", "32", "--input-size", "32"),
    *("--epochs", "1", "-b", "2", "--recalibrate", "0", "--device", "cpu", "-q"),
]
FAST = ["--drawn", "1", "--resamples", "20", "--shown", "2", "--device", "cpu", "-q"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A comparison of two networks of one channel, which has trained them."""
    folder = tmp_path_factory.mktemp("compare")
    networks = []
    for name, options in {"fcn8s": "", "deconvnet": "depth = 2\n"}.items():
        networks.append(str(folder / f"{name}.toml"))
        (folder / f"{name}.toml").write_text(f'model = "{name}"\nwidth = 1\nfc = 2\n{options}')
    arguments = ["--networks", *networks, *TINY, *FAST, "-o", str(folder / "out")]
    assert main(arguments) == 0
    return folder / "out", arguments


def read(folder):
    return json.loads((folder / "comparison.json").read_text(encoding="utf-8"))


def test_it_trains_under_one_budget_and_reports(trained):
    folder, _ = trained
    found = read(folder)
    rows = ["FCN-8s", "DeconvNet", "ensemble"]
    assert list(found["rows"]) == [*rows, *(f"{row} + CRF" for row in rows)]
    assert found["not_in_common"] == []
    assert [each["updates"] for each in found["networks"]] == [2, 2]
    assert all(each["multiply_accumulates"] > 0 for each in found["networks"])
    assert found["images"] == 3
    assert len(found["differences"]) == 9
    assert {"sizes", "details"} <= found["limits"].keys()
    text = (folder / "comparison.md").read_text(encoding="utf-8")
    assert "| ensemble + CRF | ensemble |" in text
    assert "NaN" not in (folder / "comparison.json").read_text()


def test_classes_stand_beside_the_number_of_images_that_show_them(trained):
    folder, _ = trained
    found = read(folder)
    run = load_trained(folder / "runs" / "fcn8s-0", "cpu")
    data, _ = evaluation_data(run, None, {})
    masks = [np.asarray(data[index][1]) for index in range(len(data))]
    shown = [sum(bool((mask == c).any()) for mask in masks) for c in range(len(data.classes))]
    assert found["class_images"] == shown
    assert min(shown) < max(shown)  # so that their order is seen
    line = next(  # of the first table that has a line for each class
        line
        for line in (folder / "comparison.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| {data.classes[1]} |")
    )
    assert line.split(" | ")[1] == str(shown[1])
    assert line.split(" | ")[2] == percent(found["rows"]["FCN-8s"]["class_iou"][1])


class _Balance(HTMLParser):
    """Which elements are open."""

    def __init__(self):
        super().__init__()
        self.open, self.pictures = [], 0

    def handle_starttag(self, tag, attributes):
        self.pictures += tag == "img"
        if tag not in ("img", "meta", "path", "polyline", "circle", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("path", "polyline", "circle"):
            assert self.open.pop() == tag


def test_the_page_is_whole_and_by_itself(trained):
    html = (trained[0] / "comparison.html").read_text(encoding="utf-8")
    page = _Balance()
    page.feed(html)
    assert page.open == []
    assert "$" not in html.split("</style>")[1]
    assert "src=" not in html.replace('src="data:image/png;base64,', "")
    assert page.pictures == 2 * 8 + 6 * 6 * 3  # side by side; three best and worst of six rows


def test_the_same_command_trains_nothing_again(trained):
    folder, arguments = trained
    before = read(folder)
    assert main(arguments) == 2  # the report is there
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/checkpoints/*")}
    assert main([*arguments, "--overwrite"]) == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    after = read(folder)
    assert after == before


def test_runs_by_name_give_the_same_numbers(trained, tmp_path):
    folder, _ = trained
    runs = [str(folder / "runs" / f"{name}-0") for name in ("fcn8s", "deconvnet")]
    assert main([*runs, *FAST, "-o", str(tmp_path)]) == 0
    assert read(tmp_path)["rows"] == read(folder)["rows"]
    assert main([*runs, *FAST, "-o", str(tmp_path), "--overwrite", "--no-crf", "--flip"]) == 0
    found = read(tmp_path)
    assert list(found["rows"]) == ["FCN-8s", "DeconvNet", "ensemble"]
    for each in found["networks"]:
        assert each["multiply_accumulates_per_image"] == 2 * each["multiply_accumulates"]
    few = ["--proposals", "3", "--proposals-by", "sliding-windows", "--proposals-for", "deconvnet"]
    assert main([*runs, *FAST, "-o", str(tmp_path), "--overwrite", "--no-crf", *few]) == 0
    windows = {
        each["name"]: each["multiply_accumulates_per_image"] // each["multiply_accumulates"]
        for each in read(tmp_path)["networks"]
    }
    assert windows == {"FCN-8s": 1, "DeconvNet": 3}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["RUN"], "is one network; name two at least, or none"),
        (["RUN", "RUN", "--epochs", "3"], "--epochs is about training, but the networks are"),
        (["RUN", "RUN", "--seeds", "1"], "--seeds is about training"),
        (["RUN", "RUN"], "is named twice; a network cannot be compared with itself"),
        (["--networks", "fcn8s"], "--networks names 1; a comparison needs two at least"),
        (["--networks", "fcn8s", "fcn8s"], "two networks are called fcn8s"),
        (["--networks", "fcn8s", "none.toml"], "none.toml: No such file"),
        (["--no-crf", "--crf", "default"], "--crf is about the CRF that --no-crf leaves out"),
        (["--crf", "no.json"], "--crf is neither default"),
        (["--epochs", "-1"], "--epochs is -1; it must be >= 0"),
        (
            ["RUN", "OTHER", "--proposals", "3", "--proposals-for", "fcn16s"],
            "--proposals-for names 'fcn16s', but what is loaded is fcn8s and deconvnet",
        ),
        (["nowhere", "there"], "nowhere: no such run folder or checkpoint"),
    ],
)
def test_what_is_refused(trained, arguments, words, tmp_path, capsys):
    runs = {
        "RUN": str(trained[0] / "runs" / "fcn8s-0"),
        "OTHER": str(trained[0] / "runs" / "deconvnet-0"),
    }
    given = [runs.get(each, each) for each in arguments]
    assert main([*given, "-o", str(tmp_path / "new"), "-q"]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("seeds", "words"),
    [("1,x", "'x' is not a whole number"), ("1,1", "1 is named twice"), ("", "'' names nothing")],
)
def test_seeds_that_are_none(seeds, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--seeds", seeds])
    assert ended.value.code == 2
    assert f"argument --seeds: {words}" in capsys.readouterr().err


def test_a_report_does_not_go_into_a_run(trained, capsys):
    runs = [str(trained[0] / "runs" / f"{name}-0") for name in ("fcn8s", "deconvnet")]
    assert main([*runs, "-o", runs[1]]) == 2
    assert f"--output {runs[1]} is the folder of RUN {runs[1]}, which" in capsys.readouterr().err


def test_a_run_of_other_settings_is_left_alone(trained, capsys):
    _, arguments = trained
    assert main([*arguments, "--overwrite", "--lr", "0.01"]) == 2
    assert "holds a run whose --lr is 0.1, not 0.01; choose another --output" in (
        capsys.readouterr().err
    )


def test_one_budget_is_in_common(tmp_path):
    (tmp_path / "long.toml").write_text('model = "deconvnet"\nepochs = 9\n')
    networks = ["fcn8s", str(tmp_path / "long.toml")]
    with pytest.raises(UsageError, match="--epochs is 5 for fcn8s but 9 for long"):
        network_configs(networks, {})
    assert {c.epochs for c in network_configs(networks, {"epochs": 2}).values()} == {2}


def test_equal_computation_gives_the_cheaper_network_more_epochs():
    found = network_configs(["fcn8s", "deconvnet"], {"epochs": 4, "train_images": 2}, "computation")
    assert min(config.epochs for config in found.values()) == 4
    assert max(config.epochs for config in found.values()) > 4
