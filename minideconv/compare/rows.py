"""What the rows of a comparison come to: metrics of each, and which differ by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minideconv.compare.bootstrap import CONFIDENCE, RESAMPLES, paired_difference
from minideconv.compare.measure import Measured, Row

__all__ = ["differences", "pairs", "row_metrics"]


def row_metrics(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the metrics of one row as plain JSON: means over the seeds, one `Row` of each.

    What is not defined for a seed is left out of the mean, and None where it is for no seed.
    """
    totals = [row.total for row in rows]
    radii, sizes = rows[0].boundaries.bands, rows[0].sizes.objects
    return {
        "mean_iou": _mean([total.mean_iou for total in totals]),
        "mean_iou_of_seeds": [_mean([total.mean_iou]) for total in totals],
        "pixel_accuracy": _mean([total.pixel_accuracy for total in totals]),
        "class_iou": [_mean(list(each)) for each in zip(*(t.iou for t in totals), strict=True)],
        "boundary_iou": {str(r): _mean([w.boundaries.mean_iou[r] for w in rows]) for r in radii},
        "size_iou": {size: _mean([w.sizes.mean_iou[size] for w in rows]) for size in sizes},
        "size_objects": dict(sizes),
    }


def _mean(values: Sequence[float]) -> float | None:
    known = [float(value) for value in values if value == value]
    return sum(known) / len(known) if known else None


def pairs(members: Sequence[str], rows: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return which rows are compared: (row, with which, what the paper expects of the first).

    Members with each other, a later one with an earlier one; the ensemble with each member; both
    again behind the CRF; and each row behind the CRF with itself before. The paper (Table 1) has
    DeconvNet above FCN, the ensemble above its members, and the CRF above what it refines; it has
    no row of FCN behind a CRF, so it expects nothing of that one.

    >>> pairs(["FCN-8s", "DeconvNet"], ["FCN-8s", "DeconvNet", "ensemble"])[0]
    ('DeconvNet', 'FCN-8s', 'higher')
    """
    found = []
    for behind in ("", " + CRF"):
        for i, one in enumerate(members):
            for other in members[:i]:
                paper = one.startswith("DeconvNet") and other.startswith("FCN")
                found.append((one + behind, other + behind, "higher" if paper else ""))
        found += [(f"ensemble{behind}", one + behind, "higher") for one in members]
    found += [(f"{name} + CRF", name, "higher") for name in (*members, "ensemble")]
    return [
        (one, other, "" if _is_fcn_with_crf(one) or _is_fcn_with_crf(other) else paper)
        for one, other, paper in found
        if one in rows and other in rows
    ]


def _is_fcn_with_crf(row: str) -> bool:
    return row.startswith("FCN") and row.endswith(" + CRF")


def differences(
    members: Sequence[str],
    seeds: Sequence[Measured],
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return each difference of `pairs` with its interval, as plain JSON.

    Parameters
    ----------
    members : sequence of str
        The names of the networks.
    seeds : sequence of Measured
        One for each seed of training, of the same images.
    resamples, confidence, seed
        See `paired_difference`.
    """
    names = list(seeds[0].rows)
    counts = {
        name: np.stack([np.stack(measured.rows[name].counts) for measured in seeds])
        for name in names
    }
    found = []
    for one, other, paper in pairs(members, names):
        interval = paired_difference(counts[one], counts[other], resamples, confidence, seed)
        verdict = interval.verdict
        found.append(
            {
                "row": one,
                "than": other,
                "difference": interval.difference,
                "low": interval.low,
                "high": interval.high,
                "verdict": verdict,
                "paper": paper or None,
                "as_in_paper": None if not paper or verdict == "not decided" else verdict == paper,
            }
        )
    return found
