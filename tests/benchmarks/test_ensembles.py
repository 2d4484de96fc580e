"""The settings of an ensemble, measured from one set of scores, against `evaluate`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import ensembles
from minideconv import evaluate
from minideconv.errors import UsageError

pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def found(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("ensembles") / "found.json"
    assert ensembles.main([*runs, "--scales", "32,48", "--threads", "1", "--out", str(out)]) == 0
    return json.loads(out.read_text())


def test_every_setting_is_there_once(found):
    settings = [(tuple(each["sizes"]), each["flip"]) for each in found["settings"]]
    sizes = [(32,), (48,), (32, 48)]
    assert settings == [(size, flip) for size in sizes for flip in (False, True)]
    assert found["images"] == 3


@pytest.mark.parametrize("rule", ["mean", "product", "scores"])
@pytest.mark.parametrize(("sizes", "flip"), [("32", False), ("32,48", True)])
def test_it_is_what_evaluate_finds(runs, found, sizes, flip, rule, tmp_path):
    options = ["--which", "last", "--scales", sizes, *(["--flip"] if flip else []), "-q"]
    (own,) = (
        each
        for each in found["settings"]
        if ",".join(map(str, each["sizes"])) == sizes and each["flip"] == flip
    )
    for name, run in zip(("FCN-8s", "DeconvNet"), runs, strict=True):
        assert own["mean_iou"][name] == _evaluated([run, *options], tmp_path)
    together = [runs[0], "--ensemble", runs[1], "--ensemble-rule", rule, *options]
    assert own["mean_iou"][rule] == _evaluated(together, tmp_path)


def _evaluated(arguments, folder):
    out = folder / "evaluation.json"
    assert evaluate.main([*arguments, "--json", str(out)]) == 0
    return json.loads(out.read_text())["mean_iou"]


def test_the_gain_is_over_the_better_network_and_decided_gains_are_bold():
    rng = np.random.default_rng(0)
    truths = rng.integers(0, 3, (8, 6, 5), dtype=np.uint8)

    def scores(right, share):
        """Scores of the truth, of another class in a share of the pixels."""
        labels = np.where(rng.random(right.shape) < share, (right + 1) % 3, right)
        return (np.arange(3)[:, None, None] == labels).astype(np.float32)

    images = []
    for truth in truths:
        networks = {
            name: {7: (scores(truth, share), scores(truth, share))}
            for name, share in (("a", 0.5), ("b", 0.05))
        }
        images.append((truth, networks))
    plain, both = ensembles.measure(iter(images), 3)
    for each in (plain, both):
        assert each["better"] == "b"
        assert each["mean_iou"]["b"] > each["mean_iou"]["a"]
        gain = each["mean_iou"]["mean"] - each["mean_iou"]["b"]
        assert each["above"]["mean"]["difference"] == pytest.approx(gain)
    decided = {"difference": 0.02, "low": 0.001, "high": 0.03}
    plain["above"]["mean"] = decided
    first, *_ = ensembles.table({"settings": [plain]}).splitlines()[2:]
    cells = first.split(" | ")
    assert cells[:2] == ["| 7", "no"]
    mean = f"{100 * plain['mean_iou']['mean']:.1f}"
    assert cells[4] == f"**{mean} (+2.0 [+0.1, +3.0])**"
    assert "**" not in cells[5]


def test_one_network_is_no_ensemble(runs):
    with pytest.raises(UsageError, match="1 network; an ensemble has two at least"):
        ensembles.main(runs[:1])
