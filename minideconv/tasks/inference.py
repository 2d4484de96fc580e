"""How a trained network is applied to images: the settings that `predict` and `evaluate` offer.

A task declares its own by a subclass of `InferenceSettings`, as networks declare their options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from minideconv.settings.setting import Settings, setting

__all__ = ["InferenceSettings"]


@dataclass(frozen=True, kw_only=True)
class InferenceSettings(Settings):
    """What every task offers."""

    group = "inference"

    flip: bool = setting(False, "average the scores with those of the mirror image")

    def for_network(self, model: str) -> Self:
        """Return what is asked of one network of several, by the name of its model."""
        return self

    def check_networks(self, models: Sequence[str]) -> None:
        """Refuse what is asked of networks that are not there.

        Parameters
        ----------
        models : sequence of str
            The names of all networks' models.
        """

    def given(self) -> dict[str, Any]:
        """Return the settings that are not the defaults."""
        settings = self.settings()
        values = {name: getattr(self, name) for name in settings}
        return {name: v for name, v in values.items() if v != settings[name].default}
