"""A program's steps as text: `listing`."""

from __future__ import annotations

from minideconv.runtime.fusing import CONVOLUTIONS, Step
from minideconv.runtime.program import Program
from minideconv.runtime.steps import Kernel

__all__ = ["listing"]


def listing(program: Program) -> str:
    """Return one line for each step: the modules, what is computed, the result's shape, and how.

    The last line says how much memory the results of all kernels share, and how much they would
    take side by side.
    """
    rows = []
    for step, kernel in zip(program.steps, program.kernels, strict=True):
        shape = " x ".join(map(str, program.shape_of(step.result)))
        modules = ", ".join(dict.fromkeys(name for name in step.modules if name))
        rows.append((modules, _title(step), shape, _how(step, kernel)))
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    alone = sum(program.size_of(key) for key in program.places)
    lines.append(f"{len(rows)} steps; {program.nbytes:,} bytes for arrays of {alone:,}")
    return "\n".join(line.rstrip() for line in lines)


def _title(step: Step) -> str:
    return f"{step.name} + relu" if step.relu else step.name


def _how(step: Step, kernel: Kernel | None) -> str:
    if kernel is None:
        return "call"
    packed = ", packed weights" if step.name in CONVOLUTIONS else ""
    return f"kernel: {kernel.algorithm}{packed}"
