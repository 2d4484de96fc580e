"""``report.html``: a whole run on one page that opens anywhere, made from the run folder alone.

The page carries its style, its charts (SVG) and its pictures (PNG in base64) in itself: no script,
no network. `write_report` reads config.json, metrics.jsonl, evaluation.json and pictures/, so it
can be made again at any time, also while the run still goes on: ``python -m minideconv.report
RUN``. The frame is report.html beside this file; the run's task fills in its sections.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from minideconv import tasks
from minideconv._version import __version__
from minideconv.errors import DataError
from minideconv.files.reading import read_json
from minideconv.files.schema import Mismatch
from minideconv.models import MODELS
from minideconv.settings.setting import by_setting_names
from minideconv.training.config import TrainConfig
from minideconv.training.run.folder import RunFolder, write_text
from minideconv.training.run.progress import format_seconds
from minideconv.training.run.record_schema import check_lines
from minideconv.visualize.charts import Line, line_chart
from minideconv.visualize.html import Html, HtmlTemplate, attributes, joined

__all__ = ["page_style", "report_html", "write_report"]

Lines = list[dict[str, Any]]
_HERE = Path(__file__).parent


def write_report(run: RunFolder) -> Path:
    """Write the run's report.html from what is in the folder; return its path.

    Raises
    ------
    DataError
        If the folder holds no run.
    UsageError
        If the run's task is not registered.
    """
    write_text(run.report, report_html(run))
    return run.report


def report_html(run: RunFolder) -> Html:
    """Return the page as text."""
    try:
        config = read_json(run.config)
    except OSError as error:
        raise DataError(f"{run.path}: there is no run here, {run.config} cannot be read") from error
    if not run.is_run():
        raise DataError(f"{run.path}: there is no run here, {run.config} is of another program")
    with by_setting_names(str(run.config)):  # which are no options of this command
        settings, task = TrainConfig.from_dict(config), tasks.of_config(config)
    metrics, evaluation = run.read_metrics(), _evaluation(run)
    try:
        check_lines(metrics, task.main_metric.key)
        epochs = [line for line in metrics if line["kind"] == "epoch"]
        sections = task.report(tasks.RunRecord(run.pictures, evaluation, epochs))
    except Mismatch as error:
        raise DataError(f"{run.path} is damaged, or of another program: {error}") from error
    frame = HtmlTemplate((_HERE / "report.html").read_text(encoding="utf-8"))
    return frame.fill(
        {
            **_charts(metrics, epochs, task.main_metric),
            "title": f"{MODELS[settings.model].title} on {settings.described_data}",
            "run": run.path.name,
            "style": Html(page_style() + sections.style),
            "facts": joined(_facts(settings, epochs), " · "),
            "summary": Html(sections.summary),
            "body": Html(sections.body),
            "path": shlex.quote(str(run.path)),
            "config": shlex.quote(str(run.config_toml)),
            "settings": _settings(config),
            "version": __version__,
        }
    )


def _evaluation(run: RunFolder) -> dict[str, Any]:
    """Return the content of evaluation.json; empty if there is none."""
    try:
        found = read_json(run.evaluation)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(f"{run.evaluation} cannot be read: {error.strerror}") from error
    if not isinstance(found, dict):
        raise DataError(f"{run.evaluation} is no result of an evaluation")
    return found


def page_style() -> str:
    """Return the style sheet of the page, without what a task adds."""
    return (_HERE / "report.css").read_text(encoding="utf-8")


def _facts(config: TrainConfig, epochs: Lines) -> list[str]:
    plan, network = config.plan, config.network.summary()
    total = sum(count for _, count, _ in plan)
    stages = " + ".join(
        f"{count} epochs of {'whole images' if name == 'whole' else f'stage {name}'}"
        for name, count, _ in plan
    )
    size = f"input {config.input_size}×{config.input_size}"
    facts = [f"{network}, {size}" if network else size, stages]
    done = epochs[-1]["epoch"] if epochs else 0
    if epochs:
        facts.append(f"{epochs[-1]['step']:,} steps in {format_seconds(epochs[-1]['elapsed'])}")
    if done < total or not epochs:
        facts.append(Html(f"<b>still running: {done} of {total} epochs</b>"))
    return facts


def _charts(metrics: Lines, epochs: Lines, main_metric: tasks.MainMetric) -> dict[str, str]:
    """Draw the loss, the task's metric and the learning rate over the steps."""
    steps = [line for line in metrics if line["kind"] == "step"]
    validated = [line for line in epochs if "val" in line]
    marks, stage = [], None
    for line in metrics:
        if line["stage"] != stage and line["stage"] != "whole":
            # The line was written some steps into the stage; it begins where the last epoch ended.
            begun = max([e["step"] for e in epochs if e["stage"] == stage], default=0)
            marks.append((float(begun), f"stage {line['stage']}"))
        stage = line["stage"]

    def points(lines: Lines, *keys: str) -> list[tuple[float, float]]:
        found = []
        for line in lines:
            value: Any = line
            for key in keys:
                value = value[key]
            if value is not None:
                found.append((float(line["step"]), float(value)))
        return found

    dots = len(epochs) <= 40
    loss = line_chart(
        "loss",
        [
            Line("training steps", points(steps, "loss"), "train faint"),
            Line("training epochs", points(epochs, "train", "loss"), "train", dots),
            Line("validation", points(validated, "val", "loss"), "val", dots),
        ],
        marks,
    )
    metric = line_chart(
        main_metric.title,
        [
            Line("training crops", points(epochs, "train", main_metric.key), "train", dots),
            Line("validation", points(validated, "val", main_metric.key), "val", dots),
        ],
        marks,
        top=main_metric.top,
    )
    rate = line_chart("learning rate", [Line("lr", points(steps, "lr"), "plain")], marks)
    return {"loss": loss, "metric": main_metric.title, "metrics": metric, "rate": rate}


def _settings(config: dict[str, Any]) -> Html:
    groups: dict[str, list[Html]] = {}
    for name, setting in TrainConfig.settings(config["model"]).items():
        value = config.get(name, setting.default)
        shown = "–" if value is None else str(value).lower() if value in (True, False) else value
        kind = attributes({"class": "changed" if value != setting.default else ""})
        row = {"kind": kind, "name": name.replace("_", " "), "value": shown}
        groups.setdefault(setting.group, []).append(_ROW.fill(row))
    return joined(
        _TABLE.fill({"group": group, "rows": joined(rows)}) for group, rows in groups.items()
    )


_ROW = HtmlTemplate("<tr$kind><td>$name</td><td>$value</td></tr>")
_TABLE = HtmlTemplate('<table><tr><th colspan="2">$group</th></tr>$rows</table>')
