"""Several runs on one page: curves over each other, numbers beside each other, what differs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv._version import __version__
from minideconv.errors import UsageError
from minideconv.tasks.results import format_number
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.progress import format_seconds
from minideconv.training.run.report import (
    Written,
    page_script,
    page_style,
    points_of,
    read_written,
    setting_text,
)
from minideconv.visualize.charts import Line, line_chart
from minideconv.visualize.html import Html, attributes, joined, percent, read_templates

__all__ = ["comparison_html", "is_comparison"]

_HERE = Path(__file__).parent
_MARK = 'data-made-by="minideconv.report --compare"'
_MOST_CLASSES = 64
_UNTOLD = ("output_dir",)  # differs in every run, and means nothing


def is_comparison(path: Path) -> bool:
    """Whether a file is an earlier page of this kind."""
    with path.open("rb") as file:
        return _MARK.encode() in file.read(4096)


def comparison_html(runs: Sequence[RunFolder]) -> Html:
    """Return the page as text.

    Raises
    ------
    DataError
        If a folder holds no run, or a damaged one.
    UsageError
        If they learn different things: there is nothing to compare.
    """
    found = [read_written(run) for run in runs]
    kinds = {one.task.name for one in found}
    if len(kinds) > 1:
        raise UsageError(f"--compare: the runs are of different tasks: {', '.join(sorted(kinds))}")
    return _Page(runs, found).html()


class _Page:
    def __init__(self, runs: Sequence[RunFolder], found: Sequence[Written]) -> None:
        self.runs, self.found = runs, found
        self.metric = found[0].task.main_metric
        self.names = _names([run.path for run in runs])
        self._templates = read_templates(_HERE / "side_by_side.html")

    def fill(self, template: str, **texts: Any) -> Html:
        return self._templates[template].fill(texts)

    def html(self) -> Html:
        titles = list(dict.fromkeys(one.title for one in self.found))
        command = f"python -m minideconv.report --compare {self._paths()}"
        heads = ["epochs", "steps", "time", "best", "in epoch", "last", "images a second"]
        return self.fill(
            "page",
            count=len(self.runs),
            title=" · ".join(titles),
            style=Html(page_style() + (_HERE / "side_by_side.css").read_text(encoding="utf-8")),
            script=Html(page_script()),
            heads=self._heads(heads),
            runs=self.summary(),
            note=f"Best and last: {self.metric.title} on the validation images. A star: the best of"
            " all. One seed each: a small difference may be chance.",
            key=joined(
                self.fill("key", number=number, name=name) for number, name in enumerate(self.names)
            ),
            charts=joined(self.charts()),
            classes=self.classes(),
            differences=self.differences(),
            command=command,
            version=__version__,
        )

    def _paths(self) -> str:
        return " ".join(shlex.quote(str(run.path)) for run in self.runs)

    def _heads(self, texts: Sequence[str]) -> Html:
        return joined(self.fill("head", text=text) for text in texts)

    def _cell(self, text: object, best: bool = False) -> Html:
        kind = attributes({"class": "best" if best else ""})
        return self.fill("cell", kind=kind, text=text)

    def summary(self) -> Html:
        """Lay out a line of numbers for each run."""
        bests = [self._best(one) for one in self.found]
        top = self._top([value for value, _ in bests])
        rows = []
        for number, (one, (value, epoch)) in enumerate(zip(self.found, bests, strict=True)):
            epochs = one.epochs
            last: dict[str, Any] = next(
                (line["val"] for line in reversed(epochs) if "val" in line), {}
            )
            speeds = [speed for _, speed in points_of(one.metrics, "images_per_second")]
            cells = [
                self._cell(f"{one.done} of {one.planned}"),
                self._cell(f"{epochs[-1]['step']:,}" if epochs else "–"),
                self._cell(format_seconds(epochs[-1]["elapsed"]) if epochs else "–"),
                self._cell(format_number(value), value is not None and value == top),
                self._cell("–" if epoch is None else epoch),
                self._cell(format_number(last.get(self.metric.key))),
                self._cell(f"{sorted(speeds)[len(speeds) // 2]:,.1f}" if speeds else "–"),
            ]
            name = self.names[number]
            rows.append(self.fill("line", number=number, name=name, cells=joined(cells)))
        return joined(rows)

    def _best(self, one: Written) -> tuple[float | None, int | None]:
        """Return the best validation by the main metric, and its epoch."""
        known = [
            (line["val"][self.metric.key], line["epoch"])
            for line in one.epochs
            if "val" in line and _is_number(line["val"][self.metric.key])
        ]
        if not known:
            return None, None
        choose = max if self.metric.higher_is_better else min
        return choose(known, key=lambda pair: pair[0])

    def _top(self, values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        choose = max if self.metric.higher_is_better else min
        return choose(known) if known else None

    def charts(self) -> list[Html]:
        """Draw each quantity of all runs over each other."""
        key = self.metric.key
        kinds: list[tuple[str, str, tuple[str, ...]]] = [
            (f"{self.metric.title}, validation", "epoch", ("val", key)),
            ("loss, validation", "epoch", ("val", "loss")),
            ("loss, training", "epoch", ("train", "loss")),
            (f"{self.metric.title}, training", "epoch", ("train", key)),
            ("learning rate", "step", ("lr",)),
            ("images a second", "step", ("images_per_second",)),
        ]
        return [
            self.fill(
                "chart",
                title=title,
                chart=line_chart(
                    title,
                    [
                        Line(
                            name,
                            points_of(_of_kind(one, kind), *keys),
                            f"row{number}",
                            dots=kind == "epoch" and one.done <= 40,
                        )
                        for number, (name, one) in enumerate(
                            zip(self.names, self.found, strict=True)
                        )
                    ],
                ),
            )
            for title, kind, keys in kinds
        ]

    def classes(self) -> Html:
        """Lay out the final IoU of each class, of runs that have the same classes."""
        tables = [one.evaluation.get("classes") for one in self.found]
        values = [_class_values(one.evaluation) for one in self.found]
        names = tables[0]
        if (
            not names
            or any(table != names for table in tables)
            or any(len(each) != len(names) for each in values)
        ):
            text = "Not shown: it is there for finished runs with the same classes."
            return self.fill("empty", text=text)
        rows = []
        for place, name in enumerate(names[:_MOST_CLASSES]):
            found = [each[place] for each in values]
            top = max((value for value in found if value is not None), default=None)
            cells = [self._cell(percent(v), v is not None and v == top) for v in found]
            rows.append(self.fill("row", name=name, cells=joined(cells)))
        return self.fill(
            "table",
            about="IoU of each class",
            corner="IoU in per cent, validation images",
            heads=self._heads(self.names),
            rows=joined(rows),
        )

    def differences(self) -> Html:
        """Lay out the settings in which the runs differ."""
        names = list(dict.fromkeys(name for one in self.found for name in one.settings.to_dict()))
        rows = []
        for name in names:
            texts = [
                setting_text(each[name]) if name in each else "not there"
                for each in (one.settings.to_dict() for one in self.found)
            ]
            if name not in _UNTOLD and len(set(texts)) > 1:
                cells = joined(self._cell(text) for text in texts)
                rows.append(self.fill("row", name=name.replace("_", " "), cells=cells))
        if not rows:
            return self.fill("empty", text="Nothing: all settings are the same.")
        return self.fill(
            "table",
            about="settings that differ",
            corner="setting",
            heads=self._heads(self.names),
            rows=joined(rows),
        )


def _of_kind(one: Written, kind: str) -> list[dict[str, Any]]:
    return [line for line in one.metrics if line["kind"] == kind]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and value == value


def _class_values(evaluation: dict[str, Any]) -> list[float | None]:
    """Return the IoU of each class of the validation images; [] if it is not all there."""
    found = evaluation.get("val")
    values = found.get("class_iou") if isinstance(found, dict) else None
    if not isinstance(values, list) or not isinstance(evaluation.get("classes"), list):
        return []
    right = all(value is None or (_is_number(value) and 0 <= value <= 1) for value in values)
    return values if right else []


def _names(paths: Sequence[Path]) -> list[str]:
    """Return what tells the folders apart: their names, or as much of the paths as is needed."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
