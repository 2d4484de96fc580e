"""How a network that segments is applied: several sizes, several networks, a dense CRF."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from minideconv.errors import SettingError, UsageError
from minideconv.segmentation.crf import METHODS, NORMALIZATIONS, DenseCRF
from minideconv.segmentation.ensemble import RULES, Rule
from minideconv.settings.setting import AT_LEAST_0, POSITIVE, refusal, setting
from minideconv.tasks.inference import InferenceSettings

__all__ = ["SegmentationInference", "crf_to_toml"]

_CRF = [item.name for item in dataclasses.fields(DenseCRF)]


def _crf(name: str, help_: str, **extra: Any) -> Any:
    """Make the setting of a parameter of `DenseCRF`; None: that of the file, or its default."""
    return setting(None, f"{help_} [{getattr(DenseCRF, name)}]", **extra)


@dataclass(frozen=True, kw_only=True)
class SegmentationInference(InferenceSettings):
    """From a network's scores to the labels of an image; see `segmentation.ensemble` and `.crf`."""

    scales: str | None = setting(
        None,
        "average the scores at these input sizes [the one it was trained with]",
        metavar="PIXELS,...",
    )
    ensemble_rule: str = setting(
        "mean",
        "how --ensemble joins networks: mean of probabilities, product of rectified scores, or "
        "mean of scores",
        choices=RULES,
    )
    crf: bool = setting(False, "refine the probabilities by a dense CRF")
    crf_file: str | None = setting(
        None, "the CRF's parameters from a file that fit-crf wrote; means --crf", metavar="FILE"
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
        """Refuse scales that are no sizes, and parameters of a CRF that is not asked for."""
        self.sizes(1)
        given = [name for name in _CRF if getattr(self, f"crf_{name}") is not None]
        if given and not (self.crf or self.crf_file):
            key = f"crf_{given[0]}"
            wrong = f"is {getattr(self, key)}, but there is no CRF"
            raise refusal(lambda name: f"{name(key)} {wrong}; give {name('crf')} too")

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
        wrong = [text for text in texts if not (text.isdecimal() and 1 <= int(text) <= 10000)]
        if wrong or len(set(texts)) < len(texts):
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

    def dense_crf(self) -> DenseCRF | None:
        """Return the CRF, if one is asked for: what is given, else the file's, else the default.

        Raises
        ------
        SettingError
            If the file cannot be read, or holds something else.
        """
        if not (self.crf or self.crf_file):
            return None
        values = {} if self.crf_file is None else self._read(self.crf_file)
        own = {name: getattr(self, f"crf_{name}") for name in _CRF}
        return DenseCRF(**{**values, **{k: v for k, v in own.items() if v is not None}})

    def _read(self, path: str) -> dict[str, Any]:
        try:
            with open(path, "rb") as file:
                values = tomllib.load(file)
            settings = self.settings()
            for name, value in values.items():
                if name not in _CRF:
                    raise SettingError(
                        f"{name} is no parameter of the CRF; there are {', '.join(_CRF)}"
                    )
                settings[f"crf_{name}"].check(name, value)
        except OSError as error:
            wrong = f": {error.strerror}"
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            wrong = f" is not valid TOML: {error}"
        except UsageError as error:
            wrong = f": {error}"
        else:
            return values
        raise refusal(lambda name: f"{name('crf_file')} {path}{wrong}")


def crf_to_toml(crf: DenseCRF, comments: Mapping[str, Any]) -> str:
    """Return a CRF's parameters as the text of a file for ``--crf-file``."""
    # The parameters' texts are names without quotes, so that repr is valid TOML.
    lines = [f"# {name}: {value}" for name, value in comments.items()]
    lines += [f"{name} = {getattr(crf, name)!r}" for name in _CRF]
    return "\n".join(lines) + "\n"
