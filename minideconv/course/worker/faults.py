"""The sentences for a process that ended during a call."""

from __future__ import annotations

import signal

__all__ = ["SAID_INSIDE", "ended_sentence"]

# Kinds of faults that the student's process itself may report; the others are seen from outside.
SAID_INSIDE = frozenset(
    {"exit", "forbidden", "memory", "missing", "output", "raised", "returned", "syntax"}
)
SIGNALS = {
    "SIGSEGV": "a segmentation fault",
    "SIGBUS": "a bus error",
    "SIGFPE": "a floating-point exception",
    "SIGABRT": "an abort of the interpreter",
    "SIGILL": "an illegal instruction",
}


def ended_sentence(why: str, number: int, about: str, seconds: float) -> tuple[str, str]:
    """Return kind and sentence of a fault.

    Parameters
    ----------
    why, number : str, int
        As in `Ended`.
    about : str
        What was called.
    seconds : float
        Its time limit.
    """
    if why == "time":
        return "time", f"{about} did not return within {seconds:g} s: an endless loop, or too slow"
    if why == "output":
        return "output", f"{about} printed more than {number:,} bytes"
    if why == "processes":
        return "processes", f"{about} started more than {number - 1} other processes"
    if why == "memory":
        return "memory", f"{about} used more than {number // 2**20:,} MB of memory"
    if why == "exit":
        how = f" with exit status {number}" if number >= 0 else ""
        return "exit", f"{about} ended the Python process{how}; it must return its result"
    if why == "closed":
        return "protocol", f"{about} closed files that it did not open: the grader's connection"
    if why == "signal":
        return _signalled(number, about)
    return "protocol", f"{about} sent the grader something else than a result"


def _signalled(number: int, about: str) -> tuple[str, str]:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if name == "SIGXCPU":
        return "time", f"{about} used up the processor time that the whole file may take"
    if name in SIGNALS:
        return "crash", f"{about} crashed the Python process: {SIGNALS[name]}"
    if name == "SIGKILL":
        return "exit", f"{about} was killed: by itself, or for the memory that it took"
    return "exit", f"{about} ended the Python process by {name}; it must return its result"
