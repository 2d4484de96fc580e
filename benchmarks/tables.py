"""Results as text: columns for the terminal while measuring, and Markdown from the stored file."""

from __future__ import annotations

from typing import Any

from benchmarks.columns import COLUMNS, Column, Floors, Row, ratio_text
from benchmarks.goals import LAYOUTS, evaluate, ratio
from benchmarks.store import Results, floors, record_of, rows_of, threads_of

__all__ = ["SECTIONS", "body", "console", "render"]

SECTIONS = {
    "floors": "What the machine can do",
    "steps": "Whole training steps",
    "networks": "Whole networks, trained and used",
    "growth": "How the small step grows; start-up",
    "conv": "Convolutions",
    "strided": "Strided, dilated and grouped convolutions",
    "memory": "Memory-bound ops",
    "optim": "Optimisers",
    "tape": "Microseconds of Python per op",
    "systems": "Inner loops outside of networks",
}


# ---------------------------------------------------------------------------------------------
# The terminal


def console(section: str, row: Row | None, rates: Floors) -> str:
    """Return a line of a section's table; its heading if `row` is None."""
    cells = [
        (column.title if row is None else column.cell(row, rates), column)
        for column in COLUMNS[section]
    ]
    return " ".join(
        f"{text:<{column.width}}" if column.text else f"{text:>{column.width}}"
        for text, column in cells
    )


# ---------------------------------------------------------------------------------------------
# Markdown


def render(results: Results) -> str:
    """Return all results as a Markdown page."""
    return f"# CPU results\n\n{body(results)}"


def body(results: Results) -> str:
    """Return the page without its heading."""
    goals = f"<!-- goals -->\n\n{_goals(results)}\n\n<!-- end of goals -->"
    parts = [_introduction(results), f"## Goals\n\n{goals}"]
    for section, name in SECTIONS.items():
        threads = threads_of(results, section)
        if threads:
            parts.append(f"## {name}")
        for count in threads:
            if len(threads) > 1:
                parts.append(f"### {name}, {count} thread{'s' if count > 1 else ''}")
            parts.append(_section(results, section, count))
    return "\n\n".join(parts) + "\n"


def _introduction(results: Results) -> str:
    machine, records = results["machine"], results["records"]
    dates = sorted({record["date"][:10] for record in records})
    versions = sorted({_join(record["versions"]) for record in records})
    caches = _join(machine["caches"])
    lines = [
        f"Machine: {machine['cpu']} ({machine['family']}), {machine['cores']} cores, {caches},"
        f" {machine['memory_gib']} GiB, {machine['system']}, {' '.join(machine['vectors'])}.",
        f"Measured: {', '.join(dates)}, with {'; and '.join(versions)}.",
        "",
        "Times are medians in milliseconds. With one thread they are processor time, with more they"
        " are the wall time of those samples in which other processes had less than 4 % of the"
        " cores; the column `quiet` counts these. A question mark: fewer than three were quiet."
        " `cl` is PyTorch's channels_last.",
    ]
    if any(record["quick"] for record in records):
        lines += ["", "**A quick run: smaller sizes and few rounds. It says nothing about goals.**"]
    if len(versions) > 1:
        lines += ["", "**Sections were measured with different versions.**"]
    return "\n".join(lines)


def _join(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _goals(results: Results) -> str:
    """The goals, with the worst ratio that was measured: ours over PyTorch's."""
    header = ["goal", "at most", "beyond", "threads", "measured", "worst at", "verdict"]
    rows = []
    for v in evaluate(results):
        if not threads_of(results, v.goal.section):
            continue  # the file is about something else
        if v.measured is None and any(
            other.measured is not None for other in evaluate(results) if other.goal is v.goal
        ):
            continue  # measured with another number of threads
        rows.append(
            [
                v.goal.name,
                ratio_text(v.goal.goal),
                ratio_text(v.goal.beyond),
                str(v.threads) if v.measured is not None else "-",
                ratio_text(v.measured),
                v.worst if len(v.ratios) > 1 else "",
                f"**{v.verdict}**" if v.verdict.startswith(("missed", "disturbed")) else v.verdict,
            ]
        )
    return _markdown(header, rows, [title in ("goal", "worst at", "verdict") for title in header])


def _section(results: Results, section: str, threads: int) -> str:
    record = record_of(results, section, threads)
    assert record is not None
    columns, rates = COLUMNS[section], floors(results, threads)
    groups: dict[str, list[Row]] = {}
    for row in rows_of(results, section, threads):
        groups.setdefault(row.get("group", ""), []).append(row)
    parts = []
    for group, rows in groups.items():
        table = _table(columns, rows, rates)
        parts.append(f"{group}:\n\n{table}" if group else table)
    if section == "strided":
        parts += _numpy_alone(rows_of(results, section, threads), rates)
    return "\n\n".join(parts)


def _numpy_alone(rows: list[Row], rates: Floors) -> list[str]:
    """The same rows without compiled kernels, the worst first."""
    found = [(ratio(row["times"], "numpy", LAYOUTS), row) for row in rows]
    ordered = sorted(
        ((compared.value, row) for compared, row in found if compared is not None),
        key=lambda pair: -pair[0],
    )
    alone = [
        row
        | {
            "times": {k: t for k, t in row["times"].items() if k != "fast"},
            "errors": {"fast": row["errors"]["numpy"], "nchw": row["errors"]["nchw"]},
        }
        for _, row in ordered
    ]
    if not alone:
        return []
    return [
        "NumPy alone (`MINIDECONV_COMPILED=0`), the worst row first:",
        _table(COLUMNS["strided"], alone, rates),
    ]


def _table(columns: tuple[Column, ...], rows: list[Row], rates: Floors) -> str:
    """Return rows as Markdown, without the columns in which there is nothing."""
    cells = [[column.cell(row, rates) for column in columns] for row in rows]
    used = [i for i in range(len(columns)) if any(line[i] != "-" for line in cells)]
    return _markdown(
        [columns[i].title for i in used],
        [[line[i] for i in used] for line in cells],
        [columns[i].text for i in used],
    )


def _markdown(header: list[str], rows: list[list[str]], text: list[bool]) -> str:
    marks = ["---" if is_text else "---:" for is_text in text]
    lines = [header, marks, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
