"""Weights that are NaN or infinite, which make nothing but NaN: refused by name."""

from __future__ import annotations

from collections.abc import Mapping

from minideconv.backend import Array, get_xp
from minideconv.errors import CheckpointError, some

__all__ = ["check_finite"]


def check_finite(arrays: Mapping[str, Array], what: str, unless: str = "") -> None:
    """Refuse arrays with values that are NaN or infinite.

    Parameters
    ----------
    arrays : mapping of str to array
        By name; those of whole numbers are passed over.
    what : str
        Where they are from, for the message.
    unless : str
        An option with which they would be taken all the same.

    Raises
    ------
    CheckpointError
        One sentence with the first names.
    """
    bad = [
        name
        for name, array in arrays.items()
        if array.dtype.kind in "fc" and not bool(get_xp(array).isfinite(array).all())
    ]
    if bad:
        otherwise = f"; give {unless} to write them as they are" if unless else ""
        verb = "has" if len(bad) == 1 else "have"
        raise CheckpointError(
            f"{what}: {some(bad)} {verb} values that are NaN or infinite{otherwise}"
        )
