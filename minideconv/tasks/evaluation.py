"""The loop over images of an evaluation; `Task.evaluate` describes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minideconv.backend import get_xp, to_cpu
from minideconv.engine.cuda import checks
from minideconv.segmentation import ScoreMap
from minideconv.segmentation.predictor import maps_of
from minideconv.tasks.results import Metrics

__all__ = ["evaluate"]


def evaluate(
    task: Any,
    predictor: Any,
    data: Any,
    chosen: Sequence[int],
    each: Callable[[int, int], None],
    seen: Callable[[int, ScoreMap, np.ndarray], None],
) -> tuple[Metrics, float, float]:
    """Return metrics, the sum of the losses, and its number of terms; see `Task.evaluate`."""
    metrics = task.metrics()
    counts: Any = metrics.counts
    losses: Any = np.zeros(())
    terms = 0
    maps = maps_of(predictor, (data[index][0] for index in chosen))
    for done, (index, outputs) in enumerate(zip(chosen, maps, strict=True)):
        each(done, len(chosen))
        xp = get_xp(outputs.like)
        if get_xp(counts) is not xp:  # a GPU adds up there: the host waits at the end only
            counts, losses = xp.zeros(counts.shape, counts.dtype), xp.zeros(())
        image, target = data[index]
        with checks.deferred():
            loss, weight = task.evaluate_map(counts, outputs, image, target)
        seen(index, outputs, target)
        losses += loss.data.astype(np.float64) * weight
        terms += weight
    if counts is not metrics.counts:
        checks.raise_deferred()
        metrics.counts += to_cpu(counts)
    return metrics, float(to_cpu(losses)), terms
