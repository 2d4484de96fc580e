"""What a GPU cannot be faster than: floors of DeconvNet's layers and step, from two rates.

    python -m benchmarks.gpu_model [--batch 64] [--plot FILE.png]

    time >= flop / (multiplications per second)        time >= bytes / (bytes per second)

The rates are those that large matrix products and copies were measured to reach on one GPU, so the
floors are what perfect kernels would take. The floors themselves are arithmetic.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.layers import Layer, distinct, layers_of
from benchmarks.plans import PAPER, Net
from minideconv.models.blocks import STAGES
from minideconv.settings.command_line import positive, run_program

__all__ = ["H200", "Rates", "Work", "floor_ms", "step_work", "works"]


@dataclass(frozen=True)
class Rates:
    """What a GPU reaches: products in TFLOP/s by precision, copies in TB/s (read + write)."""

    name: str
    tflops: dict[str, float]
    copy: float


# As `benchmarks.gpu` measured them: results/gpu-nvidia-h200.json, section "rates".
H200 = Rates("H200", {"fp32": 39.9, "tf32": 393.0, "bf16": 728.0}, 4.26)


@dataclass(frozen=True)
class Work:
    """One convolution, forward: multiplications and additions, and bytes, for one algorithm."""

    name: str
    algorithm: str
    flop: float
    bytes: float

    @property
    def intensity(self) -> float:
        """Flop per byte."""
        return self.flop / self.bytes


def works(layer: Layer, factor_bytes: int = 4) -> tuple[Work, Work]:
    """Return a layer's forward by im2col and by implicit GEMM.

    The patch matrix has k*k numbers for each pixel and channel, of `factor_bytes` each, written
    once and read once. Images and results are float32 and pass once; neighbouring windows find
    their pixels in the cache.
    """
    small = layer.size if layer.transposed else layer.out_size
    channels = layer.c_out if layer.transposed else layer.c_in
    columns = layer.batch * small**2 * layer.kernel**2 * channels
    passes = 0 if layer.kernel == 1 or layer.is_dense else 2
    x, y, w = (_product(shape) for shape in (layer.x_shape, layer.y_shape, layer.w_shape))
    least = 4.0 * (x + y) + factor_bytes * w
    return (
        Work(layer.name, "im2col + GEMM", layer.flop, least + passes * factor_bytes * columns),
        Work(layer.name, "implicit GEMM", layer.flop, least),
    )


def _product(shape: Sequence[int]) -> int:
    result = 1
    for side in shape:
        result *= side
    return result


def floor_ms(work: Work, rates: Rates, precision: str) -> float:
    """Return the least milliseconds: products and memory one after the other, as kernels do it."""
    products = work.flop / rates.tflops[precision] / 1e12
    memory = work.bytes / rates.copy / 1e12
    overlapped = work.algorithm == "implicit GEMM"
    return 1e3 * (max(products, memory) if overlapped else products + memory)


def step_work(net: Net, factor_bytes: int = 4) -> dict[str, float]:
    """Return a step's flop and gigabytes: convolutions three times, and the rest of the network.

    Behind each convolution a map is written and read by: batch norm and ReLU forward (read, read,
    write) and backward (read x and dy twice, write dx), pooling and unpooling (a quarter more), and
    the two gradients of the convolution before and after it.
    """
    found = layers_of(net)
    maps = 4.0 * sum(_product(layer.y_shape) for layer in found)
    im2col, implicit = (
        sum(works(layer, factor_bytes)[number].bytes for layer in found) for number in (0, 1)
    )
    parameters = 4.0 * sum(_product(layer.w_shape) for layer in found)
    return {
        "flop": 3.0 * sum(layer.flop for layer in found),
        "bytes_im2col": 3 * im2col,
        "bytes_implicit": 3 * implicit,
        "bytes_rest": 8 * maps + 5 * parameters,
    }


def table(net: Net, rates: Rates) -> str:
    """Return the floors of the distinct layers and of the step as Markdown."""
    lines = [
        f"Floors of DeconvNet's forward on one {rates.name}, batch {net.batch}, milliseconds:",
        "",
        "| layer | shape | fp32 im2col | tf32 im2col | tf32 implicit | bf16 implicit |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for layer, names in distinct(layers_of(net)):
        columns, implicit = works(layer)
        cells = [
            floor_ms(columns, rates, "fp32"),
            floor_ms(columns, rates, "tf32"),
            floor_ms(implicit, rates, "tf32"),
            floor_ms(works(layer, 2)[1], rates, "bf16"),
        ]
        times = " | ".join(f"{cell:.2f}" for cell in cells)
        lines.append(f"| {', '.join(names)} | {layer} | {times} |")
    lines += ["", "The whole training step:", "", "| precision | im2col | implicit GEMM | img/s |"]
    lines += ["|---|---:|---:|---:|"]
    for precision, rate in rates.tflops.items():
        step = step_work(net, 2 if precision == "bf16" else 4)
        products = step["flop"] / rate / 1e9
        rest = step["bytes_rest"] / rates.copy / 1e9
        ways = [products + rest + step[f"bytes_{way}"] / rates.copy / 1e9 for way in WAYS]
        speed = 1e3 * net.batch / ways[1]
        lines.append(f"| {precision} | {ways[0]:.0f} | {ways[1]:.0f} | {speed:.0f} |")
    return "\n".join(lines) + "\n"


WAYS = ("im2col", "implicit")


def plot(net: Net, rates: Rates, path: Path) -> None:
    """Draw the roofline: what memory and multipliers allow, and where each layer is under it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    low, high = 3.0, 6000.0
    colors = {"fp32": "#9a9a9a", "tf32": "#3d7ea6", "bf16": "#0b6e4f"}
    for precision, peak in rates.tflops.items():
        ridge = peak / rates.copy
        axes.plot([low, ridge, high], [low * rates.copy, peak, peak], color=colors[precision])
        axes.text(high, peak * 1.05, f"{precision} products {peak:.0f}", ha="right", fontsize=8)
    axes.text(
        low * 1.1, low * rates.copy * 1.9, f"memory {rates.copy} TB/s", rotation=33, fontsize=8
    )
    markers = {"im2col + GEMM": ("v", "#d08c29"), "implicit GEMM": ("o", "#0b6e4f")}
    shown = [layer for layer, _ in distinct(layers_of(net)) if layer.name in _shown()]
    for layer in shown:
        xs, ys = [], []
        for work in works(layer):
            roof = min(rates.tflops["tf32"], work.intensity * rates.copy)
            marker, color = markers[work.algorithm]
            axes.plot(work.intensity, roof, marker, color=color, markersize=5, zorder=3)
            xs.append(work.intensity)
            ys.append(roof)
        axes.plot(xs, ys, ":", color="#bbbbbb", zorder=1)
        axes.annotate(layer.name, (xs[1], ys[1]), xytext=(4, -11), textcoords="offset points",
                      fontsize=7)  # fmt: skip
    for algorithm, (marker, color) in markers.items():
        axes.plot([], [], marker, color=color, label=f"{algorithm}, tf32")
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(10, 1400))
    axes.set(xlabel="flop per byte of memory traffic", ylabel="TFLOP/s at most")
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def _shown() -> tuple[str, ...]:
    """One convolution of each stage; those of the fifth and fc7 would cover others."""
    return ("conv1_1", *(f"conv{number}_2" for number in range(1, len(STAGES))), "fc6")


def main(arguments: Sequence[str]) -> int:
    """Print the table; with --plot, draw the picture."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.gpu_model", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--batch", type=positive, default=64)
    parser.add_argument("--plot", type=Path, metavar="FILE")
    options: Any = parser.parse_args(arguments)
    net = Net("DeconvNet", options.batch) if options.batch != PAPER.batch else PAPER
    sys.stdout.write(table(net, H200))
    if options.plot is not None:
        plot(net, H200, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.gpu_model", main))
