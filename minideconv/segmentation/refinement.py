"""A dense CRF behind networks: as one predictor, or beside what it refines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from minideconv.backend import Array
from minideconv.data.resize import resize_image, size_within
from minideconv.data.windows import Window
from minideconv.ops.activations import softmax
from minideconv.segmentation.crf import DenseCRF
from minideconv.segmentation.ensemble import Rule, in_step, joined_maps
from minideconv.segmentation.predictor import Image, MapPredictor, Predictor, as_scores
from minideconv.segmentation.score_map import ArrayMap, Combined, Enlarged, ScoreMap, not_finite

__all__ = ["CRF_PIXELS", "CRFSegmenter", "all_maps", "all_ways", "refined_map"]

CRF_PIXELS = 1 << 19
"""Of the image that a CRF refines; a photograph of VOC has at most half of them."""


class CRFSegmenter(MapPredictor):
    """What a dense CRF makes of the probabilities of another predictor.

    Parameters
    ----------
    predictor : Predictor
        A network or an ensemble.
    crf : DenseCRF

    Notes
    -----
    What a CRF needs grows with the pixels, with all of them at once. An image of more than
    `CRF_PIXELS` is refined at a smaller size: see `refined_map`.
    """

    def __init__(self, predictor: Predictor, crf: DenseCRF) -> None:
        self.predictor, self.crf = predictor, crf

    def maps_of(self, images: Iterable[Image]) -> Iterator[ScoreMap]:
        """Yield the logarithms of each image's refined probabilities."""
        for image, (scores,) in in_step([self.predictor], images):
            yield refined_map(scores, self.crf, image)


def refined_map(scores: ScoreMap, crf: DenseCRF, image: Image) -> ScoreMap:
    """Return the logarithms of the probabilities that a CRF makes of a network's scores.

    An image of more than `CRF_PIXELS` is made smaller, and the scores are taken at the pixels under
    the centres of the small one's; the refined probabilities are enlarged bilinearly. The CRF's
    positions are in pixels of the small image: all of it is as for a smaller photograph.

    Parameters
    ----------
    scores : ScoreMap
        Of the image.
    crf : DenseCRF
    image : (H, W, 3) uint8 array

    Raises
    ------
    DataError
        If a score is NaN or infinite.
    """
    if not scores.is_finite():
        raise not_finite()
    height, width = image.shape[:2]
    size = size_within(height, width, CRF_PIXELS)
    if size == (height, width):
        return ArrayMap(as_scores(crf.refine(softmax(scores.whole(), 0), image)))
    refined = crf.refine(softmax(scores.sampled(size), 0), resize_image(image, size))
    whole = Window(0, 0, width - 1, height - 1)
    return Combined([Enlarged(refined, whole, height, width)], lambda maps: as_scores(maps[0]))


def all_maps(
    members: Mapping[str, Predictor],
    images: Iterable[Image],
    rule: Rule = "mean",
    crf: DenseCRF | None = None,
) -> Iterator[dict[str, ScoreMap]]:
    """Yield the scores of each image by each network, by all together, and each refined.

    Every network computes an image once, whatever is made of its scores. They are yielded as maps,
    to be computed some rows at a time; the softmax of a map's scores is the class probabilities.

    Parameters
    ----------
    members : mapping of str to Predictor
        At least one, by name; all of the same classes.
    images : iterable of (H, W, 3) uint8 arrays
    rule : {"mean", "product", "scores"}
        How they are joined; see `segmentation.ensemble`.
    crf : DenseCRF, optional

    Yields
    ------
    dict of str to ScoreMap
        By the members' names; "ensemble", of two and more; and with a CRF each of these again with
        " + CRF" behind its name.

    Raises
    ------
    ValueError
        If there is no member, or two of them give different numbers of classes.
    """
    if not members:
        raise ValueError("all_ways: members is empty; there must be at least one")
    for image, scores in in_step(list(members.values()), images):
        found = dict(zip(members, scores, strict=True))
        if len(members) > 1:
            found["ensemble"] = joined_maps(scores, rule)
        if crf is not None:
            found |= {f"{name} + CRF": refined_map(m, crf, image) for name, m in found.items()}
        yield found


def all_ways(
    members: Mapping[str, Predictor],
    images: Iterable[Image],
    rule: Rule = "mean",
    crf: DenseCRF | None = None,
) -> Iterator[dict[str, Array]]:
    """Yield class probabilities of each image by each network, by all together, and each refined.

    See `all_maps`, whose maps are computed here: each is a (C, H, W) array, whose sum over C is 1.
    """
    for maps in all_maps(members, images, rule, crf):
        yield {name: softmax(each.whole(), 0) for name, each in maps.items()}
