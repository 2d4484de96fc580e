"""A network that is only used: its inference plan, recorded once for each shape of input."""

from minideconv.runtime.plan import InferencePlan, inference

__all__ = ["InferencePlan", "inference"]
