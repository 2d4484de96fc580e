"""Functions over other arrays and of other signatures, as the kit calls them.

========================  =============================================================
``arrays=``               "numpy", "torch", "jax", "cupy", "tensor"
``signature=``            "cs231n", "minitorch", "needle"; None: the contract's own
``backward="autograd"``   the backward is the library's own, through the student's forward
``limits=``               what a function of the contract's signature cannot do
========================  =============================================================
"""

from __future__ import annotations

from minideconv.testing.adapters.adapt import SIGNATURES, Subject, adapt
from minideconv.testing.adapters.arrays import ARRAYS, ArrayKind, array_kind
from minideconv.testing.adapters.limits import Limits, within

__all__ = [
    "ARRAYS",
    "SIGNATURES",
    "ArrayKind",
    "Limits",
    "Subject",
    "adapt",
    "array_kind",
    "within",
]
