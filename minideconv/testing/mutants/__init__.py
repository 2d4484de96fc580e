"""A bank of wrong convolutions: the mistakes people make, each small, plausible and named.

They serve twice. Our own tests must reject every one of them (a test that accepts a mutant tests
too little), and a course can tell a student "your output is what a flipped kernel gives".

Each takes the arguments of the function it gets wrong and returns a plausible array, most often of
the right shape. NumPy arrays only; slow; never use one for anything else.
"""

from __future__ import annotations

# Importing them registers their mutants.
from minideconv.testing.mutants import conv2d, conv_transpose2d, weight_grad  # noqa: F401
from minideconv.testing.mutants.bank import Mutant, mutants

__all__ = ["Mutant", "mutants"]
