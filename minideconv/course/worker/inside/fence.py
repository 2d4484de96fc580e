"""What a task does not allow to be used: imports are refused, attributes replaced.

A fence, not a wall: it stops who writes ``import scipy.signal``, in whatever way, and not who takes
the interpreter apart.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

__all__ = ["Fence", "ForbiddenError"]


class ForbiddenError(ImportError):
    """Something that the task does not allow was imported or called."""


def _refuse(name: str) -> ForbiddenError:
    return ForbiddenError(f"{name} is not allowed in this task", name=name)


class Refused(ModuleType):
    """Stands where something forbidden stood."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _refuse(self.__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise _refuse(self.__name__)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        raise _refuse(self.__name__)


class Fence(MetaPathFinder):
    """Refuses names, those below them, and what replaces them in ``sys.modules``.

    Parameters
    ----------
    names : sequence of str
        Packages, modules or their attributes: ``scipy.signal``, ``torch.conv2d``.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)
        # Where an attribute of a module is forbidden, it is replaced after the module's import.
        self.above = frozenset(
            name.rsplit(".", count)[0] for name in names for count in range(1, name.count(".") + 1)
        )
        self._importing: list[str] = []

    def install(self) -> None:
        """Stand before every other finder; replace what has been imported already."""
        sys.meta_path.insert(0, self)
        self.seal()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse a forbidden name; let a module above one be sealed after its import."""
        # PyTorch itself imports what a student may not.
        if self._importing:
            return None
        parts = fullname.split(".")
        for end in range(1, len(parts) + 1):
            if ".".join(parts[:end]) in self.names:
                raise _refuse(".".join(parts[:end]))
        if fullname not in self.above:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            self._importing.append(fullname)
            try:
                load(module)
            finally:
                self._importing.pop()
            self.seal()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def seal(self) -> None:
        """Replace every forbidden name that is there."""
        for name in self.names:
            holder_name, _, last = name.rpartition(".")
            if holder_name.partition(".")[0] not in sys.modules:
                continue
            holder = self._find(holder_name)
            if holder is None or last not in vars(holder):
                continue
            refused = Refused(name)
            setattr(holder, last, refused)
            if name in sys.modules:
                sys.modules[name] = refused

    @staticmethod
    def _find(name: str) -> Any:
        """Return a module or an attribute of one that has been imported."""
        first, *rest = name.split(".")
        found: Any = sys.modules.get(first)
        for part in rest:
            found = getattr(found, part, None)
        return found

    def crossed(self) -> str:
        """Return a forbidden module that was imported all the same, or nothing."""
        for name in self.names:
            if name in sys.modules and not isinstance(sys.modules[name], Refused):
                return name
        return "" if self in sys.meta_path else "taking the list of importers apart"
