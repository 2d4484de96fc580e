"""Modules that hold modules, by number or by name: `ModuleList`, `Sequential` and `ModuleDict`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from minideconv.backend.checks import check_iterable, shown
from minideconv.nn.module import Module

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


class ModuleList(Module):
    """Modules in a list, which a Python list would hide: they are learned, moved and saved.

    ``len``, iteration, ``append``, ``extend``, ``insert``, ``pop``, ``del``, ``modules[index]``, to
    read and to replace, and slices, which are lists of the same modules, work as for a list; the
    name of a module is its number. There is no forward: the module that holds the list calls what
    is in it.

    Raises
    ------
    TypeError
        If something in it is no `Module`.
    IndexError
        If there is no module of that number.

    Examples
    --------
    >>> from minideconv.nn import Linear
    >>> layers = ModuleList(Linear(2, 2, bias=False) for _ in range(2))
    >>> layers.append(Linear(2, 1))
    >>> list(layers.state_dict())
    ['0.weight', '1.weight', '2.weight', '2.bias']
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def append(self, module: Module) -> None:
        """Put a module behind the others."""
        number = len(self)
        while str(number) in vars(self):  # of a slice, or one in front of it has been deleted
            number += 1
        setattr(self, str(number), self._own(module, number))

    def extend(self, modules: Iterable[Module]) -> None:
        """Put several modules behind the others."""
        must = "a list of modules, as in ModuleList([layer])"
        given = list(check_iterable(type(self).__name__, "modules", modules, must))
        for number, module in enumerate(given, len(self)):
            self._own(module, number)  # all, before the first is taken
        for module in given:
            self.append(module)

    def _own(self, module: Module, number: int) -> Module:
        if not isinstance(module, Module):
            raise TypeError(
                f"{type(self).__name__}: argument {number} is a {type(module).__name__}; "
                "each must be a Module of its own, as in ModuleList(layers) and Sequential(*layers)"
            )
        return module

    def __len__(self) -> int:
        """Return the number of modules."""
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        """Return an iterator over the modules."""
        return self.children()

    def insert(self, index: int, module: Module) -> None:
        """Put a module in front of the one with this number; those behind it get other numbers."""
        modules = list(self)
        modules.insert(index, self._own(module, index))
        self._renew(modules)

    def pop(self, index: int = -1) -> Module:
        """Take a module out and return it; those behind it get other numbers."""
        module = self[index]
        del self[index]
        return module

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        """Return one of the modules, or some as a container of the same kind."""
        if isinstance(index, slice):
            return self._some(dict(list(self._modules.items())[index]))
        module: Module = self._modules[self._name(index)]
        return module

    def __setitem__(self, index: int, module: Module) -> None:
        """Replace one of the modules."""
        setattr(self, self._name(index), self._own(module, index))

    def __delitem__(self, index: int | slice) -> None:
        """Take modules out; those behind them get other numbers."""
        modules = list(self)
        if not isinstance(index, slice):
            self._name(index)
        del modules[index]
        self._renew(modules)

    def _name(self, index: int) -> str:
        """Return the name of the module with this number, which may count from the end."""
        names = list(self._modules)
        try:
            return names[index]
        except IndexError:
            raise IndexError(
                f"{type(self).__name__}: there is no module {index}; it has {len(names)}"
            ) from None
        except TypeError:
            raise TypeError(
                f"{type(self).__name__}: the index is {index!r}; it must be an integer or a slice"
            ) from None

    def _some(self, modules: dict[str, Module]) -> Self:
        """Return a container of this kind with these of its modules."""
        found = type(self).__new__(type(self))
        ModuleList.__init__(found, modules.values())
        return found

    def _renew(self, modules: list[Module]) -> None:
        """Hold these modules instead, with the numbers from 0 as their names."""
        for name in list(self._modules):
            delattr(self, name)
        self.extend(modules)


class Sequential(ModuleList):
    """Modules one after another; otherwise a `ModuleList`.

    Parameters
    ----------
    *modules : Module, or one mapping of str to Module
        A mapping, such as a dict, gives them names. A slice keeps the names, so that what was saved
        of the whole fits.

    Examples
    --------
    >>> from minideconv.nn import Linear, ReLU
    >>> net = Sequential({"first": Linear(2, 3), "relu": ReLU(), "last": Linear(3, 1)})
    >>> list(net[1:].state_dict())
    ['last.weight', 'last.bias']
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        named = len(modules) == 1 and isinstance(modules[0], Mapping)
        super().__init__(() if named else modules)  # type: ignore[arg-type]  # it looks at each
        if named:
            self._enter(modules[0])  # type: ignore[arg-type]  # a mapping

    def _enter(self, modules: Mapping[str, Module]) -> None:
        for place, (name, module) in enumerate(modules.items()):
            if not isinstance(name, str):
                raise TypeError(f"Sequential: a module's name is {name!r}; it must be a string")
            setattr(self, name, self._own(module, place))

    def _some(self, modules: dict[str, Module]) -> Self:
        found = super()._some({})
        found._enter(modules)
        return found

    def forward(self, x: Any) -> Any:
        """Pass `x` through every module in turn."""
        for module in self.children():
            x = module(x)
        return x


class ModuleDict(Module):
    """Modules by name, which a Python dict would hide; in the order in which they were put in.

    ``len``, iteration over the names, ``in``, ``items``, ``keys``, ``values``, ``update`` and
    ``modules[name]``, to read, to replace and to delete, work as for a dict. There is no forward:
    the module that holds it calls what is in it. A name must be free: not that of a method.

    Raises
    ------
    TypeError
        If something in it is no `Module`.
    ValueError
        If a name is empty, has a dot, or is that of a method.

    Examples
    --------
    >>> from minideconv.nn import Linear
    >>> heads = ModuleDict({"shape": Linear(2, 3, bias=False)})
    >>> heads["size"] = Linear(2, 1, bias=False)
    >>> list(heads), list(heads.state_dict())
    (['shape', 'size'], ['shape.weight', 'size.weight'])
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        super().__init__()
        self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Put in, or replace, several modules by name."""
        try:
            given = dict(modules)
        except (TypeError, ValueError):
            raise TypeError(
                f"ModuleDict: modules is {shown(modules)}; it must be a dict of modules, or a list"
                " of pairs (name, module)"
            ) from None
        for name, module in given.items():
            self._check(name, module)
        for name, module in given.items():
            self[name] = module

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """Return the modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Return pairs of name and module."""
        return self._modules.items()

    def __len__(self) -> int:
        """Return the number of modules."""
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        """Return an iterator over the names."""
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        """Return whether there is a module of that name."""
        return name in self._modules

    def __getitem__(self, name: str) -> Module:
        """Return the module of that name."""
        module: Module = self._modules[name]
        return module

    def __setitem__(self, name: str, module: Module) -> None:
        """Put in a module, or replace one."""
        self._check(name, module)
        setattr(self, name, module)

    def _check(self, name: object, module: object) -> None:
        if not isinstance(name, str) or not isinstance(module, Module):
            raise TypeError(
                f"ModuleDict: {name!r} is a {type(module).__name__}; names must be strings and "
                "what they stand for Modules"
            )
        self._check_name(name, "assigning")

    def __delitem__(self, name: str) -> None:
        """Take a module out."""
        self[name]
        delattr(self, name)
