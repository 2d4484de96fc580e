"""What cross entropy refuses: arguments of the wrong shape or type, labels that are no class."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp, to_cpu
from minideconv.backend.checks import check_choice, check_integer, check_number, shown

__all__ = [
    "check",
    "check_class_count",
    "check_class_weights",
    "check_ignore_index",
    "check_labels",
    "check_weight",
    "wrong_labels",
]


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
    if weight is not None:
        check_class_count(op, weight, logits.shape[1])
    if type(reduction) is not str or reduction not in ("mean", "sum", "none"):
        check_choice(op, "reduction", reduction, ("mean", "sum", "none"))
    if type(label_smoothing) is not float or not 0.0 <= label_smoothing <= 1.0:
        check_number(op, "label_smoothing", label_smoothing, 0, 1)


def check_ignore_index(op: str, ignore_index: Any) -> None:
    """Raise TypeError unless `ignore_index` is an integer."""
    if type(ignore_index) is int:
        return
    hint = "name what you mean: ignore_index=255, weight=w, reduction='sum'"
    check_integer(op, "ignore_index", ignore_index, hint=hint)


def check_weight(op: str, name: str, weight: Any) -> Any:
    """Return weights, or raise TypeError unless they are real numbers: an array, a list, one."""
    try:
        array = weight if hasattr(weight, "dtype") else np.asarray(weight)
        real = array.dtype.kind in "fiub"
    except (TypeError, ValueError):  # rows of different lengths
        real = False
    if not real or isinstance(weight, bool):
        raise TypeError(f"{op}: {name} is {shown(weight)}; it must be an array of real numbers")
    return weight


def check_class_count(op: str, weight: Any, classes: int | None = None) -> None:
    """Raise ValueError unless there is one weight for each class; None: for whatever number."""
    shape = np.shape(weight) if not hasattr(weight, "shape") else tuple(weight.shape)
    if len(shape) != 1 or shape == (0,) or classes not in (None, shape[0]):
        must = "(C,)" if classes is None else f"({classes},)"
        raise ValueError(f"{op}: weight has shape {shape}; it must be {must}, one number per class")


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
    if t.size and int(t.view("uint64").max()) >= classes:  # a negative one is very large there
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
