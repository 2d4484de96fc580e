"""``report.html``: a whole run on one page that opens anywhere, made from the run folder alone.

The page carries its style, its script, its charts (SVG) and its pictures (PNG in base64) in itself:
no network. `write_report` reads config.json, metrics.jsonl, evaluation.json, log.txt and pictures/,
so it can be made again at any time, also while the run still goes on: ``python -m minideconv.report
RUN``. The frame is page.html beside this file; the run's task fills in its sections.

While the run goes on, the page looks every two seconds at live.js beside it (see `run.live`) and
loads itself anew when it was written anew. The page of a run that has ended looks at nothing.

A page has a bound: pictures of 16 MiB together (22 MB as text), 400 points a curve, 64 rows
in a table.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from minideconv import tasks
from minideconv._version import __version__
from minideconv.files.schema import Mismatch
from minideconv.training.config import TrainConfig
from minideconv.training.run.commit import best_header
from minideconv.training.run.folder import RunFolder, write_text
from minideconv.training.run.lock import is_locked
from minideconv.training.run.progress import format_seconds
from minideconv.training.run.report.curves import Lines, curves, throughput
from minideconv.training.run.report.sessions import read_sessions, session_table
from minideconv.training.run.report.settings_table import settings_table
from minideconv.training.run.report.written import damaged, read_written
from minideconv.visualize.html import Html, HtmlTemplate, attributes, joined

__all__ = ["page_script", "page_style", "report_html", "write_report"]

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
    page = report_html(run)
    write_text(run.report, page)
    if found := re.search(r'data-page="(\w+)"', page):
        run.live.page_written(found[1])
    return run.report


def report_html(run: RunFolder) -> Html:
    """Return the page as text."""
    written = read_written(run)
    settings, epochs = written.settings, written.epochs
    record = tasks.RunRecord(run.pictures, written.evaluation, epochs, best_header(run) or {})
    try:
        sections = written.task.report(record)
    except Mismatch as error:
        raise damaged(run, error) from error
    running, over = is_locked(run.path), written.is_over
    frame = HtmlTemplate((_HERE / "page.html").read_text(encoding="utf-8"))
    return frame.fill(
        {
            **curves(written.metrics, epochs, written.task.main_metric),
            "page": f"p{len(written.metrics)}e{written.done}{'done' if over else ''}",
            "live": attributes({"data-live": "" if over or not running else run.live.path.name}),
            "title": written.title,
            "run": run.path.name,
            "style": Html(page_style() + sections.style),
            "script": Html(page_script()),
            "facts": joined(_facts(settings, epochs, running, written.planned), " · "),
            "summary": Html(sections.summary),
            "throughput": throughput(written.metrics, epochs),
            "body": Html(sections.body),
            "path": shlex.quote(str(run.path)),
            "config": shlex.quote(str(run.config_toml)),
            "sessions": session_table(read_sessions(run.log)),
            "settings": settings_table(written.config),
            "version": __version__,
        }
    )


def page_style() -> str:
    """Return the style sheet of the page, without what a task adds."""
    return (_HERE / "page.css").read_text(encoding="utf-8")


def page_script() -> str:
    """Return the script of the page."""
    return (_HERE / "page.js").read_text(encoding="utf-8")


def _facts(config: TrainConfig, epochs: Lines, running: bool, total: int) -> list[str]:
    plan, network = config.plan, config.network.summary()
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
        state = "still running" if running else "stopped"
        facts.append(Html(f"<b>{state}: {done} of {total} epochs</b>"))
    return facts
