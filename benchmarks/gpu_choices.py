"""What the table's choices between algorithms cost, by the stored times of each.

    python -m benchmarks.gpu_choices [FILE.json] [--least MS]

For every stored layer, pass and precision that has both ways, the time of the one that the table
chooses, of the faster one, and of cuDNN, summed over DeconvNet. Layers for which the faster one
takes less than --least are left out: where calls were not recorded, that may be the host's time.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_device import Row
from minideconv.engine.cuda.problem import ConvProblem
from minideconv.engine.cuda.table import is_implicit
from minideconv.ops.im2col import conv_window
from minideconv.settings.command_line import HelpFormatter, run_program

__all__ = ["costs", "problem_of"]

RESULTS = Path(__file__).parent / "results" / "gpu-nvidia-h200.json"
SHAPE = re.compile(r"(\d+) -> (\d+), (\d+)x\d+( transposed)?, (\d+)x\d+, N=(\d+)")


def problem_of(row: Row) -> ConvProblem:
    """Return the problem of a stored row; of a transposed convolution, that of its twin."""
    found = SHAPE.fullmatch(row["shape"])
    assert found is not None, row["shape"]
    c, k, kernel, size, n = (int(found[group]) for group in (1, 2, 3, 5, 6))
    operation = row["pass"].replace("input gradient", "input_grad").replace(" gradient", "_grad")
    if found[4]:
        c, k = k, c
        operation = {"forward": "input_grad", "input_grad": "forward"}.get(operation, operation)
        size += (kernel - 1) * (kernel > 3)  # fc6_deconv grows; the others have padding
    window = conv_window("conv2d", (size, size), kernel, 1, kernel // 2 if kernel == 3 else 0, 1)
    return ConvProblem(operation, window, n, c, k, 1, np.dtype(np.float32), row["precision"])


def costs(rows: Sequence[Row], least: float) -> dict[str, dict[str, float]]:
    """Return for each precision the milliseconds of the table's way, the fastest and cuDNN's."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        ours = {name: ms for name, ms in row["ms"].items() if name not in ("ours", "cudnn")}
        implicit = [name for name in ours if name.startswith("implicit_gemm")]
        if not implicit or min(ours.values()) < least:
            continue
        layers = len(row["name"].split(", "))
        way = implicit[0] if is_implicit(problem_of(row)) else "im2col_gemm"
        total = sums[row["precision"]]
        for name, ms in (("table", ours[way]), ("fastest", min(ours.values()))):
            total[name] += layers * ms
        if "cudnn" in row["ms"]:
            total["cudnn"] += layers * row["ms"]["cudnn"]
        total["layers"] += layers
    return {name: dict(total) for name, total in sums.items()}


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        "benchmarks.gpu_choices", description=__doc__.split("\n")[0], formatter_class=HelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, default=RESULTS, metavar="FILE.json")
    parser.add_argument("--least", type=float, default=0.3, metavar="MS")
    options = parser.parse_args(arguments)
    stored: dict[str, Any] = json.loads(options.file.read_text(encoding="utf-8"))
    for name, total in costs(stored["sections"].get("layers", []), options.least).items():
        layers = round(total.pop("layers"))
        times = ", ".join(f"{way} {ms:.2f} ms" for way, ms in total.items())
        print(f"{name}, {layers} layers and passes: {times}")
    return 0


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.gpu_choices", main))
