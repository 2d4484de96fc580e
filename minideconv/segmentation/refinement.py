"""A dense CRF behind networks: as one predictor, or beside what it refines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from minideconv.backend import Array
from minideconv.ops.activations import softmax
from minideconv.segmentation.crf import DenseCRF
from minideconv.segmentation.ensemble import Rule, in_step, joined
from minideconv.segmentation.predictor import Image, Predictor, as_scores

__all__ = ["CRFSegmenter", "all_ways"]


class CRFSegmenter(Predictor):
    """What a dense CRF makes of the probabilities of another predictor.

    Parameters
    ----------
    predictor : Predictor
        A network or an ensemble.
    crf : DenseCRF
    """

    def __init__(self, predictor: Predictor, crf: DenseCRF) -> None:
        self.predictor, self.crf = predictor, crf

    def scores_of(self, images: Iterable[Image]) -> Iterator[Array]:
        """Yield the logarithms of each image's refined probabilities."""
        for image, (scores,) in in_step([self.predictor], images):
            yield as_scores(self.crf.refine(softmax(scores, 0), image))


def all_ways(
    members: Mapping[str, Predictor],
    images: Iterable[Image],
    rule: Rule = "mean",
    crf: DenseCRF | None = None,
) -> Iterator[dict[str, Array]]:
    """Yield class probabilities of each image by each network, by all together, and each refined.

    Every network computes an image once, whatever is made of its scores.

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
    dict of str to (C, H, W) float array
        By the members' names; "ensemble", of two and more; and with a CRF each of these again with
        " + CRF" behind its name. Each sums to 1 over C.

    Raises
    ------
    ValueError
        If there is no member, or two of them give different numbers of classes.
    """
    if not members:
        raise ValueError("all_ways: members is empty; there must be at least one")
    for image, scores in in_step(list(members.values()), images):
        found = {name: softmax(each, 0) for name, each in zip(members, scores, strict=True)}
        if len(members) > 1:
            found["ensemble"] = softmax(joined(scores, rule), 0)
        if crf is not None:
            refined = {f"{name} + CRF": crf.refine(p, image) for name, p in found.items()}
            found |= refined
        yield found
