"""``report.html``: a whole run on one page that opens anywhere, made from the run folder alone.

The page carries its style, its charts (SVG) and its pictures (PNG in base64) in itself: no script,
no network. `write_report` reads config.json, metrics.jsonl, evaluation.json and pictures/, so it
can be made again at any time, also while the run still goes on: ``python -m minideconv.report
RUN``. The frame is report.html beside this file; the run's task fills in its sections.
"""

from __future__ import annotations

import json
import shlex
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from minideconv import tasks
from minideconv._version import __version__
from minideconv.errors import DataError
from minideconv.models import MODELS
from minideconv.settings.setting import by_setting_names
from minideconv.training.config import TrainConfig
from minideconv.training.run.folder import RunFolder, write_text
from minideconv.training.run.progress import format_seconds
from minideconv.visualize.charts import Line, line_chart

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


def report_html(run: RunFolder) -> str:
    """Return the page as text."""
    try:
        config = json.loads(run.config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{run.path}: there is no run here, {run.config} cannot be read") from error
    if not run.is_run():
        raise DataError(f"{run.path}: there is no run here, {run.config} is of another program")
    with by_setting_names(str(run.config)):  # which are no options of this command
        settings, task = TrainConfig.from_dict(config), tasks.of_config(config)
    metrics = run.read_metrics()
    evaluation: dict[str, Any] = {}
    if run.evaluation.exists():
        evaluation = json.loads(run.evaluation.read_text(encoding="utf-8"))
    epochs = [line for line in metrics if line["kind"] == "epoch"]
    sections = task.report(tasks.RunRecord(run.pictures, evaluation, epochs))
    return Template((_HERE / "report.html").read_text(encoding="utf-8")).substitute(
        _charts(metrics, epochs, task.main_metric),
        title=escape(f"{MODELS[settings.model].title} on {settings.described_data}"),
        run=escape(run.path.name),
        style=page_style() + sections.style,
        facts=" · ".join(_facts(settings, epochs)),
        summary=sections.summary,
        body=sections.body,
        path=escape(shlex.quote(str(run.path))),
        config=escape(shlex.quote(str(run.config_toml))),
        settings=_settings(config),
        version=escape(__version__),
    )


def page_style() -> str:
    """Return the style sheet of the page, without what a task adds."""
    return (_HERE / "report.css").read_text(encoding="utf-8")


def _facts(config: TrainConfig, epochs: Lines) -> list[str]:
    plan, network = config.plan, escape(config.network.summary())
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
        facts.append(f"<b>still running: {done} of {total} epochs</b>")
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
    return {"loss": loss, "metric": escape(main_metric.title), "metrics": metric, "rate": rate}


def _settings(config: dict[str, Any]) -> str:
    groups: dict[str, list[str]] = {}
    for name, setting in TrainConfig.settings(config["model"]).items():
        value = config.get(name, setting.default)
        shown = "–" if value is None else str(value).lower() if value in (True, False) else value
        changed = ' class="changed"' if value != setting.default else ""
        row = f"<tr{changed}><td>{name.replace('_', ' ')}</td><td>{escape(str(shown))}</td></tr>"
        groups.setdefault(setting.group, []).append(row)
    tables = [
        f'<table><tr><th colspan="2">{escape(group)}</th></tr>{"".join(rows)}</table>'
        for group, rows in groups.items()
    ]
    return "".join(tables)
