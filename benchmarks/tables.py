"""Results as text: columns for the terminal while measuring, and Markdown from the stored file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.goals import LAYOUTS, evaluate, ratio
from benchmarks.modes import OURS
from benchmarks.store import Results, floors, record_of, rows_of, threads_of

__all__ = ["SECTIONS", "TITLES", "body", "console", "floor_ms", "render"]

Floors = dict[str, float]
Row = dict[str, Any]

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
TITLES = {
    "fast": "ours",
    "exact": "exact",
    "numpy": "NumPy only",
    "nchw": "torch NCHW",
    "channels_last": "torch cl",
    "linear": "torch Linear",
    "default_nchw": "default NCHW",
    "default_channels_last": "default cl",
    "tuned_nchw": "tuned NCHW",
    "tuned_channels_last": "tuned cl",
    "torch_default": "torch default",
    "torch_fused": "torch fused",
    "plan": "ours, plan",
    "fast_one": "ours, 1 thread",
    "tuned_channels_last_one": "tuned cl, 1 thread",
    "compile": "torch.compile",
    "onnxruntime": "ONNX Runtime",
    "peer": "theirs",
}


@dataclass(frozen=True)
class Column:
    """A title, what it shows of a row, its width in the terminal, and whether that is text."""

    title: str
    cell: Callable[[Row, Floors], str]
    width: int = 9
    text: bool = False


def floor_ms(row: Row, rates: Floors) -> float | None:
    """Return the time below which this machine cannot do a row's work as it is written.

    Its multiplications at the highest rate seen, or its bytes at the highest rate seen, whichever
    takes longer. Winograd's convolutions can be faster: they multiply less.
    """
    compute = max((rates[n] for n in rates if n.startswith(("multiply", "sgemm"))), default=None)
    move = max((rates[n] for n in rates if n.startswith(("copy", "read"))), default=None)
    if compute is None or move is None:
        return None
    moved = row.get("read", 0) + row.get("written", 0)
    return max(row.get("flop", 0) / compute, moved / move) / 1e6


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _time(name: str) -> Column:
    def cell(row: Row, rates: Floors) -> str:
        time = row.get("times", {}).get(name)
        return "-" if time is None else _number(time["ms"]) + ("" if time["trusted"] else " ?")

    return Column(TITLES[name], cell, max(9, len(TITLES[name]) + 1))


def _mine(row: Row) -> str:
    return next(name for name in ("plan", "fast", "numpy") if name in row["times"])


def _against(title: str, *theirs: str) -> Column:
    def cell(row: Row, rates: Floors) -> str:
        return _compared(row, theirs)

    return Column(title, cell, max(9, len(title) + 1))


def _compared(row: Row, theirs: tuple[str, ...]) -> str:
    found = ratio(row["times"], _mine(row), theirs)
    return _ratio(None if found is None else found.value)


def _best_of_torch(row: Row, rates: Floors) -> str:
    return _compared(row, tuple(name for name in row["times"] if name not in OURS))


def _goal(row: Row, rates: Floors) -> str:
    return _ratio(row["goal"])


def _error(name: str, title: str) -> Column:
    def cell(row: Row, rates: Floors) -> str:
        error = row["errors"].get(name)
        return "-" if error is None else f"{error:.0e}"

    return Column(title, cell, 12)


def _floor(row: Row, rates: Floors) -> str:
    return _number(floor_ms(row, rates))


def _to_floor(row: Row, rates: Floors) -> str:
    floor = floor_ms(row, rates)
    return _ratio(row["times"][_mine(row)]["ms"] / floor if floor else None)


def _quiet(row: Row, rates: Floors) -> str:
    times = row.get("times", {}).values()
    return f"{sum(t['quiet'] for t in times)}/{sum(t['samples'] for t in times)}" if times else "-"


def _text(key: str, title: str, width: int) -> Column:
    return Column(title, lambda row, rates: str(row.get(key, "-")), width, text=True)


def _peaks(row: Row, rates: Floors) -> str:
    peaks = row.get("peak_gib", {})
    return ", ".join(f"{TITLES[name]} {gib:.2f}" for name, gib in peaks.items()) or "-"


def _micro(key: str, title: str) -> Column:
    return Column(title, lambda row, rates: f"{row['microseconds'][key]:.1f}", 12)


def _growth_name(row: Row, rates: Floors) -> str:
    return f"{row['variable']} {row.get('value', '')}".strip()


def _growth_rest(row: Row, rates: Floors) -> str:
    if "milliseconds" in row:
        return ", ".join(f"{name} {ms:.0f} ms" for name, ms in row["milliseconds"].items())
    return _peaks(row, rates)


_FLOOR = (Column("floor", _floor), Column("/ floor", _to_floor), Column("quiet", _quiet, 8))
_GROWTH_TIMES = ("fast", "numpy", "default_nchw", "tuned_channels_last")
COLUMNS: dict[str, tuple[Column, ...]] = {
    "floors": (
        _text("name", "", 22),
        Column("rate", lambda row, rates: _number(row["rate"])),
        _text("unit", "unit", 6),
    ),
    "conv": (
        Column("layer", lambda row, rates: row["name"].split(", ")[0], 12, text=True),
        _text("shape", "shape", 40),
        _text("pass", "pass", 16),
        Column(
            "algorithm", lambda row, rates: row["algorithms"].get(_mine(row), "-"), 15, text=True
        ),
        *map(_time, ("fast", "exact", "numpy", "nchw", "channels_last", "linear")),
        Column("/ better", _best_of_torch),
        _against("/ NCHW", "nchw"),
        *_FLOOR,
    ),
    "memory": (
        _text("name", "op", 24),
        _text("shape", "shape", 14),
        *map(_time, ("fast", "numpy", "nchw", "channels_last")),
        Column("/ better", _best_of_torch),
        _against("/ NCHW", "nchw"),
        *_FLOOR,
    ),
    "strided": (
        _text("name", "convolution", 34),
        _text("shape", "shape", 36),
        _text("pass", "pass", 19),
        Column(
            "algorithm", lambda row, rates: row["algorithms"].get(_mine(row)) or "-", 30, text=True
        ),
        *map(_time, ("fast", "numpy", "nchw", "channels_last")),
        Column("/ better", _best_of_torch),
        Column("goal", _goal, 5),
        *_FLOOR,
        _error("fast", "error"),
        _error("nchw", "PyTorch's"),
    ),
    "optim": (
        _text("name", "update", 8),
        _text("what", "parameters", 18),
        *map(_time, ("fast", "numpy", "torch_default", "torch_fused")),
        _against("/ default", "torch_default"),
        _against("/ fused", "torch_fused"),
        *_FLOOR,
    ),
    "steps": (
        _text("name", "network", 24),
        Column("batch", lambda row, rates: str(row["batch"]), 6),
        *map(_time, ("fast", "exact", "numpy")),
        *map(_time, ("default_nchw", "default_channels_last", "tuned_nchw", "tuned_channels_last")),
        _against("/ default", "default_nchw"),
        _against("/ tuned", "tuned_nchw", "tuned_channels_last"),
        Column("quiet", _quiet, 8),
        Column("peak memory, GiB", _peaks, 18, text=True),
    ),
    "networks": (
        _text("name", "network", 16),
        _text("pass", "pass", 34),
        Column("batch", lambda row, rates: str(row["batch"]), 6),
        Column("pixels", lambda row, rates: str(row["input_size"]), 7),
        *map(_time, ("plan", "fast", "numpy", "default_nchw", "tuned_channels_last", "compile")),
        *map(_time, ("onnxruntime", "fast_one", "tuned_channels_last_one")),
        _against("/ default", "default_nchw"),
        _against("/ tuned", "tuned_channels_last"),
        _against("/ compile", "compile"),
        _against("/ ONNX Runtime", "onnxruntime"),
        _against("/ 1 thread", "fast_one"),
        Column("quiet", _quiet, 8),
    ),
    "systems": (
        _text("name", "loop", 28),
        _text("shape", "on", 40),
        _text("peer", "beside", 12),
        *map(_time, ("fast", "peer")),
        _against("/ theirs", "peer"),
        Column("quiet", _quiet, 8),
    ),
    "tape": (
        _text("name", "op", 34),
        _micro("alone", "alone"),
        _micro("forward", "forward"),
        _micro("backward", "backward"),
        _micro("torch_forward", "torch fwd"),
        _micro("torch_backward", "torch bwd"),
    ),
    "growth": (
        Column("", _growth_name, 16, text=True),
        *map(_time, _GROWTH_TIMES),
        Column("peak memory, GiB; start-up", _growth_rest, 28, text=True),
    ),
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
                _ratio(v.goal.goal),
                _ratio(v.goal.beyond),
                str(v.threads) if v.measured is not None else "-",
                _ratio(v.measured),
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
