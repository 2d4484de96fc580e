"""Whether an environment with exactly the extra `gpu`, or `gpu-cuda13`, has all that a GPU needs.

    python tests/support/gpu_extra.py      with the Python of such an environment, no GPU needed

Only the question for a driver and a device is left out: all libraries are loaded as a run loads
them. Nothing of this file may need a package that the extra does not bring.
"""

from __future__ import annotations

import sys

from minideconv.backend import gpu_probe
from minideconv.engine.cuda import blas


def main() -> int:
    gpu_probe._device_problem = lambda runtime: None
    problem = gpu_probe.gpu_problem()
    if problem is None:
        blas._library()
    print(f"the probe: {problem or 'yes'}")
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
