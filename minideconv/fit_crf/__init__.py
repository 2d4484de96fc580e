"""The parameters of a dense CRF, fitted on training images: ``python -m minideconv.fit_crf``."""

from minideconv.fit_crf.objectives import OBJECTIVES, Example
from minideconv.fit_crf.search import SEARCHED, Trial, coordinate_search

__all__ = ["OBJECTIVES", "SEARCHED", "Example", "Trial", "coordinate_search"]
