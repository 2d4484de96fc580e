"""What the report takes from a run folder's files about segmentations; see `files.schema`."""

from __future__ import annotations

import re
from typing import Any

from minideconv.files.schema import (
    Kind,
    Mismatch,
    list_of,
    mapping_of,
    number,
    optional,
    shown,
    table,
    text,
    whole,
)
from minideconv.segmentation.metrics import METRICS
from minideconv.tasks.results import RunRecord

__all__ = ["check_activations", "check_layers", "check_record"]

_SHARE = optional(number(0, 1))
_METRICS: Kind = table(
    dict.fromkeys(METRICS, _SHARE), {"classes_in_truth": whole(), "class_iou": list_of(_SHARE)}
)


def _file(value: Any, where: str) -> None:
    """Take the name of a file, which is in no other folder."""
    if not isinstance(value, str) or not re.fullmatch(r"\w[\w .()+-]{0,200}", value):
        raise Mismatch(f"{where} is {shown(value)}; it must be the name of a file, without folders")


_SAMPLE = table({"name": text, "file": _file, "pixel_accuracy": _SHARE})
_EXTREMES = list_of(table({"name": text, "file": _file, "mean_iou": _SHARE}), most=100)
_SET = table(
    {"images": whole(), "class_iou": list_of(_SHARE), "confusion": list_of(list_of(whole()))}
)
_EVALUATION = table(
    {},
    {
        "epoch": whole(),
        "classes": list_of(text),
        "samples": mapping_of(list_of(_SAMPLE)),
        "extremes": table({"worst": _EXTREMES, "best": _EXTREMES}),
        "train": _SET,
        "val": _SET,
    },
)
_ACTIVATIONS = list_of(table({"file": _file, "name": text, "size": text}), most=1000)
_LAYER = table(
    {
        **{"name": text, "file": _file, "maps": list_of(whole(), most=100)},
        **{"channels": whole(), "height": whole(), "width": whole()},
    }
)
_LAYERS = list_of(
    table(
        {
            **{"name": text, "image": _file, "truth": _file, "prediction": _file},
            "layers": list_of(_LAYER, most=100),
        }
    ),
    most=20,
)


def check_record(record: RunRecord) -> None:
    """Raise `Mismatch` unless the report finds what it needs, of the right kind."""
    found = record.evaluation
    _EVALUATION(found, "evaluation.json")
    sets = [name for name in ("train", "val") if name in found]
    if sets:
        table({"epoch": whole(), "classes": list_of(text)})(found, "evaluation.json")
    for name in sets:
        where = f"evaluation.json.{name}"
        _METRICS(found[name], where)
        exactly = len(found["classes"])
        list_of(_SHARE, exactly, exactly)(found[name]["class_iou"], f"{where}.class_iou")
        row = list_of(whole(), exactly, exactly)
        list_of(row, exactly, exactly)(found[name]["confusion"], f"{where}.confusion")
    for line in record.epochs:
        if "val" in line:
            _METRICS(line["val"], f"metrics.jsonl, epoch {line['epoch']}: val")


def check_activations(found: Any) -> None:
    """Raise `Mismatch` unless it is the content of activations.json."""
    _ACTIVATIONS(found, "activations.json")


def check_layers(found: Any) -> None:
    """Raise `Mismatch` unless it is the content of layers.json."""
    _LAYERS(found, "layers.json")
