"""Reading checkpoints, and finding them; `checkpoint_writing` says what a file holds."""

from __future__ import annotations

import contextlib
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minideconv._version import __version__
from minideconv.backend import Array
from minideconv.errors import CheckpointError, UsageError
from minideconv.training.run.checkpoint_writing import (
    FORMAT,
    FORMAT_VERSION,
    Checkpoint,
    save_checkpoint,
)

__all__ = [
    "FORMAT_VERSION",
    "Checkpoint",
    "check_model_state",
    "check_run_header",
    "check_run_state",
    "find_checkpoint",
    "load_checkpoint",
    "read_header",
    "read_run_header",
    "save_checkpoint",
]


def read_header(path: str | Path) -> dict[str, Any]:
    """Return a checkpoint's header without reading its arrays."""
    with _open(Path(path)) as (header, _archive):
        return header


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


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated or damaged, is not a minideconv checkpoint, or was written
        in a newer format than this version reads.
    """
    path = Path(path)
    with _open(path) as (header, archive):
        model = {
            name.removeprefix("model/"): archive[name]
            for name in archive.files
            if name.startswith("model/")
        }
        state = _join(header.pop("state", {}), archive)
        return Checkpoint(model, header, state)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """Open the archive and read its header; damage found in the block becomes one sentence."""
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile) or "header" not in archive.files:
                raise CheckpointError(
                    f"checkpoint {path} is a NumPy file but not a minideconv checkpoint: "
                    "it has no header"
                )
            header = _parse_header(path, archive["header"])
            yield header, archive
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint {path} does not exist") from error
    except IsADirectoryError as error:
        raise CheckpointError(f"checkpoint {path} is a folder, not a file") from error
    except OSError as error:
        reason = error.strerror or "the file is truncated or damaged"
        raise CheckpointError(f"checkpoint {path} cannot be read: {reason}") from error
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise CheckpointError(_read_problem(path)) from error


def _read_problem(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        return f"checkpoint {path} cannot be read: the file is empty"
    if start[:2] == b"PK":
        return f"checkpoint {path} cannot be read: the file is truncated or damaged"
    return f"checkpoint {path} cannot be read: it is not an .npz file"


def _parse_header(path: Path, data: Array) -> dict[str, Any]:
    header: Any = None
    with contextlib.suppress(UnicodeDecodeError, json.JSONDecodeError):
        header = json.loads(data.tobytes().decode())
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(
            f"checkpoint {path} is a NumPy file but not a minideconv checkpoint: "
            "its header is of another kind"
        )
    version = header["format_version"]
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint {path} has format version {version}, written by minideconv "
            f"{header.get('minideconv_version')}; this minideconv ({__version__}) reads versions "
            f"up to {FORMAT_VERSION}: install a newer one"
        )
    return header


def check_model_state(
    expected: Mapping[str, Array], found: Mapping[str, Array], where: str | Path
) -> None:
    """Compare the arrays of a network with those of a checkpoint, by name and shape.

    Raises
    ------
    CheckpointError
        Naming the first parameter, in the network's order, that is missing or has another shape.
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
    for name, array in found.items():
        if name not in expected:
            raise CheckpointError(
                f"{another} has {name} of shape {tuple(array.shape)}, which this network has not"
            )


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


def _join(tree: Any, archive: Any) -> Any:
    """Undo `_split`; tuples come back as lists."""
    if isinstance(tree, list):
        return [_join(value, archive) for value in tree]
    if isinstance(tree, dict):
        if "array" in tree:
            return archive[tree["array"]]
        return {key: _join(value, archive) for key, value in tree.get("dict", [])}
    return tree
