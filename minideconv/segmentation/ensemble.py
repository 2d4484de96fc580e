r"""Several predictors as one: mean of probabilities (the paper) or product of scores (its code).

With the scores s_m(c) that member m = 1..M gives class c at a pixel,

    mean      P(c) = 1/M \sum_m softmax_c(s_m)       the paper's EDeconvNet
    product   s(c) = \prod_m max(0, s_m(c))          the authors' released code
    scores    s(c) = 1/M \sum_m s_m(c)               one network at several sizes

With "product" and "scores", P = softmax_c(s). The product is 0 for all classes where no class has
positive scores from every member: there all are equally likely and the first class, the background,
is the label, as in the released code. Networks differ in what their scores are in absolute terms,
which the mean of probabilities does not mind; of one network at several sizes (`multi_scale`) or
mirrored, they are alike, and their mean keeps how sure the network is.

The members may be of any networks and input sizes: all maps are at the image's own size. One at
several sizes is a member as any other.

Source: Noh, Hong, Han, "Learning Deconvolution Network for Semantic Segmentation" (ICCV 2015),
section 4.3 of the ensemble, and its released inference code for the product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce
from itertools import tee
from typing import Literal

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import device_guard
from minideconv.ops.activations import softmax
from minideconv.segmentation.predictor import Image, MapPredictor, Predictor, as_scores
from minideconv.segmentation.score_map import Combined, ScoreMap

__all__ = ["RULES", "Ensemble", "Rule", "in_step", "joined", "joined_maps", "multi_scale"]

Rule = Literal["mean", "product", "scores"]
RULES: tuple[Rule, ...] = ("mean", "product", "scores")


class Ensemble(MapPredictor):
    """The members' maps joined pixel by pixel, by one of the rules above.

    Parameters
    ----------
    members : sequence of Predictor
        At least one, all of the same classes and on one device.
    rule : {"mean", "product", "scores"}

    Raises
    ------
    ValueError
        If there is no member, or the rule is unknown; while images are segmented, if members give
        different numbers of classes.
    """

    def __init__(self, members: Sequence[Predictor], rule: Rule = "mean") -> None:
        if len(members) == 0:
            raise ValueError("Ensemble: members is empty; there must be at least one")
        if rule not in RULES:
            raise ValueError(f"Ensemble: rule is {rule!r}; it must be one of {', '.join(RULES)}")
        self.members, self.rule = list(members), rule

    def maps_of(self, images: Iterable[Image]) -> Iterator[ScoreMap]:
        """Yield the joined scores of each image."""
        for _, maps in in_step(self.members, images):
            yield joined_maps(maps, self.rule)


def in_step(
    members: Sequence[Predictor], images: Iterable[Image]
) -> Iterator[tuple[Image, tuple[ScoreMap, ...]]]:
    """Yield each image, and its scores by every predictor."""
    # A predictor may read a batch of images ahead; `tee` keeps them for the others.
    own, *streams = tee(images, len(members) + 1)
    maps = [each.maps_of(stream) for each, stream in zip(members, streams, strict=True)]
    return zip(own, zip(*maps, strict=True), strict=True)


def multi_scale(make: Callable[[int], Predictor], sizes: Sequence[int]) -> Predictor:
    """Return one network at several input sizes, whose scores are averaged.

    Parameters
    ----------
    make : callable
        Returns the predictor with an input size, in pixels.
    sizes : sequence of int
        One or more.
    """
    members = [make(size) for size in sizes]
    return members[0] if len(members) == 1 else Ensemble(members, "scores")


def joined_maps(maps: Sequence[ScoreMap], rule: Rule) -> ScoreMap:
    """Return the scores of an ensemble from those of its members; see `joined`."""
    _check_shapes([each.shape for each in maps])
    return Combined(maps, partial(joined, rule=rule))


@device_guard
def joined(scores: Sequence[Array], rule: Rule) -> Array:
    """Return the scores of an ensemble from those of its members, (C, H, W) each.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    _check_shapes([each.shape for each in scores])
    xp = get_xp(scores[0])
    if rule == "mean":
        return as_scores(reduce(xp.add, [softmax(each, 0) for each in scores]) / len(scores))
    if rule == "scores":
        return reduce(xp.add, scores) / len(scores)
    return reduce(xp.multiply, [xp.maximum(each, 0) for each in scores])


def _check_shapes(shapes: Sequence[tuple[int, ...]]) -> None:
    """Refuse scores of different shapes."""
    if len(set(shapes)) > 1:
        raise ValueError(
            f"Ensemble: the members' scores have shapes {', '.join(map(str, shapes))};"
            " all must have the same classes and size"
        )
