"""Balancing classes by showing examples of rare classes more often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice

import numpy as np

from minideconv.errors import UsageError

__all__ = ["balanced_indices"]


def balanced_indices(
    labels: Sequence[Sequence[int]], share: float = 1.0, most: int = 20
) -> np.ndarray:
    """Choose indices 0..n-1 once, then the redundant ones that bring rare classes up.

    The paper balances its examples "by adding redundant examples for the classes with limited
    number of examples". Here, class by class from the rarest on, the class's examples are repeated
    in turn until it is in `share` times as many examples as the commonest class was at first.

    Parameters
    ----------
    labels : for every example the foreground classes it shows; several or one.
    share : 0 adds nothing, 1 brings every class up to the commonest one.
    most : an example occurs at most so often in all: twenty copies of two photographs of a train
        teach the two photographs, not trains.

    Returns
    -------
    (m,) int64 with m >= n, the same for the same input; shuffle it for training.

    Examples
    --------
    >>> balanced_indices([[1], [1], [1], [2]]).tolist()
    [0, 1, 2, 3, 3, 3]
    """
    if not 0 <= share <= 1:
        raise UsageError(f"balanced_indices: share is {share}; it must be between 0 and 1")
    if most < 1:
        raise UsageError(f"balanced_indices: most is {most}; it must be at least 1")
    sets = [sorted(set(classes)) for classes in labels]
    counts = Counter(label for classes in sets for label in classes)
    target = round(share * max(counts.values(), default=0))
    times = np.ones(len(sets), dtype=np.int64)
    chosen = list(range(len(sets)))
    # Rarest first: what is added for a rare class counts for the common ones beside it.
    for label in sorted(counts, key=lambda name: (counts[name], name)):
        owners = [index for index, classes in enumerate(sets) if label in classes]
        # Those that show few other classes first, to leave the others' counts alone.
        owners.sort(key=lambda index: (len(sets[index]), index))
        for index in islice(cycle(owners), len(owners) * (most - 1)):
            if counts[label] >= target:
                break
            if times[index] < most:
                times[index] += 1
                chosen.append(index)
                counts.update(sets[index])
    return np.array(chosen, dtype=np.int64)
