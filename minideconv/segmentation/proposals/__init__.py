"""Where objects may be: boxes for the instance-wise inference of DeconvNet.

`edge_boxes` looks for whole outlines, `sliding_windows` needs no image at all, and
`selective_search` asks OpenCV. `best_windows` makes square windows of what any of them proposes.
"""

from minideconv.segmentation.proposals.boxes import Proposals, best_windows, squared
from minideconv.segmentation.proposals.edge_boxes import edge_boxes
from minideconv.segmentation.proposals.edges import EdgeMap, edge_map
from minideconv.segmentation.proposals.recall import objects_found
from minideconv.segmentation.proposals.selective_search import selective_search
from minideconv.segmentation.proposals.sliding_windows import sliding_windows

__all__ = [
    "EdgeMap",
    "Proposals",
    "best_windows",
    "edge_boxes",
    "edge_map",
    "objects_found",
    "selective_search",
    "sliding_windows",
    "squared",
]
