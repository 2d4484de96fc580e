"""The engine's kernels for NVIDIA GPUs, on CuPy arrays; importing this registers them all.

A kernel is a function in a file of `kernels`, in CUDA C++; `module` compiles and launches it.
Everything around it is Python that reads like the CPU's engine: the same layout (channels last),
the same names, the same two lines of maths. No file here imports CuPy: an array brings it along.
"""

from minideconv.engine.cuda import (
    batch_norm,
    batch_norm_pool,
    channel_sums,
    conv,
    cross_entropy,
    interpolate,
    linear,
    mean_field,
    permutohedral,
    pointwise,
    pooling,
    unpooling,
)

__all__ = [
    "batch_norm",
    "batch_norm_pool",
    "channel_sums",
    "conv",
    "cross_entropy",
    "interpolate",
    "linear",
    "mean_field",
    "permutohedral",
    "pointwise",
    "pooling",
    "unpooling",
]
