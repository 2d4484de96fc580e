"""Whether second-layer units of the hierarchical model show corners and junctions.

    python -m benchmarks.hierarchy [--out FILE.json]     learn, measure, print, store
    python -m benchmarks.hierarchy --table FILE.json      print what was stored

Two layers are learnt from line drawings, by the defaults of ``python -m minideconv.sparse_coding
hierarchy``, and measured on 48 other drawings, whose corners and junctions are known. Beside them:
the second layer before it has learnt anything; layers learnt with the weights, the continuation and
the epochs of the authors' toolbox. One thread. The layers go into a file beside the results, from
which the page's pictures are made.

What is measured of each:

- *where units fire* (`hierarchy.junctions`), with a unit's place taken to be the vertex of the
  shape that its projection looks like (`hierarchy.shapes`), the middle of its projection, or the
  point fitted on the drawings that the layers were learnt from;
- *what one number shows* (`hierarchy.single`): the cosine of its projection with the picture, in
  windows of 7x7 and 11x11 pixels around corners, junctions and straight pieces of lines.
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
from benchmarks.store import load_shown
from minideconv.backend import as_device
from minideconv.errors import UsageError
from minideconv.settings.command_line import HelpFormatter, run_program
from minideconv.sparse_coding.hierarchy.command import HELD_OUT, held_out
from minideconv.sparse_coding.hierarchy.contrast import prepared
from minideconv.sparse_coding.hierarchy.drawings import KINDS, Drawing, drawings
from minideconv.sparse_coding.hierarchy.file import save_hierarchy
from minideconv.sparse_coding.hierarchy.junctions import (
    RADIUS,
    Selectivity,
    drawing_maps,
    fit_points,
    measure,
)
from minideconv.sparse_coding.hierarchy.layer import find_maps, stamps
from minideconv.sparse_coding.hierarchy.run import Run
from minideconv.sparse_coding.hierarchy.settings import HierarchySettings
from minideconv.sparse_coding.hierarchy.shapes import LINE, looks
from minideconv.sparse_coding.hierarchy.single import STRAIGHT, cosine, spots, strongest, window

__all__ = [
    "DEFAULTS",
    "LAYERS",
    "LAYER_1",
    "LAYER_2",
    "RESULTS",
    "UNTAUGHT",
    "VARIANTS",
    "main",
    "run",
    "shaped",
    "share",
    "table",
]

RESULTS = Path(__file__).parent / "results" / "hierarchy.json"
LAYERS = Path(__file__).parent / "results" / "hierarchy.npz"
DEFAULTS = "defaults"
LAYER_1, LAYER_2, UNTAUGHT = "layer 1", "layer 2", "layer 2 before it has learnt"
HALVES = (3, 5)
_RESAMPLES = 2000
VARIANTS: dict[str, dict[str, Any]] = {
    DEFAULTS: {},
    "the authors' settings": {
        "kappa": "1,1",
        "epochs": "7,1",
        "betas": "1,10,100,1000,10000,100000",
        "rounds": 1,
    },
}


def run(
    layers_file: Path, quick: Mapping[str, Any] | None = None, count: int = HELD_OUT
) -> dict[str, Any]:
    """Learn and measure all variants.

    Parameters
    ----------
    layers_file : Path
        Where the layers of the defaults go.
    quick : mapping, optional
        Settings for all variants.
    count : int
        Drawings to measure on.
    """
    set_our_threads(1)
    variants = {}
    for name, changes in VARIANTS.items():
        settings = HierarchySettings(**{**changes, **(quick or {})})
        began = time.perf_counter()
        learner = Run(None, settings, as_device("cpu"))
        learner.learn(lambda run: True)
        seconds = time.perf_counter() - began
        drawn = drawings(settings.drawings, settings.side, settings.seed)
        drawn += held_out(settings, count)
        first, second = learner.layers
        layers = {LAYER_1: [first], LAYER_2: [first, second]}
        maps = dict(
            zip(layers, drawing_maps([first, second], drawn, settings.schedule), strict=True)
        )
        if name == DEFAULTS:
            header = {"settings": dataclasses.asdict(settings), "step": learner.step}
            save_hierarchy(layers_file, learner.layers, header)
            layers[UNTAUGHT] = [first, learner.new_layer(1)]
            maps[UNTAUGHT] = find_maps(layers[UNTAUGHT][1:], maps[LAYER_1], settings.schedule)
        variants[name] = {
            "settings": changes,
            "seconds": seconds,
            "drawings": settings.drawings,
            "layers": {
                layer: _measured(maps[layer], stamps(layers[layer]), drawn, settings.drawings)
                for layer in layers
            },
        }
        if name == DEFAULTS:
            projections = {layer: stamps(layers[layer]) for layer in layers}
            last = {layer: maps[layer][settings.drawings :] for layer in layers}
            variants[name]["single"] = _single(last, projections, drawn[settings.drawings :])
    return {"held_out": count, "radius": RADIUS, "variants": variants}


def _measured(
    maps: Any, projections: Any, drawn: Sequence[Drawing], learnt_from: int
) -> dict[str, Any]:
    """Return what units of a layer look like and where they fire, on the drawings held out."""
    seen = looks(projections)
    before, after = list(maps[:learnt_from]), list(maps[learnt_from:])
    fitted = fit_points(before, projections, drawn[:learnt_from])
    test = drawn[learnt_from:]
    row = {
        "looks": list(seen.kinds),
        "likeness": [round(float(v), 3) for v in seen.likeness],
        **{
            name: _row(measure(after, projections, test, points))
            for name, points in (("vertex", seen.vertices), ("middle", None), ("fitted", fitted))
        },
    }
    row["fitted"]["kinds"] = {
        kind: int(measure(after, projections, test, fitted, kind).selective.sum()) for kind in KINDS
    }
    return row


def _row(found: Selectivity) -> dict[str, Any]:
    fires = np.isfinite(found.lift)
    return {
        "fire": found.firing,
        "selective": int(found.selective.sum()),
        "highest": float(found.lift[fires].max()) if fires.any() else None,
        "control": float(found.control[fires].mean()) if fires.any() else None,
        "mean": [found.mean, found.mean_low, found.mean_high] if fires.any() else None,
        "lift": [None if np.isnan(v) else round(float(v), 3) for v in found.lift],
        "low": [None if np.isnan(v) else round(float(v), 3) for v in found.low],
    }


def _single(
    maps: Mapping[str, Any], projections: Mapping[str, Any], drawn: Sequence[Drawing]
) -> dict[str, Any]:
    """Return mean cosines of one number of each layer's maps, by window and kind of place."""
    pictures = prepared([one.image for one in drawn], np.float64)[:, 0]
    rng = np.random.default_rng(0)
    places = [(k, *spot) for k, one in enumerate(drawn) for spot in spots(one, rng)]
    counts = rng.multinomial(len(drawn), np.full(len(drawn), 1 / len(drawn)), _RESAMPLES)
    found: dict[str, Any] = {}
    for half in HALVES:
        values = np.array(
            [
                [
                    cosine(
                        strongest(maps[layer][k], projections[layer], place, half).picture,
                        window(pictures[k], place, half),
                    )
                    for layer in maps
                ]
                for k, _, place in places
            ]
        )
        found[str(2 * half + 1)] = {
            kind: _means(
                values[[what == kind for _, what, _ in places]],
                np.array([k for k, what, _ in places if what == kind]),
                counts,
                list(maps),
            )
            for kind in (*KINDS, STRAIGHT)
        }
    return found


def _means(values: Any, where: Any, counts: Any, layers: Sequence[str]) -> dict[str, Any] | None:
    """Return means over places, and the second layer's lead on the first, drawings resampled."""
    if not len(values):
        return None
    weights = counts[:, where]
    some = weights.sum(axis=1) > 0
    lead = values[:, 1] - values[:, 0]
    again = (weights[some] @ lead) / weights[some].sum(axis=1)
    low, high = np.quantile(again, (0.025, 0.975))
    return {
        "places": len(values),
        "cosine": dict(zip(layers, values.mean(axis=0).tolist(), strict=True)),
        "lead": [float(lead.mean()), float(low), float(high)],
    }


def share(count: int, of: int) -> str:
    """Return "7 of 44 (8 to 29 %)": with Wilson's 95 % interval of the share, if `of` is not 0."""
    if not of:
        return "0 of 0"
    z = 1.96
    middle, spread = count + z * z / 2, z * (count * (of - count) / of + z * z / 4) ** 0.5
    low, high = ((middle + sign * spread) / (of + z * z) for sign in (-1, 1))
    return f"{count} of {of} ({100 * max(low, 0):.0f} to {100 * high:.0f} %)"


def shaped(row: Mapping[str, Any], kinds: Sequence[str]) -> str:
    """Return how many of the units that look like one of the kinds fire near places."""
    low = [
        low
        for low, kind in zip(row["vertex"]["low"], row["looks"], strict=True)
        if kind in kinds and low is not None
    ]
    return share(sum(value > 1 for value in low), len(low))


def table(results: Mapping[str, Any]) -> str:
    """Return stored results as Markdown: where units fire, then what one number shows."""
    variants = results["variants"]
    first = variants[DEFAULTS]
    rows = dict(first["layers"])
    for name, variant in variants.items():
        if name != DEFAULTS:
            rows |= {f"{layer}, {name}": row for layer, row in variant["layers"].items()}
    control = first["layers"][LAYER_1]["middle"]["control"]
    lines = [
        f"Measured on {results['date']}, {results['machine']['cpu']}: learnt from"
        f" {first['drawings']} drawings in {first['seconds']:.0f} seconds, one thread; measured on"
        f" {results['held_out']} others, within {results['radius']:g} pixels of a place"
        f" ({100 * control:.0f} % of the lines' pixels are). Units that fire, and how many of them"
        " are selective:\n",
        "| | that look like corners or junctions, at the vertex | that look like lines, at the"
        " middle of the line | all, at the middle | all, at the fitted point | mean lift there |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = [name, shaped(row, KINDS), shaped(row, [LINE])]
        cells += [share(row[how]["selective"], row[how]["fire"]) for how in ("middle", "fitted")]
        mean = row["fitted"]["mean"]
        cells.append("{:.2f} ({:.2f} to {:.2f})".format(*mean) if mean else "")
        lines.append(f"| {' | '.join(cells)} |")
    kinds = ", ".join(
        f"{count} near {kind}s" if kind == "corner" else f"{count} near {kind}"
        for kind, count in rows[LAYER_2]["fitted"]["kinds"].items()
    )
    lines.append(
        "\nBy kind of place, for the second layer at the fitted points: selective are"
        f" {kinds}.\n\nThe cosine of one number's projection with the picture, mean over places:\n"
    )
    lines += [
        "| window | around | places | layer 1 | layer 2 | before it has learnt | layer 2 less"
        " layer 1, 95 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for side, found in first["single"].items():
        for kind, one in found.items():
            if one is not None:
                means = " | ".join(f"{one['cosine'][name]:.2f}" for name in first["layers"])
                lead = "{:+.3f} ({:+.3f} to {:+.3f})".format(*one["lead"])
                lines.append(f"| {side}x{side} | {kind} | {one['places']} | {means} | {lead} |")
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
        sys.stdout.write(table(load_shown(given.table, table)))
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


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.hierarchy", main))
