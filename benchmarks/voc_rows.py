"""The paper's comparison on photographs: ``python -m benchmarks.voc_rows --data-root DIR``

Trains FCN and DeconvNet on a small subset of PASCAL VOC, from random weights and from a VGG-16
that has seen ImageNet, evaluates each, and compares the best of both, their ensemble and a CRF; and
trains one DeconvNet from several starts. `voc_recipe.ROWS` is the recipe: ``--list`` prints its
commands as a reader would type them.

Every network is evaluated with the weights of its last epoch, on the validation images at their own
sizes, once as they are and once averaged with the mirror image. ``--only NAME`` makes some rows;
what they begin with must be there. What came out goes to `results/voc_rows.json`, and what the
programs printed to `results/voc_rows/`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.voc_recipe import DOCUMENTED, EVALUATIONS, GROUPS, ROWS, Row, needed
from minideconv.errors import UsageError
from minideconv.settings import command_line

__all__ = ["RESULTS", "commands", "listing", "main", "table"]

RESULTS = Path(__file__).parent / "results" / "voc_rows.json"
LOGS = RESULTS.with_suffix("")
_WIDTH = 100


def commands(name: str, places: Mapping[str, str]) -> dict[str, list[str]]:
    """Return a row's commands without ``python -m``, by what they are called in the results.

    Parameters
    ----------
    name : str
        Of the row.
    places : mapping
        "data", "trunk" and "output", as in `DOCUMENTED`.
    """
    row = ROWS[name]
    folders = {other: f"{places['output']}/{other}" for other in ROWS}
    texts = dict(zip(map(str, range(1, len(row.commands) + 1)), row.commands, strict=True))
    if row.is_network:
        texts |= EVALUATIONS
    filled = {key: shlex.quote(each) for key, each in {**folders, **places}.items()}
    filled["own"] = filled[name]
    return {key: shlex.split("minideconv." + each.format(**filled)) for key, each in texts.items()}


def listing(places: Mapping[str, str], names: Sequence[str] = tuple(ROWS)) -> str:
    """Return the commands of some rows, each below its title."""
    lines = []
    for name in names:
        lines.append(f"# {ROWS[name].title}")
        lines += [_wrapped(["python", "-m", *each]) for each in commands(name, places).values()]
    return "\n".join(lines) + "\n"


def _wrapped(command: Sequence[str]) -> str:
    """Write a command on lines of less than 100 characters, broken in front of options."""
    parts: list[list[str]] = [[]]
    for word in command:
        if word.startswith("--"):
            parts.append([])
        parts[-1].append(word)
    lines = [shlex.join(parts[0])]
    for part in map(shlex.join, parts[1:]):
        if len(lines[-1]) + len(part) < _WIDTH - len(" \\"):
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    return " \\\n".join(lines)


def make(name: str, places: Mapping[str, str], threads: int) -> dict[str, Any]:
    """Run a row's commands; return what the results file keeps of it."""
    own = Path(places["output"]) / name
    seconds, metrics, log = {}, {}, []
    for key, command in commands(name, places).items():
        shown = shlex.join(["python", "-m", *command])
        print(f"$ {shown}", flush=True)
        out = own.with_name(f"{name}-{key}.json")
        more = ["--threads", str(threads)]
        if key in EVALUATIONS:
            more += ["--json", str(out)]
        start = time.monotonic()
        log += [f"$ {shown}", _run([*command, *more])]
        seconds[key] = round(time.monotonic() - start)
        if key in EVALUATIONS:
            metrics[key] = _read(out)
    if not ROWS[name].is_network:
        metrics = _read(own / "comparison.json")
    LOGS.mkdir(exist_ok=True)
    text = "\n".join(log).replace(str(Path.home()), "~")  # a stored log names no one's folders
    (LOGS / f"{name}.log").write_text(text, encoding="utf-8")
    return {
        "title": ROWS[name].title,
        "date": date.today().isoformat(),
        "machine": machine.describe(),
        "threads": threads,
        "commands": [
            shlex.join(["python", "-m", *each]) for each in commands(name, places).values()
        ],
        "seconds": seconds,
        "metrics": metrics,
    }


def _run(command: Sequence[str]) -> str:
    """Run a program of the library, show what it prints, and return it."""
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    if process.returncode:
        raise UsageError(f"{command[0]} ended with exit code {process.returncode}")
    return "".join(lines)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def table(results: Mapping[str, Any], group: str) -> str:
    """Return what the rows of a group reached, and what they cost, as Markdown."""
    lines = [
        "| row | mean IoU | with the mirror image | minutes, all that it needs | made on |",
        "|---|---:|---:|---:|---|",
    ]
    for name, row in ROWS.items():
        if name in results and row.group == group:
            reached = " | ".join(_reached(row, results[name]["metrics"]))
            minutes, day = _seconds(name, results) / 60, results[name]["date"]
            lines.append(f"| {row.title} | {reached} | {minutes:.0f} | {day} |")
    return "\n".join(lines) + "\n"


def _reached(row: Row, metrics: Mapping[str, Any]) -> tuple[str, str]:
    """Return a row's mean IoU in per cent without the mirror image, and with it."""
    if row.is_network:
        plain, flip = (f"{100 * metrics[key]['mean_iou']:.1f}" for key in EVALUATIONS)
        return plain, flip
    best = f"{100 * metrics['rows']['ensemble + CRF']['mean_iou']:.1f}"
    return ("", best) if metrics["inference"].get("flip") else (best, "")


def _seconds(name: str, results: Mapping[str, Any]) -> int:
    """Return the seconds of a row's commands, and of those that made what it begins with."""
    total: int = sum(results[name]["seconds"].values())
    for other in needed(name)[:-1]:
        total += sum(v for k, v in results[other]["seconds"].items() if k not in EVALUATIONS)
    return total


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.voc_rows",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data-root", metavar="DIR", default=DOCUMENTED["data"],
                        help=f"the VOC folder [{DOCUMENTED['data']}]")  # fmt: skip
    parser.add_argument("--trunk", metavar="FILE", default=DOCUMENTED["trunk"],
                        help="VGG-16's weights [downloaded once]")  # fmt: skip
    parser.add_argument("--output", metavar="DIR", default=DOCUMENTED["output"],
                        help=f"folder of the runs [{DOCUMENTED['output']}]")  # fmt: skip
    parser.add_argument("--only", metavar="NAME", nargs="+", choices=tuple(ROWS), default=ROWS,
                        help="make these rows alone: " + ", ".join(ROWS))  # fmt: skip
    parser.add_argument("--threads", metavar="N", type=command_line.positive, default=2,
                        help="worker threads [2]")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print the commands and stop")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    given = _parser().parse_args(arguments)
    places = {"data": given.data_root, "trunk": given.trunk, "output": given.output}
    chosen = [name for name in ROWS if name in given.only]
    if given.list:
        sys.stdout.write(listing(places, chosen))
        return 0
    results = _read(RESULTS) if RESULTS.exists() else {}
    Path(given.output).mkdir(parents=True, exist_ok=True)
    for name in chosen:
        results[name] = make(name, places, given.threads)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for group in GROUPS:
        print(table(results, group))
    return 0


if __name__ == "__main__":
    sys.exit(command_line.run_program("benchmarks.voc_rows", main, sys.argv[1:]))
