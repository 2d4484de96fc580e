"""What the report takes from a run folder's files about segmentations; see `files.schema`."""

from __future__ import annotations

from typing import Any

from minideconv.files.schema import (
    Kind,
    file_name,
    list_of,
    mapping_of,
    number,
    optional,
    table,
    text,
    whole,
)
from minideconv.segmentation.metrics import METRICS
from minideconv.tasks.results import RunRecord

__all__ = ["check_activations", "check_record"]

_SHARE = optional(number(0, 1))
_METRICS: Kind = table(
    dict.fromkeys(METRICS, _SHARE), {"classes_in_truth": whole(), "class_iou": list_of(_SHARE)}
)


_SAMPLE = table({"name": text, "file": file_name, "pixel_accuracy": _SHARE})
_EXTREMES = list_of(table({"name": text, "file": file_name, "mean_iou": _SHARE}), most=100)
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
_ACTIVATIONS = list_of(table({"file": file_name, "name": text, "size": text}), most=1000)


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
