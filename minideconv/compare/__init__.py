"""Networks compared under one budget: ``python -m minideconv.compare`` (see `__main__`)."""

from minideconv.compare.bootstrap import Interval, paired_difference

__all__ = ["Interval", "paired_difference"]
