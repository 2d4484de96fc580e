"""Fast ways to compute what `ops` defines; importing this enters them all.

The files here work on NumPy arrays, those of `cuda` on CuPy arrays.
"""

from minideconv.engine import batch_norm, conv, cross_entropy, cuda, optimizers, pooling

__all__ = ["batch_norm", "conv", "cross_entropy", "cuda", "optimizers", "pooling"]
