"""The GPU's results as text: a line for the terminal, and a Markdown page from the stored file."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu_device import Row

__all__ = ["line", "render"]

PEERS = ("cudnn", "torch")
TITLES = {
    "rates": "What this GPU can do",
    "training": "A run from end to end",
    "agreement": "CPU and GPU side by side",
    "steps": "Whole training steps",
    "layers": "Convolutions",
    "strided": "Gradients of convolutions with a stride",
    "crf": "Dense CRF",
    "ops": "Operations bound by memory",
}


def line(section: str, row: Row) -> str:
    """Return a row as one line."""
    head = [
        row["name"],
        *(str(row[key]) for key in ("part", "shape", "pass", "precision") if key in row),
    ]
    return f"  {section}: {', '.join(head)}: {_figures(row)}"


def _figures(row: Row) -> str:
    if "ms" in row:
        times = ", ".join(f"{name} {ms:g} ms" for name, ms in row["ms"].items())
        return times + (f"; speed {_speed(row)} of the peer's" if _peer(row) else "")
    if "rate" in row:
        return f"{row['rate']:g} {row['unit']}"
    return ", ".join(f"{key} {value}" for key, value in row.items() if key != "name")


def _peer(row: Row) -> str | None:
    return next((name for name in PEERS if name in row["ms"]), None)


def _speed(row: Row) -> str:
    """Return our speed as a share of the peer's: its time over ours."""
    peer = _peer(row)
    return "-" if peer is None else f"{row['ms'][peer] / row['ms']['ours']:.2f}"


def render(results: dict[str, Any]) -> str:
    """Return the page."""
    machine = results["machine"]
    facts = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in machine.items())
    parts = [
        f"Measured on {machine['date']}: {facts}.",
        "Speed is the peer's time over ours, so above 1 we are faster.",
    ]
    if results.get("notes"):
        parts.append("\n".join(f"* {note}" for note in results["notes"]))
    for section, title in TITLES.items():
        if (rows := results["sections"].get(section)) is not None:
            parts += [f"## {title}", _table(rows) if rows else "Nothing was measured."]
    return "\n\n".join(parts) + "\n"


def _table(rows: list[Row]) -> str:
    if "ms" not in rows[0]:
        keys = list(rows[0])
        cells = [[_cell(row.get(key)) for key in keys] for row in rows]
        return _markdown([key.replace("_", " ") for key in keys], cells)
    columns = list(dict.fromkeys(name for row in rows for name in row["ms"]))
    keys = [key for key in rows[0] if key not in ("ms", "flop", "bytes")]
    titles = [*(key.replace("_", " ") for key in keys), *(f"{c}, ms" for c in columns), "speed"]
    if "flop" in rows[0]:
        titles.append("TFLOP/s")
    cells = []
    for row in rows:
        times = [_cell(row["ms"].get(name)) for name in columns]
        cells.append([*(_cell(row.get(key)) for key in keys), *times, _speed(row)])
        if "flop" in row:
            cells[-1].append(f"{row['flop'] / row['ms']['ours'] / 1e9:.1f}")
    return _markdown(titles, cells)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _markdown(titles: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] * len(titles)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, rule, *rows))
