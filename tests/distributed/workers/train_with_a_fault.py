"""``minideconv.train`` in which something happens to one process, in the middle of a step.

ARGUMENTS: WHAT RANK CALL, then those of the program. At its CALL-th batch, when the forward pass is
done, process RANK is killed, hangs, meets an error, or sends itself a signal.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from minideconv import train
from minideconv.distributed import shutdown
from minideconv.errors import DataError
from minideconv.training.memory_watch import MemoryWatch

what, rank, call = sys.argv[1], *map(int, sys.argv[2:4])
calls = 0
forward_done = MemoryWatch.forward_done
shutdown.PATIENCE = 5.0


def with_a_fault(self):
    global calls
    forward_done(self)
    calls += 1
    if calls == call:
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "hang":
            time.sleep(1000)
        elif what == "error":
            raise DataError("cat.png: this file is cut off")
        elif what == "bug":
            raise ZeroDivisionError("a bug")
        elif what == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)


if int(os.environ["PMI_RANK"]) == rank:
    MemoryWatch.forward_done = with_a_fault
sys.exit(train.main(sys.argv[4:]))
