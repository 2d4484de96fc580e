"""Instance-wise inference, against a loop over windows and pixels."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.autograd import Tensor
from minideconv.backend import to_cpu
from minideconv.data.windows import Window, whole_image_window
from minideconv.nn import Module, Parameter
from minideconv.segmentation import InstanceSegmenter, Segmenter
from minideconv.segmentation.proposals import Proposals, squared

SIZE, CLASSES = 8, 3
BOXES = np.array([[2, 2, 9, 9], [12, 1, 19, 12], [0, 0, 23, 15], [6, 9, 9, 12]], np.int32)


class Net(Module):
    """Scores that are the window's mean colours, some of them below 0, and its corners."""

    def __init__(self, shift: float = -0.4) -> None:
        super().__init__()
        self.shift = Parameter(np.full((1, CLASSES, 1, 1), shift, np.float32))
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(x.shape[0])
        return x * 0.5 + self.shift


def proposals(image: np.ndarray) -> Proposals:
    return Proposals(BOXES, np.arange(len(BOXES), 0, -1.0))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def naive(image, windows, join, from_zero=False) -> np.ndarray:
    """Equations 1 and 2, pixel by pixel, on the maps of single windows."""
    height, width = image.shape[:2]
    total = np.zeros((CLASSES, height, width))
    maps = [to_cpu(Segmenter(Net(), SIZE).scores(image, [window])) for window in windows]
    for c in range(CLASSES):
        for y in range(height):
            for x in range(width):
                found = [
                    one[c, y, x] if w.x1 <= x <= w.x2 and w.y1 <= y <= w.y2 else 0.0
                    for one, w in zip(maps, windows, strict=True)
                ]
                total[c, y, x] = max(found) if join == "max" else sum(found)
                if from_zero and join == "max":
                    total[c, y, x] = max(0.0, *found)
    return total


@pytest.mark.parametrize("join", ["max", "sum"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_network_looks_at_the_best_boxes(image, join, count):
    segmenter = InstanceSegmenter(Net(), SIZE, proposals=count, join=join, propose=proposals)
    windows = squared(BOXES, 16, 24)[:count]
    assert segmenter.windows(image) == windows
    expected = naive(image, windows, join)
    np.testing.assert_allclose(to_cpu(segmenter.scores(image)), expected, atol=1e-5)
    np.testing.assert_allclose(
        to_cpu(next(iter(segmenter.scores_of([image])))), expected, atol=1e-5
    )
    margin = np.sort(expected, axis=0)[-1] - np.sort(expected, axis=0)[-2]
    for labels in (segmenter.labels(image), next(iter(segmenter.labels_of([image])))):
        assert (labels == expected.argmax(axis=0))[margin > 1e-4].all()
    if count > 1:
        other = naive(image, windows, "sum" if join == "max" else "max")
        assert abs(expected - other).max() > 0.1


def test_what_is_asked_for_wins(image):
    segmenter = InstanceSegmenter(Net(), SIZE, join="sum", propose=proposals)
    windows = [Window(0, 0, 9, 9), Window(4, 4, 13, 13)]
    found = segmenter.scores(image, windows, "max")
    np.testing.assert_allclose(to_cpu(found), naive(image, windows, "max"), atol=1e-5)
    assert (segmenter.labels(image, windows) == segmenter.labels(image, windows, "sum")).all()


def test_from_zero_is_a_maximum_that_starts_there(image):
    windows = [whole_image_window(16, 24), Window(-2, -6, 23, 19)]  # both cover every pixel
    plain = Segmenter(Net(-2.0), SIZE)
    assert to_cpu(plain.scores(image, windows)).max() < 0.2
    assert to_cpu(plain.scores(image, windows)).min() < -1
    assert to_cpu(plain.scores(image, windows, from_zero=True)).min() == 0
    np.testing.assert_allclose(
        to_cpu(Segmenter(Net(), SIZE).scores(image, windows, from_zero=True)),
        naive(image, windows, "max", from_zero=True), atol=1e-5,
    )  # fmt: skip
    one, other = (to_cpu(plain.scores(image, windows, "sum", zero)) for zero in (False, True))
    assert (one == other).all()
    released = InstanceSegmenter(Net(-2.0), SIZE, from_zero=True, propose=proposals)
    assert to_cpu(released.scores(image)).min() == 0


def test_small_boxes_may_be_passed_over(image):
    segmenter = InstanceSegmenter(Net(), SIZE, proposals=2, min_box=13, propose=proposals)
    assert segmenter.windows(image) == squared(BOXES[1:3], 16, 24)


def test_only_a_batch_of_windows_is_in_memory(image):
    net = Net()
    segmenter = InstanceSegmenter(net, SIZE, batch_size=3, propose=proposals)
    segmenter.scores(image)
    assert net.sizes == [3, 1]
    assert net.training


def test_an_image_without_boxes_is_looked_at_whole(image):
    grey = np.full_like(image, 90)
    segmenter = InstanceSegmenter(Net(), SIZE)
    np.testing.assert_array_equal(
        to_cpu(segmenter.scores(grey)), to_cpu(Segmenter(Net(), SIZE).scores(grey))
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (2, 2)])
def test_the_smallest_images(shape):
    image = np.full((*shape, 3), 200, np.uint8)
    segmenter = InstanceSegmenter(Net(), SIZE)
    assert segmenter.windows(image) == [whole_image_window(*shape)]
    assert segmenter.labels(image).shape == shape


def test_the_maps_of_single_windows(image):
    segmenter, windows = Segmenter(Net(), SIZE), squared(BOXES, 16, 24)
    maps = list(segmenter.window_scores(image, windows))
    for one, window in zip(maps, windows, strict=True):
        np.testing.assert_allclose(
            to_cpu(one), to_cpu(segmenter.scores(image, [window])), atol=1e-6
        )
