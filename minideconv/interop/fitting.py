"""A weight file put into a network that is there: `fit` takes what has the same name and shape.

The file is of VGG-16, of a whole network that begins like it, or a checkpoint of this library. What
does not fit, such as the scores of other classes, stays out of it; a convolution of VGG-16 that
does not fit is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from minideconv.errors import CheckpointError, UsageError
from minideconv.interop.conventions import InputConvention, convert_first_convolution
from minideconv.interop.malformed import shown
from minideconv.interop.match_report import Match, Row
from minideconv.interop.tables import shape_text
from minideconv.interop.vgg import convention_of, identify, match
from minideconv.interop.vgg_names import CONVOLUTIONS, NAMINGS
from minideconv.interop.weight_file import WeightFile
from minideconv.nn.folding import fold_arrays

__all__ = ["ShapeConflict", "fit", "to_input"]

_FIRST = "conv1_1.layer.weight"
_EPS = 1e-5  # of nn.BatchNorm2d
_NORM = ("running_mean", "running_var", "weight", "bias")


class ShapeConflict(CheckpointError):
    """A convolution of VGG-16 has another shape in the network.

    Attributes
    ----------
    width : int
        Channels of the file's first convolution.
    batch_norm : bool
        Whether the file's convolutions are normalised.
    """

    def __init__(self, text: str, width: int, batch_norm: bool) -> None:
        super().__init__(text)
        self.width, self.batch_norm = width, batch_norm


def fit(
    weights: WeightFile,
    shapes: Mapping[str, Sequence[int]],
    convention: InputConvention | None = None,
) -> Match:
    """Find in a file what a network has too, by name and shape.

    Parameters
    ----------
    weights : WeightFile
        From `read_weights`.
    shapes : mapping of str to shape
        Of the network's ``state_dict()``.
    convention : InputConvention, optional
        What the network in the file was fed, where it is another than the file or its names tell.

    Returns
    -------
    Match
        Its `arrays` all fit. A block is taken as a whole or not at all, and fc7 only behind fc6. A
        batch normalisation that the network has not is folded into its convolution; one that only
        the network has starts with the statistics that change nothing.

    Raises
    ------
    ShapeConflict
        If a convolution of VGG-16 has another shape in the network.
    CheckpointError
        If nothing fits, a value is not finite, or `match` refuses the file.
    """
    found = _own(weights, shapes) or match(weights)
    found.convention = convention or found.convention
    if strange := [name for name, array in found.arrays.items() if not np.isfinite(array).all()]:
        raise CheckpointError(
            f"weights {weights.path}: {shown(strange[0])} has values that are NaN or infinite"
        )
    norms = _fold(found, shapes, weights.path)
    _drop_unfit(found, shapes, weights, norms)
    if not found.arrays:
        raise CheckpointError(
            f"weights {weights.path}: nothing in it has the name and shape of anything in the"
            f" network; the first of its {len(weights.arrays)} arrays is"
            f" {shown(next(iter(weights.arrays)))}"
        )
    _add_norms(found, shapes)
    missing = [name for name in shapes if name not in found.arrays]
    found.missing = list(dict.fromkeys(_block(name) for name in missing))
    used = {row.source for row in found.rows}
    found.unused = [name for name in weights.arrays if name not in used]
    return found


def to_input(found: Match, target: InputConvention) -> None:
    """Convert the first convolution of what was found to another input.

    Raises
    ------
    UsageError
        If that is not exact, or there is no first convolution.
    """
    source = found.convention
    if source is None or target == source:
        return
    if _FIRST not in found.arrays:
        raise UsageError(f"the weights have no {_FIRST}, which could be converted to {target}")
    found.arrays[_FIRST] = convert_first_convolution(found.arrays[_FIRST], source, target)
    found.notes.append(f"conv1_1 is converted from {source}")
    found.convention = target


def _block(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _own(weights: WeightFile, shapes: Mapping[str, Sequence[int]]) -> Match | None:
    """Return what has this library's names, of whatever network; None if the names are others'."""
    identified = identify(list(weights.arrays))
    if identified is not None and identified[0] != "minideconv":
        return None
    blocks = {_block(name) for name in shapes}
    taken = {n: a for n, a in weights.arrays.items() if n in shapes or _block(n) in blocks}
    if not taken:
        return None
    result = Match("this library's network", convention_of(weights, NAMINGS["minideconv"]))
    for name, array in taken.items():
        narrow = array.dtype.kind == "f" and array.dtype != np.float32
        with np.errstate(invalid="ignore", over="ignore"):  # the caller looks for what that made
            result.arrays[name] = array.astype(np.float32) if narrow else array
        how = f"{array.dtype} -> float32" if narrow else "as it is"
        result.rows.append(Row(name, array.shape, name, array.shape, how))
    return result


def _fold(found: Match, shapes: Mapping[str, Sequence[int]], path: Path) -> set[str]:
    """Fold the normalisations that the network has not; return the blocks of all in the file."""
    norms = {_block(name) for name in found.arrays if name.endswith(".bn.running_var")}
    for block in norms:
        layer, bn = f"{block}.layer.", f"{block}.bn."
        if f"{bn}weight" in shapes or f"{layer}weight" not in shapes:
            continue
        weight, bias = found.arrays.get(f"{layer}weight"), found.arrays.get(f"{layer}bias")
        axis = 1 if "deconv" in block else 0
        parts = [found.arrays[bn + part] for part in _NORM if bn + part in found.arrays]
        channels = weight.shape[axis : axis + 1] if weight is not None else ()
        vectors = parts if bias is None else [*parts, bias]
        if (
            weight is None
            or weight.ndim != 4
            or len(parts) < len(_NORM)
            or any(v.shape != channels for v in vectors)
            or parts[1].min(initial=0) < 0
        ):
            raise CheckpointError(
                f"weights {path}: the batch normalisation of {block} cannot be folded into its"
                f" layer: it must have {', '.join(_NORM)}, one value per channel, no variance"
                " below 0"
            )
        mean, var, scale, shift = parts
        folded = fold_arrays(weight, bias, mean, var, scale, shift, _EPS, axis == 1)
        found.arrays[f"{layer}weight"], found.arrays[f"{layer}bias"] = folded
        found.arrays = {k: a for k, a in found.arrays.items() if not k.startswith(bn)}
        found.rows = [
            row._replace(target=row.target.replace(bn, layer), how="folded into the layer")
            if row.target.startswith(bn)
            else row
            for row in found.rows
        ]
    return norms


def _drop_unfit(
    found: Match,
    shapes: Mapping[str, Sequence[int]],
    weights: WeightFile,
    norms: set[str],
) -> None:
    """Keep the blocks all of whose arrays fit; the convolutions of VGG-16 must."""
    unfit: dict[str, str] = {}
    for name, array in found.arrays.items():
        block = _block(name)
        if name not in shapes:
            if block in CONVOLUTIONS and any(_block(own) == block for own in shapes):
                unfit.setdefault(block, f"{name} is not in the network")
        elif array.shape != tuple(shapes[name]):
            there, here = shape_text(array.shape), shape_text(tuple(shapes[name]))
            unfit.setdefault(block, f"{name} is {there} in the file, {here} in the network")
    for block, problem in unfit.items():
        if block in CONVOLUTIONS and not problem.endswith("not in the network"):
            first = found.arrays.get(_FIRST, next(iter(found.arrays.values())))
            width = first.shape[0] if first.ndim else 0
            raise ShapeConflict(f"weights {weights.path}: {problem}", width, bool(norms))
    if "fc6" not in found.arrays and "fc6" in unfit and "fc7.layer.weight" in found.arrays:
        unfit.setdefault("fc7", "fc7 is of use behind the file's fc6 alone")
    found.notes += [f"left out: {problem}" for problem in unfit.values()]
    arrays = found.arrays.items()
    found.arrays = {k: a for k, a in arrays if k in shapes and _block(k) not in unfit}
    taken = {_block(name) for name in found.arrays}
    found.rows = [row for row in found.rows if _block(row.target) in taken]


def _add_norms(found: Match, shapes: Mapping[str, Sequence[int]]) -> None:
    """Let a normalisation that the file has not begin as the identity of evaluation mode."""
    added = 0
    for block in dict.fromkeys(_block(name) for name in found.arrays):
        bn = f"{block}.bn."
        if f"{bn}running_var" not in shapes or f"{bn}running_var" in found.arrays:
            continue
        added += 1
        for part, value in zip(_NORM, (0.0, 1.0 - _EPS, 1.0, 0.0), strict=True):
            found.arrays[bn + part] = np.full(tuple(shapes[bn + part]), value, np.float32)
    if added:
        found.notes.append(
            f"the network has {added} batch normalisations that the file has not: they begin with"
            " mean 0 and variance 1, which changes nothing while their stage is frozen; where it"
            " learns they normalise by the batch"
        )
