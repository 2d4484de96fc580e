"""Segmentation's part of a run's report; its HTML is in report.html beside this file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from minideconv.data.classes import Classes
from minideconv.data.shard import spread
from minideconv.data.voc_colors import VOID
from minideconv.segmentation.metrics import METRICS
from minideconv.tasks.results import ReportSections, RunRecord
from minideconv.tasks.segmentation.pictures import SAMPLE_PICTURES
from minideconv.visualize.html import image, percent, read_templates

__all__ = ["legend", "sections", "style"]

_HERE = Path(__file__).parent
_SETS = {"train": "training", "val": "validation"}


def sections(record: RunRecord) -> ReportSections:
    """Return the metrics, and below the curves pictures, classes and confusions."""
    page = _Page(record)
    parts = [page.samples(), page.learning(), page.activations(), page.classes(), page.confusions()]
    body = "\n".join(section for section in parts if section)
    return ReportSections(page.summary(), body, style())


def style() -> str:
    """Return the style sheet of these sections."""
    return (_HERE / "report.css").read_text(encoding="utf-8")


def legend(classes: Classes) -> str:
    """Return the colours of the classes, and of void."""
    colour, palette = read_templates(_HERE / "report.html")["colour"], classes.palette()
    spans = ""
    for index, name in [*enumerate(classes.names), (VOID, "void (not counted)")]:
        red, green, blue = palette[index]
        spans += colour.substitute(red=red, green=green, blue=blue, name=escape(name))
    return f'<div class="legend">{spans}</div>'


class _Page:
    def __init__(self, record: RunRecord) -> None:
        self.pictures, self.evaluation = record.pictures, record.evaluation
        self.validated = [line for line in record.epochs if "val" in line]
        self.sets = [subset for subset in _SETS if subset in self.evaluation]
        self.names: list[str] = self.evaluation.get("classes", [])
        self._templates = read_templates(_HERE / "report.html")

    def fill(self, template: str, **texts: Any) -> str:
        return self._templates[template].substitute(texts)

    def summary(self) -> str:
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
            return '<p class="empty">No validation yet.</p>'
        poor = [_SETS[subset] for subset in sets if sets[subset].get("classes_in_truth", 2) < 2]
        if poor:
            note += (
                f" The true masks of the {' and '.join(poor)} images show one class alone, so the"
                " metrics do not tell whether the network finds objects."
            )
        if self.validated:
            best = max(self.validated, key=lambda line: line["val"]["mean_iou"] or 0.0)
            note += (
                f" The best validation IoU of the run was {percent(best['val']['mean_iou'])} % "
                f"after epoch {best['epoch']}; that network is checkpoints/best.npz, and since it "
                "was chosen by these very images, its metrics on them are too good."
            )
        tiles = ""
        for key, title in METRICS.items():
            pair = [
                self.fill("figure", subset=name, value=percent(found[key]), set=_SETS[name])
                for name, found in sets.items()
            ]
            tiles += self.fill("tile", name=title, pair="".join(pair))
        return self.fill("summary", tiles=tiles, note=note)

    def samples(self) -> str:
        """Image, truth, prediction and overlay of some images, validation first."""
        html = []
        for subset in ("val", "train"):
            samples = self.evaluation.get("samples", {}).get(subset, [])
            if samples:
                rows = "".join(map(self._sample, samples))
                html.append(self.fill("samples", title=_SETS[subset].capitalize(), samples=rows))
        if html:
            return "\n".join([html[0], legend(Classes.from_dict(self.evaluation)), *html[1:]])
        boards = sorted(self.pictures.glob("epoch_*.png"))
        if not boards:
            return ""
        note = "image, truth, prediction, prediction on the image"
        epoch = int(boards[-1].stem.removeprefix("epoch_"))
        return self.fill("board", epoch=epoch, note=note, picture=image(boards[-1], note))

    def _sample(self, sample: dict[str, Any]) -> str:
        name, file = sample["name"], sample["file"]
        pictures = [
            self._figure(self.pictures / f"{file}_{kind}.png", f"{kind} of {name}")
            for kind in SAMPLE_PICTURES
        ]
        right = percent(sample["pixel_accuracy"])
        return self.fill("sample", name=escape(name), right=right, pictures="".join(pictures))

    def _figure(self, path: Path, description: str) -> str:
        return f"<figure>{image(path, description)}</figure>"

    def learning(self, most: int = 8) -> str:
        """Lay out how the prediction of a few images changed while the network learned."""

        def path(number: int, what: str) -> Path:
            return self.pictures / f"learning_{number}_{what}.png"

        columns = {f"epoch_{line['epoch']:03d}": line["epoch"] for line in self.validated}
        drawn = [name for name in columns if path(0, name).exists()]
        shown = [drawn[i] for i in spread(len(drawn), most)]
        rows = [number for number in range(3) if path(number, "truth").exists()]
        if not shown or not rows:
            return ""
        heads = ["truth", *(f"epoch {columns[name]}" for name in shown)]
        pictures = [
            self._figure(path(number, name), name) for number in rows for name in ("truth", *shown)
        ]
        return self.fill(
            "learning",
            columns=len(heads),
            heads="".join(f'<div class="head">{text}</div>' for text in heads),
            pictures="".join(pictures),
        )

    def activations(self) -> str:
        """Make the strip of the paper's Figure 4."""
        index = self.pictures / "activations.json"
        if not index.exists():
            return ""
        layers = ""
        for layer in json.loads(index.read_text(encoding="utf-8")):
            picture = image(self.pictures / layer["file"], layer["name"], "pixels")
            texts = {key: escape(layer[key]) for key in ("name", "size")}
            layers += self.fill("activation", picture=picture, **texts)
        return self.fill("activations", figures=layers)

    def classes(self) -> str:
        if not self.sets:
            return ""
        heads = ""
        for subset in self.sets:
            known = [value for value in self.evaluation[subset]["class_iou"] if value is not None]
            heads += f'<th colspan="2" class="{subset}">{_SETS[subset]}, {len(known)} classes</th>'
        found = [self.evaluation[subset] for subset in self.sets]
        rows = ""
        for index, name in enumerate(self.names):
            bars = self._bars([one["class_iou"][index] for one in found])
            rows += f"<tr><td>{escape(name)}</td>{bars}</tr>"
        bars = self._bars([one["mean_iou"] for one in found])
        rows += f'<tr class="mean"><td>mean</td>{bars}</tr>'
        return self.fill("classes", heads=heads, rows=rows)

    def _bars(self, values: Sequence[float | None]) -> str:
        """Show a share of each set as a number and a bar."""
        bars = ""
        for subset, value in zip(self.sets, values, strict=True):
            width = f"{100 * (value or 0.0):.1f}"
            bars += self.fill("bar", subset=subset, value=percent(value), width=width)
        return bars

    def confusions(self) -> str:
        html = ""
        if "val" in self.sets:
            html += self.fill("confusion", table=self._matrix("val"))
        if "train" in self.sets:
            html += (
                "<details><summary>The same for the training images</summary>"
                f"{self._matrix('train')}</details>"
            )
        return html

    def _matrix(self, subset: str) -> str:
        counts: Sequence[Sequence[int]] = self.evaluation[subset]["confusion"]
        rows = ""
        for i, row in enumerate(counts):
            cells = "".join(self._cell(i, j, row) for j in range(len(row)))
            kind = "" if sum(row) else ' class="absent" title="no pixel of this class"'
            rows += f"<tr{kind}><th>{escape(self.names[i])}</th>{cells}</tr>"
        head = "".join(f"<th><span>{escape(name)}</span></th>" for name in self.names)
        return self.fill("matrix", head=head, rows=rows)

    def _cell(self, i: int, j: int, row: Sequence[int]) -> str:
        share = row[j] / sum(row) if sum(row) else 0.0
        return self.fill(
            "cell",
            kinds=" ".join(["self"] * (i == j) + ["strong"] * (share > 0.55)),
            hint=escape(f"{self.names[i]} taken for {self.names[j]}: {row[j]:,} pixels"),
            share=f"{share:.3f}",
            text=f"{100 * share:.0f}" if share >= 0.005 else "",
        )
