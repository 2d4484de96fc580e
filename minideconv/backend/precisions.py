"""In how many bits a GPU multiplies: `set_precision`.

=====  ==================  ===========  ===========================================================
name   factors             sums         largest relative error of a product, and what it is for
=====  ==================  ===========  ===========================================================
fp32   float32             float32      6e-8; the default
tf32   10 bits of float32  float32      5e-4; tensor cores of compute capability 8.0 and later
bf16   bfloat16            float32      4e-3; half the memory of the factors, the range of float32;
                                        tensor cores of compute capability 8.0 and later
fp16   float16             float32      5e-4; half the memory, but numbers below 6e-8 vanish: the
                                        loss must be scaled (`optim.GradScaler`)
=====  ==================  ===========  ===========================================================

Only the factors of convolutions and matrix products are rounded, on their way into the product.
Weights, gradients, statistics and everything between two layers stay float32, so there is
no second copy of the weights to keep: the float32 weights are the master weights. float64 arrays
are multiplied in float64 whatever is set here, and the CPU always computes in "fp32".

Source: Micikevicius et al., "Mixed precision training" (ICLR 2018), sections 3.1 to 3.3.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from minideconv.backend.choice import Choice

__all__ = ["PRECISIONS", "get_precision", "precision", "set_precision"]

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")

_choice = Choice("precision", PRECISIONS, "MINIDECONV_PRECISION", "fp32")


def get_precision() -> str:
    """Return the precision in use: "fp32", "tf32", "bf16" or "fp16"."""
    return _choice.get()


def set_precision(name: str) -> None:
    """Choose the precision of all products on a GPU: "fp32", "tf32", "bf16" or "fp16".

    It holds where `set_algorithm` would choose: for the program, a thread or a block.

    Raises
    ------
    UsageError (a ValueError)
        If `name` is none of these. If the GPU has not got it, the first product raises it.
    """
    _choice.set(_choice.check(name, "set_precision"))


def precision(name: str | None) -> AbstractContextManager[None]:
    """Use another precision inside a ``with`` block; None changes nothing."""
    return _choice.block(name, "precision")
