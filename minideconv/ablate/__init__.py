"""What parts of DeconvNet are worth: each variant trained without one, over several seeds.

``python -m minideconv.ablate`` is the command line; `variants.ABLATIONS` is what it can compare.
"""

from __future__ import annotations

from minideconv.ablate.variants import ABLATIONS, Ablation, Variant

__all__ = ["ABLATIONS", "Ablation", "Variant"]
