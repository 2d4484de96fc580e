"""Segmentation's part of a run's report; its HTML is in report.html beside this file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv.data.classes import Classes
from minideconv.data.shard import spread
from minideconv.data.voc_colors import VOID
from minideconv.files.reading import read_json
from minideconv.files.schema import Mismatch
from minideconv.segmentation.metrics import METRICS
from minideconv.tasks.layer_slider import layer_slider, slider_style
from minideconv.tasks.results import ReportSections, RunRecord
from minideconv.tasks.segmentation.class_table import class_table
from minideconv.tasks.segmentation.extremes import EXTREME_PICTURES
from minideconv.tasks.segmentation.layers import LAYER_PICTURES
from minideconv.tasks.segmentation.pictures import SAMPLE_PICTURES
from minideconv.tasks.segmentation.record import check_activations, check_record
from minideconv.visualize.html import (
    Html,
    attributes,
    epoch_boards,
    image,
    joined,
    percent,
    read_templates,
)

__all__ = ["legend", "sections", "style"]

_HERE = Path(__file__).parent
_MOST_SAMPLES = 12  # of each set
_MOST_CLASSES = 64  # in a matrix
_SETS = {"train": "training", "val": "validation"}


def sections(record: RunRecord) -> ReportSections:
    """Return the metrics, and below the curves pictures, classes and confusions."""
    page = _Page(record)
    parts = [page.class_history(), page.classes(), page.confusions(), page.extremes()]
    parts += [page.layers() or page.activations(), page.samples(), page.learning()]
    body = joined([section for section in parts if section], "\n")
    return ReportSections(page.summary(), body, style())


def style() -> str:
    """Return the style sheet of these sections."""
    return (_HERE / "report.css").read_text(encoding="utf-8") + slider_style()


def legend(classes: Classes) -> Html:
    """Return the colours of the classes, and of void."""
    colour, palette = read_templates(_HERE / "report.html")["colour"], classes.palette()
    spans = []
    for index, name in [*enumerate(classes.names), (VOID, "void (not counted)")]:
        red, green, blue = palette[index]
        spans.append(colour.fill({"red": red, "green": green, "blue": blue, "name": name}))
    return joined([Html('<div class="legend">'), *spans, Html("</div>")])


class _Page:
    def __init__(self, record: RunRecord) -> None:
        check_record(record)
        self.pictures, self.evaluation = record.pictures, record.evaluation
        self._folder, self._room = record.pictures.parent, record.room
        self._header = record.best
        self.best: dict[str, Any] | None = record.best.get("progress")
        self.validated = [line for line in record.epochs if "val" in line]
        self.sets = [subset for subset in _SETS if subset in self.evaluation]
        self.names: list[str] = self.evaluation.get("classes", record.best.get("classes", []))
        self._templates = read_templates(_HERE / "report.html")

    def fill(self, template: str, **texts: Any) -> Html:
        return self._templates[template].fill(texts)

    def summary(self) -> Html:
        """Make the tiles: the four metrics, training and validation images side by side."""
        sets = {subset: self.evaluation[subset] for subset in self.sets}
        if sets:
            counts = " and ".join(
                f"{sets[subset]['images']} {_SETS[subset]} images" for subset in sets
            )
            note = (
                f"The network as it was after the last epoch ({self.evaluation['epoch']}), on "
                f"{counts}, each at its own size; one confusion matrix over each set, void pixels "
                "not counted."
            )
        elif self.validated:
            sets = {"val": self.validated[-1]["val"]}
            note = f"After epoch {self.validated[-1]['epoch']}, on the validation images."
        else:
            return Html('<p class="empty">No validation yet.</p>')
        poor = [_SETS[subset] for subset in sets if sets[subset].get("classes_in_truth", 2) < 2]
        if poor:
            note += (
                f" The true masks of the {' and '.join(poor)} images show one class alone, so the"
                " metrics do not tell whether the network finds objects."
            )
        if self.best is not None:
            note += (
                f" The best validation IoU of the run was {percent(self.best['best'])} % "
                f"after epoch {self.best['epoch']}; that network is checkpoints/best.npz, and since"
                " it was chosen by these very images, its metrics on them are too good."
            )
        tiles = []
        for key, title in METRICS.items():
            pair = [
                self.fill("figure", subset=name, value=percent(found[key]), set=_SETS[name])
                for name, found in sets.items()
            ]
            tiles.append(self.fill("tile", name=title, pair=joined(pair)))
        return self.fill("summary", tiles=joined(tiles), note=note)

    def samples(self) -> Html:
        """Image, truth, prediction and overlay of some images, validation first."""
        html = []
        for subset in ("val", "train"):
            samples = self.evaluation.get("samples", {}).get(subset, [])
            if samples:
                rows = joined(map(self._sample, samples[:_MOST_SAMPLES]))
                html.append(self.fill("samples", title=_SETS[subset].capitalize(), samples=rows))
        if html:
            return joined([html[0], legend(self._classes()), *html[1:]], "\n")
        boards = epoch_boards(self.pictures)
        if not boards:
            return Html()
        note = "image, truth, prediction, prediction on the image"
        epoch = int(boards[-1].stem.removeprefix("epoch_"))
        board = self.fill("board", epoch=epoch, note=note, picture=self._image(boards[-1], note))
        return joined([board, legend(self._classes())], "\n") if self.names else board

    def _classes(self) -> Classes:
        """Return the classes that the run's files name."""
        return Classes.from_dict(self.evaluation if "classes" in self.evaluation else self._header)

    def _sample(self, sample: dict[str, Any]) -> Html:
        name, file = sample["name"], sample["file"]
        pictures = [
            self._figure(self.pictures / f"{file}_{kind}.png", f"{kind} of {name}")
            for kind in SAMPLE_PICTURES
        ]
        right = percent(sample["pixel_accuracy"])
        return self.fill("sample", name=name, right=right, pictures=joined(pictures))

    def _image(self, path: Path, description: str, kind: str = "") -> Html:
        return image(path, description, kind, self._folder, self._room)

    def _figure(self, path: Path, description: str) -> Html:
        return joined([Html("<figure>"), self._image(path, description), Html("</figure>")])

    def learning(self, most: int = 8) -> Html:
        """Lay out how the prediction of a few images changed while the network learned."""

        def path(number: int, what: str) -> Path:
            return self.pictures / f"learning_{number}_{what}.png"

        columns = {f"epoch_{line['epoch']:03d}": line["epoch"] for line in self.validated}
        drawn = [name for name in columns if path(0, name).exists()]
        shown = [drawn[i] for i in spread(len(drawn), most)]
        rows = [number for number in range(3) if path(number, "truth").exists()]
        if not shown or not rows:
            return Html()
        heads = ["truth", *(f"epoch {columns[name]}" for name in shown)]
        pictures = [
            self._figure(path(number, name), name) for number in rows for name in ("truth", *shown)
        ]
        return self.fill(
            "learning",
            columns=len(heads),
            heads=joined(self.fill("head", text=text) for text in heads),
            pictures=joined(pictures),
        )

    def activations(self) -> Html:
        """Make the strip of the paper's Figure 4."""
        index = self.pictures / "activations.json"
        if not index.exists():
            return Html()
        try:
            found = read_json(index)
        except OSError as error:
            raise Mismatch(f"pictures/{index.name} cannot be read: {error.strerror}") from error
        check_activations(found)
        layers = []
        for layer in found:
            picture = self._image(self.pictures / layer["file"], layer["name"], "pixels")
            texts = {key: layer[key] for key in ("name", "size")}
            layers.append(self.fill("activation", picture=picture, **texts))
        return self.fill("activations", figures=joined(layers))

    def classes(self) -> Html:
        if not self.sets:
            return Html()
        heads = []
        for subset in self.sets:
            known = [value for value in self.evaluation[subset]["class_iou"] if value is not None]
            heads.append(self.fill("set", subset=subset, set=_SETS[subset], count=len(known)))
        found = [self.evaluation[subset] for subset in self.sets]
        rows = []
        for index, name in enumerate(self.names):
            bars = self._bars([one["class_iou"][index] for one in found])
            rows.append(self.fill("class", kind="", name=name, bars=bars))
        bars = self._bars([one["mean_iou"] for one in found])
        rows.append(self.fill("class", kind=attributes({"class": "mean"}), name="mean", bars=bars))
        return self.fill("classes", heads=joined(heads), rows=joined(rows))

    def _bars(self, values: Sequence[float | None]) -> Html:
        """Show a share of each set as a number and a bar."""
        bars = []
        for subset, value in zip(self.sets, values, strict=True):
            width = f"{100 * (value or 0.0):.1f}"
            bars.append(self.fill("bar", subset=subset, value=percent(value), width=width))
        return joined(bars)

    def class_history(self) -> Html:
        """Lay out the IoU of each class over the validations: a curve and a row of numbers."""
        if self.sets and len(self.validated) < 2:
            return Html()  # one validation is no history, and the final metrics follow
        return class_table(self.validated, self.names)

    def extremes(self) -> Html:
        """Show the images of the validation set that are segmented worst and best."""
        found = self.evaluation.get("extremes", {})
        kinds = [
            self.fill("extremes", title=title, samples=joined(map(self._extreme, found[kind])))
            for kind, title in (("worst", "worst"), ("best", "best"))
            if found.get(kind)
        ]
        return self.fill("extremes_section", kinds=joined(kinds)) if kinds else Html()

    def _extreme(self, sample: dict[str, Any]) -> Html:
        pictures = [
            self._figure(
                self.pictures / f"{sample['file']}_{kind}.png", f"{kind} of {sample['name']}"
            )
            for kind in EXTREME_PICTURES
        ]
        iou = percent(sample["mean_iou"])
        return self.fill("extreme", name=sample["name"], iou=iou, pictures=joined(pictures))

    def layers(self) -> Html:
        """Make the slider through the layers of the decoder."""
        return layer_slider(self.pictures, LAYER_PICTURES, self._room)

    def confusions(self) -> Html:
        html = []
        if "val" in self.sets:
            html.append(self.fill("confusion", table=self._matrix("val")))
        if "train" in self.sets:
            html.append(self.fill("confusion_train", table=self._matrix("train")))
        return joined(html)

    def _matrix(self, subset: str) -> Html:
        counts: Sequence[Sequence[int]] = self.evaluation[subset]["confusion"]
        if len(counts) > _MOST_CLASSES:
            return self.fill("matrix_too_large", classes=len(counts), most=_MOST_CLASSES)
        rows = []
        for i, row in enumerate(counts):
            cells = joined(self._cell(i, j, row) for j in range(len(row)))
            absent = {} if sum(row) else {"class": "absent", "title": "no pixel of this class"}
            rows.append(self.fill("row", kind=attributes(absent), name=self.names[i], cells=cells))
        head = joined(self.fill("column", name=name) for name in self.names)
        return self.fill("matrix", head=head, rows=joined(rows))

    def _cell(self, i: int, j: int, row: Sequence[int]) -> Html:
        share = row[j] / sum(row) if sum(row) else 0.0
        return self.fill(
            "cell",
            kinds="self" if i == j else "",
            hint=f"{self.names[i]} taken for {self.names[j]}: {row[j]:,} pixels",
            share=f"{share:.3f}",
            text=f"{100 * share:.0f}" if share >= 0.005 else "",
        )
