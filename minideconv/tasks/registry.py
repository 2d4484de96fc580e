"""Tasks by the names that a command line and a checkpoint use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from minideconv.errors import UsageError
from minideconv.settings.run import TASKS
from minideconv.settings.setting import Setting, refusal
from minideconv.tasks.inference import InferenceSettings
from minideconv.tasks.task import Task

__all__ = ["get", "inference_of", "inference_settings", "of_config", "register"]

Kind = TypeVar("Kind", bound=type[Task])

_TASKS: dict[str, type[Task]] = {}


def register(name: str) -> Callable[[Kind], Kind]:
    """Let a command line and a checkpoint find a task by its name: a class decorator.

    Raises
    ------
    ValueError
        If another task has that name; the same one may be registered again.

    Examples
    --------
    ::

        @tasks.register("depth")
        class Depth(tasks.Task): ...


        train.main(["--task", "depth"])
    """

    def add(kind: Kind) -> Kind:
        there = _TASKS.get(name)
        if there is not None and _origin(there) != _origin(kind):
            raise ValueError(f"register: {name!r} is already {_origin(there)}")
        kind.name = name
        _TASKS[name] = kind
        if name not in TASKS:
            TASKS.append(name)
        return kind

    return add


def _origin(kind: type[Task]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def get(name: str) -> type[Task]:
    """Return the task of a name.

    Raises
    ------
    UsageError
        If none has been registered by it.
    """
    if name not in _TASKS:
        raise UsageError(
            f"no task is called {name!r}; there are {', '.join(sorted(_TASKS))}, and others once "
            "their files are imported"
        )
    return _TASKS[name]


def of_config(config: Mapping[str, Any]) -> type[Task]:
    """Return the task of a run's or a checkpoint's settings; old ones name none: segmentation.

    Raises
    ------
    UsageError
        If none has been registered by its name.
    """
    return get(config.get("task", "segmentation"))


def inference_settings() -> dict[str, Setting]:
    """Return the settings with which the networks of some task are applied, by name."""
    found: dict[str, Setting] = {}
    for kind in _TASKS.values():
        found = {**kind.inference.settings(), **found}
    return found


def inference_of(kind: type[Task], given: Mapping[str, Any]) -> InferenceSettings:
    """Return how networks of a task are to be applied, from the settings that are given.

    Raises
    ------
    SettingError
        If the task has no such setting, or a value is not legal.
    """
    foreign = [name for name in given if name not in kind.inference.settings()]
    if foreign:
        raise refusal(lambda name: f"{name(foreign[0])} is no setting of the task {kind.name}")
    return kind.inference(**given)
