r"""The four metrics of semantic segmentation, all from one confusion matrix over the whole set.

``n[i, j]`` counts the pixels of true class ``i`` that were predicted as ``j``; pixels whose truth
is void (255) are not counted at all. With ``t[i] = sum_j n[i, j]``:

* pixel accuracy       ``sum_i n[i, i] / sum_i t[i]``
* mean accuracy        mean over classes of ``n[i, i] / t[i]``
* IoU of class i       ``n[i, i] / (t[i] + sum_j n[j, i] - n[i, i])``
* mean IoU             mean over classes of IoU
* frequency weighted   ``sum_i t[i] IoU[i] / sum_i t[i]``

The matrix must cover the *whole set*: the mean of per-image or per-batch IoUs is another, usually
higher, number. A class that is neither in the truth nor in any prediction has no IoU (0/0): it is
NaN and left out of the mean, as FCN's evaluation does. A class that is absent from the truth but
was predicted somewhere has IoU 0 and counts; its accuracy is NaN and does not. So the metrics go
with the number of classes that the truth shows: of the background alone, a network that has learned
nothing has a mean IoU of 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend import Array, to_cpu
from minideconv.data.voc_colors import VOID

__all__ = ["METRICS", "ConfusionMatrix", "class_ious"]

_AT_ONCE = 1 << 18  # pixels; their labels are counted as numbers of 8 bytes

METRICS = {
    "mean_iou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "frequency_weighted_iou": "frequency weighted IoU",
}
"""The four metrics of a whole set: attributes of `ConfusionMatrix`, and what tables call them."""


class ConfusionMatrix:
    """Counts of (true class, predicted class) over all the pixels that were counted.

    Parameters
    ----------
    num_classes : int
        Number of classes C >= 1; labels are ``0..C-1``, and 255 (void) in the truth.

    Attributes
    ----------
    counts : (C, C) int64 array
        Rows are the truth, columns the prediction.

    Examples
    --------
    >>> import numpy as np
    >>> confusion = ConfusionMatrix(2)
    >>> confusion.update(np.array([[0, 1], [1, 255]]), np.array([[0, 1], [0, 0]]))
    >>> confusion.counts.tolist()
    [[1, 0], [1, 1]]
    >>> round(confusion.mean_iou, 3)
    0.5
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ValueError(f"ConfusionMatrix: num_classes is {num_classes}; it must be >= 1")
        self.num_classes = num_classes
        self.counts: npt.NDArray[np.int64] = np.zeros((num_classes, num_classes), np.int64)

    def update(self, truth: Array, prediction: Array) -> None:
        """Count the pixels of one or more masks.

        Parameters
        ----------
        truth : integer array of any shape
            True labels, ``0..C-1`` or 255 (void).
        prediction : integer array of the same shape
            Predicted labels, ``0..C-1``. Where the truth is void any value is accepted.

        Raises
        ------
        ValueError
            If the shapes differ, or a counted label is outside ``0..C-1``.
        TypeError
            If an array does not hold integers.
        """
        truth, prediction = to_cpu(truth), to_cpu(prediction)
        for name, labels in (("truth", truth), ("prediction", prediction)):
            if labels.dtype.kind not in "iu":
                raise TypeError(
                    f"ConfusionMatrix.update: {name} has dtype {labels.dtype}; "
                    "labels must be integers (take argmax of scores first)"
                )
        if truth.shape != prediction.shape:
            raise ValueError(
                f"ConfusionMatrix.update: truth has shape {truth.shape} but prediction has shape "
                f"{prediction.shape}; they must be equal"
            )
        truth, prediction = truth.ravel(), prediction.ravel()
        found = np.zeros_like(self.counts)  # nothing is counted of an image that is refused
        for start in range(0, truth.size, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found += self._pairs(truth[part], prediction[part])
        self.counts += found

    def _pairs(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Count the pairs of some pixels: (N,) and (N,) -> (C, C)."""
        counted = truth != VOID
        true, predicted = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
        for name, labels in (("truth", true), ("prediction", predicted)):
            wrong = labels[(labels < 0) | (labels >= self.num_classes)]
            if wrong.size:
                # An out-of-range label would be counted under another pair of classes: i * C + j.
                raise ValueError(
                    f"ConfusionMatrix.update: {name} has label {wrong[0]} ({wrong.size} such"
                    f" pixels); with {self.num_classes} classes labels are"
                    f" 0..{self.num_classes - 1}" + (f" or {VOID} for void" * (name == "truth"))
                )
        pairs = np.bincount(self.num_classes * true + predicted, minlength=self.num_classes**2)
        return pairs.reshape(self.counts.shape)

    def add(self, counts: Array) -> None:
        """Add counts made elsewhere, by a GPU or another process.

        Parameters
        ----------
        counts : integer array (C, C)
            Rows are the truth, columns the prediction. One on a GPU is read, which waits for it.

        Raises
        ------
        ValueError
            If the shape is another, or a count is negative.
        TypeError
            If the counts are no integers.
        """
        if counts.shape != self.counts.shape:
            raise ValueError(
                f"ConfusionMatrix.add: counts have shape {counts.shape}; with {self.num_classes}"
                f" classes it must be {self.counts.shape}"
            )
        if counts.dtype.kind not in "iu":
            raise TypeError(
                f"ConfusionMatrix.add: counts have dtype {counts.dtype}; they must be integers"
            )
        here = to_cpu(counts)
        if (here < 0).any():
            raise ValueError(f"ConfusionMatrix.add: counts has {here.min()}; none may be negative")
        self.counts += here.astype(np.int64, copy=False)

    def reset(self) -> None:
        """Set all counts to 0."""
        self.counts[:] = 0

    @property
    def pixels(self) -> int:
        """Number of pixels counted (void excluded)."""
        return int(self.counts.sum())

    @property
    def classes_in_truth(self) -> int:
        """Number of classes in the truth; with one alone, mean IoU means nothing."""
        return int((self.counts.sum(axis=1) > 0).sum())

    @property
    def pixel_accuracy(self) -> float:
        """Share of the pixels that are right; NaN before any pixel was counted."""
        return float(_ratio(np.trace(self.counts), self.counts.sum()))

    @property
    def class_accuracy(self) -> npt.NDArray[np.float64]:
        """Per class, the share of its true pixels that are right; NaN where it has none."""
        return _ratio(np.diag(self.counts), self.counts.sum(axis=1))

    @property
    def mean_accuracy(self) -> float:
        """Mean of `class_accuracy` over the classes present in the truth."""
        return _nanmean(self.class_accuracy)

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """Per class, intersection over union; NaN where a class is in no mask at all."""
        return class_ious(self.counts)

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over the classes that occur in the truth or in the predictions."""
        return _nanmean(self.iou)

    @property
    def frequency_weighted_iou(self) -> float:
        """Mean of `iou` weighted by each class's number of true pixels."""
        weights = self.counts.sum(axis=1)
        return float(_ratio((np.nan_to_num(self.iou) * weights).sum(), weights.sum()))

    def compute(self) -> dict[str, Any]:
        """Return all metrics as plain JSON: the four, the classes in the truth, those per class.

        What is not defined (0/0) is ``None``, because JSON has no NaN.
        """
        return {
            **{name: _plain(getattr(self, name)) for name in METRICS},
            "classes_in_truth": self.classes_in_truth,
            "class_accuracy": [_plain(value) for value in self.class_accuracy],
            "class_iou": [_plain(value) for value in self.iou],
        }

    figures = compute  # its name in version 0.1 before


def class_ious(counts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return `ConfusionMatrix.iou` of each of many matrices: (..., C, C) -> (..., C)."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    return _ratio(right, counts.sum(axis=-1) + counts.sum(axis=-2) - right)


def _ratio(numerator: Any, denominator: Any) -> npt.NDArray[np.float64]:
    """Divide elementwise, giving NaN for 0/0 without a warning."""
    top = np.asarray(numerator, np.float64)
    bottom = np.asarray(denominator, np.float64)
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.nan)


def _nanmean(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
