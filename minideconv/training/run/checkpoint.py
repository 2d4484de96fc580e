"""Reading checkpoints, and finding them; `checkpoint_writing` says what a file holds.

A checkpoint may come from anywhere. What is taken out of a file has passed, in this order:

1. it is a regular file, and a zip archive of members that are not encrypted, under different
   names, each in bytes of its own and with the right checksum;
2. each member is an array of plain numbers, as long as its shape says; what is allocated is bounded
   by the file's own length (times `zipped.MOST_TIMES` for one that a user has compressed);
3. the header is JSON of the types, ranges and depth in `checkpoint_schema`;
4. its state refers to arrays that are there, and nothing else is in the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from minideconv._version import __version__
from minideconv.backend import Array
from minideconv.engine.layout import weights_within
from minideconv.errors import CheckpointError, UsageError
from minideconv.files.reading import open_regular
from minideconv.files.schema import Mismatch
from minideconv.interop.finite import check_finite
from minideconv.interop.malformed import Malformed
from minideconv.interop.mapped import map_file
from minideconv.interop.npz import read_npy
from minideconv.interop.zipped import Members
from minideconv.training.run import checkpoint_schema as schema
from minideconv.training.run.checkpoint_writing import (
    FORMAT,
    FORMAT_VERSION,
    Checkpoint,
    save_checkpoint,
)
from minideconv.training.run.run_progress import RunProgress

__all__ = [
    "FORMAT_VERSION",
    "Checkpoint",
    "check_model_state",
    "check_run_header",
    "check_run_state",
    "find_checkpoint",
    "load_checkpoint",
    "not_much_larger",
    "read_header",
    "read_run_header",
    "save_checkpoint",
]

_LARGER = 4 << 20  # numbers


def read_header(path: str | Path) -> dict[str, Any]:
    """Return a checkpoint's header without reading its arrays."""
    return _Archive(Path(path)).header


def read_run_header(path: str | Path) -> dict[str, Any]:
    """Return the header of a checkpoint that a training run wrote.

    Raises
    ------
    CheckpointError
        As `load_checkpoint`, or if another program wrote it.
    """
    header = read_header(path)
    check_run_header(header, path)
    return header


def check_run_header(header: Mapping[str, Any], path: str | Path) -> None:
    """Refuse a header that does not describe a training run.

    Raises
    ------
    CheckpointError
        One sentence with what is not there.
    """
    for name in ("model", "config", "progress"):
        if not isinstance(header.get(name), dict):
            kind = header.get("kind")
            what = f", it is about {kind}" if isinstance(kind, str) else ""
            raise CheckpointError(
                f"checkpoint {path} is not of a training run: its header has no {name!r}{what}"
            )
    _refuse_unfit(path, schema.check_run, header)


def check_run_state(checkpoint: Checkpoint, path: str | Path) -> None:
    """Refuse a checkpoint from which a training run cannot go on.

    Raises
    ------
    CheckpointError
        One sentence with what is not there.
    """
    check_run_header(checkpoint.header, path)
    for name in ("stage", "random"):
        if not isinstance(checkpoint.state.get(name), dict):
            raise CheckpointError(
                f"checkpoint {path} can be used, but not gone on from: no {name!r} is in its state"
            )
    _refuse_unfit(path, schema.check_state, checkpoint.state)
    _refuse_unfit(path, RunProgress.from_dict, checkpoint.header["progress"])
    check_finite(checkpoint.model_state, f"checkpoint {path}")


def _refuse_unfit(path: str | Path, check: Callable[[Any], object], value: Any) -> None:
    try:
        check(value)
    except (Mismatch, TypeError) as error:  # TypeError: of progress that another version made
        raise CheckpointError(f"checkpoint {path} cannot be used: in it, {error}") from error


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated or damaged, is not a minideconv checkpoint, or was written
        in a newer format than this version reads.
    """
    archive = _Archive(Path(path))
    try:
        return archive.checkpoint()
    except MemoryError as error:
        raise CheckpointError(f"checkpoint {path}: there is not enough memory for it") from error


class _Archive:
    """A checkpoint file whose header has been read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with open_regular(path) as file:
                start = file.read(8)
        except FileNotFoundError as error:
            raise CheckpointError(f"checkpoint {path} does not exist") from error
        except IsADirectoryError as error:
            raise CheckpointError(f"checkpoint {path} is a folder, not a file") from error
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        if not start:
            raise self._unreadable("the file is empty")
        if start[:6] == b"\x93NUMPY":
            raise self._foreign("it has no header")
        if start[:2] != b"PK":
            raise self._unreadable("it is not an .npz file")
        try:
            self._members = Members(map_file(path), checkpoint=True)
            if "header.npy" not in self._members:
                raise self._foreign("it has no header")
            text = read_npy(self._members["header.npy"], "header").tobytes()
        except Malformed as error:
            raise self._unreadable(f"the file is truncated or damaged: {error}") from error
        self.header = self._parsed(text)

    def _parsed(self, text: bytes) -> dict[str, Any]:
        try:
            header = json.loads(text, object_pairs_hook=schema.without_twins)
        except (ValueError, RecursionError):
            header = None
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise self._foreign("its header is of another kind")
        try:
            schema.check_version(header)
            if (version := header["format_version"]) > FORMAT_VERSION:
                raise CheckpointError(
                    f"checkpoint {self.path} has format version {version}, written by minideconv "
                    f"{header['minideconv_version']}; this minideconv ({__version__}) reads"
                    f" versions up to {FORMAT_VERSION}: install a newer one"
                )
            schema.check_header(header)
        except Mismatch as error:
            raise self._unreadable(f"in its header, {error}") from error
        return header

    def checkpoint(self) -> Checkpoint:
        """Return all of it."""
        header = dict(self.header)
        tree = header.pop("state", {"dict": []})
        try:
            left = {name.removesuffix(".npy") for name in self._members.names} - {"header"}
            schema.check_tree(tree)
            used = schema.references(tree)
            model = {}
            for name in [name.removesuffix(".npy") for name in self._members.names]:
                if name.startswith("model/"):
                    model[name.removeprefix("model/")] = self._array(name)
            state = schema.joined(tree, {name: self._array(name) for name in used})
            if foreign := sorted(left - used - {f"model/{name}" for name in model}):
                raise Malformed(f"array {schema.shown(foreign[0])} belongs to nothing in it")
        except (Malformed, Mismatch) as error:
            raise self._unreadable(f"the file is truncated or damaged: {error}") from error
        return Checkpoint(model, header, state)

    def _array(self, name: str) -> Array:
        return read_npy(self._members[f"{name}.npy"], name)

    def _unreadable(self, reason: str) -> CheckpointError:
        return CheckpointError(f"checkpoint {self.path} cannot be read: {reason}")

    def _foreign(self, reason: str) -> CheckpointError:
        return CheckpointError(
            f"checkpoint {self.path} is a NumPy file but not a minideconv checkpoint: {reason}"
        )


def check_model_state(
    expected: Mapping[str, Array], found: Mapping[str, Array], where: str | Path
) -> None:
    """Compare the arrays of a network with those of a checkpoint: names, shapes, kinds of numbers.

    Raises
    ------
    CheckpointError
        Naming the first parameter, in the network's order, that is missing, has another shape,
        or holds whole numbers where there are to be others.
    """
    another = f"checkpoint {where} is of another network: it"
    for name, array in expected.items():
        shape = tuple(array.shape)
        if name not in found:
            raise CheckpointError(f"{another} has no {name}, which here has shape {shape}")
        if (there := tuple(found[name].shape)) != shape:
            raise CheckpointError(
                f"{another}s {name} has shape {there}, but here the shape is {shape}"
            )
        if found[name].dtype.kind != array.dtype.kind:
            raise CheckpointError(
                f"checkpoint {where} is damaged, or of another program: its {name} is of type"
                f" {found[name].dtype}, but here of {array.dtype}"
            )
        if name.endswith("running_var") and bool((found[name] < 0).any()):
            raise CheckpointError(
                f"checkpoint {where} is damaged, or of another program: its {name}, a variance, has"
                " numbers below 0"
            )
    for name, array in found.items():
        if name not in expected:
            raise CheckpointError(
                f"{another} has {name} of shape {tuple(array.shape)}, which this network has not"
            )


def not_much_larger(checkpoint: Checkpoint) -> AbstractContextManager[None]:
    """Let no network be made in the block that is much larger than the one in a checkpoint.

    What a header describes is built, and then compared by `check_model_state`, which names the
    first difference. One that would not fit into memory must be refused before.
    """
    return weights_within(_LARGER + sum(a.size for a in checkpoint.model_state.values()))


def find_checkpoint(path: str | Path, prefer: str = "best") -> Path:
    """Return the checkpoint file that `path` means: the file itself, or one of a run folder's.

    Parameters
    ----------
    path : str or Path
        A checkpoint file or a run folder.
    prefer : {"best", "last"}
        Which one of a run folder to take first; the other is taken where that one is missing.

    Raises
    ------
    UsageError
        If nothing has that name.
    CheckpointError
        If it is a folder without checkpoints.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise UsageError(f"{path}: no such run folder or checkpoint")
        return path
    names = [prefer, "last" if prefer == "best" else "best"]
    for folder in (path / "checkpoints", path):
        for name in names:
            if (folder / f"{name}.npz").is_file():
                return folder / f"{name}.npz"
    raise CheckpointError(
        f"{path}: the folder holds no checkpoint (neither checkpoints/best.npz nor "
        "checkpoints/last.npz)"
    )
