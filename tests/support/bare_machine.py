"""Python as it is on a bare machine with a GPU: CuPy, NumPy, and some packages that are not there.

    MINIDECONV_BARE_OF="numba pytest" python tests/support/bare_machine.py -m MODULE [ARGUMENT...]

The GPU is the device that is this CPU. Without the variable, NOT_THERE are left out.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
TOOLS = Path(os.environ.get("MINIDECONV_TEST_TOOLS") or TESTS.parents[1] / "shared" / "tools")
NOT_THERE = ("hypothesis", "llvmlite", "matplotlib", "numba", "PIL", "pytest", "rich", "scipy")


class Without:
    """One of Python's finders of modules, that finds some packages no more."""

    def __init__(self, finder: Any, packages: tuple[str, ...]) -> None:
        self._finder, self._packages = finder, packages

    def find_spec(self, name: str, *where: Any) -> Any:
        if name.partition(".")[0] in self._packages:
            return None
        return self._finder.find_spec(name, *where)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def leave_out(*packages: str) -> None:
    """Make packages that were not imported yet look as if they were not installed."""
    sys.meta_path[:] = [Without(finder, packages) for finder in sys.meta_path]


def install_fakecuda() -> None:
    """Make CuPy's device this CPU."""
    sys.path.insert(0, str(TOOLS / "fakecuda"))
    import fakecuda

    fakecuda.install()


if __name__ == "__main__":
    install_fakecuda()
    leave_out(*os.environ.get("MINIDECONV_BARE_OF", " ".join(NOT_THERE)).split())
    sys.path[0] = os.getcwd()
    dash_m, module, *arguments = sys.argv[1:]
    assert dash_m == "-m", "only modules can be run"
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
