"""Whole images through a network of fixed input size, against a slow and plain oracle."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minideconv.autograd import Tensor
from minideconv.backend import to_cpu
from minideconv.data.transforms import Normalize, resize_image
from minideconv.data.windows import Window, whole_image_window
from minideconv.nn import BatchNorm2d, Conv2d, Module, Parameter
from minideconv.segmentation import Segmenter

SIZE, CLASSES = 12, 3


class Net(Module):
    """A 3x3 convolution and batch norm: left and right differ, and so do training and eval."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv2d(3, CLASSES, 3, padding=1)
        self.bn = BatchNorm2d(CLASSES)
        rng = np.random.default_rng(5)
        self.conv.weight = Parameter(rng.standard_normal(self.conv.weight.shape, np.float32))
        self.bn.register_buffer("running_mean", np.array([0.3, -0.2, 0.1], np.float32))
        self.calls: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(x.shape)
        return self.bn(self.conv(x))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def bilinear(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize pixel by pixel: half-pixel centres, clamped at the borders."""
    out = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * plane.shape[0] / height - 0.5, 0), plane.shape[0] - 1)
            x = min(max((j + 0.5) * plane.shape[1] / width - 0.5, 0), plane.shape[1] - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, plane.shape[0] - 1), min(x0 + 1, plane.shape[1] - 1)
            dy, dx = y - y0, x - x0
            top = plane[y0, x0] * (1 - dx) + plane[y0, x1] * dx
            bottom = plane[y1, x0] * (1 - dx) + plane[y1, x1] * dx
            out[i, j] = top * (1 - dy) + bottom * dy
    return out


def oracle(net: Net, image: np.ndarray, window: Window, flip: bool = False) -> np.ndarray:
    """Scores of one window in the whole image, zero outside, with loops and no slices."""
    height, width = image.shape[:2]
    square = np.zeros((window.height, window.width, 3), np.uint8)
    for i in range(window.height):
        for j in range(window.width):
            y, x = window.y1 + i, window.x1 + j
            if 0 <= y < height and 0 <= x < width:
                square[i, j] = image[y, x]
    inputs = Normalize().image(resize_image(square, (SIZE, SIZE)))[None]
    net.eval()
    scores = net(Tensor(inputs)).numpy()[0]
    if flip:
        scores = (scores + net(Tensor(inputs[..., ::-1].copy())).numpy()[0][..., ::-1]) / 2
    large = np.stack([bilinear(plane, window.height, window.width) for plane in scores])
    out = np.zeros((CLASSES, height, width))
    for i in range(height):
        for j in range(width):
            y, x = i - window.y1, j - window.x1
            if 0 <= y < window.height and 0 <= x < window.width:
                out[:, i, j] = large[:, y, x]
    return out


@pytest.mark.parametrize("shape", [(7, 11), (11, 7), (12, 12), (30, 23), (1, 5)])
@pytest.mark.parametrize("flip", [False, True])
def test_scores_at_the_image_s_own_size(shape, flip):
    net, image = Net(), picture(*shape)
    scores = to_cpu(Segmenter(net, SIZE, flip=flip).scores(image))
    expected = oracle(net, image, whole_image_window(*shape), flip)
    assert scores.shape == (CLASSES, *shape)
    np.testing.assert_allclose(scores, expected, atol=2e-5)
    labels = Segmenter(net, SIZE, flip=flip).labels(image)
    assert labels.dtype == np.uint8
    sure = np.sort(expected, axis=0)[-1] - np.sort(expected, axis=0)[-2] > 1e-4
    assert (labels == expected.argmax(axis=0))[sure].all()


def test_a_batch_has_at_least_one_window():
    with pytest.raises(ValueError, match="Segmenter: batch_size is 0; it must be at least 1"):
        Segmenter(Net(), SIZE, batch_size=0)


@pytest.mark.parametrize("join", ["max", "sum"])
@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_windows_are_joined_over_maps_that_are_zero_outside(join, batch_size):
    net, image = Net(), picture(14, 19)
    windows = [Window(-3, 2, 9, 14), Window(5, -4, 15, 6), Window(30, 30, 34, 34)]
    scores = to_cpu(Segmenter(net, SIZE, batch_size=batch_size).scores(image, windows, join))
    maps = np.stack([oracle(net, image, window) for window in windows])
    expected = maps.max(axis=0) if join == "max" else maps.sum(axis=0)
    np.testing.assert_allclose(scores, expected, atol=2e-5)
    assert (scores[:, 13, 18] == 0).all()


def test_many_images_of_different_sizes_share_a_forward():
    images = [picture(5 + 3 * i, 16 - 2 * i, seed=i) for i in range(5)]
    net = Net()
    segmenter = Segmenter(net, SIZE, batch_size=2)
    together = list(segmenter.scores_of(iter(images)))
    assert [call[0] for call in net.calls] == [2, 2, 1]
    for image, scores in zip(images, together, strict=True):
        np.testing.assert_allclose(to_cpu(scores), to_cpu(segmenter.scores(image)), atol=1e-5)
    masks = list(segmenter.labels_of(images))
    assert [mask.shape for mask in masks] == [image.shape[:2] for image in images]
    for scores, mask in zip(together, masks, strict=True):
        assert (mask == to_cpu(scores).argmax(axis=0)).all()


def test_the_network_is_left_as_it_was():
    net, image = Net().train(), picture(9, 9)
    before = net.state_dict()
    Segmenter(net, SIZE).labels(image)
    assert net.training
    after = net.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((4, 4), np.uint8), {}, "image has shape (4, 4) and dtype uint8; it must be"),
        (np.zeros((4, 4, 4), np.uint8), {}, "image has shape (4, 4, 4)"),
        (np.zeros((4, 4, 3)), {}, "dtype float64; it must be (height, width, 3) uint8 RGB"),
        (picture(4, 4), {"windows": []}, "windows is empty; there must be at least one"),
        (picture(4, 4), {"join": "mean"}, "join is 'mean'; it must be 'max' or 'sum'"),
    ],
)
def test_mistakes(image, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Segmenter(Net(), SIZE).scores(image, **options)
