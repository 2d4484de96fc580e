"""Names that a file gives, joined to a folder: `inside` refuses those that would lead out of it.

An image list, an annotation or an archive may come from a stranger. An id such as ``../../x`` in it
is legal text, and ``folder / id`` would read or write anywhere. Every name that is read from a
file therefore becomes a path here, or is refused by `refuse_outside` where it is read.
"""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from minideconv.errors import DataError

__all__ = ["inside", "refuse_outside"]


def inside(folder: Path, name: str, ending: str = "") -> Path:
    """Return ``folder / (name + ending)``, a path below `folder`.

    Parameters
    ----------
    folder : Path
    name : str
        May name a folder below `folder` too, ``city/name``.
    ending : str
        Such as ``.png``.

    Raises
    ------
    DataError
        If it would be somewhere else, as by ``..`` or a path that begins at a root, or is no name
        at all.

    Examples
    --------
    >>> inside(Path("masks"), "aachen/000019", ".png").as_posix()
    'masks/aachen/000019.png'
    """
    refuse_outside(name, str(folder))
    return folder / f"{name}{ending}"


def refuse_outside(name: str, where: str) -> None:
    """Refuse a name that does not stay in the folder that it is joined to, on any system.

    Parameters
    ----------
    name : str
    where : str
        What the message calls the place where it stands, or the folder.

    Raises
    ------
    DataError
        One sentence with both.

    Notes
    -----
    A backslash and a drive, ``C:``, are letters on other systems than Windows. What would lead out
    on one system is refused on all, for a folder is carried from one to another.
    """
    windows = PureWindowsPath(name)  # understands both separators
    leads_out = windows.drive or windows.root or ".." in windows.parts or "\0" in name
    if leads_out or not name.strip("./\\ "):
        raise DataError(
            f"{where}: {name!r} is no name of a file inside of a folder; a name must not lead out"
            " of it, by .. or from a root"
        )
