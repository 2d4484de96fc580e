"""Rows, their differences, and the drawn pictures: with predictors whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.compare import drawn
from minideconv.compare.measure import EXTREMES, measure
from minideconv.compare.rows import differences, pairs, row_metrics
from minideconv.data import Shapes
from minideconv.segmentation import ConfusionMatrix, Predictor
from minideconv.segmentation.boundaries import BoundaryIoU
from minideconv.segmentation.object_sizes import SizeIoU

pytestmark = pytest.mark.cpu  # counts on the host

DATA = Shapes("val", length=12, size=40, difficulty="easy")


class Known(Predictor):
    """Gives the truth of DATA, wrong at a share of the pixels that goes up with the image."""

    def __init__(self, wrong, seed):
        self.wrong, self.seed = wrong, seed
        self.truth = {DATA[i][0].tobytes(): (i, DATA[i][1]) for i in range(len(DATA))}
        self.calls = 0

    def labels_of_one(self, image):
        index, truth = self.truth[image.tobytes()]
        rng = np.random.default_rng([self.seed, index])
        labels = np.where(truth == 255, 0, truth)
        wrong = rng.random(truth.shape) < self.wrong * (1 + index) / len(DATA)
        return np.where(wrong, rng.integers(0, DATA.num_classes, truth.shape), labels)

    def scores_of(self, images):
        for image in images:
            self.calls += 1
            yield 4.0 * np.eye(DATA.num_classes, dtype=np.float32)[
                self.labels_of_one(image)
            ].transpose(2, 0, 1)


@pytest.fixture
def found():
    members = {"FCN-8s": Known(0.4, 0), "DeconvNet": Known(0.2, 1)}
    chosen = [11, 3, 0, 7, 5, 9, 1]
    return members, chosen, measure(members, DATA, chosen, shown=[2])


def test_rows_count_what_the_metrics_count(found):
    members, chosen, measured = found
    assert list(measured.rows) == ["FCN-8s", "DeconvNet", "ensemble"]
    for name, member in members.items():
        confusion, boundaries, sizes = ConfusionMatrix(5), BoundaryIoU(5), SizeIoU()
        for place, index in enumerate(chosen):
            truth, labels = DATA[index][1], member.labels_of_one(DATA[index][0])
            confusion.update(truth, labels)
            boundaries.update(truth, labels)
            sizes.update(truth, labels)
            own = ConfusionMatrix(5)
            own.update(truth, labels)
            assert (measured.rows[name].counts[place] == own.counts).all()
        metrics = row_metrics([measured.rows[name]])
        assert metrics["mean_iou"] == confusion.mean_iou
        assert metrics["boundary_iou"] == {str(k): v for k, v in boundaries.mean_iou.items()}
        assert metrics["size_iou"]["medium"] == sizes.mean_iou["medium"]


def test_each_network_computes_an_image_once(found):
    members, chosen, _ = found
    assert [member.calls for member in members.values()] == [len(chosen)] * 2


def test_the_best_and_the_worst_are_kept_with_all_rows_labels(found):
    members, chosen, measured = found
    best, worst = measured.rows["FCN-8s"].extremes()
    ious = []
    for index in chosen:
        own = ConfusionMatrix(5)
        own.update(DATA[index][1], members["FCN-8s"].labels_of_one(DATA[index][0]))
        ious.append(own.mean_iou)
    order = np.argsort(ious)[::-1].tolist()
    assert best == order[:EXTREMES]
    assert worst == order[::-1][:EXTREMES]
    kept = {2}
    for row in measured.rows.values():
        kept.update(*row.extremes())
    assert measured.labels.keys() == kept
    assert all(labels.keys() == measured.rows.keys() for labels in measured.labels.values())


def test_differences_of_two_seeds(found):
    _, chosen, measured = found
    other = measure({"FCN-8s": Known(0.4, 2), "DeconvNet": Known(0.2, 3)}, DATA, chosen)
    both = differences(["FCN-8s", "DeconvNet"], [measured, other], resamples=200)
    first = both[0]
    assert (first["row"], first["than"], first["paper"]) == ("DeconvNet", "FCN-8s", "higher")
    rows = [each.rows for each in (measured, other)]
    gains = [r["DeconvNet"].total.mean_iou - r["FCN-8s"].total.mean_iou for r in rows]
    assert first["difference"] == pytest.approx(np.mean(gains))
    assert first["low"] < first["difference"] < first["high"]
    assert (first["verdict"], first["as_in_paper"]) == ("higher", True)
    assert [(e["row"], e["than"]) for e in both[1:]] == [
        ("ensemble", "FCN-8s"),
        ("ensemble", "DeconvNet"),
    ]


def test_the_pairs_of_the_papers_table():
    members = ["FCN-8s", "DeconvNet"]
    rows = [*members, "ensemble"]
    found = pairs(members, [*rows, *(f"{row} + CRF" for row in rows)])
    assert len(found) == len(set(found)) == 9
    assert ("ensemble + CRF", "ensemble", "higher") in found
    assert ("DeconvNet + CRF", "DeconvNet", "higher") in found
    # The table has no FCN behind a CRF.
    assert ("FCN-8s + CRF", "FCN-8s", "") in found
    assert ("DeconvNet + CRF", "FCN-8s + CRF", "") in found
    assert ("ensemble + CRF", "FCN-8s + CRF", "") in found
    assert pairs(["DeconvNet", "FCN-8s"], ["DeconvNet", "FCN-8s"]) == [("FCN-8s", "DeconvNet", "")]


def test_the_fate_of_an_object():
    truth = np.zeros((20, 30), np.uint8)
    truth[4:14, 5:25] = 2
    truth[4, :] = 255
    whole = np.where(truth == 2, 2, 0).astype(np.uint8)
    assert drawn.object_fate(truth, whole) == (1.0, False, 1)
    assert drawn.object_fate(truth, whole * 0) == (0.0, True, 0)
    cut = whole.copy()
    cut[:, 14:16] = 0
    cut[8:10, 20:22] = 3  # a piece of another class
    cut[10, 15] = 2  # one pixel is no piece
    iou, missed, pieces = drawn.object_fate(truth, cut)
    assert (missed, pieces) == (False, 3)
    assert iou == pytest.approx((180 - 18 - 4) / 180, abs=0.01)
    assert drawn.object_fate(truth, np.where(whole == 2, 1, 0).astype(np.uint8))[1:] == (True, 1)


def test_what_a_grid_can_hold():
    truth = np.zeros((21, 34), np.uint8)
    truth[5:16, 9:27] = 3
    truth[0, 0] = 255
    assert (drawn.through_grid(truth, 1) == np.where(truth == 255, 0, truth)).all()
    shares = []
    for stride in (2, 4, 8):
        labels = drawn.through_grid(truth, stride)
        assert labels.shape == truth.shape
        assert set(np.unique(labels)) <= {0, 3}
        shares.append(np.mean(labels == truth))
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < shares[0]
    assert (drawn.through_grid(np.full((9, 7), 2), 4) == 2).all()


class Vivid(Predictor):
    """Finds nothing, in a picture of any size."""

    def scores_of(self, images):
        for image in images:
            scores = np.zeros((5, *image.shape[:2]), np.float32)
            scores[0] = 1
            yield scores


def test_series_of_sizes_and_details():
    members = {"A": Vivid(), "B": Vivid()}
    series = drawn.sizes(members, "easy", 48, count=2)
    assert [each["radius"] for each in series] == [r for r in drawn.RADII if r * 48 >= 4]
    shares = [each["share"] for each in series]
    assert shares == sorted(shares)
    assert [each["seen_in_training"] for each in series] == [
        0.16 <= each["radius"] <= 0.32 for each in series
    ]
    assert series[0]["rows"]["A"] == {"iou": 0.0, "missed": 1.0, "pieces": None}
    shown = drawn.details(members, "easy", 48, count=2)
    assert [each["class"] for each in shown] == ["disc", "triangle", "rectangle", "cross"]
    for each in shown:
        grids = [each["rows"][f"truth at stride {s}"]["iou"] for s in drawn.STRIDES]
        assert grids == sorted(grids, reverse=True)
        assert each["rows"]["A"]["iou"] == 0.0
