"""The mistake bank: wrong implementations, each a plausible error of a student, each with a name.

It serves three times: the kit recognises a student's mistake by it, the kit's own tests must catch
every one, and a course gives them out as an exercise ("find the bug").
"""

from __future__ import annotations

# Importing them registers their mistakes.
from minideconv.testing.mistakes import (  # noqa: F401
    batch_norm,
    batch_norm_backward,
    batch_norm_counts,
    batch_norm_eps,
    batch_norm_layout,
    batch_norm_running,
    batch_norm_sums,
    col2im,
    conv2d,
    conv2d_backward,
    conv_matrix,
    conv_transpose2d,
    conv_transpose2d_backward,
    cross_entropy,
    deconvnet,
    deconvnet_backward,
    flat_indices,
    guessed_sizes,
    im2col,
    max_pool2d,
    max_pool2d_backward,
    max_pool2d_maxima,
    max_pool2d_sizes,
    max_pool2d_switches,
    max_unpool2d,
    max_unpool2d_backward,
    one_byte,
    squeezed,
    tape,
    tape_broadcasting,
    tape_calls,
    tape_kept,
    tape_operations,
    tape_rules,
    tape_sums,
    tape_values,
    train,
)
from minideconv.testing.mistakes.bank import Mistake, mistakes, ways

__all__ = ["Mistake", "mistakes", "ways"]
