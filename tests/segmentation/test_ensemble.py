"""Ensembles: each rule against a loop over pixels, and wrong rules that the loop tells apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minideconv.segmentation import (
    CRFSegmenter,
    DenseCRF,
    Ensemble,
    Predictor,
    all_ways,
    multi_scale,
)
from minideconv.segmentation.ensemble import joined


class Fixed(Predictor):
    """Gives each image scores drawn from a seed and the image's first pixel; reads ahead."""

    def __init__(self, seed, classes=4, ahead=1, factor=3.0):
        self.seed, self.classes, self.ahead, self.factor = seed, classes, ahead, factor

    def of(self, image):
        rng = np.random.default_rng([self.seed, int(image[0, 0, 0])])
        shape = (self.classes, *image.shape[:2])
        return (self.factor * rng.standard_normal(shape)).astype(np.float32)

    def scores_of(self, images):
        images = iter(images)
        while batch := [image for _, image in zip(range(self.ahead), images, strict=False)]:
            yield from map(self.of, batch)


def pictures(count=5):
    rng = np.random.default_rng(3)
    found = [rng.integers(0, 256, (3 + k, 7 - k, 3)).astype(np.uint8) for k in range(count)]
    for number, image in enumerate(found):
        image[0, 0, 0] = number
    return found


def naive(maps, rule):
    """Return the probabilities by the formulas, pixel by pixel."""
    classes, height, width = maps[0].shape

    def softmax(values):
        top = [math.exp(v - max(values)) for v in values]
        return [t / sum(top) for t in top]

    out = np.zeros((classes, height, width))
    for y in range(height):
        for x in range(width):
            columns = [[float(s[c, y, x]) for c in range(classes)] for s in maps]
            if rule == "mean":
                p = [softmax(column) for column in columns]
                out[:, y, x] = [sum(q[c] for q in p) / len(p) for c in range(classes)]
            else:
                combine = {
                    "product": lambda v: math.prod(max(0.0, each) for each in v),
                    "scores": lambda v: sum(v) / len(v),
                }[rule]
                out[:, y, x] = softmax([combine([k[c] for k in columns]) for c in range(classes)])
    return out


@pytest.mark.parametrize("rule", ["mean", "product", "scores"])
@pytest.mark.parametrize("members", [1, 2, 3])
def test_the_rules_are_the_formulas(rule, members):
    networks = [Fixed(seed, ahead=1 + 3 * seed) for seed in range(members)]
    images = pictures()
    found = list(Ensemble(networks, rule).probabilities_of(iter(images)))
    assert len(found) == len(images)
    for image, p in zip(images, found, strict=True):
        np.testing.assert_allclose(p, naive([n.of(image) for n in networks], rule), atol=1e-6)
        np.testing.assert_allclose(p.sum(axis=0), 1, atol=1e-5)


def test_the_rules_differ():
    """So a rule taken for another fails the test above: also the plausible wrong ones."""
    image = pictures(1)[0]
    maps = [Fixed(seed).of(image) for seed in (0, 1)]
    found = {rule: naive(maps, rule) for rule in ("mean", "product", "scores")}
    wrong = {  # the product without rectifying, and the geometric mean's neighbour
        "raw product": np.exp(maps[0] * maps[1]) / np.exp(maps[0] * maps[1]).sum(axis=0),
        "sum of scores": np.exp(sum(maps)) / np.exp(sum(maps)).sum(axis=0),
    }
    every = [*found.values(), *wrong.values()]
    for number, one in enumerate(every):
        for other in every[number + 1 :]:
            assert np.abs(one - other).max() > 0.05


def test_scores_labels_and_probabilities_agree():
    image, ensemble = pictures(2)[1], Ensemble([Fixed(0), Fixed(1)])
    p = ensemble.probabilities(image)
    np.testing.assert_allclose(np.exp(ensemble.scores(image)), p, rtol=1e-4)
    np.testing.assert_array_equal(ensemble.labels(image), p.argmax(axis=0))
    [labels] = ensemble.labels_of([image])
    np.testing.assert_array_equal(labels, p.argmax(axis=0))


def test_sure_members_give_no_infinity():
    ensemble = Ensemble([Fixed(0, factor=1e4), Fixed(1, factor=1e4)])
    scores = ensemble.scores(pictures(1)[0])
    assert np.isfinite(scores).all()


def test_where_no_class_has_positive_scores_the_product_is_background():
    scores = -np.ones((3, 2, 2), np.float32)
    assert (joined([scores, scores], "product") == 0).all()


def test_several_sizes_are_the_mean_of_scores():
    image = pictures(1)[0]
    assert isinstance(multi_scale(Fixed, [5]), Fixed)
    both = multi_scale(Fixed, [5, 6])
    expected = (Fixed(5).of(image) + Fixed(6).of(image)) / 2
    np.testing.assert_allclose(both.scores(image), expected, rtol=1e-6)
    # such a network is a member as any other
    inner = Ensemble([both, Fixed(1)], "product").scores(image)
    np.testing.assert_allclose(
        inner, np.maximum(expected, 0) * np.maximum(Fixed(1).of(image), 0), rtol=1e-5
    )


def test_a_crf_refines_what_another_predictor_finds():
    crf = DenseCRF(iterations=2, bilateral_position=3, spatial_weight=1)
    ensemble, images = Ensemble([Fixed(0, ahead=3), Fixed(1)]), pictures(4)
    refined = CRFSegmenter(ensemble, crf)
    found = list(refined.probabilities_of(iter(images)))
    for image, p in zip(images, found, strict=True):
        np.testing.assert_allclose(p, crf.refine(ensemble.probabilities(image), image), atol=1e-5)
        assert np.abs(p - ensemble.probabilities(image)).max() > 0.01


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="members is empty"):
        Ensemble([])
    with pytest.raises(ValueError, match="rule is 'max'; it must be one of mean, product, scores"):
        Ensemble([Fixed(0)], "max")
    with pytest.raises(ValueError, match=r"shapes \(4, 3, 7\), \(5, 3, 7\); all must have"):
        Ensemble([Fixed(0), Fixed(0, classes=5)]).scores(pictures(1)[0])


class Counted(Fixed):
    """Counts how many images it was asked for."""

    seen = 0

    def of(self, image):
        self.seen += 1
        return super().of(image)


@pytest.mark.parametrize("rule", ["mean", "product"])
def test_all_ways_from_one_forward_pass_each(rule):
    crf = DenseCRF(iterations=2, bilateral_position=3, spatial_weight=1)
    members, images = {"a": Counted(0, ahead=3), "b": Counted(1)}, pictures(4)
    found = list(all_ways(members, iter(images), rule, crf))
    assert [each.seen for each in members.values()] == [4, 4]
    single = {
        "a": members["a"],
        "b": members["b"],
        "ensemble": Ensemble(list(members.values()), rule),
    }
    single |= {f"{name} + CRF": CRFSegmenter(each, crf) for name, each in single.items()}
    for image, ways in zip(images, found, strict=True):
        assert list(ways) == list(single)
        for name, p in ways.items():
            np.testing.assert_allclose(p, single[name].probabilities(image), atol=1e-5)
    assert list(next(all_ways({"a": Fixed(0)}, images))) == ["a"]
    with pytest.raises(ValueError, match="members is empty"):
        next(all_ways({}, images))
