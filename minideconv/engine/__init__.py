"""Fast ways to compute what `ops` defines, on NumPy arrays; importing this enters them all."""

from minideconv.engine import conv

__all__ = ["conv"]
