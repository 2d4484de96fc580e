"""Pictures of reconstructions, and their part of a run's report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.data.shard import spread
from minideconv.data.windows import whole_image_window
from minideconv.files.schema import number, optional, table, whole
from minideconv.segmentation.predictor import Image
from minideconv.tasks.autoencoder.reconstructor import Reconstructed, Reconstructor
from minideconv.tasks.layer_slider import layer_slider, slider_style
from minideconv.tasks.layers import LAYER_IMAGES, LayerImage, draw_layers
from minideconv.tasks.results import ReportSections, RunRecord, format_number
from minideconv.tasks.task import Save
from minideconv.visualize.boards import board, fit, png_bytes
from minideconv.visualize.html import Html, HtmlTemplate, epoch_boards, image, joined

__all__ = ["board_row", "difference", "draw_board", "draw_drawn_layers", "sections"]

_GAIN = 4
_COLUMNS = (
    f"Left to right: the image as the network is given it (a denoising one: then corrupted), drawn"
    f" again, and the difference, {_GAIN} times enlarged (grey: none)."
)
_LAYER_PICTURES = ("image", "again")
_SETS = {"train": "training images", "val": "validation images"}


def difference(found: Reconstructed) -> Image:
    """Return (again - given), enlarged, around middle grey."""
    error = found.again.astype(np.int32) - found.given
    return np.clip(128 + _GAIN * error, 0, 255).astype(np.uint8)


def board_row(found: Reconstructed, side: int = 160) -> list[Image]:
    """Return the pictures of one image, the longer side at most `side` pixels."""
    noisy = [] if found.corrupted is None else [found.corrupted]
    return [fit(one, side) for one in (found.given, *noisy, found.again, difference(found))]


def draw_board(predictor: Reconstructor, data: Any, chosen: Sequence[int]) -> bytes:
    """Return a PNG with a row for each chosen image."""
    rows = [board_row(predictor.pictures(data[index][0], seed=index)) for index in chosen]
    return png_bytes(board(rows))


def draw_drawn_layers(predictor: Reconstructor, data: Any, save: Save) -> None:
    """Draw the layers of some images of `data`, none of them corrupted."""

    def images() -> Iterator[LayerImage]:
        for index in spread(len(data), LAYER_IMAGES):
            image = data[index][0]
            found = predictor.pictures(image)
            shown = dict(zip(_LAYER_PICTURES, (found.given, found.again), strict=True))
            x = predictor.network_input(image, whole_image_window(*image.shape[:2]))
            yield LayerImage(data.name(index), shown, x[None])

    if len(data) > 0:
        draw_layers(predictor.model, images(), save)


def sections(record: RunRecord) -> ReportSections:
    """Return the metrics, and below the curves reconstructions, and the layers that made them."""
    sets = {name: record.evaluation[name] for name in _SETS if name in record.evaluation}
    kind = table({name: optional(number()) for name in ("psnr", "mse")})
    table({}, {"epoch": whole(), "train": kind, "val": kind})(record.evaluation, "evaluation.json")
    if sets:
        table({"epoch": whole()})(record.evaluation, "evaluation.json")
    validated = [line for line in record.epochs if "val" in line]
    if sets:
        note = f"The network as it was after the last epoch ({record.evaluation['epoch']})."
    elif validated:
        kind(validated[-1]["val"], "metrics.jsonl: val")
        sets = {"val": validated[-1]["val"]}
        note = f"After epoch {validated[-1]['epoch']}."
    else:
        return ReportSections(Html('<p class="empty">No validation yet.</p>'))
    note += (
        " Errors at the network's size, over all values of all images together; the black around"
        " an image that is not square does not count."
    )
    rows = joined(
        _ROW.fill({"kind": name, "name": _SETS[name], **_numbers(found)})
        for name, found in sets.items()
    )
    summary = _SUMMARY.fill({"rows": rows, "note": note})
    pictures = [
        (title.capitalize(), path)
        for name, title in reversed(_SETS.items())
        if (path := record.pictures / f"{name}.png").exists()
    ]
    if not pictures and (found := epoch_boards(record.pictures)):
        epoch = int(found[-1].stem.removeprefix("epoch_"))
        pictures = [(f"Validation images after epoch {epoch}", found[-1])]

    def shown(path: Path) -> Html:
        return image(path, _COLUMNS, "pixels", within=record.pictures.parent)

    boards = [
        _SECTION.fill({"title": title, "note": _COLUMNS, "picture": shown(path)})
        for title, path in pictures
    ]
    layers = layer_slider(record.pictures, _LAYER_PICTURES, record.room)
    return ReportSections(summary, joined([layers, *boards]), _STYLE + slider_style())


def _numbers(found: dict[str, Any]) -> dict[str, str]:
    return {name: format_number(found[name]) for name in ("psnr", "mse")}


_ROW = HtmlTemplate('<tr><td class="$kind">$name</td><td>$psnr</td><td>$mse</td></tr>')
_SUMMARY = HtmlTemplate(
    '<table class="errors"><tr><th></th><th>PSNR, dB</th><th>MSE, grey levels²</th></tr>'
    '$rows</table><p class="note">$note</p>'
)
_SECTION = HtmlTemplate('<h2>$title</h2><p class="note">$note</p>$picture')
_STYLE = (
    ".errors { margin: 18px 0 6px; } .errors td, .errors th { padding: 3px 26px 3px 0; }"
    " img.pixels { image-rendering: pixelated; max-width: 100%; }\n"
)
