"""Standard output that may vanish under a program: a closed terminal, `head`, a full disk.

A program whose results are files goes on without it. For one whose result is what it prints, a lost
output is an error. `standing_output` is the one place where that is decided.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from minideconv.errors import MinideconvError
from minideconv.files.atomic import write_problem

__all__ = ["OutputLostError", "output_problem", "standing_output"]


class OutputLostError(MinideconvError):
    """What a program prints cannot be written, and nothing else keeps it (exit code 1)."""


@contextlib.contextmanager
def standing_output(name: str, goes_on: bool) -> Iterator[None]:
    """Let a standard stream raise nothing in the block that is about itself.

    Parameters
    ----------
    name : {"stdout", "stderr"}
        Which attribute of `sys`.
    goes_on : bool
        Whether the program goes on when the stream is lost.

    Raises
    ------
    BrokenPipeError, OutputLostError
        If it is lost and the program does not go on.
    """
    # A descriptor that was closed (`>&-`) would become the next file's that is opened, such as a
    # checkpoint's, and what is printed would go there.
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(spare, True)
    os.close(spare)
    before = getattr(sys, name)
    stream = _Stream(before, goes_on)
    setattr(sys, name, stream)
    try:
        yield
        stream.flush()  # here, where a full disk can still be reported
    finally:
        setattr(sys, name, before)


def output_problem(stream: Any) -> str:
    """Return why nothing can be written to a stream of `standing_output` any more, or ""."""
    problem = getattr(stream, "problem", "")
    return problem if isinstance(problem, str) else ""


class _Stream:
    """A text stream whose failures are kept in `problem`."""

    def __init__(self, stream: TextIO | None, goes_on: bool) -> None:
        self._stream, self._goes_on = stream, goes_on
        self.problem = "" if stream is not None else "it was closed from the beginning"

    def write(self, text: str) -> int:
        """Write a text, or nothing if that is no longer possible.

        What an ASCII terminal does not have, and bytes of a file's name that are no text, become
        escapes.
        """
        if self._stream is not None and not self.problem:
            shown = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
            try:
                self._stream.write(shown)
            except (OSError, ValueError) as error:  # ValueError: the file object was closed
                self._lose(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        if self._stream is not None and not self.problem:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        try:
            return self._stream is not None and not self.problem and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        if self._stream is None:
            raise OSError("the stream was closed from the beginning")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        """How texts become bytes."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self, error: OSError | ValueError) -> None:
        self.problem = write_problem(error) if isinstance(error, OSError) else str(error)
        # What is in the buffer would fail again when the interpreter shuts down.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
        if not self._goes_on:
            if isinstance(error, BrokenPipeError):
                raise error
            raise OutputLostError(
                f"the standard output cannot be written: {self.problem}"
            ) from error
