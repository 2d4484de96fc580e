"""COCO's run-length encoding of masks: the lengths of the runs of zeros and ones, in turn.

Pixels are counted column by column, and the first run is of zeros (of length 0 where the first
pixel is a one). The lengths are a list of numbers ("uncompressed"), or a text in which each is
written with the characters from ``0`` to ``o``: six bits, of which the sixth says whether more
follow, and five are digits, the lowest first, of a number with a sign (two's complement). From the
fourth run on, what is written is the difference to the run of the same colour before.

https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.h
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["check_runs", "decode_runs", "runs_of_text"]

_LONGEST = 35  # bits of a number: a run is shorter than 2**34 pixels


def runs_of_text(text: str) -> list[int]:
    """Return the lengths of runs that COCO's compressed text holds.

    Raises
    ------
    ValueError
        If it is no such text.

    Examples
    --------
    >>> runs_of_text("52203")
    [5, 2, 2, 2, 5]
    """
    runs: list[int] = []
    value = bits = 0
    for position, letter in enumerate(text):
        code = ord(letter) - 48
        if not 0 <= code < 64:
            raise ValueError(f"character {position} of the runs is {letter!r}; legal are 0 to o")
        value |= (code & 31) << bits
        bits += 5
        if bits > _LONGEST:
            raise ValueError(f"the number that ends behind character {position} is too large")
        if code & 32:
            continue
        if code & 16:
            value -= 1 << bits
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = bits = 0
    if bits:
        raise ValueError("the text of the runs is cut off in a number")
    return runs


def check_runs(runs: Sequence[int], height: int, width: int) -> None:
    """Refuse runs that are no mask of this size.

    Raises
    ------
    ValueError
        If a length is negative, or they do not add up to height * width.
    """
    # In Python's numbers, which have no end, and before anything of that length is made.
    wrong = next((run for run in runs if run < 0), None)
    if wrong is not None:
        raise ValueError(f"a run has the length {_shown(wrong)}; it must be 0 or more")
    total = sum(runs)
    if total != height * width:
        raise ValueError(
            f"the runs have {_shown(total)} pixels together; {width}x{height} are {height * width}"
        )


def _shown(number: int) -> str:
    text = str(number)
    return text if len(text) <= 20 else f"{text[:4]}... ({len(text)} digits)"


def decode_runs(runs: Sequence[int], height: int, width: int) -> np.ndarray:
    """Return the mask of which these are the runs.

    Parameters
    ----------
    runs : sequence of int
    height, width : int
        Of the mask.

    Returns
    -------
    (height, width) bool.

    Raises
    ------
    ValueError
        As `check_runs`.
    """
    check_runs(runs, height, width)
    ones = np.arange(len(runs)) % 2 == 1
    return np.repeat(ones, np.array(runs, np.int64)).reshape(width, height).T
