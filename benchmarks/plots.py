"""Pictures of stored results: ratios per layer, steps, growth, and the roofline.

Each function draws one picture from the file's rows, or returns None if the rows are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.columns import TITLES
from benchmarks.goals import LAYOUTS, ratio
from benchmarks.store import Results, floors, rows_of, threads_of
from minideconv.errors import UsageError

__all__ = ["PICTURES", "draw_all"]

OURS, EXACT, NUMPY = "#0b6e4f", "#6bbf9b", "#b7dccb"
TORCH = {"default": "#b5442e", "tuned": "#e39a6b"}
PASSES = {"forward": "#0b6e4f", "input gradient": "#3d7ea6", "weight gradient": "#d08c29"}


def draw_all(results: Results, folder: Path) -> Iterator[Path]:
    """Draw every picture that the results have the rows for; yield the files.

    Raises
    ------
    UsageError
        If matplotlib is missing, or the results have rows for none of them.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UsageError(
            "drawing needs matplotlib, which is not installed; pip install minideconv[viz]"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    drawn = 0
    style = {"svg.hashsalt": "minideconv", "font.size": 9, "axes.spines.top": False}
    with mpl.rc_context({**style, "axes.spines.right": False}):
        for name, draw in PICTURES.items():
            figure = draw(results)
            if figure is not None:
                path = folder / f"cpu-{name}.png"
                figure.savefig(path, dpi=130, metadata={"Software": None})
                drawn += 1
                yield path
    if not drawn:
        raise UsageError("there is nothing to draw: the results have no layers, steps or growth")


def _figure(width: float, height: float, *grid: int, sharey: bool = False) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(*grid, sharey=sharey)


def _first(results: Results, section: str) -> tuple[list[dict[str, Any]], int]:
    """Return a section's rows with the smallest number of threads that it was measured with."""
    threads = threads_of(results, section)
    return (rows_of(results, section, threads[0]), threads[0]) if threads else ([], 1)


def _counted(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _deconvnet(results: Results) -> tuple[list[dict[str, Any]], int]:
    rows, threads = _first(results, "conv")
    wanted = [r for r in rows if r["group"].startswith("DeconvNet") and "fast" in r["times"]]
    return wanted, threads


def layers(results: Results) -> Any:
    """Bars: our time over the better PyTorch layout's, for each layer and pass."""
    rows, threads = _deconvnet(results)
    if not rows:
        return None
    names = list(dict.fromkeys(row["name"].split(", ")[0] for row in rows))
    figure, axes = _figure(9, 3.8)
    for number, (which, color) in enumerate(PASSES.items()):
        found = {
            row["name"].split(", ")[0]: compared.value
            for row in rows
            if row["pass"] == which and (compared := ratio(row["times"], "fast", LAYOUTS))
        }
        places = [i + 0.27 * (number - 1) for i, name in enumerate(names) if name in found]
        above = [value - 1 for value in found.values()]
        axes.bar(places, above, 0.25, bottom=1, label=which, color=color)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_ylabel("our time / PyTorch's better layout")
    axes.set_title(f"DeconvNet's layers, batch 2, {_counted(threads)}: below 1 we are faster")
    axes.legend(frameon=False, ncols=3)
    return figure


def steps(results: Results) -> Any:
    """Bars: the time of a whole step, one panel for each network and number of threads."""
    panels = [
        (row, threads)
        for threads in threads_of(results, "steps")
        for row in rows_of(results, "steps", threads)
    ]
    if not panels:
        return None
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = _figure(3.3 * columns, 2.5 * lines, lines, columns)
    every = list(getattr(axes, "flat", [axes]))
    for axis, (row, threads) in zip(every, panels, strict=False):
        names = list(row["times"])
        values = [row["times"][name]["ms"] for name in names]
        axis.barh(range(len(names)), values, color=[_color(name) for name in names])
        axis.set_yticks(range(len(names)), [TITLES[name] for name in names])
        axis.invert_yaxis()
        axis.set_xlabel("ms")
        what = f"batch {row['batch']}, {_counted(threads)}"
        axis.set_title(f"{row['name']}\n{what}", loc="left", fontsize=9)
    for axis in every[len(panels) :]:
        axis.set_visible(False)
    return figure


def _color(name: str) -> str:
    ours = {"fast": OURS, "exact": EXACT, "numpy": NUMPY}
    return ours.get(name) or TORCH[name.split("_")[0]]


def growth(results: Results) -> Any:
    """Lines: a step's time against image size, batch and width."""
    rows, threads = _first(results, "growth")
    variables = list(dict.fromkeys(row["variable"] for row in rows if "times" in row))
    if not variables:
        return None
    figure, axes = _figure(3.3 * len(variables), 3, 1, len(variables), sharey=True)
    for axis, variable in zip(getattr(axes, "flat", [axes]), variables, strict=True):
        mine = [row for row in rows if row["variable"] == variable]
        for name in mine[0]["times"]:
            values = [row["value"] for row in mine]
            times = [row["times"][name]["ms"] for row in mine]
            dashes = "--" if name == "numpy" else "-"
            axis.loglog(values, times, dashes, marker=".", color=_color(name), label=TITLES[name])
        axis.set_xticks(values, [str(v) for v in values])
        axis.xaxis.minorticks_off()
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.set_xlabel(variable.replace("_", " "))
    first = figure.axes[0]
    first.set_ylabel(f"ms per step, {_counted(threads)}")
    first.legend(frameon=False)
    return figure


def roofline(results: Results) -> Any:
    """Points: a convolution's operations per second against those per byte; and the two roofs."""
    rows, threads = _deconvnet(results)
    rates = floors(results, threads)
    compute = max((r for n, r in rates.items() if n.startswith(("multiply", "sgemm"))), default=0)
    move = max((r for n, r in rates.items() if n.startswith(("copy", "read"))), default=0)
    if not rows or not compute or not move:
        return None
    figure, axis = _figure(6.5, 4.2)
    intensity = [row["flop"] / (row["read"] + row["written"]) for row in rows]
    speeds: dict[str, tuple[Callable[[dict[str, Any]], float], str, str]] = {
        "ours": (lambda t: t["fast"]["ms"], OURS, "o"),
        "PyTorch, better layout": (
            lambda t: min(t[name]["ms"] for name in LAYOUTS),
            TORCH["default"],
            "x",
        ),
    }
    for label, (time, color, marker) in speeds.items():
        speed = [row["flop"] / time(row["times"]) / 1e6 for row in rows]
        axis.scatter(intensity, speed, 22, color=color, marker=marker, label=label)
    ends = [min(intensity) / 2, compute / move, max(intensity) * 2]
    axis.plot(ends, [ends[0] * move, compute, compute], color="black", linewidth=0.9)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("operations of the sum as written, per byte that has to move")
    axis.set_ylabel(f"10⁹ of these per second, {_counted(threads)}")
    axis.set_title("Above the roof: Winograd's algorithm does fewer operations", fontsize=9)
    axis.legend(frameon=False, loc="upper left")
    return figure


PICTURES: dict[str, Callable[[Results], Any]] = {
    "layers": layers,
    "steps": steps,
    "growth": growth,
    "roofline": roofline,
}
