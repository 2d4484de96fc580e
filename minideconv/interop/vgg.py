"""VGG-16's trunk, and DeconvNet, out of any program's weight file: `match` names, turns and checks.

weights = read_weights("vgg16-397923af.pth")
found = match(weights)
print(found.report())
found.arrays["conv1_1.layer.weight"]  # as models.deconvnet has it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from minideconv.errors import CheckpointError, UsageError
from minideconv.interop.conventions import INPUT, InputConvention, convert_first_convolution
from minideconv.interop.layouts import from_own, to_own
from minideconv.interop.malformed import Malformed, shown
from minideconv.interop.match_report import Match, Row
from minideconv.interop.vgg_names import CONVOLUTIONS, NAMINGS, Naming, naming
from minideconv.interop.weight_file import WeightFile

__all__ = ["convention_of", "identify", "match", "to_naming"]

_FIRST = "conv1_1.layer.weight"
_EPS = 1e-5  # of nn.BatchNorm2d
_MOST_FRONTS = 8  # networks in one file that are looked at


def identify(names: Sequence[str]) -> tuple[str, dict[str, str]] | None:
    """Find out whose names a file's are.

    Parameters
    ----------
    names : sequence of str
        All names of a file. They may have something in front, as ``state_dict.`` and
        ``model_weights/`` are.

    Returns
    -------
    (str, dict of str to str) or None
        The key in `NAMINGS` of the naming with the most names in the file, and those: this
        library's name to the file's. None if no naming has the first convolution's.

    Examples
    --------
    >>> identify(["model.features.0.weight", "model.features.0.bias"])[0]
    'torchvision vgg16'
    """
    there, best = set(names), None
    for key, candidate in NAMINGS.items():
        first = candidate.names[_FIRST]
        fronts = [name.removesuffix(first) for name in names if name.endswith(first)]
        for front in [front for front in fronts if not front or front[-1] in "./"][:_MOST_FRONTS]:
            found = {
                own: front + theirs
                for own, theirs in candidate.names.items()
                if front + theirs in there
            }
            if best is None or len(found) > len(best[1]):
                best = key, found
    return best


def convention_of(weights: WeightFile, known: Naming) -> InputConvention | None:
    """Return what the network in a file was fed: as the file says, or else as its names tell.

    Raises
    ------
    CheckpointError
        If what the file says is nothing that can be.
    """
    if weights.format not in ("safetensors", "NumPy") or INPUT not in weights.metadata:
        return known.convention
    try:
        return InputConvention.from_json(weights.metadata[INPUT])
    except UsageError as error:
        raise CheckpointError(f"weights {weights.path}: its metadata: {error}") from error


def match(
    weights: WeightFile,
    shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    skip: Sequence[str] = (),
    convention: InputConvention | None = None,
    target: InputConvention | None = None,
) -> Match:
    """Find VGG-16's and DeconvNet's parameters in a file, as this library's network has them.

    Parameters
    ----------
    weights : WeightFile
        From `read_weights`.
    shapes : mapping of str to shape, optional
        The network's parameters and buffers by name. Left out, the shapes of the layers in the file
        must fit one another, and all thirteen convolutions must be there.
    skip : sequence of str
        Blocks that are not taken, such as ``("fc6", "fc7")``.
    convention : InputConvention, optional
        What the network in the file was trained with, where it is another than its names tell
        (weights of Caffe under torchvision's names, for one).
    target : InputConvention, optional
        What the network will be fed. The first convolution is converted to it, if that is exact.

    Raises
    ------
    CheckpointError
        If the names are of no known network, a convolution is missing, a shape does not fit, or a
        value is not finite.
    UsageError
        If the conversion to `target` would not be exact.
    """
    identified = identify(list(weights.arrays))
    if identified is None:
        raise CheckpointError(
            f"weights {weights.path}: no names of VGG-16 or DeconvNet are in it; the first of its"
            f" {len(weights.arrays)} arrays is {shown(next(iter(weights.arrays)))}"
        )
    key, found = identified
    known = NAMINGS[key]
    result = Match(known.title, convention or convention_of(weights, known))
    try:
        found = {own: theirs for own, theirs in found.items() if own.split(".")[0] not in skip}
        if shapes is not None:
            found = {own: theirs for own, theirs in found.items() if own in shapes}
        _take(weights, found, known, result)
        _check(result, shapes, skip)
        _convert_first(result, target)
    except Malformed as error:
        raise CheckpointError(f"weights {weights.path}: {error}") from error
    wanted = shapes if shapes is not None else [own for own in known.names if _trunk(own)]
    skipped = [own for own in wanted if own.split(".")[0] in skip]
    result.missing = [own for own in wanted if own not in result.arrays and own not in skipped]
    used = {row.source for row in result.rows}
    result.unused = [name for name in weights.arrays if name not in used]
    return result


def _trunk(own: str) -> bool:
    return own.split(".")[0] in (*CONVOLUTIONS, "fc6", "fc7")


def _take(weights: WeightFile, found: dict[str, str], known: Naming, result: Match) -> None:
    """Turn every parameter that was found, in the order of computation."""
    channels = 0  # of the map so far: what a fully connected layer sees
    for own, theirs in found.items():
        source = weights.arrays[theirs]
        array, how = to_own(source, own, known.layout, channels)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise Malformed(f"{shown(theirs)} has {bad:,} values that are NaN or infinite")
        if own.endswith("layer.weight") and array.ndim == 4:
            channels = array.shape[1] if "deconv" in own else array.shape[0]
        result.arrays[own] = array
        result.rows.append(Row(theirs, source.shape, own, array.shape, how))
        if known.folded_norm and own.endswith("bn.bias"):
            _add_statistics(result, own.removesuffix("bias"), theirs, array.shape)


def _add_statistics(result: Match, bn: str, theirs: str, shape: tuple[int, ...]) -> None:
    """Give a folded batch normalisation the statistics that change nothing.

    The authors' file for inference has the statistics in scale and shift. (Those of the training
    stages have none at all: a network with them must see pictures first, `training.recalibrate`.)
    """
    for name, value in (("running_mean", 0.0), ("running_var", 1.0 - _EPS)):
        result.arrays[bn + name] = np.full(shape, value, np.float32)
        how = f"made: {value:g}, for scale and shift have the statistics in them"
        result.rows.append(Row(theirs, shape, bn + name, shape, how))


def _check(result: Match, shapes: Mapping[str, Sequence[int]] | None, skip: Sequence[str]) -> None:
    """Compare the shapes with the network's, or with one another."""
    for block in CONVOLUTIONS:
        own = f"{block}.layer.weight"
        needed = block not in skip and (shapes is None or own in shapes)
        if needed and own not in result.arrays:
            raise Malformed(
                f"the weight of {block} is not in it, though the other names are of {result.title}"
            )
    expected = _chain(result) if shapes is None else {k: tuple(v) for k, v in shapes.items()}
    for row in result.rows:
        if row.target in expected and row.target_shape != expected[row.target]:
            raise Malformed(
                f"{shown(row.source)} has shape {row.source_shape}, which makes {row.target_shape}"
                f" for {row.target}; it must be {expected[row.target]}"
            )


def _chain(result: Match) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the trunk's parameters must have, each layer seeing the one before."""
    expected: dict[str, tuple[int, ...]] = {}
    channels = 3
    for block in (*CONVOLUTIONS, "fc6", "fc7"):
        own = f"{block}.layer.weight"
        if own not in result.arrays:
            continue
        shape = result.arrays[own].shape
        window = (3, 3) if block in CONVOLUTIONS else shape[2:4]
        expected[own] = (shape[0], channels, *window) if len(shape) == 4 else (-1,)
        channels = shape[0] if shape else -1
        for part in ("layer.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"):
            expected[f"{block}.{part}"] = (channels,)
    return expected


def _convert_first(result: Match, target: InputConvention | None) -> None:
    """Let the first convolution take `target`'s input."""
    if target is None or target == result.convention or _FIRST not in result.arrays:
        return
    source = result.convention
    if source is None:
        raise UsageError("target: what the weights were trained with is not known; give convention")
    result.arrays[_FIRST] = convert_first_convolution(result.arrays[_FIRST], source, target)
    result.convention = target
    result.rows = [
        row._replace(how=f"{row.how}, from {source.channels} 0..{source.white:g} to"
                         f" {target.channels} 0..{target.white:g}")
        if row.target == _FIRST
        else row
        for row in result.rows
    ]  # fmt: skip


def to_naming(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Return this library's parameters under another program's names and in its layout.

    Parameters
    ----------
    arrays : mapping of str to array
        By this library's names, as in `Match.arrays` or a network's ``state_dict()``.
    name : str
        A key of `NAMINGS`.

    Raises
    ------
    UsageError
        If there is no such naming, or it has no name for one of the arrays.
    """
    known = naming(name)
    strange = [own for own in arrays if own not in known.names]
    if strange:
        raise UsageError(f"{known.title} has nothing like {', '.join(strange[:3])}")
    return {
        known.names[own]: from_own(array, own, known.layout, known.matrices)
        for own, array in arrays.items()
    }
