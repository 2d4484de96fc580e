"""Fast ways to compute what `ops` defines; importing this registers them all.

The files in `cpu` work on NumPy arrays, those in `cuda` on CuPy arrays.
"""

from minideconv.engine import cuda
from minideconv.engine.cpu import (
    activations,
    batch_norm,
    conv,
    cross_entropy,
    interpolate,
    mean_field,
    memory,
    optimizers,
    permutohedral,
    pooling,
    shrinkage,
    table,
)

__all__ = [
    "activations",
    "batch_norm",
    "conv",
    "cross_entropy",
    "cuda",
    "interpolate",
    "mean_field",
    "memory",
    "optimizers",
    "permutohedral",
    "pooling",
    "shrinkage",
    "table",
]
