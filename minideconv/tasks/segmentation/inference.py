"""How a network that segments is applied: sizes, proposals, several networks, a dense CRF."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

from minideconv.errors import UsageError
from minideconv.segmentation.crf import METHODS, NORMALIZATIONS, PRESETS, DenseCRF
from minideconv.segmentation.crf_file import read_crf
from minideconv.segmentation.ensemble import RULES, Rule
from minideconv.segmentation.inference import JOINS, Join
from minideconv.settings.setting import AT_LEAST_0, AT_LEAST_1, POSITIVE, refusal, setting
from minideconv.tasks.inference import InferenceSettings

__all__ = ["PROPOSERS", "SegmentationInference"]

PROPOSERS = ("edge-boxes", "sliding-windows", "selective-search")
_CRF = [item.name for item in dataclasses.fields(DenseCRF)]


def _crf(name: str, help_: str, **extra: Any) -> Any:
    """Make the setting of a parameter of `DenseCRF`; None: that of ``crf``."""
    return setting(None, f"{help_} [{getattr(DenseCRF, name)}]", **extra)


@dataclass(frozen=True, kw_only=True)
class SegmentationInference(InferenceSettings):
    """From images to labels; see `segmentation.instances`, `.ensemble` and `.crf`."""

    scales: str | None = setting(
        None,
        "average the scores at these input sizes [the one it was trained with]",
        metavar="PIXELS,...",
    )
    proposals: int | None = setting(
        None, "look at N windows that may hold objects [at the whole image]", **AT_LEAST_1
    )
    proposals_for: str | None = setting(
        None,
        "which of several networks look at them, by --model's names; the others look at the whole "
        "image [all]",
        metavar="MODEL,...",
    )
    proposals_by: str = setting("edge-boxes", "who proposes windows", choices=PROPOSERS)
    proposals_join: str = setting("max", "how the windows' scores become one map", choices=JOINS)
    proposals_min_box: int = setting(
        0, "pass over windows of fewer pixels a side; 112 in the authors' code", **AT_LEAST_0
    )
    proposals_from_zero: bool = setting(False, "begin the maximum at 0, as the authors' code does")
    ensemble_rule: str = setting(
        "mean",
        "how --ensemble joins networks: mean of probabilities, product of rectified scores, or "
        "mean of scores",
        choices=RULES,
    )
    crf: str | None = setting(
        None,
        "refine the probabilities by a dense CRF: the default one, that of the authors' code, or"
        " one whose parameters are in a file (python -m minideconv.fit_crf)",
        metavar="|".join([*PRESETS, "FILE"]),
    )
    crf_bilateral_weight: float | None = _crf(
        "bilateral_weight", "weight of pixels near and of like colour", metavar="W", **AT_LEAST_0
    )
    crf_bilateral_position: float | None = _crf(
        "bilateral_position", "how near: standard deviation", metavar="PIXELS", **POSITIVE
    )
    crf_bilateral_color: float | None = _crf(
        "bilateral_color", "how alike: standard deviation of 0..255", metavar="LEVELS", **POSITIVE
    )
    crf_spatial_weight: float | None = _crf(
        "spatial_weight", "weight of pixels near, of any colour", metavar="W", **AT_LEAST_0
    )
    crf_spatial_position: float | None = _crf(
        "spatial_position", "how near: standard deviation", metavar="PIXELS", **POSITIVE
    )
    crf_iterations: int | None = _crf("iterations", "mean-field updates", **AT_LEAST_0)
    crf_normalization: str | None = _crf(
        "normalization", "of the kernels' sums", choices=NORMALIZATIONS
    )
    crf_method: str | None = _crf("method", "exact for small images, lattice", choices=METHODS)

    def check(self) -> None:
        """Refuse scales that are no sizes, and details of what is not asked for."""
        self.sizes(1)
        self._proposals_for()
        for wanted in ("proposals", "crf"):
            given = [name for name in self.given() if name.startswith(f"{wanted}_")]
            if given and getattr(self, wanted) is None:
                raise _without(wanted, given[0], getattr(self, given[0]))

    def _proposals_for(self) -> list[str]:
        """Return the models that look at proposals; empty: all of them."""
        if self.proposals_for is None:
            return []
        found = [name.strip() for name in self.proposals_for.split(",")]
        if "" in found or len(set(found)) < len(found):
            raise refusal(
                lambda name: (
                    f"{name('proposals_for')} is {self.proposals_for!r}; it must be different names"
                    " of models with commas between them, such as deconvnet"
                )
            )
        return found

    def for_network(self, model: str) -> Self:
        """Return the settings without proposals, if these are for other models."""
        wanted = self._proposals_for()
        if not wanted or model in wanted:
            return self
        settings = self.settings()
        about = [name for name in settings if name.startswith("proposals")]
        return dataclasses.replace(self, **{name: settings[name].default for name in about})

    def check_networks(self, models: Sequence[str]) -> None:
        """Refuse proposals for models that are not among the networks."""
        if unknown := [each for each in self._proposals_for() if each not in models]:
            there = " and ".join(dict.fromkeys(models))
            raise refusal(
                lambda name: (
                    f"{name('proposals_for')} names {unknown[0]!r}, but what is loaded is {there}"
                )
            )

    def sizes(self, input_size: int) -> list[int]:
        """Return the input sizes at which the network looks, in pixels.

        Parameters
        ----------
        input_size : int
            The one that it was trained with.
        """
        if self.scales is None:
            return [input_size]
        texts = [text.strip() for text in self.scales.split(",")]
        right = all(text.isdecimal() and 1 <= int(text) <= 10000 for text in texts)
        if not right or len({int(text) for text in texts}) < len(texts):
            raise refusal(
                lambda name: (
                    f"{name('scales')} is {self.scales!r}; it must be different sizes from 1 to"
                    " 10000 pixels with commas between them, such as 224,320"
                )
            )
        return [int(text) for text in texts]

    @property
    def rule(self) -> Rule:
        """How several networks are joined."""
        return cast("Rule", self.ensemble_rule)

    @property
    def join(self) -> Join:
        """How the scores of several windows are joined."""
        return cast("Join", self.proposals_join)

    def dense_crf(self) -> DenseCRF | None:
        """Return the CRF, if one is asked for: a preset or a file, but for what is given.

        Raises
        ------
        SettingError
            If the file cannot be read, or holds something else.
        """
        if self.crf is None:
            return None
        try:
            found = PRESETS[self.crf] if self.crf in PRESETS else read_crf(self.crf)
        except UsageError as error:
            wrong = str(error)
            raise refusal(
                lambda name: f"{name('crf')} is neither {' nor '.join(PRESETS)}, and {wrong}"
            ) from error
        own = {name: getattr(self, f"crf_{name}") for name in _CRF}
        return dataclasses.replace(found, **{k: v for k, v in own.items() if v is not None})


def _without(wanted: str, given: str, value: Any) -> Exception:
    what = {"proposals": "there are no proposals", "crf": "there is no CRF"}[wanted]
    return refusal(lambda name: f"{name(given)} is {value}, but {what}; give {name(wanted)} too")
