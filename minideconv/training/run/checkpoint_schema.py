"""What the header and the state of a checkpoint may hold; see `files.schema`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minideconv.backend import Array
from minideconv.files.schema import (
    Kind,
    Mismatch,
    choice,
    flag,
    list_of,
    mapping_of,
    number,
    optional,
    scalar,
    shown,
    table,
    text,
    whole,
)

__all__ = [
    "check_header",
    "check_run",
    "check_state",
    "check_tree",
    "check_version",
    "joined",
    "references",
    "shown",
    "without_twins",
]

_DEEPEST = 32
_LARGEST_SIDE = 1 << 14  # pixels of a network's input


def _setting(value: Any, where: str) -> None:
    """Take the value of an option: a scalar, or a pair of them."""
    (list_of(scalar, most=16) if isinstance(value, list) else scalar)(value, where)


_VERSION = table({"format_version": whole(1), "minideconv_version": text})

_HEADER = table(
    {},
    {
        "kind": text,
        "model": table({"name": text, "arguments": mapping_of(_setting)}, only=()),
        "input_size": whole(1, _LARGEST_SIDE),
        "normalization": table(
            {"mean": list_of(number(-1e4, 1e4), 3, 3), "scale": number(1e-4, 1e4), "bgr": flag},
            only=(),
        ),
        "config": mapping_of(_setting, {"task": text, "model": text, "data": text}),
        "progress": mapping_of(_setting),
        # Of dictionaries and hierarchies.
        "settings": mapping_of(_setting),
        "images": optional(text),
        "names": list_of(text),
        "step": whole(),
        "objectives": list_of(_setting),
    },
)

_PROGRESS = table(
    {"epoch": whole(), "step": whole()},
    {
        "epoch_step": whole(),
        "best": optional(number()),
        "best_mean_iou": number(),
        "best_epoch": whole(),
        "metrics_lines": whole(),
        "elapsed": number(0),
    },
)

_RUN = table(
    {
        "model": table({}),
        "config": table(
            {"data": text, "val_split": text, "model": text, "seed": whole(), "epochs": whole()}
        ),
        "input_size": whole(1, _LARGEST_SIDE),
        "normalization": table({}),
        "progress": _PROGRESS,
    }
)


def _number(value: Any, where: str) -> None:
    """Take a scalar, which may be NaN or infinite: a schedule may have met no number yet."""
    (number(finite=False) if isinstance(value, float) else scalar)(value, where)


def _number_or_array(value: Any, where: str) -> None:
    if isinstance(value, list):
        list_of(_number)(value, where)
    elif not _is_array(value):
        _number(value, where)


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype")


def _array(value: Any, where: str) -> None:
    if not _is_array(value):
        raise Mismatch(f"{where} is {shown(value)}; it must be an array")


_SUM = list_of(number(finite=False), 2, 2)
_STATE = table(
    {
        "stage": table(
            {
                "number": whole(),
                "optimizer": mapping_of(_number_or_array),
                "schedule": mapping_of(_number_or_array),
                "loader": table({"epoch": whole(), "position": whole()}),
                "loss": table({"interval": _SUM, "epoch": _SUM}, only=()),
                "lr": number(0),
            },
            # The second name is of before there were several tasks.
            {"scaler": optional(mapping_of(scalar)), "metrics": _array, "confusion": _array},
        ),
        "random": table(
            {
                "bit_generator": choice("PCG64"),
                "state": table({"state": whole(0, 2**128 - 1), "inc": whole(0, 2**128 - 1)}),
                "has_uint32": whole(0, 1),
                "uinteger": whole(0, 2**32 - 1),
            },
            only=(),
        ),
    }
)


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object, in which no name may be twice, for ``json.loads``."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def check_version(header: Mapping[str, Any]) -> None:
    """Raise `Mismatch` unless the header says which version wrote it."""
    _VERSION(header, "header")


def check_header(header: Mapping[str, Any]) -> None:
    """Raise `Mismatch` unless all that any reader uses is of its type; parts may be missing."""
    _check_depth(header)
    _HEADER(header, "header")


def check_run(header: Mapping[str, Any]) -> None:
    """Raise `Mismatch` unless a header is complete enough for a training run."""
    _RUN(header, "header")


def check_state(state: Mapping[str, Any]) -> None:
    """Raise `Mismatch` unless a run can go on from the state of a checkpoint."""
    _STATE(state, "state")
    if not {"metrics", "confusion"} & state["stage"].keys():
        raise Mismatch("state.stage has no 'metrics'")


def _check_depth(tree: Any, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise Mismatch(f"lists are nested more than {_DEEPEST} deep")
    if isinstance(tree, dict | list):
        for value in tree.values() if isinstance(tree, dict) else tree:
            _check_depth(value, depth + 1)


# ---------------------------------------------------------------------------------------------
# The state: a tree of JSON that refers to arrays by their names in the file


def check_tree(tree: Any) -> None:
    """Raise `Mismatch` unless a state is one by names."""
    if not isinstance(tree, dict) or tree.keys() != {"dict"}:
        raise Mismatch(f"its state is {shown(tree)}, not values by name")


def references(tree: Any) -> set[str]:
    """Return the names of the arrays that a state refers to.

    Raises
    ------
    Mismatch
        If it is no tree as `save_checkpoint` writes it.
    """
    if isinstance(tree, list):
        return set().union(*map(references, tree))
    if not isinstance(tree, dict):
        return set()
    if tree.keys() == {"array"} and isinstance(tree["array"], str):
        if not tree["array"].startswith("state/"):
            raise Mismatch(f"its state refers to {shown(tree['array'])}, which is no array of it")
        return {tree["array"]}
    _PAIRS(tree, "a part of its state")
    if len({key for key, _ in tree["dict"]}) < len(tree["dict"]):
        raise Mismatch("a part of its state has a name twice")
    return set().union(*(references(value) for _, value in tree["dict"]))


def joined(tree: Any, arrays: Mapping[str, Array]) -> Any:
    """Return a state with the arrays in their places; tuples are lists."""
    if isinstance(tree, list):
        return [joined(value, arrays) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    return {key: joined(value, arrays) for key, value in tree["dict"]}


def _pair(value: Any, where: str) -> None:
    if not isinstance(value, list) or len(value) != 2 or type(value[0]) not in (str, int):
        raise Mismatch(f"{where} is no pair of a name and a value")


_PAIRS: Kind = table({"dict": list_of(_pair)}, only=())
