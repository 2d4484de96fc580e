"""``python -m minideconv.distributed.shield``: the others survive when this process is killed.

MPICH's ``mpiexec`` kills every process of a run as soon as one of them was ended by a signal (the
system was out of memory, say), even with ``-disable-auto-cleanup``; no other process can then save
anything. It does not when the process that it started itself ends in an orderly way. So this
program stands in between: it starts Python with the arguments that follow, waits for it, and leaves
with its exit code. The others hear of the death by SIGUSR1, and have time::

    mpiexec -disable-auto-cleanup -n 4 python -m minideconv.distributed.shield -m minideconv.train
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run Python with these arguments; return its exit code, 128 + N if signal N ended it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        print("shield: give it what Python shall run, such as -m minideconv.train", file=sys.stderr)
        return 2
    # News of a death is for the program, which may not be ready for it yet: ignored, and so
    # inherited, until it is. The other signals go to the whole group, and the program decides.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)
    # The launcher talks to the program through an open file that it inherits.
    code = subprocess.Popen([sys.executable, *given], close_fds=False).wait()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
