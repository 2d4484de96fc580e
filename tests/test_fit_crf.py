"""The search for a CRF's parameters, its objectives, and the command around them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from minideconv import evaluate, train
from minideconv.data import Shapes
from minideconv.fit_crf import SEARCHED, Example, coordinate_search
from minideconv.fit_crf.__main__ import main
from minideconv.fit_crf.objectives import log_likelihood, mean_iou
from minideconv.segmentation import DenseCRF
from minideconv.segmentation.crf_file import read_crf
from minideconv.training.run.trained import load_trained

BOWL = {"bilateral_weight": 3.0, "bilateral_color": 30.0, "bilateral_position": 9.0,
        "spatial_weight": 12.0, "spatial_position": 1.0}  # fmt: skip


def bowl(crf):
    """Is highest at `BOWL`, in every direction of the logarithms."""
    return -sum(math.log2(getattr(crf, name) / best) ** 2 for name, best in BOWL.items())


def test_the_search_climbs_to_the_top():
    trials = []
    best = coordinate_search(bowl, DenseCRF(), most=1000, tried=trials.append)
    assert best.value == bowl(best.crf) == max(trial.value for trial in trials)
    for name, value in BOWL.items():  # the last steps are by the square root of 2
        assert abs(math.log2(getattr(best.crf, name) / value)) <= 0.26
    values = [trial.value for trial in trials if trial.best]
    assert values == sorted(values)
    assert trials[0].crf == DenseCRF()
    assert len({trial.crf for trial in trials}) == len(trials) < 100
    # No single step improves it, which is where the search ends.
    coarse = coordinate_search(bowl, DenseCRF(), factors=(2.0,), most=1000)
    assert coarse.value < best.value


def test_what_is_fixed_or_zero_stays_and_trials_are_counted():
    start = DenseCRF(spatial_weight=0)
    trials = []

    def objective(crf):
        return -abs(math.log2(crf.bilateral_weight / 500))

    best = coordinate_search(
        objective, start, ["bilateral_color", "bilateral_position"], most=5, tried=trials.append
    )
    assert len(trials) == 5
    assert best.crf.bilateral_weight == 160
    for trial in trials:
        assert (trial.crf.spatial_weight, trial.crf.bilateral_color) == (0, 13)
    one = coordinate_search(objective, start, SEARCHED, tried=trials.append)
    assert (one.crf, len(trials)) == (start, 6)
    assert coordinate_search(objective, start, most=1).crf == start


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"most": 0}, "most is 0; it must be at least 1"),
        ({"factors": ()}, r"factors is \(\); it must be falling numbers above 1"),
        ({"factors": (1.5, 2.0)}, "it must be falling numbers above 1"),
        ({"factors": (2.0, 1.0)}, "it must be falling numbers above 1"),
        ({"fixed": ["iterations"]}, "fixed has 'iterations'; it must be some of bilateral_weight"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        coordinate_search(bowl, DenseCRF(), **options)


def examples():
    rng = np.random.default_rng(0)
    found = []
    for height, width in ((20, 31), (27, 18)):
        truth = np.zeros((height, width), np.uint8)
        truth[5:15, 4:12] = 1
        image = np.where(truth[..., None] == 1, [200, 40, 50], [60, 90, 160])
        image = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
        p = np.stack([truth == 0, truth == 1, truth == 2]) + 1.2 * rng.random((3, height, width))
        truth[:2] = 255
        found.append(Example(image, (p / p.sum(axis=0)).astype(np.float32), truth))
    return found


@pytest.mark.parametrize("crf", [None, DenseCRF(iterations=2)])
def test_objectives_are_their_formulas(crf):
    counts, logs = np.zeros((3, 3)), []
    for image, p, truth in examples():
        q = p if crf is None else crf.refine(p, image)
        for y, x in np.argwhere(truth != 255):
            counts[truth[y, x], q[:, y, x].argmax()] += 1
            logs.append(math.log(max(1e-8, q[truth[y, x], y, x])))
    union = counts.sum(axis=0) + counts.sum(axis=1) - counts.diagonal()
    expected = np.mean(counts.diagonal()[union > 0] / union[union > 0])
    assert mean_iou(examples(), crf) == pytest.approx(expected)
    assert log_likelihood(examples(), crf) == pytest.approx(np.mean(logs), rel=1e-5)


def test_a_fitted_crf_is_better_than_one_that_does_nothing():
    def objective(crf):
        return log_likelihood(examples(), crf)

    weak = DenseCRF(bilateral_weight=0.1, spatial_weight=0.1, iterations=2)
    best = coordinate_search(objective, weak, most=40)
    assert best.value > objective(weak) + 0.1
    assert best.value > log_likelihood(examples(), None) + 0.1


# -- The command --------------------------------------------------------------------------------

TINY = [
    *("--train-images", "4", "--val-images", "3", "--image-size", "32", "--difficulty", "easy"),
    *("--input-size", "16", "--width", "2", "--fc", "4", "--device", "cpu", "-b", "2"),
    *("--stage", "whole", "--epochs", "1", "--recalibrate", "1", "--images", "0", "-q"),
    *("--depth", "2", "--fc-kernel", "0"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit") / "run"
    assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    return folder


@pytest.mark.parametrize(
    "objective", ["mean-iou", pytest.param("log-likelihood", marks=pytest.mark.cpu)]
)
def test_the_file_is_what_evaluate_reads(run, tmp_path, objective, capsys):
    path = tmp_path / "crf.json"
    options = ["--trials", "3", "--objective", objective, "--crf-iterations", "2"]
    options += ["--crf-spatial-position", "2", "--limit", "3"]
    assert main([str(run), *options, "-o", str(path)]) == 0
    printed = capsys.readouterr().out
    assert f"on 3 images of shapes train: {objective}" in printed
    content = json.loads(path.read_text())
    crf, about = read_crf(path), content["about"]
    assert (crf.iterations, crf.spatial_position) == (2, 2.0)
    assert (about["data"], about["images"], about["objective"]) == ("shapes train", 3, objective)
    assert f"{about['value']:.4f}" in printed
    # What it says is what the file gives.
    trained = load_trained(run)
    data = Shapes("train", length=4, size=32, difficulty="easy")
    chosen = [data[k] for k in (0, 2, 3)]
    seen = [Example(i, np.asarray(trained.predictor.probabilities(i)), t) for i, t in chosen]
    function = mean_iou if objective == "mean-iou" else log_likelihood
    assert function(seen, crf) == pytest.approx(about["value"], abs=1e-6)
    assert function(seen, None) == pytest.approx(about["without_crf"], abs=1e-6)
    assert about["value"] >= function(seen, DenseCRF(iterations=2, spatial_position=2.0)) - 1e-6
    assert evaluate.main([str(run), "--crf", str(path), "-q"]) == 0
    # Again: an earlier file is replaced, another one is not.
    assert main([str(run), *options, "--crf", str(path), "-o", str(path), "-q"]) == 0
    path.write_text("mine")
    assert main([str(run), *options, "-o", str(path), "-q"]) == 2
    assert "is no earlier output of this program" in capsys.readouterr().err
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--crf", "/no/such"], "--crf is neither default nor deconvnet, and /no/such: No such"),
        (["-o", "/no/such/crf.json"], "--output /no/such/crf.json: there is no folder /no/such"),
        (["-o", "/"], "--output / is a folder; name a file"),
        (["--crf-bilateral-weight", "-1"], "--crf-bilateral-weight is -1.0; it must be >= 0"),
        (["--crf-bilateral-color", "1e-30"], "a kernel is too narrow"),
        (["--split", "trian"], "trian"),
        (["--data", "voc"], "--data-root"),
        (["--ensemble", "/no/such"], "/no/such: no such run folder or checkpoint"),
        (
            [text for name in SEARCHED for text in ("--crf-" + name[:99].replace("_", "-"), "3")],
            "every parameter that could be fitted is given by an option",
        ),
    ],
)
def test_mistakes_are_one_sentence(run, tmp_path, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([str(run), "-q", *arguments, "--crf-method", "lattice"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_it_is_a_program(run, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "minideconv.fit_crf", str(run), "--trials", "1", "--limit", "1"],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_crf(tmp_path / "crf.json") == DenseCRF()
