"""Python as it is on a bare machine with a GPU: `CuPy`, NumPy, and none of the packages in BARE_OF.

    MINIDECONV_BARE_OF="numba pytest" python tests/support/bare_machine.py -m MODULE [ARGUMENT...]

The GPU is the device that is this CPU. A package that is left out raises the error that Python
raises for one that is not installed.
"""

from __future__ import annotations

import importlib.abc
import os
import runpy
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TOOLS = Path(os.environ.get("MINIDECONV_TEST_TOOLS") or TESTS.parents[1] / "shared" / "tools")
NOT_THERE = ("hypothesis", "llvmlite", "matplotlib", "numba", "PIL", "pytest", "rich", "scipy")


class LeftOut(importlib.abc.MetaPathFinder):
    """Finds nothing, and lets nothing be found, of some packages."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def leave_out(*packages: str) -> None:
    """Make packages that were not imported yet look as if they were not installed."""
    sys.meta_path.insert(0, LeftOut(packages))


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
