"""The units of the course as a student has them: a folder of files under the names to hand in."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

UNITS = Path(__file__).resolve().parents[2] / "minideconv" / "course" / "units"
NAMES = sorted(path.parent.name for path in UNITS.glob("*/unit.toml"))


def about(unit: str) -> dict[str, Any]:
    """Return what is in a unit.toml."""
    return tomllib.loads((UNITS / unit / "unit.toml").read_text(encoding="utf-8"))


def stripped(source: str) -> str:
    """Return the skeleton of a solution: what a student is given."""
    function = re.compile(r"^( *)# BEGIN SOLUTION\n.*?^ *# END SOLUTION\n", re.M | re.S)
    source = function.sub(r'\1raise NotImplementedError("write this part")\n', source)
    return re.sub(r"^ *# BEGIN HIDDEN\n.*?^ *# END HIDDEN\n", "", source, flags=re.M | re.S)


def imported(path: Path, name: str) -> ModuleType:
    """Import a file as a module of that name, for other files to import."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def all_imported(backend: str, monkeypatch: Any) -> dict[str, ModuleType]:
    """Import the solutions of all units as the student's files; forget them after the test."""
    modules = {}
    for unit in NAMES:
        name = about(unit)["file"].removesuffix(".py")
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        modules[unit] = imported(UNITS / unit / f"solution_{backend}.py", name)
    return modules


def on_numpy(function: Any) -> Any:
    """Let a function of PyTorch tensors take and return NumPy arrays."""
    import numpy as np
    import torch

    def there(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        # Shared, so that what is changed in place is changed for the caller, too.
        return torch.from_numpy(value if min(value.strides, default=0) >= 0 else value.copy())

    def back(value: Any) -> Any:
        return value.detach().numpy() if isinstance(value, torch.Tensor) else value

    def call(*args: Any, **settings: Any) -> Any:
        result = function(*map(there, args), **settings)
        return tuple(map(back, result)) if isinstance(result, tuple) else back(result)

    return call
