"""What cross entropy refuses: arguments of the wrong shape or type, labels that are no class."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp, to_cpu

__all__ = ["check", "check_class_weights", "check_labels", "wrong_labels"]


def check(
    logits: Array, target: Array, weight: Array | None, reduction: str, label_smoothing: float
) -> None:
    """Raise unless these are legal arguments of `cross_entropy`, the labels' values left out."""
    op = "cross_entropy"
    if logits.dtype.kind != "f":
        raise TypeError(f"{op}: logits have dtype {logits.dtype}; they must be floating point")
    if target.dtype.kind not in "iu":
        raise TypeError(f"{op}: target has dtype {target.dtype}; it must hold integer class labels")
    if weight is not None and weight.dtype.kind not in "fiub":
        raise TypeError(f"{op}: weight has dtype {weight.dtype}; it must hold real numbers")
    if logits.ndim < 2 or logits.shape[1] < 1:
        raise ValueError(
            f"{op}: logits have shape {logits.shape}; it must be (N, C) or (N, C, H, W) with C >= 1"
        )
    expected = (logits.shape[0], *logits.shape[2:])
    if target.shape != expected:
        raise ValueError(
            f"{op}: target has shape {target.shape}; "
            f"logits {logits.shape} need one label per pixel, shape {expected}"
        )
    if weight is not None and weight.shape != (logits.shape[1],):
        raise ValueError(
            f"{op}: weight has shape {weight.shape}; "
            f"it must be ({logits.shape[1]},), one number per class"
        )
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: reduction is {reduction!r}; it must be 'mean', 'sum' or 'none'")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{op}: label_smoothing is {label_smoothing}; it must be in [0, 1]")


def check_class_weights(weight: Array) -> None:
    """Raise ValueError if a weight is negative or not finite."""
    if not bool((weight >= 0).all()) or not bool(get_xp(weight).isfinite(weight).all()):
        raise ValueError(f"cross_entropy: weight is {weight}; all weights must be finite and >= 0")


def check_labels(
    target: Array, classes: int, ignore_index: int, caller: str = "cross_entropy"
) -> tuple[Array, Array]:
    """Return labels (N, M) that may be used as an index, and whether each pixel counts.

    Raises
    ------
    ValueError
        If a label is no class and not `ignore_index`: `wrong_labels`.
    """
    t = target.reshape(target.shape[0], math.prod(target.shape[1:])).astype("int64")
    counts = t != ignore_index
    t *= counts  # an ignored pixel gets class 0, and a weight of 0 later
    if t.size and (int(t.min()) < 0 or int(t.max()) >= classes):
        wrong = to_cpu(t[(t < 0) | (t >= classes)])
        found = zip(*np.unique(wrong, return_counts=True), strict=True)
        raise wrong_labels(found, classes, ignore_index, caller)
    return t, counts


def wrong_labels(
    found: Iterable[tuple[Any, int]], classes: int, ignore_index: int, caller: str = "cross_entropy"
) -> ValueError:
    """Return the error that names wrong labels; `found` are pairs (label, how many times)."""
    pairs = list(found)
    named = ", ".join(f"{value} ({times} times)" for value, times in pairs[:5])
    more = f" and {len(pairs) - 5} more values" if len(pairs) > 5 else ""
    return ValueError(
        f"{caller}: target has {sum(int(times) for _, times in pairs)} labels "
        f"outside 0..{classes - 1} that are not ignore_index={ignore_index}: {named}{more}; "
        f"logits have {classes} classes"
    )
