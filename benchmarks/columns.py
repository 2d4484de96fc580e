"""What the tables show of a row: a column's title, and the text of its cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.goals import ratio
from benchmarks.modes import OURS

__all__ = ["COLUMNS", "TITLES", "Column", "Floors", "Row", "floor_ms", "ratio_text"]

Floors = dict[str, float]
Row = dict[str, Any]

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


def ratio_text(value: float | None) -> str:
    """Return a ratio as it is shown."""
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
    return ratio_text(None if found is None else found.value)


def _best_of_torch(row: Row, rates: Floors) -> str:
    return _compared(row, tuple(name for name in row["times"] if name not in OURS))


def _goal(row: Row, rates: Floors) -> str:
    return ratio_text(row["goal"])


def _error(name: str, title: str) -> Column:
    def cell(row: Row, rates: Floors) -> str:
        error = row["errors"].get(name)
        return "-" if error is None else f"{error:.0e}"

    return Column(title, cell, 12)


def _floor(row: Row, rates: Floors) -> str:
    return _number(floor_ms(row, rates))


def _to_floor(row: Row, rates: Floors) -> str:
    floor = floor_ms(row, rates)
    return ratio_text(row["times"][_mine(row)]["ms"] / floor if floor else None)


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
