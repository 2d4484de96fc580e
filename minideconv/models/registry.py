"""The networks by name, each with the options that a training run may choose: `register`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from minideconv.nn import Module
from minideconv.settings import run
from minideconv.settings.setting import Setting, Settings

__all__ = ["MODELS", "NetworkOptions", "Registered", "arguments", "build", "register"]

Builder = TypeVar("Builder", bound=Callable[..., Module])


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(Settings):
    """Base of the options that a network declares; alone, the options of one that has none."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """The options that the builder calls otherwise: its name for each."""

    def arguments(self) -> dict[str, Any]:
        """Return the builder's arguments: the options, under its names for them."""
        values = dataclasses.asdict(self)
        return {self.renamed.get(name, name): value for name, value in values.items()}

    def summary(self) -> str:
        """Return the options in a few words, ``width 16, depth 3``: sizes, and what was chosen."""
        settings, shown = self.settings(), []
        for name, value in dataclasses.asdict(self).items():
            is_size = type(value) is int and value > 0
            if is_size or value != settings[name].default:
                shown.append(f"{name.replace('_', ' ')} {value}")
        return ", ".join(shown)


@dataclass(frozen=True)
class Registered:
    """A network that has a name: see `register`."""

    build: Callable[..., Module]
    options: type[NetworkOptions]
    title: str

    @property
    def parameters(self) -> Collection[str]:
        """The names of the arguments that its builder takes."""
        return inspect.signature(self.build).parameters

    def settings(self) -> dict[str, Setting]:
        """Return its options as settings, under a heading of their own."""
        return {
            name: dataclasses.replace(option, group=f"options of {self.title}")
            for name, option in self.options.settings().items()
        }


MODELS: dict[str, Registered] = run.MODELS
"""What is registered, by the name that a command line or a checkpoint uses."""


def register(
    name: str, options: type[NetworkOptions] = NetworkOptions, title: str | None = None
) -> Callable[[Builder], Builder]:
    """Give a network its name; to be put above the function or class that builds it.

    Parameters
    ----------
    name : str
        What ``--model`` calls it.
    options : subclass of NetworkOptions
        What a training run may choose about it, with defaults for such a run.
    title : str, optional
        What texts call it; its name if left out.

    Raises
    ------
    ValueError
        If another network has that name.
    TypeError
        If the builder does not take what the options give, or the options are no dataclass.

    Notes
    -----
    The builder is called with the options' `NetworkOptions.arguments` and with those of a run's own
    arguments that its signature names (see `arguments`). Checkpoints hold what the network's own
    ``config()`` returns: the builder's arguments, as plain JSON.
    """

    def enter(builder: Builder) -> Builder:
        there = MODELS.get(name)
        if there is not None and _origin(there.build) != _origin(builder):
            raise ValueError(f"register: {name!r} is already {_origin(there.build)}")
        if "__dataclass_fields__" not in vars(options):
            raise TypeError(
                f"register: {options.__name__} must be a dataclass (frozen=True, kw_only=True)"
            )
        entry = Registered(builder, options, title or name)
        for argument in options().arguments():
            if argument not in entry.parameters:
                raise TypeError(f"register: {name} does not take the argument {argument!r}")
        MODELS[name] = entry
        return builder

    return enter


def _origin(builder: Callable[..., Module]) -> str:
    return f"{builder.__module__}.{builder.__qualname__}"


def arguments(name: str, options: NetworkOptions, **known: Any) -> dict[str, Any]:
    """Return what `build` needs for the network of a run.

    Parameters
    ----------
    name : str
        The network.
    options : NetworkOptions
        What a run has chosen about it.
    **known
        What a run has without choosing, for a network that has such an argument: ``num_classes``,
        the channels of the output; ``input_size``, the side of the square images (crops are cut to
        it as well); ``recompute``, whether activations are computed twice instead of kept. Beside
        them there is always ``in_channels``, the 3 of a colour image.
    """
    known, taken = {"in_channels": 3, **known}, MODELS[name].parameters
    return {**{key: known[key] for key in known if key in taken}, **options.arguments()}


def build(name: str, config: dict[str, Any]) -> Module:
    """Build a network by name from the arguments that its ``config()`` returned.

    Raises
    ------
    ValueError
        If no network has that name, or it does not take these arguments.
    """
    if name not in MODELS:
        raise ValueError(f"build: no network is called {name!r}; there are {', '.join(MODELS)}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    try:
        network = MODELS[name].build(**values)
    except TypeError as error:
        raise ValueError(f"build: {name} does not take these arguments ({error})") from None
    if not hasattr(network, "config"):
        raise TypeError(f"build: {name} needs a method config() that returns its arguments")
    return network
