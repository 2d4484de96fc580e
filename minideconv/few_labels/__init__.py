"""Is learning without labels of use where labels are few? DeconvNet from several starts.

``python -m minideconv.few_labels`` is the command line; `plan` is what it trains.
"""

from __future__ import annotations

from minideconv.few_labels.plan import STARTS, FewLabels

__all__ = ["STARTS", "FewLabels"]
