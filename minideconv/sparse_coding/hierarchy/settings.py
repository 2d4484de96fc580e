"""The settings of ``hierarchy``: what the layers are, and how their filters are learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minideconv.settings.setting import (
    AT_LEAST_0,
    AT_LEAST_1,
    POSITIVE,
    Settings,
    refusal,
    setting,
)
from minideconv.sparse_coding.hierarchy.connections import most_maps
from minideconv.sparse_coding.hierarchy.drawings import LEAST

__all__ = ["HierarchySettings"]


@dataclass(frozen=True, kw_only=True)
class HierarchySettings(Settings):
    """How the layers are learnt. Lists have one number for each layer."""

    group: ClassVar[str] = "hierarchy"

    maps: str = setting("9,45", "maps of the layers, from the first on", metavar="N,N,...")
    epochs: str = setting("4,6", "passes over all pictures, for each layer", metavar="N,N,...")
    filter_size: int = setting(7, "height and width of a filter", **AT_LEAST_1)
    lam: float = setting(1.0, "weight of the squared error", **POSITIVE)
    kappa: str = setting("0.1,0.1", "weight of the maps' penalty |z|^p", metavar="X,X,...")
    power: str = setting("0.8,0.8", "the penalty's power p, in (0, 1]", metavar="X,X,...")
    betas: str = setting(
        "0.3,1,3,10", "the continuation's weights, one after the other", metavar="X,X,..."
    )
    rounds: int = setting(2, "times that maps are renewed for each beta", **AT_LEAST_1)
    cg_steps: int = setting(2, "steps of conjugate gradients", **AT_LEAST_1)
    drawings: int = setting(24, "without a folder: how many pictures are drawn", **AT_LEAST_1)
    side: int = setting(
        48,
        "pictures are squares of so many pixels: drawn, or cut out of a photograph",
        legal=lambda v: v >= LEAST,
        legal_text=f">= {LEAST}",
    )
    double: bool = setting(False, "compute in float64 instead of float32")
    seed: int = setting(0, "start of all random numbers", **AT_LEAST_0)
    limit: int = setting(0, "use the first N images of the folder only (0: all)", **AT_LEAST_0)
    save_every: int = setting(25, "steps between two saves", resume=True, **AT_LEAST_1)

    def check(self) -> None:
        """Refuse lists that are none, or do not go together."""
        count, _ = len(self.all_maps), self.schedule
        for name, numbers in (
            ("epochs", self.all_epochs), ("kappa", self.all_kappas), ("power", self.all_powers)
        ):  # fmt: skip
            if len(numbers) != count:
                self._refuse(name, f"has {len(numbers)} numbers; there are {count} layers (maps)")
        for below, (maps, above) in enumerate(zip(self.all_maps, self.all_maps[1:], strict=False)):
            if above > most_maps(maps):
                self._refuse(
                    "maps",
                    f"gives layer {below + 2} {above} maps; {maps} maps below it make"
                    f" {most_maps(maps)} connections at most ({maps} single, the others pairs)",
                )

    @property
    def all_maps(self) -> tuple[int, ...]:
        """The number of maps of each layer."""
        return tuple(self._wholes("maps"))

    @property
    def all_epochs(self) -> tuple[int, ...]:
        """The number of passes of each layer."""
        return tuple(self._wholes("epochs"))

    @property
    def all_kappas(self) -> tuple[float, ...]:
        """Kappa of each layer."""
        return self._numbers("kappa", float("inf"), "numbers above 0")

    @property
    def all_powers(self) -> tuple[float, ...]:
        """The power p of each layer."""
        return self._numbers("power", 1.0, "numbers above 0 and at most 1")

    @property
    def schedule(self) -> tuple[float, ...]:
        """Beta of each renewal of the maps."""
        betas = self._numbers("betas", float("inf"), "numbers above 0")
        return tuple(beta for beta in betas for _ in range(self.rounds))

    def _wholes(self, name: str) -> list[int]:
        found = self._numbers(name, 1e6, "whole numbers from 1 to 1000000")
        if any(number != int(number) for number in found):
            self._refuse(name, f"is {getattr(self, name)!r}; it must be whole numbers >= 1")
        return [int(number) for number in found]

    def _numbers(self, name: str, most: float, legal: str) -> tuple[float, ...]:
        text = getattr(self, name)
        try:
            found = tuple(float(part) for part in text.split(","))
        except ValueError:
            found = ()
        if not found or not all(0 < v <= most and v != float("inf") for v in found):
            self._refuse(name, f"is {text!r}; it must be {legal}, with commas between")
        return found

    def _refuse(self, name: str, what: str) -> None:
        raise refusal(lambda shown: f"{shown(name)} {what}")
