"""Run a Python file on fakecuda, the made-up GPU. ARGUMENTS: TOOLS FILE [its arguments].

Every process has a GPU of its own, though all of these call themselves the same.
"""

from __future__ import annotations

import os
import runpy
import sys

tools, file = sys.argv[1:3]
sys.path.insert(0, os.path.join(tools, "fakecuda"))
import fakecuda  # noqa: E402 (found on the path of the line above)

fakecuda.install()

from minideconv.distributed import find  # noqa: E402 (behind the installed device)

find._name_of = lambda device: f"GPU of process {os.getpid()}"
if __name__ == "__main__":
    sys.argv = [file, *sys.argv[3:]]
    runpy.run_path(file, run_name="__main__")
