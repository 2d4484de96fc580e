"""The dense CRF against pydensecrf2, on one thread each, taking turns. ``python -m benchmarks.crf``

    python -m benchmarks.crf [--image PHOTOGRAPH ...] [--out FILE.json]    measure, print, store
    python -m benchmarks.crf --table FILE.json                              print what was stored

500 x 375 pixels, 21 classes, 10 iterations; three settings of the bilateral kernel, of which the
narrow one touches the most corners of the lattice. The picture is drawn; photographs are named by
``--image`` and resized. Before anything is timed, both must give the same probabilities.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.crf_picture import picture
from benchmarks.modes import BenchmarkError, ours, set_our_threads
from benchmarks.store import load_shown
from benchmarks.timing import Timed, alternate, summary
from minideconv.data.pictures import read_image
from minideconv.data.resize import resize_image
from minideconv.errors import UsageError
from minideconv.segmentation import DenseCRF
from minideconv.settings.command_line import HelpFormatter, positive, run_program

__all__ = ["SETTINGS", "main", "measured", "table"]

RESULTS = Path(__file__).parent / "results" / "crf.json"
HEIGHT, WIDTH = 375, 500
ITERATIONS = 10
SETTINGS = {
    "20 px, 3 levels, weight 5 (DeconvNet's)": (20.0, 3.0, 5.0),
    "50 px, 10 levels, weight 4": (50.0, 10.0, 4.0),
    "80 px, 13 levels, weight 10 (default)": (80.0, 13.0, 10.0),
}
"""The bilateral kernel: position, colour, weight. The spatial one is 3 px, weight 3."""
TOLERANCE = 1e-3
"""Mean difference of the probabilities that both may have."""


def run(
    images: Mapping[str, np.ndarray], rounds: int, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> list[dict[str, Any]]:
    """Measure all settings on the drawn picture and on other images; print a line for each."""
    found = []
    for row in measured(images, rounds, size, tuple(SETTINGS)):
        found.append(row)
        print(_line(row), flush=True)
    return found


def measured(
    images: Mapping[str, np.ndarray],
    rounds: int,
    size: tuple[int, int],
    settings: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Yield what each of these settings took on the drawn picture and on other images."""
    theirs = _pydensecrf()
    set_our_threads(1)
    switches = ours(("fast",))
    if not switches:
        raise UsageError("this measures compiled functions: pip install minideconv[fast]")
    probabilities, drawn = picture(*size)
    for what, image in {"drawn": drawn, **images}.items():
        resized = np.ascontiguousarray(resize_image(image, size))
        for name in settings:
            calls = _calls(theirs, probabilities, resized, SETTINGS[name])
            turns = {
                "ours": Timed(calls["ours"], switches["fast"]),
                "pydensecrf2": Timed(calls["pydensecrf2"]),
            }
            apart = float(np.abs(turns["ours"].first - turns["pydensecrf2"].first).mean())
            if not apart <= TOLERANCE:
                raise BenchmarkError(f"{what}, {name}: the mean difference of Q is {apart:.1e}")
            samples = alternate(turns, rounds, 1)
            times = {who: summary(got, 1) for who, got in samples.items()}
            yield {"picture": what, "setting": name, "mean_difference": apart, **times}


def _pydensecrf() -> ModuleType:
    try:
        import pydensecrf.densecrf as densecrf
    except ImportError as error:
        raise UsageError(
            "this compares with pydensecrf2, which is not installed; pip install pydensecrf2==1.1"
        ) from error
    return densecrf


def _calls(
    densecrf: ModuleType, p: np.ndarray, image: np.ndarray, setting: tuple[float, float, float]
) -> dict[str, Callable[[], np.ndarray]]:
    """Return both ways from probabilities and image to refined probabilities."""
    position, color, weight = setting
    crf = DenseCRF(
        bilateral_position=position, bilateral_color=color, bilateral_weight=weight,
        iterations=ITERATIONS, method="lattice",
    )  # fmt: skip
    classes, height, width = p.shape

    def theirs() -> np.ndarray:
        model = densecrf.DenseCRF2D(width, height, classes)
        model.setUnaryEnergy(np.ascontiguousarray(-np.log(p).reshape(classes, -1)))
        model.addPairwiseGaussian(sxy=3, compat=3)
        model.addPairwiseBilateral(sxy=position, srgb=color, rgbim=image, compat=weight)
        return np.array(model.inference(ITERATIONS)).reshape(p.shape)

    return {"ours": lambda: crf.refine(p, image), "pydensecrf2": theirs}


def table(results: Mapping[str, Any]) -> str:
    """Return stored results as Markdown."""
    cpu = results["machine"]["cpu"]
    head = [
        f"One thread of {cpu}, {results['date']}, medians of {results['rounds']} turns, seconds of"
        " processor time:",
        "",
        "| picture | bilateral kernel | pydensecrf2 | minideconv | ratio | mean difference of Q |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join(head + [_line(row) for row in results["rows"]]) + "\n"


def _line(row: Mapping[str, Any]) -> str:
    seconds = [row[who]["ms"] / 1e3 for who in ("pydensecrf2", "ours")]
    return (
        f"| {row['picture']} | {row['setting']} | {seconds[0]:.2f} | {seconds[1]:.2f} |"
        f" {seconds[1] / seconds[0]:.2f} | {row['mean_difference']:.0e} |"
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.crf", description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument("--image", type=Path, nargs="+", default=[], metavar="PHOTOGRAPH")
    parser.add_argument("--rounds", type=positive, default=7, metavar="N", help="turns of each [7]")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="where it goes")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print stored results alone")
    given = parser.parse_args(arguments)
    if given.table is not None:
        sys.stdout.write(table(load_shown(given.table, table)))
        return 0
    if not given.out.absolute().parent.is_dir():
        raise UsageError(f"--out {given.out}: there is no folder {given.out.absolute().parent}")
    images = {f"photograph {k}": read_image(path) for k, path in enumerate(given.image, 1)}
    results = {
        "date": date.today().isoformat(),
        "rounds": given.rounds,
        "machine": machine.describe(),
        "versions": {**machine.versions(), "pydensecrf2": _version()},
        "rows": run(images, given.rounds),
    }
    given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\n{table(results)}\nstored in {given.out}")
    return 0


def _version() -> str:
    _pydensecrf()
    return version("pydensecrf2")


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.crf", main))
