"""Networks: tables of layers that read like the papers' figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minideconv.models.deconvnet import DeconvNet, deconvnet
from minideconv.nn import Module

__all__ = ["MODELS", "DeconvNet", "build", "deconvnet"]

MODELS: dict[str, Callable[..., Module]] = {"deconvnet": deconvnet}
"""Builders by the name that a command line or a checkpoint uses."""


def build(name: str, config: dict[str, Any]) -> Module:
    """Build a network by name from the arguments that its ``config()`` returned.

    Raises
    ------
    ValueError
        If no network has that name, or it does not take these arguments.
    """
    if name not in MODELS:
        raise ValueError(f"build: no network is called {name!r}; there are {', '.join(MODELS)}")
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    try:
        return MODELS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"build: {name} does not take these arguments ({error})") from None
