"""What processes must agree on before they work together: `on_rank_zero` and `check_same`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minideconv.distributed.communicator import Communicator
from minideconv.errors import MinideconvError, UsageError, as_usage_error

__all__ = ["check_same", "on_rank_zero"]


def on_rank_zero(comm: Communicator, work: Callable[[], Any]) -> Any:
    """Do `work` in rank 0 only; return its result, a plain value, in all processes.

    Raises
    ------
    MinideconvError
        In all processes, if `work` raises one, or an error that `errors.as_usage_error` makes one
        of.
    """
    outcome: tuple[Any, ...] = ()
    if comm.rank == 0:
        try:
            outcome = ("", "", 0, work())
        except Exception as error:
            reason = as_usage_error(error)
            if comm.size == 1 or not isinstance(reason, MinideconvError):
                raise
            outcome = (str(reason), reason.as_options, reason.exit_code, None)
    text, as_options, code, value = comm.all_gather_object(outcome)[0]
    if text:
        failure = MinideconvError(text, as_options)
        failure.exit_code = code
        raise failure
    return value


def check_same(comm: Communicator, values: Mapping[str, Any]) -> None:
    """Raise UsageError in all processes unless all have the same plain `values`.

    The message names the first rank that differs from rank 0, and in what.
    """
    first, *others = comm.all_gather_object(dict(values))
    for rank, other in enumerate(others, 1):
        for name in first:
            if other.get(name) != first[name]:
                raise UsageError(
                    f"rank {rank} has {name} {other.get(name)} but rank 0 has {first[name]}; all"
                    " processes must run with the same settings and versions"
                )
