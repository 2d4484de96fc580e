"""The parameters of a dense CRF as a JSON file: what ``fit-crf`` writes and ``--crf FILE`` reads.

::

    {"crf": {"bilateral_weight": 5.0, "bilateral_position": 60.0}, "about": {"mean_iou": 0.41}}

``crf`` holds fields of `DenseCRF`, those left out are its defaults. ``about`` is free.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minideconv.errors import UsageError, some
from minideconv.files.reading import read_json
from minideconv.segmentation.crf import DenseCRF

__all__ = ["crf_to_json", "read_crf"]

_MOST = 1_000_000  # bytes; a file of parameters has a few hundred


def read_crf(path: str | Path) -> DenseCRF:
    """Read the parameters of a CRF.

    Raises
    ------
    UsageError
        If the file cannot be read, or holds something else.
    """
    try:
        content = read_json(path, _MOST)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    values = content.get("crf") if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise UsageError(f'{path} holds no parameters of a CRF: no {{"crf": {{...}}}}')
    known = [item.name for item in dataclasses.fields(DenseCRF)]
    if foreign := sorted(values.keys() - set(known)):
        raise UsageError(
            f"{path}: {some(foreign)} is no parameter of the CRF; there are {', '.join(known)}"
        )
    try:
        return DenseCRF(**values)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{path}: {error}") from error


def crf_to_json(crf: DenseCRF, about: Mapping[str, Any]) -> str:
    """Return the text of a file that `read_crf` reads; `about` is plain JSON."""
    return json.dumps({"crf": dataclasses.asdict(crf), "about": about}, indent=1) + "\n"
