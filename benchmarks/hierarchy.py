"""Whether second-layer units of the hierarchical model fire at corners and junctions.

    python -m benchmarks.hierarchy [--out FILE.json]     learn, measure, print, store
    python -m benchmarks.hierarchy --table FILE.json      print what was stored

Two layers are learnt from line drawings, by the defaults of ``python -m minideconv.sparse_coding
hierarchy``, and measured on 48 other drawings, whose corners and junctions are known. Beside them:
the second layer before it has learnt anything; layers learnt with the weights and the continuation
of the authors' toolbox. The layers go into a file beside the
results, from which the page's pictures are made.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.modes import set_our_threads
from minideconv.backend import as_device
from minideconv.errors import DataError, UsageError
from minideconv.settings.command_line import HelpFormatter, run_program
from minideconv.sparse_coding.hierarchy.command import HELD_OUT
from minideconv.sparse_coding.hierarchy.drawings import drawings
from minideconv.sparse_coding.hierarchy.file import save_hierarchy
from minideconv.sparse_coding.hierarchy.junctions import RADIUS, Selectivity, measure_layers
from minideconv.sparse_coding.hierarchy.run import Run
from minideconv.sparse_coding.hierarchy.settings import HierarchySettings

__all__ = ["LAYERS", "RESULTS", "VARIANTS", "main", "table"]

RESULTS = Path(__file__).parent / "results" / "hierarchy.json"
LAYERS = Path(__file__).parent / "results" / "hierarchy.npz"
DEFAULTS = "defaults"
VARIANTS: dict[str, dict[str, Any]] = {
    DEFAULTS: {},
    "the authors' weights and continuation": {
        "kappa": "1,1",
        "betas": "1,10,100,1000,10000,100000",
        "rounds": 1,
    },
}


def run(
    layers_file: Path, quick: Mapping[str, Any] | None = None, held_out: int = HELD_OUT
) -> dict[str, Any]:
    """Learn and measure all variants; print a line for each.

    Parameters
    ----------
    layers_file : Path
        Where the layers of the defaults go.
    quick : mapping, optional
        Settings for all variants.
    held_out : int
        Drawings to measure on.
    """
    set_our_threads(2)
    found = {}
    for name, changes in VARIANTS.items():
        settings = HierarchySettings(**{**changes, **(quick or {})})
        drawn = drawings(held_out, settings.side, settings.seed, first=settings.drawings)
        began = time.perf_counter()
        learner = Run(None, settings, as_device("cpu"))
        learner.learn(lambda run: True)
        seconds = time.perf_counter() - began
        measured, _ = measure_layers(learner.layers, drawn, settings.schedule)
        rows = [_row(one) for one in measured]
        found[name] = {"settings": changes, "seconds": seconds, "layers": rows}
        if name == DEFAULTS:
            found[name]["drawings"] = settings.drawings
            header = {"settings": dataclasses.asdict(settings), "step": learner.step}
            save_hierarchy(layers_file, learner.layers, header)
            untaught = [learner.layers[0], learner.new_layer(1)]
            measured, _ = measure_layers(untaught, drawn, settings.schedule)
            found[name]["untaught"] = _row(measured[1])
        print(json.dumps({name: found[name]}), flush=True)
    return {"held_out": held_out, "radius": RADIUS, "variants": found}


def _row(found: Selectivity) -> dict[str, Any]:
    fires = np.isfinite(found.lift)
    return {
        "units": len(found.lift),
        "fire": found.firing,
        "selective": int(found.selective.sum()),
        "highest": float(found.lift[fires].max()) if fires.any() else None,
        "control": float(found.control[fires].mean()) if fires.any() else None,
        "mean": [found.mean, found.mean_low, found.mean_high] if fires.any() else None,
        "lift": [None if np.isnan(v) else round(float(v), 3) for v in found.lift],
        "low": [None if np.isnan(v) else round(float(v), 3) for v in found.low],
    }


def table(results: Mapping[str, Any]) -> str:
    """Return stored results as Markdown."""
    variants = results["variants"]
    first = variants[DEFAULTS]
    lines = [
        f"Measured on {results['date']}, {results['machine']['cpu']}: learnt from"
        f" {first['drawings']} drawings in {first['seconds']:.0f} seconds, two threads; measured on"
        f" {results['held_out']} others, within {results['radius']:g} pixels of a place"
        f" ({100 * first['layers'][0]['control']:.0f} % of the lines' pixels are).\n",
        "| units | that fire | selective | highest lift | mean lift, 95 % |",
        "|---|---|---|---|---|",
    ]
    rows = {"layer 1": first["layers"][0], "**layer 2**": first["layers"][1]}
    rows["layer 2 before it has learnt"] = first["untaught"]
    for name, variant in variants.items():
        if name != DEFAULTS:
            for number, row in enumerate(variant["layers"], 1):
                rows[f"layer {number}, {name}"] = row
    for name, row in rows.items():
        lift, mean = "", ""
        if row["fire"]:
            lift = f"{row['highest']:.2f}"
            mean = "{:.2f} ({:.2f} to {:.2f})".format(*row["mean"])
        count = f"{row['fire']} of {row['units']}"
        lines.append(f"| {name} | {count} | {row['selective']} | {lift} | {mean} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hierarchy", description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="where it goes")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print stored results alone")
    given = parser.parse_args(arguments)
    if given.table is not None:
        sys.stdout.write(table(_load(given.table)))
        return 0
    if not given.out.absolute().parent.is_dir():
        raise UsageError(f"--out {given.out}: there is no folder {given.out.absolute().parent}")
    found = run(given.out.with_name(LAYERS.name))
    results = {
        "date": date.today().isoformat(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        **found,
    }
    given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\n{table(results)}\nstored in {given.out}")
    return 0


def _load(path: Path) -> dict[str, Any]:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        table(results)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no results of this program ({error})") from error
    return dict(results)


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.hierarchy", main))
