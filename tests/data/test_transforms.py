"""Transforms: image and mask stay aligned, on an image whose pixels encode where they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.data.transforms import (
    VOC_MEAN_RGB,
    CenterCrop,
    ColorJitter,
    Compose,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomQuarterTurn,
    RandomScale,
    RandomZoom,
    Resize,
    Scale,
    WholeWindow,
    nearest_index,
    paper_eval,
    paper_train,
    resize_mask,
)
from minideconv.errors import UsageError

sides = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)


def coordinates(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (row, column, 200) and mask row * width + column + 1, both uint8, at most 15 x 16."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    image = np.stack([rows, columns, np.full_like(rows, 200)], axis=-1)
    return image, (rows * width + columns + 1).astype(np.uint8)


def check_aligned(image: np.ndarray, mask: np.ndarray, width: int) -> None:
    inside = image[..., 2] == 200
    where = image[..., 0].astype(int) * width + image[..., 1] + 1
    assert (mask[inside] == where[inside]).all()
    assert (mask[~inside] == 255).all()
    assert (image[~inside] == 0).all()


@given(st.integers(1, 12), st.integers(1, 14), st.integers(1, 20), st.integers(1, 20), seeds)
def test_pixel_exact_transforms_keep_image_and_mask_together(height, width, up, across, seed):
    image, mask = coordinates(height, width)
    before = image.copy(), mask.copy()
    for transform in (
        RandomCrop((up, across)),
        CenterCrop((up, across)),
        RandomHorizontalFlip(),
        RandomQuarterTurn(),
        WholeWindow(),
        Compose([WholeWindow(), RandomQuarterTurn(), RandomCrop(up), RandomHorizontalFlip()]),
    ):
        got_image, got_mask = transform(image, mask, np.random.default_rng(seed))
        check_aligned(got_image, got_mask, width)
        assert got_image.shape[:2] == got_mask.shape
    assert (image == before[0]).all()
    assert (mask == before[1]).all()


@given(st.integers(1, 12), st.integers(1, 14), st.integers(1, 20), st.integers(1, 20), seeds)
def test_random_crop_keeps_as_much_as_fits(height, width, up, across, seed):
    image, mask = coordinates(height, width)
    _, got = RandomCrop((up, across))(image, mask, np.random.default_rng(seed))
    assert got.shape == (up, across)
    assert (got != 255).sum() == min(height, up) * min(width, across)


def test_random_crop_reaches_every_place():
    image, mask = coordinates(4, 5)
    rng = np.random.default_rng(0)
    firsts = {int(RandomCrop((2, 3))(image, mask, rng)[1][0, 0]) for _ in range(300)}
    assert firsts == {int(mask[y, x]) for y in range(3) for x in range(3)}


@given(sides, sides)
def test_nearest_index_is_the_pixel_under_the_centre(length, new_length):
    for i, got in enumerate(nearest_index(length, new_length)):
        # got <= (i + 1/2) * length / new_length < got + 1, in integers
        assert 2 * new_length * got <= (2 * i + 1) * length < 2 * new_length * (got + 1)


@given(st.integers(1, 12), st.integers(1, 14), sides, sides)
def test_resize_takes_the_nearest_mask_pixel_and_invents_no_class(height, width, up, across):
    image, mask = coordinates(height, width)
    got_image, got_mask = Resize((up, across))(image, mask, np.random.default_rng(0))
    rows = [int((y + 0.5) * height / up + 1e-9) for y in range(up)]
    columns = [int((x + 0.5) * width / across + 1e-9) for x in range(across)]
    want = [[int(mask[y, x]) for x in columns] for y in rows]
    assert got_mask.tolist() == want
    assert got_image.shape == (up, across, 3)
    assert set(got_mask.ravel()) <= set(mask.ravel())
    assert (got_image[..., 2] == 200).all()


@pytest.mark.parametrize(("small", "large"), [((9, 7), (54, 35)), ((6, 10), (48, 60))])
def test_resize_interpolates_the_image_where_it_takes_the_mask_from(small, large):
    # Bilinear interpolation of the row number is the row number, away from the border: so the
    # image's coordinates and the mask's must agree to half a source pixel everywhere.
    height, width = small
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    image = np.stack([20 * rows, 20 * columns, rows], axis=-1)
    got, which = Resize(large)(image, rows, np.random.default_rng(0))
    assert np.abs(got[..., 0] / 20 - which).max() <= 0.55
    got, which = Resize(large)(image, columns, np.random.default_rng(0))
    assert np.abs(got[..., 1] / 20 - which).max() <= 0.55


@given(sides, sides, st.integers(1, 30))
def test_scale_keeps_the_aspect(height, width, size):
    image, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    _, got = Scale(size)(image, mask, np.random.default_rng(0))
    assert min(got.shape) == size
    assert abs(max(got.shape) - size * max(height, width) / min(height, width)) <= 0.5


def test_random_scale_stays_in_its_range():
    image, mask = coordinates(10, 10)
    rng = np.random.default_rng(0)
    sizes = {RandomScale(0.5, 2.0)(image, mask, rng)[1].shape for _ in range(200)}
    assert all(height == width for height, width in sizes)
    assert {min(sizes), max(sizes)} == {(5, 5), (20, 20)}


def test_zoom_shows_windows_of_all_sizes_and_places_as_sharp_as_their_pixels():
    """Along one row of columns' numbers, pixel i of n from `left` on, `width` wide, is known."""
    columns = np.broadcast_to(np.arange(100, 200, dtype=np.uint8), (80, 100))
    image, mask = np.stack([columns] * 3, axis=-1), columns.copy()
    rng = np.random.default_rng(0)
    widths, lefts, tops = [], [], []
    for _ in range(300):
        shown, labels = RandomZoom((10, 12), 0.5)(image, mask, rng)
        assert shown.shape == (10, 12, 3)
        assert labels.shape == (10, 12)
        difference = np.abs(shown[..., 0].astype(int) - labels)
        assert difference.max() <= 2  # a mask's pixel is at most half a pixel away from the mean's
        widths.append((int(shown[0, -2, 0]) - int(shown[0, 1, 0])) * 12 / 9)
        lefts.append(int(shown[0, 1, 0]) - 100 - widths[-1] * 1.5 / 12)
        tops.append(len(np.unique(shown[:, 0, 0])))
    assert 50 - 3 < min(widths) < 55
    assert 95 < max(widths) < 100 + 3
    assert min(lefts) < 2
    assert max(lefts) > 40
    assert set(tops) == {1}
    rows = np.broadcast_to(np.arange(80, dtype=np.uint8)[:, None], (80, 100))
    first = [int(RandomZoom(40, 0.5)(image, rows, rng)[1][0, 0]) for _ in range(200)]
    assert min(first) <= 1
    assert max(first) > 30


def test_zoom_of_share_1_is_the_whole_image():
    image, mask = coordinates(6, 8)
    got = RandomZoom((6, 8), 1.0)(image, mask, np.random.default_rng(0))
    np.testing.assert_array_equal(got[0], image)
    np.testing.assert_array_equal(got[1], mask)


@pytest.mark.parametrize(("p", "flipped"), [(0.0, False), (1.0, True)])
def test_flip_at_certainty(p, flipped):
    image, mask = coordinates(3, 4)
    got_image, got_mask = RandomHorizontalFlip(p)(image, mask, np.random.default_rng(3))
    assert got_mask.tolist() == (mask[:, ::-1] if flipped else mask).tolist()
    assert got_image.tolist() == (image[:, ::-1] if flipped else image).tolist()


def test_quarter_turns_are_all_four():
    image, mask = coordinates(3, 4)
    rng = np.random.default_rng(0)
    seen = {RandomQuarterTurn()(image, mask, rng)[1].tobytes() for _ in range(60)}
    assert seen == {np.rot90(mask, k).tobytes() for k in range(4)}


def test_colour_jitter_moves_colours_not_labels():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 7, 3)).astype(np.uint8)
    mask = rng.integers(0, 21, (6, 7)).astype(np.uint8)
    got, same = ColorJitter()(image, mask, np.random.default_rng(1))
    assert same is mask
    assert got.dtype == np.uint8
    assert (got != image).any()
    assert (ColorJitter(0, 0, 0)(image, mask, rng)[0] == image).all()
    grey = ColorJitter(0, 0, 0.999)
    spread = [
        np.ptp(grey(image, mask, np.random.default_rng(s))[0], axis=-1).mean() for s in range(40)
    ]
    assert min(spread) < 0.2 * np.ptp(image, axis=-1).mean()


def test_normalize_by_hand():
    image = np.zeros((2, 3, 3), np.uint8)
    image[1, 2] = (10, 20, 30)
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    x, same = Normalize(mean=(1, 2, 3), scale=2)(image, mask, np.random.default_rng(0))
    assert x.shape == (3, 2, 3)
    assert x.dtype == np.float32
    assert x.transpose(1, 2, 0).flags.c_contiguous  # channels last
    assert x[:, 1, 2].tolist() == [4.5, 9.0, 13.5]
    assert x[:, 0, 0].tolist() == [-0.5, -1.0, -1.5]
    assert same.tolist() == mask.tolist()


def test_the_papers_input_is_bgr_minus_the_mean_in_grey_levels():
    image = np.array([[[200, 100, 50]]], np.uint8)
    x = Normalize.paper().image(image)
    red, green, blue = VOC_MEAN_RGB
    np.testing.assert_allclose(x[:, 0, 0], [50 - blue, 100 - green, 200 - red], rtol=1e-6)


@given(seeds, st.booleans(), st.floats(0.5, 100))
def test_undo_brings_every_grey_level_back(seed, bgr, scale):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    step = Normalize(scale=scale, bgr=bgr)
    batch = np.stack([step.image(one) for one in image])
    assert (step.undo(batch) == image).all()
    assert (step.undo(batch[0]) == image[0]).all()


@pytest.mark.parametrize("shape", [(64, 64), (33, 90), (375, 500), (16, 16)])
def test_paper_recipes_give_the_chosen_size_from_any_image(shape):
    image = np.random.default_rng(0).integers(1, 256, (*shape, 3)).astype(np.uint8)
    mask = np.ones(shape, np.uint8)
    for recipe in (paper_train(56), paper_eval(56)):
        x, labels = recipe(image, mask, np.random.default_rng(0))
        assert x.shape == (3, 56, 56)
        assert x.dtype == np.float32
        assert labels.shape == (56, 56)
        assert set(np.unique(labels)) <= {1, 255}
    assert (labels == 1).sum() == pytest.approx(56 * 56 * min(shape) / max(shape), rel=0.05)


def test_paper_train_enlarges_by_250_over_224():
    sizes = [t.size for t in paper_train(224).transforms if isinstance(t, Resize | RandomCrop)]
    assert sizes == [(250, 250), (224, 224)]


def test_masks_are_resized_without_pillow_rounding():
    mask = np.array([[1, 2, 3, 255]], dtype=np.uint8)
    assert resize_mask(mask, (1, 2)).tolist() == [[2, 255]]
    assert resize_mask(mask, (2, 8))[1].tolist() == [1, 1, 2, 2, 3, 3, 255, 255]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resize(0), "Resize: size is 0; both sides must be at least 1 pixel"),
        (lambda: RandomCrop((3, -1)), r"RandomCrop: size is \(3, -1\)"),
        (lambda: RandomHorizontalFlip(1.5), r"p is 1\.5; it must be a probability"),
        (lambda: ColorJitter(contrast=1), r"contrast is 1; it must be in \[0, 1\)"),
        (lambda: Normalize(scale=0), "scale is 0; it must be above 0"),
        (lambda: RandomScale(2, 1), "low is 2 and high is 1; 0 < low <= high"),
        (lambda: RandomZoom(8, 0), r"RandomZoom: low is 0; it must be in \(0, 1\]"),
    ],
)
def test_messages(make, message):
    with pytest.raises(UsageError, match=message):
        make()
