"""What a student's process may use."""

from __future__ import annotations

from dataclasses import dataclass, fields

from minideconv.errors import SettingError

__all__ = ["Limits"]

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What a student's process may use.

    Attributes
    ----------
    call : float
        Seconds for one call of a function.
    load : float
        Seconds until the file is imported, the interpreter's start included.
    operation : float
        Seconds of all calls of one operation together; the rest of its calls is refused.
    cpu : float
        Seconds of processor time of one process.
    memory : int
        Bytes of address space of one process, and of resident memory of all of them. PyTorch
        needs 8 GiB of the former.
    file_size : int
        Bytes of a file that is written.
    open_files : int
        Files that are open at a time.
    processes : int
        Processes at a time, the first one included.
    printed : int
        Bytes that one call or the import may print.
    result : int
        Bytes that one call may return.
    folder : int
        Bytes of the submission's folder, which is copied.
    time_outs : int
        Calls of one operation that may run into a time limit; the rest is refused.
    restarts : int
        Processes that may end during the calls of one operation; the rest is refused.
    """

    call: float = 5.0
    load: float = 10.0
    operation: float = 60.0
    cpu: float = 300.0
    memory: int = 1024 * MIB
    file_size: int = 16 * MIB
    open_files: int = 64
    processes: int = 8
    printed: int = MIB
    result: int = 64 * MIB
    folder: int = 64 * MIB
    time_outs: int = 3
    restarts: int = 12

    def __post_init__(self) -> None:
        """Refuse what cannot be a limit.

        Raises
        ------
        SettingError
            If a limit is not a positive number.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type == "int"
            right = isinstance(value, int) if whole else isinstance(value, int | float)
            if not right or isinstance(value, bool) or not 0 < value < 2**53:
                kind = "whole number" if whole else "number"
                raise SettingError(f"limit {field.name} is {value!r}; it must be a positive {kind}")
