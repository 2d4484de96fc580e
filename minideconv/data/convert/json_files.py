"""JSON of anybody's: read within bounds, and looked into without believing its types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minideconv.errors import DataError

__all__ = ["kind_of", "points_of", "read_json", "text_of", "whole_number"]

_LARGEST = 512 << 20  # COCO's own largest file has 448 MB
_FARTHEST = 1e6  # pixels: no picture is as wide


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a file holds.

    Raises
    ------
    DataError
        One sentence, without the file's name: it cannot be read, is no JSON, or holds NaN or
        infinity, which are no JSON either.
    """
    try:
        if not path.is_file():
            raise DataError("it is missing, or no file")
        if path.stat().st_size > _LARGEST:
            raise DataError(f"it is larger than {_LARGEST >> 20} MiB")
        found = json.loads(path.read_bytes(), parse_constant=_no_number)
    except OSError as error:
        raise DataError(f"it cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise DataError("its lists are nested too deeply") from error
    except UnicodeDecodeError as error:
        raise DataError("it is no JSON: no text in UTF-8") from error
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"it is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"it holds {kind_of(found)}; it must hold an object, {{...}}")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"it holds {text}, which is no number")


def kind_of(value: object) -> str:
    """Return what a value of JSON is, in words."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}..."


def text_of(value: object, what: str) -> str:
    """Return a name: text of one line; `what` it is goes into the error's sentence.

    Raises
    ------
    DataError
        If it is none.
    """
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise DataError(f"{what} is {kind_of(value)}; it must be a line of text")
    return value.strip()


def whole_number(value: object, what: str, least: int, most: int) -> int:
    """Return a whole number within bounds.

    Raises
    ------
    DataError
        If it is none.
    """
    right = type(value) is int or (isinstance(value, float) and value.is_integer())
    if not right or not least <= value <= most:  # type: ignore[operator]
        raise DataError(
            f"{what} is {kind_of(value)}; it must be a whole number from {least} to {most}"
        )
    return int(value)  # type: ignore[call-overload]


def points_of(value: object, what: str) -> np.ndarray:
    """Return a list of points [x, y] as an array (n, 2) of float64.

    Raises
    ------
    DataError
        If it is none, or a coordinate is not finite or farther than any picture is wide.
    """
    if not isinstance(value, list):
        raise DataError(f"{what} is {kind_of(value)}; it must be a list of points [x, y]")
    for number, point in enumerate(value):
        if not isinstance(point, list) or len(point) != 2:
            raise DataError(f"point {number} of {what} is {kind_of(point)}; it must be [x, y]")
        for coordinate in point:
            if type(coordinate) not in (int, float) or not -_FARTHEST <= coordinate <= _FARTHEST:
                raise DataError(
                    f"point {number} of {what} has the coordinate {kind_of(coordinate)}; it must be"
                    f" a number between {-_FARTHEST:.0f} and {_FARTHEST:.0f}"
                )
    return np.array(value, np.float64).reshape(-1, 2)
