"""Section `systems`: the inner loops outside of networks, each beside a program for just that.

One thread each. The dense CRF and sparse coding are measured by `crf` and `sparse_coding`, which
have more settings; here each has a row or two. Pictures are drawn, and read from files of a folder
that goes again. Of every pair the results are compared: pixels are equal, probabilities and maps
within what those programs state, boxes fit each other for the most part.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from benchmarks import crf, sparse_coding
from benchmarks.modes import BenchmarkError, available, set_our_threads, switch
from benchmarks.plans import Plan
from benchmarks.timing import Timed, alternate, summary
from minideconv.data import Shapes
from minideconv.data.masks import read_mask
from minideconv.data.pictures import read_image
from minideconv.data.resize import resize_image, resize_mask
from minideconv.data.windows import Window, cut_resized
from minideconv.segmentation.proposals import edge_boxes
from minideconv.segmentation.proposals.box_scores import overlaps
from minideconv.segmentation.proposals.edges import EdgeMap, edge_map
from minideconv.visualize.masks import palette_png_bytes

__all__ = ["Pair", "check_equal", "check_fit", "pairs", "rows"]

CRF_SETTINGS = tuple(crf.SETTINGS)[::2]  # the narrow kernel and the default
NETWORK_SIZE = (224, 224)
BOXES, COMPARED, FITS = 1000, 50, 0.7
LEAST_FOUND = 0.5
"""The share of OpenCV's best boxes that one of ours has to fit, so that both did the same work."""


class Pair(NamedTuple):
    """One loop: ours, another program's, and what raises BenchmarkError if they differ."""

    name: str
    shape: str
    peer: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    check: Callable[[str, Any, Any], None]


def rows(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Measure what can be: a program that is not installed leaves its rows out."""
    set_our_threads(1)
    height, width = plan.photograph
    compiled = bool(available(("fast",)))
    if compiled and find_spec("pydensecrf") is not None:
        for row in crf.measured({}, plan.rounds, plan.photograph, CRF_SETTINGS):
            kernel = row["setting"].split(", weight")[0]
            shape = f"{width} x {height}, {kernel}"
            yield _row("dense CRF", shape, "pydensecrf2", row["ours"], row["pydensecrf2"])
    if compiled and find_spec("sporco") is not None:
        for row in sparse_coding.measured((plan.coded,), plan.rounds):
            side, filters = row["side"], row["filters"]
            shape = f"{side} x {side}, {filters} filters, {sparse_coding.TURN} iterations"
            yield _row(f"sparse coding, {row['algorithm']}", shape, "sporco", row["ours"],
                       row["sporco"])  # fmt: skip
    switch(available(("fast", "numpy"))[0])
    with tempfile.TemporaryDirectory() as folder:
        for pair in pairs(plan.photograph, Path(folder)):
            turns = {"fast": Timed(pair.ours), "peer": Timed(pair.theirs)}
            pair.check(f"{pair.name}: {pair.peer}", turns["fast"].first, turns["peer"].first)
            samples = alternate(turns, plan.rounds, 1)
            times = {name: summary(got, 1) for name, got in samples.items()}
            yield _row(pair.name, pair.shape, pair.peer, times["fast"], times["peer"])


def _row(name: str, shape: str, peer: str, ours: Any, theirs: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "peer": peer, "times": {"fast": ours, "peer": theirs}}


def pairs(size: tuple[int, int], folder: Path) -> Iterator[Pair]:
    """Yield the loops on one drawn picture of this height and width; its files are in `folder`."""
    data = Shapes("val", length=1, size=size, difficulty="hard")
    image, mask = data[0]
    shape = f"{size[1]} x {size[0]}"
    photograph, labels = folder / "a.jpg", folder / "a.png"
    Image.fromarray(image).save(photograph, quality=95)
    labels.write_bytes(palette_png_bytes(mask))
    if find_spec("cv2") is not None:
        yield from _opencv_pairs(image, mask, shape, photograph)

    side = min(size) * 2 // 3
    window = Window(-side // 4, -side // 4, side - side // 4 - 1, side - side // 4 - 1)
    to_network = f"{NETWORK_SIZE[1]} x {NETWORK_SIZE[0]}"

    def cropped() -> np.ndarray:
        box = (window.x1, window.y1, window.x2 + 1, window.y2 + 1)
        return _resized(Image.fromarray(image).crop(box))

    yield Pair(
        "crop and resize", f"{side} x {side} to {to_network}", "Pillow",
        lambda: cut_resized(image, window, NETWORK_SIZE), cropped, check_equal,
    )  # fmt: skip
    yield Pair(
        "resize", f"{shape} to {to_network}", "Pillow",
        lambda: resize_image(image, NETWORK_SIZE), lambda: _resized(Image.fromarray(image)),
        check_equal,
    )  # fmt: skip
    yield Pair(
        "read a photograph (JPEG)", shape, "Pillow",
        lambda: read_image(photograph), lambda: np.array(Image.open(photograph)), check_equal,
    )  # fmt: skip
    yield Pair(
        "read labels (palette PNG)", shape, "Pillow",
        lambda: read_mask(labels), lambda: np.array(Image.open(labels)), check_equal,
    )  # fmt: skip


def _resized(picture: Image.Image) -> np.ndarray:
    return np.array(picture.resize(NETWORK_SIZE[::-1], Image.Resampling.BILINEAR))


def _opencv_pairs(
    image: np.ndarray, mask: np.ndarray, shape: str, photograph: Path
) -> Iterator[Pair]:
    import cv2

    cv2.setNumThreads(1)
    to_network = f"{NETWORK_SIZE[1]} x {NETWORK_SIZE[0]}"
    if hasattr(cv2, "ximgproc"):
        edges = edge_map(image)
        yield Pair(
            "edge boxes, edges given", shape, "OpenCV",
            lambda: edge_boxes(image, BOXES, edges=edges).boxes,
            _opencv_boxes(cv2, edges), check_fit,
        )  # fmt: skip
    yield Pair(
        "resize labels", f"{shape} to {to_network}", "OpenCV",
        lambda: resize_mask(mask, NETWORK_SIZE),
        lambda: cv2.resize(mask, NETWORK_SIZE[::-1], interpolation=cv2.INTER_NEAREST_EXACT),
        check_equal,
    )  # fmt: skip
    yield Pair(
        "read a photograph (JPEG)", shape, "OpenCV",
        lambda: read_image(photograph),
        lambda: cv2.cvtColor(cv2.imread(str(photograph)), cv2.COLOR_BGR2RGB),
        check_near,
    )  # fmt: skip


def _opencv_boxes(cv2: Any, edges: EdgeMap) -> Callable[[], np.ndarray]:
    """OpenCV's orientation points across an edge, and its corners count from 1."""
    strength = edges.strength.astype(np.float32)
    across = ((edges.orientation + np.pi / 2) % np.pi).astype(np.float32)

    def boxes() -> np.ndarray:
        search = cv2.ximgproc.createEdgeBoxes()
        search.setMaxBoxes(BOXES)
        x, y, w, h = np.asarray(search.getBoundingBoxes(strength, across)[0]).T
        return np.stack([x - 1, y - 1, x + w - 1, y + h - 1], axis=1)

    return boxes


# ---------------------------------------------------------------------------------------------
# What has to be the same


def check_equal(what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Raise BenchmarkError unless all pixels are equal."""
    if not np.array_equal(ours, theirs):
        raise BenchmarkError(f"{what} makes other pixels")


def check_near(what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Raise BenchmarkError if pixels differ by more than JPEG decoders do: 1 level on average."""
    apart = np.abs(ours.astype(int) - theirs).mean() if ours.shape == theirs.shape else np.inf
    if not apart <= 1:
        raise BenchmarkError(f"{what} makes other pixels")


def check_fit(what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Raise BenchmarkError unless ours fit enough of their best boxes."""
    best = [overlaps(box, ours[:COMPARED]).max() for box in theirs[:COMPARED]]
    found = float(np.mean(np.array(best) >= FITS))
    if not found >= LEAST_FOUND:
        raise BenchmarkError(f"{what} finds other boxes: {found:.2f} of its best are ours, too")
