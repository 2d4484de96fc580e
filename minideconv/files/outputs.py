"""The files that a program is about to write, checked before any work is done.

No file that the user gave as input is ever written over. One that merely stands at a place where an
output would go may be another program's, or the result of an earlier command.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from minideconv.errors import UsageError, some

__all__ = ["check_outputs", "plan_outputs", "refuse_foreign_file", "refuse_same_folder"]


def plan_outputs(
    inputs: Sequence[Path],
    folder: Path,
    endings: Sequence[str],
    overwrite: bool = False,
    others: Iterable[Path] = (),
) -> dict[Path, list[Path]]:
    """Return for each input its output files: `folder`, the input's name without suffix, an ending.

    Parameters
    ----------
    inputs : sequence of Path
        One that is named twice, in whatever spelling, is done once.
    folder : Path
        Where the outputs go; it need not exist.
    endings : sequence of str
        What is put behind the name, for each output.
    overwrite : bool
        Whether outputs that exist may be replaced.
    others : iterable of Path
        Files that are read as well and must not be written over.

    Raises
    ------
    UsageError
        If two inputs have an output in common (also in a file system that does not distinguish
        capitals), or an output is an input, or exists and may not be replaced.
    """
    plan: dict[Path, list[Path]] = {}
    owners: dict[str, Path] = {}
    shared: list[tuple[Path, Path, Path]] = []
    for path in inputs:
        outputs = [folder / f"{path.stem}{ending}" for ending in endings]
        twins = [(owners[_key(o)], path, o) for o in outputs if _key(o) in owners]
        own = (_identity(path), path.stem)
        if twins and all((_identity(twin), twin.stem) == own for twin, _, _ in twins):
            continue
        shared += twins
        plan[path] = outputs
        owners |= dict.fromkeys(map(_key, outputs), path)
    every = [output for outputs in plan.values() for output in outputs]
    _refuse_inputs(every, [*inputs, *others])
    if shared:
        one, other, output = shared[0]
        raise UsageError(
            f"{one} and {other} would both be written to {output.name}; rename one of them, or give"
            " each a command and an --output-dir of its own"
        )
    _refuse_existing(every, folder, overwrite)
    return plan


def check_outputs(
    outputs: list[Path], folder: Path, overwrite: bool | None, inputs: list[Path], option: str
) -> None:
    """Refuse outputs in `folder` of which one is an input, or exists and may not be replaced.

    Parameters
    ----------
    overwrite : bool or None
        None for a program that never replaces its outputs, and has no option for it.
    option : str
        What names the folder on the command line; the others are as in `plan_outputs`.

    Raises
    ------
    UsageError
        One sentence with the files' names.
    """
    _refuse_inputs(outputs, inputs, option)
    _refuse_existing(outputs, folder, overwrite, option)


def _refuse_inputs(outputs: list[Path], inputs: list[Path], option: str = "--output-dir") -> None:
    read = {_identity(path): str(path) for path in inputs}
    lost = sorted({read[key] for key in map(_identity, outputs) if key in read})
    if lost:
        raise UsageError(f"{some(lost)} would be overwritten; choose another {option}")


def _refuse_existing(
    every: list[Path], folder: Path, overwrite: bool | None, option: str = "--output-dir"
) -> None:
    outputs = [output for output in every if os.path.lexists(output)]
    if not overwrite and outputs:
        replace = "give --overwrite to replace what is there, or "
        raise UsageError(
            f"{folder} holds {some([path.name for path in outputs])} already;"
            f" {'' if overwrite is None else replace}choose another {option}"
        )
    odd = [path for path in outputs if path.is_symlink() or not path.is_file()]
    if odd:
        raise UsageError(
            f"{some(odd)} cannot be replaced: it is a link, a folder or a"
            f" device; choose another {option}"
        )


def refuse_same_folder(option: str, folder: Path, read: Mapping[str, str | Path | None]) -> None:
    """Refuse to write into a folder that is read, where outputs would be input the next time.

    Parameters
    ----------
    option : str
        What names the folder on the command line.
    folder : Path
        Where the outputs go; it need not exist.
    read : mapping of str to path
        The folders that are read, by what names them; None for one that is not given.

    Raises
    ------
    UsageError
        If it is one of them, under whatever name or link.
    """
    for name, other in read.items():
        if other is not None and _identity(Path(other)) == _identity(folder):
            raise UsageError(
                f"{option} {folder} is the folder of {name}, which is read; what is written there"
                " would be taken for input the next time, so name another folder"
            )


def refuse_foreign_file(
    option: str, path: Path, own: Callable[[Path], bool], makes_folder: bool = False
) -> None:
    """Refuse to write to a file that another program wrote; an empty one holds nothing to lose.

    Parameters
    ----------
    option : str
        What names the file on the command line.
    path : Path
        The file, which need not exist. Devices and pipes are written to as they are.
    own : callable
        Whether a file is an earlier output of the same program.
    makes_folder : bool
        Whether the program makes the folder of the file itself.

    Raises
    ------
    UsageError
        If the file is a folder, or holds something else, or is in a folder that is not there.
    """
    if path.is_dir():
        raise UsageError(f"{option} {path} is a folder; name a file")
    if not makes_folder and not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}; make it first")
    if path.is_file() and path.stat().st_size and not own(path):
        raise UsageError(
            f"{option} {path} exists and is no earlier output of this program, so it is not"
            " overwritten; name another file"
        )


def _key(output: Path) -> str:
    """Return a name that is equal for files which some file system takes for one."""
    return unicodedata.normalize("NFC", output.name).casefold()


def _identity(path: Path) -> tuple[int, int] | str:
    """Return what is equal for all names of one file: links, hard or symbolic, have its number."""
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino
