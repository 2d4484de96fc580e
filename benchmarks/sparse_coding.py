"""Convolutional sparse coding against sporco, taking turns. ``python -m benchmarks.sparse_coding``

    python -m benchmarks.sparse_coding [--rounds N] [--out FILE.json]     measure, print, store
    python -m benchmarks.sparse_coding --table FILE.json                   print what was stored

One thread each, float32 as both take it, filters of 8x8 on a picture that is drawn from a seed.
Both do the same iterations: ADMM with rho, relaxation and no adaption, FISTA with the same L, and
learning with one iteration of ADMM and one step of the filters in turn. sporco runs in its fastest
form (FastSolve: it computes no objective; HighMemSolve; its FFT is FFTW's, planned beforehand). A
turn is 3 iterations from where the last turn ended. Before anything is timed, the maps, or the
filters, of both must be equal after 3 iterations.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.modes import BenchmarkError, ours, set_our_threads
from benchmarks.store import load_shown
from benchmarks.timing import Timed, alternate, summary
from minideconv.errors import UsageError
from minideconv.settings.command_line import HelpFormatter, positive, run_program
from minideconv.sparse_coding import Admm, BatchLearner, Fista, Problem
from minideconv.sparse_coding.dictionary import random_filters

__all__ = ["CASES", "TURN", "main", "measured", "table"]

RESULTS = Path(__file__).parent / "results" / "sparse_coding.json"
CASES = [(256, 32), (256, 64), (256, 100), (512, 32), (512, 100)]
"""Side of the image, filters."""
ALGORITHMS = ("ADMM", "FISTA", "learning")
LAMBDA, RHO, RELAXATION, KERNEL, TURN = 0.1, 4.0, 1.8, (8, 8), 3
TOLERANCE = 1e-3
"""Largest difference of what both compute, as a share of the largest number, in float32."""


def picture(side: int) -> np.ndarray:
    """Return a grey picture of rectangles and noise, of mean 0: (1, 1, side, side)."""
    rng = np.random.default_rng(side)
    image = np.zeros((side, side))
    for _ in range(60):
        top, left = rng.integers(side, size=2)
        height, width = rng.integers(8, side // 3, size=2)
        image[top : top + height, left : left + width] = rng.random()
    image += 0.05 * rng.standard_normal(image.shape)
    return (image - image.mean())[None, None].astype(np.float32)


def our_call(algorithm: str, problem: Problem, filters: np.ndarray, constant: float) -> Any:
    """Return a function of some iterations, and one that returns what they made."""
    options: dict[str, Any] = {"rho": RHO, "relaxation": RELAXATION, "adapt_every": 0}
    if algorithm == "FISTA":
        solver: Any = Fista(problem, filters, constant)
    elif algorithm == "ADMM":
        solver = Admm(problem, filters, **options)
    else:
        solver = BatchLearner(problem, filters, "sphere", constant, **options)

    def call() -> None:
        for _ in range(TURN):
            solver.step()

    return call, lambda: solver.filters if algorithm == "learning" else solver.maps[0]


def their_call(algorithm: str, problem: Problem, filters: np.ndarray, constant: float) -> Any:
    """Return the same of sporco."""
    _sporco()
    from sporco.admm import cbpdn
    from sporco.dictlrn import cbpdndl
    from sporco.pgm import cbpdn as pgm

    d, s = filters[:, 0].transpose(1, 2, 0), problem.images[0, 0]
    coding = {"rho": RHO, "RelaxParam": RELAXATION, "FastSolve": True, "HighMemSolve": True,
              "AutoRho": {"Enabled": False}}  # fmt: skip
    if algorithm == "FISTA":
        options = {"MaxMainIter": TURN, "L": constant, "FastSolve": True}
        solver: Any = pgm.ConvBPDN(d, s, LAMBDA, pgm.ConvBPDN.Options(options), dimK=0)
    elif algorithm == "ADMM":
        options = cbpdn.ConvBPDN.Options({**coding, "MaxMainIter": TURN})
        solver = cbpdn.ConvBPDN(d, s, LAMBDA, options, dimK=0)
    else:
        # What HighMemSolve keeps belongs to one dictionary; sporco makes it anew each time.
        options = cbpdndl.ConvBPDNDictLearn.Options(
            {"MaxMainIter": TURN, "CBPDN": {**coding, "MaxMainIter": 1},
             "CCMOD": {"L": constant, "FastSolve": True, "MaxMainIter": 1}},
            xmethod="admm", dmethod="pgm",
        )  # fmt: skip
        solver = cbpdndl.ConvBPDNDictLearn(
            d, s, LAMBDA, options, xmethod="admm", dmethod="pgm", dimK=0
        )

    def found() -> np.ndarray:
        if algorithm == "learning":
            return solver.getdict().squeeze().transpose(2, 0, 1)[:, None]
        return solver.getcoef().squeeze().transpose(2, 0, 1)

    return solver.solve, found


def run(
    cases: Sequence[tuple[int, int]],
    rounds: int,
    keep: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> list[dict[str, Any]]:
    """Measure all algorithms in all cases; print a line for each, and call `keep` after each."""
    rows: list[dict[str, Any]] = []
    for row in measured(cases, rounds):
        rows.append(row)
        print(_line(row), flush=True)
        keep(rows)
    return rows


def measured(cases: Sequence[tuple[int, int]], rounds: int) -> Iterator[dict[str, Any]]:
    """Yield what each algorithm took in each case."""
    _sporco()
    set_our_threads(1)
    switches = ours(("fast",))
    if not switches:
        raise UsageError("this measures compiled functions: pip install minideconv[fast]")
    for side, count in cases:
        problem = Problem(picture(side), LAMBDA)
        filters = random_filters(count, 1, KERNEL, np.random.default_rng(0), np.float32)
        for algorithm in ALGORITHMS:
            constant = Fista(problem, filters).lipschitz
            if algorithm == "learning":
                constant *= side * side / 50  # of the filters' step: safe for these maps
            switches["fast"]()
            calls = {
                "ours": our_call(algorithm, problem, filters, constant),
                "sporco": their_call(algorithm, problem, filters, constant),
            }
            for call, _ in calls.values():
                call()
            one, two = (found() for _, found in calls.values())
            apart = float(np.abs(one - two).max() / np.abs(two).max())
            if not apart <= TOLERANCE:
                raise BenchmarkError(f"{algorithm}, {side}, {count}: {apart:.1e} apart")
            turns: dict[str, Callable[[], Any]] = {
                "ours": Timed(calls["ours"][0], switches["fast"]),
                "sporco": Timed(calls["sporco"][0]),
            }
            samples = alternate(turns, rounds, 1)
            times = {who: summary(got, 1) for who, got in samples.items()}
            yield {
                "algorithm": algorithm, "side": side, "filters": count, "apart": apart, **times
            }  # fmt: skip


def _sporco() -> None:
    """Import sporco, with one thread for its FFT."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import sporco.fft
        except ImportError as error:
            raise UsageError("this needs sporco: pip install --group oracles") from error
    sporco.fft.pyfftw_threads = 1


def table(results: Mapping[str, Any]) -> str:
    """Return stored results as Markdown."""
    head = [
        f"One thread of {results['machine']['cpu']}, {results['date']}, medians of"
        f" {results['rounds']} turns of {TURN} iterations, float32, 8x8 filters, milliseconds of"
        " processor time for an iteration:",
        "",
        "| algorithm | image | filters | sporco | minideconv | ratio | largest difference |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join(head + [_line(row) for row in results["rows"]]) + "\n"


def _line(row: Mapping[str, Any]) -> str:
    theirs, mine = (row[who]["ms"] / TURN for who in ("sporco", "ours"))
    return (
        f"| {row['algorithm']} | {row['side']} x {row['side']} | {row['filters']} |"
        f" {theirs:.1f} | {mine:.1f} | {mine / theirs:.2f} | {row['apart']:.0e} |"
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sparse_coding",
        description=__doc__,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="turns of each [5]")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="where it goes")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print stored results alone")
    given = parser.parse_args(arguments)
    if given.table is not None:
        sys.stdout.write(table(load_shown(given.table, table)))
        return 0
    if not given.out.absolute().parent.is_dir():
        raise UsageError(f"--out {given.out}: there is no folder {given.out.absolute().parent}")
    results: dict[str, Any] = {
        "date": date.today().isoformat(),
        "rounds": given.rounds,
        "machine": machine.describe(),
        "versions": {**machine.versions(), **_versions()},
    }

    def keep(rows: list[dict[str, Any]]) -> None:  # a long run leaves what it has
        results["rows"] = rows
        given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    run(CASES, given.rounds, keep)
    print(f"\n{table(results)}\nstored in {given.out}")
    return 0


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("sporco", "pyfftw")}


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.sparse_coding", main))
