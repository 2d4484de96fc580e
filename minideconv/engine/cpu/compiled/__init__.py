"""Kernels compiled by numba (the extra ``fast``); import these only if `algorithms.compiled()`."""
