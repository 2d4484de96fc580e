"""What ``import minideconv`` adds to ``import numpy``: the median over fresh interpreters.

Run from the root of the checkout: ``python benchmarks/import_time.py [RUNS]``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = """
import time
import numpy
start = time.perf_counter()
import minideconv
print(time.perf_counter() - start)
"""


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    seconds = [
        float(subprocess.check_output([sys.executable, "-c", CODE], cwd=ROOT)) for _ in range(runs)
    ]
    print(
        f"import minideconv after import numpy: median {1e3 * statistics.median(seconds):.1f} ms, "
        f"fastest {1e3 * min(seconds):.1f} ms over {runs} interpreters (the bar is 150 ms)"
    )


if __name__ == "__main__":
    main()
