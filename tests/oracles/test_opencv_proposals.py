"""Edge Boxes against OpenCV's, which is given the same edges; and its selective search."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from minideconv.data import Shapes, VOCSegmentation
from minideconv.segmentation.proposals import Proposals, edge_boxes, selective_search
from minideconv.segmentation.proposals.box_scores import BoxScorer, overlaps
from minideconv.segmentation.proposals.edge_groups import edge_groups
from minideconv.segmentation.proposals.edges import EdgeMap, edge_map

pytestmark = pytest.mark.cpu

VOC = Path(
    os.environ.get("MINIDECONV_VOC")
    or Path(__file__).resolve().parents[3] / "shared" / "voc-subset" / "VOC2012"
)


def opencv_boxes(ximgproc, edges: EdgeMap, count: int) -> Proposals:
    """OpenCV's proposals. Its orientation points across the edge, its corners count from 1."""
    search = ximgproc.createEdgeBoxes()
    search.setMaxBoxes(count)
    across = (edges.orientation + np.pi / 2) % np.pi
    found, scores = search.getBoundingBoxes(
        edges.strength.astype(np.float32), across.astype(np.float32)
    )
    x, y, w, h = np.asarray(found).T
    height, width = edges.strength.shape
    # A box of w x h reaches one pixel further: the pixels from x - 1 to x + w - 1.
    boxes = np.stack([x - 1, y - 1, x + w - 1, y + h - 1], axis=1)
    return Proposals(
        np.clip(boxes, 0, [width - 1, height - 1] * 2).astype(np.int32), np.ravel(scores)
    )


def pictures() -> list[np.ndarray]:
    data = Shapes("val", length=4, size=(260, 320), difficulty="hard")
    return [data[index][0] for index in range(4)]


def photographs() -> list[np.ndarray]:
    if not VOC.is_dir():
        pytest.skip(f"needs the photographs of a VOC folder: {VOC} is not there")
    data = VOCSegmentation(VOC, "val")
    return [data[index][0] for index in range(0, 120, 30)]


def compare(ximgproc, images, correlation: float, recall: tuple[float, float]) -> None:
    """Hold the scores of OpenCV's boxes, and which of them we find, to what is asked for."""
    scores, ours = [], []
    found: dict[int, list[float]] = {50: [], 200: []}
    for image in images:
        edges = edge_map(image)
        theirs = opencv_boxes(ximgproc, edges, 1000)
        scores.append(theirs.scores)
        ours.append(BoxScorer.of(edge_groups(edges)).scores(theirs.boxes))
        boxes = edge_boxes(image, edges=edges).boxes
        for count, shares in found.items():
            best = [overlaps(box, boxes[:count]).max() for box in theirs.boxes[:count]]
            shares.append(float(np.mean(np.array(best) >= 0.7)))
    each = [float(np.corrcoef(pair)[0, 1]) for pair in zip(scores, ours, strict=True)]
    ratio = np.concatenate(ours) / np.concatenate(scores)
    shares = {count: round(float(np.mean(values)), 3) for count, values in found.items()}
    print(f"correlation {np.round(each, 3)}, median ratio {np.median(ratio):.3f}, found {shares}")
    assert np.mean(each) >= correlation
    assert 0.85 <= np.median(ratio) <= 1.1
    assert (shares[50] >= recall[0], shares[200] >= recall[1]) == (True, True), shares


def test_edge_boxes_of_drawn_pictures(ximgproc):
    compare(ximgproc, pictures(), 0.8, (0.7, 0.8))


@pytest.mark.voc
def test_edge_boxes_of_photographs(ximgproc):
    compare(ximgproc, photographs(), 0.8, (0.7, 0.8))


def test_one_drawn_rectangle_is_the_best_box_of_both(ximgproc):
    image = np.full((120, 160, 3), 70, np.uint8)
    image[30:90, 40:120] = (210, 60, 40)
    edges = edge_map(image)
    theirs = opencv_boxes(ximgproc, edges, 20)
    ours = edge_boxes(image, edges=edges)
    assert overlaps(theirs.boxes[0], ours.boxes[:1])[0] > 0.9
    assert ours.scores[0] == pytest.approx(theirs.scores[0], rel=0.05)


def test_selective_search(ximgproc):
    image = np.full((60, 80, 3), 60, np.uint8)
    image[15:45, 20:60] = (220, 40, 40)
    proposals = selective_search(image, 50)
    assert len(proposals.boxes) == len(proposals.scores) <= 50
    assert overlaps(np.array([20, 15, 59, 44]), proposals.boxes).max() > 0.8
    assert (proposals.boxes[:, :2] >= 0).all()
    assert (proposals.boxes[:, 2:] < [80, 60]).all()
    assert len(selective_search(image, 1).boxes) == 1
