"""What processes must agree on before they work together: `from_first` and `check_same`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minideconv.distributed.communicator import Communicator
from minideconv.errors import MinideconvError, UsageError, in_words

__all__ = ["check_same", "from_first"]


def from_first(talk: Communicator, work: Callable[[], Any]) -> Any:
    """Do `work` in rank 0 only; return its result, a plain value, in all processes.

    Raises
    ------
    MinideconvError
        In all processes, if `work` raises one, or an error that `errors.in_words` makes one of.
    """
    said: list[Any] = ["", 0, None]
    if talk.rank == 0:
        try:
            said[2] = work()
        except Exception as error:
            reason = in_words(error)
            if talk.size == 1 or not isinstance(reason, MinideconvError):
                raise
            said = [str(reason), reason.exit_code, None]
    text, code, value = talk.exchange(said)[0]
    if text:
        told = MinideconvError(text)
        told.exit_code = code
        raise told
    return value


def check_same(talk: Communicator, values: Mapping[str, Any]) -> None:
    """Raise UsageError in all processes unless all have the same plain `values`.

    The message names the first rank that differs from rank 0, and in what.
    """
    first, *others = talk.exchange(dict(values))
    for rank, other in enumerate(others, 1):
        for name in first:
            if other.get(name) != first[name]:
                raise UsageError(
                    f"rank {rank} has {name} {other.get(name)} but rank 0 has {first[name]}; all"
                    " processes must run with the same settings and versions"
                )
