"""``comparison.html``: a comparison on one page that opens anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minideconv._version import __version__
from minideconv.compare import results
from minideconv.compare.measure import Measured
from minideconv.data.classes import Classes
from minideconv.segmentation.object_sizes import SIZES
from minideconv.tasks.segmentation.pictures import palette_of
from minideconv.tasks.segmentation.report import legend, style
from minideconv.training.run.report import page_style
from minideconv.visualize.boards import png_bytes, sample_row
from minideconv.visualize.charts import Line, line_chart
from minideconv.visualize.html import Html, attributes, embedded, joined, percent, read_templates

__all__ = ["report_html"]

_HERE = Path(__file__).parent
_SIDE = 150
_ROWS_NOTE = (
    "In per cent. Mean IoU is of one confusion matrix over all images at their own sizes, void"
    " pixels not counted; around outlines, of the pixels there; by size, the mean over objects"
    " below 1 %, below 10 %, and from 10 % of the image."
)


def report_html(
    found: Mapping[str, Any], measured: Measured, data: Any, shown: Sequence[int]
) -> Html:
    """Return the page.

    Parameters
    ----------
    found : dict
        What `results` returned.
    measured : Measured
        Of the first seed: its labels are drawn.
    data : data set
    shown : sequence of int
        The places of the images that are shown side by side.
    """
    return _Page(dict(found), measured, data).html(shown)


class _Page:
    def __init__(self, found: dict[str, Any], measured: Measured, data: Any) -> None:
        self.found, self.measured, self.data = found, measured, data
        self.rows: dict[str, Any] = found["rows"]
        self._templates = read_templates(_HERE / "report.html")

    def fill(self, template: str, **texts: Any) -> Html:
        return self._templates[template].fill(texts)

    def html(self, shown: Sequence[int]) -> Html:
        found = self.found
        seeds = len({each["seed"] for each in found["networks"]})
        facts = f"{found['images']} images of {found['data']}"
        if seeds > 1:
            facts += f" · networks of {seeds} seeds, whose metrics are averaged"
        return self.fill(
            "page",
            title=found["title"],
            facts=facts,
            style=Html(page_style() + style() + (_HERE / "report.css").read_text(encoding="utf-8")),
            rows_note=_ROWS_NOTE,
            rows=self.row_table(),
            differences_note=results.about_intervals(found),
            differences=self.difference_table(),
            orders=self.orders(),
            key=self.key(list(self.rows)),
            trimap=self.trimap(),
            sizes=self.size_chart(),
            cost_note=results.about_budget(found),
            cost=self.table(results.COST_HEADS, results.cost_table(found)),
            legend=legend(Classes.from_dict(found)),
            boards=self.boards(shown),
            classes_note=results.ABOUT_CLASSES,
            classes=self.classes(),
            extremes=joined(self.extremes(name) for name in self.rows),
            limits=self.limits(),
            files="comparison.json and comparison.md",
            version=__version__,
        )

    def table(
        self,
        heads: Sequence[str],
        rows: Sequence[Sequence[str]],
        more: Callable[[int], Html] = lambda number: Html(),
        best: int | None = None,
    ) -> Html:
        """Lay out a table; `more` gives cells behind a line's own."""
        lines = []
        for number, row in enumerate(rows):
            cells = joined([*(self.fill("cell", text=cell) for cell in row), more(number)])
            kind = attributes({"class": "best" if number == best else ""})
            lines.append(self.fill("line", kind=kind, cells=cells))
        top = joined(self.fill("column", text=head) for head in heads)
        return self.fill("table", heads=top, rows=joined(lines))

    def row_table(self) -> Html:
        means = [row["mean_iou"] or 0.0 for row in self.rows.values()]
        lines = results.row_table(self.found)
        return self.table(results.ROW_HEADS, lines, best=means.index(max(means)))

    def difference_table(self) -> Html:
        lines = results.difference_table(self.found)
        ends = [each[key] for _, each in lines for key in ("low", "high")]
        low, high = min([0.0, *ends]), max([0.0, *ends])
        scale = 100 / ((high - low) or 1.0)

        def interval(number: int) -> Html:
            each = lines[number][1]
            return self.fill(
                "interval",
                zero=f"{-low * scale:.1f}",
                left=f"{(each['low'] - low) * scale:.1f}",
                width=f"{(each['high'] - each['low']) * scale:.1f}",
                middle=f"{(each['difference'] - low) * scale:.1f}",
            )

        heads = [*results.DIFFERENCE_HEADS, ""]
        return self.table(heads, [cells for cells, _ in lines], interval)

    def orders(self) -> str:
        """Name which of the paper's orders hold."""
        expected = [each for each in self.found["differences"] if each["paper"]]
        kinds = {True: "hold", False: "are the other way round", None: "are not decided"}
        parts = []
        for value, words in kinds.items():
            pairs = [
                f"{each['row']} above {each['than']}"
                for each in expected
                if each["as_in_paper"] is value
            ]
            if pairs:
                parts.append(f"{len(pairs)} {words}: {', '.join(pairs)}")
        return f"Of the {len(expected)} orders of the paper, {'; '.join(parts)}."

    def key(self, names: Sequence[str]) -> Html:
        return joined(
            [self.fill("key", number=number % 6, name=name) for number, name in enumerate(names)],
            " · ",
        )

    def trimap(self) -> Html:
        lines = [
            Line(name, _points(row["boundary_iou"].items()), f"row{number % 6}", dots=True)
            for number, (name, row) in enumerate(self.rows.items())
        ]
        return line_chart("mean IoU around outlines", lines, x_axis="pixels")

    def size_chart(self) -> Html:
        places = dict(zip(SIZES, (1, 2, 3), strict=True))
        lines = [
            Line(
                name,
                _points((places[size], iou) for size, iou in row["size_iou"].items()),
                f"row{number % 6}",
                dots=True,
            )
            for number, (name, row) in enumerate(self.rows.items())
        ]
        axis = "1 small, 2 medium, 3 large"
        return line_chart("IoU by the object's share of the image", lines, x_axis=axis)

    def classes(self) -> Html:
        heads, lines = results.class_table(self.found)
        return self.table(heads, lines, best=len(lines) - 1)

    def boards(self, shown: Sequence[int]) -> Html:
        heads = ["image", "truth", *self.rows]
        pictures: list[Html] = []
        for place in shown:
            for number, name in enumerate(self.rows):
                image, truth, labels, _ = self._pictures(place, name)
                pictures += [image, truth, labels] if number == 0 else [labels]
        return self.fill(
            "boards",
            columns=len(heads),
            heads=joined(self.fill("head", text=head) for head in heads),
            pictures=joined(pictures),
        )

    def _pictures(self, place: int, row: str) -> list[Html]:
        """Return image, truth, labels and overlay of an image as elements."""
        index = self.measured.images[place]
        image, truth = self.data[index]
        name, kinds = self.data.name(index), ("image", "truth", row, f"{row} on the image")
        pictures = sample_row(
            image, truth, self.measured.labels[place][row], _SIDE, palette_of(self.data)
        )
        return [
            self.fill("figure", picture=embedded(png_bytes(picture), f"{kind}: {name}"))
            for picture, kind in zip(pictures, kinds, strict=True)
        ]

    def extremes(self, name: str) -> Html:
        row = self.measured.rows[name]
        best, worst = (joined(self._extreme(name, at) for at in each) for each in row.extremes())
        return self.fill("extremes", row=name, best=best, worst=worst)

    def _extreme(self, name: str, place: int) -> Html:
        return self.fill(
            "extreme",
            pictures=joined(self._pictures(place, name)[:3]),
            name=self.data.name(self.measured.images[place]),
            iou=percent(self.measured.rows[name].image_iou[place]),
        )

    def limits(self) -> Html:
        limits = self.found.get("limits")
        if not limits:
            return Html()
        series = limits["sizes"]
        names = list(series[0]["rows"])
        seen = [each["radius"] for each in series if each["seen_in_training"]]
        marks = [(min(seen), "seen from here"), (max(seen), "to here")] if seen else []

        def chart(key: str, title: str) -> Html:
            lines = [
                Line(
                    name,
                    _points((each["radius"], each["rows"][name][key]) for each in series),
                    f"row{number % 6}",
                    dots=True,
                )
                for number, name in enumerate(names)
            ]
            return line_chart(title, lines, marks, x_axis="radius, in sides of the picture")

        tables = joined(
            self.fill("titled", title=title, table=self.table(heads, rows))
            for title, heads, rows in results.limit_tables(limits)
        )
        return self.fill(
            "limits",
            note=limits["note"],
            key=self.key(names),
            iou=chart("iou", "IoU by radius"),
            missed=chart("missed", "missed objects by radius"),
            pieces=chart("pieces", "pieces of an object by radius"),
            tables=tables,
        )


def _points(values: Any) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in values if y is not None]
