"""All settings of a training run: `TrainConfig`, those of every run and those of its network.

The command line's options, the keys of a ``--config`` file and what a notebook passes are the same
names. Where one is given twice, the command line wins over the file, and the file over the default.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minideconv import models
from minideconv.data import layouts  # noqa: F401  # enters what --data may be
from minideconv.errors import UsageError, brief, some
from minideconv.settings.options import file_error, read_toml, to_toml
from minideconv.settings.run import DEFAULT_MODEL, NetworkSettings, RunConfig, data_of
from minideconv.settings.setting import Setting, refusal, unused_settings

__all__ = ["TrainConfig", "check_names", "networks_with", "read_config"]


@dataclass(frozen=True, init=False)
class TrainConfig(RunConfig):
    """The settings of one training run.

    Parameters
    ----------
    network : NetworkOptions, optional
        The options of the network; they may also be given one by one, as ``width`` below.
    **values
        The settings that are not to have their default, by name.

    Raises
    ------
    UsageError
        If there is no such setting, its value is not legal, or two do not go together.

    Examples
    --------
    >>> TrainConfig(width=8, epochs=2).network.summary()
    'width 8, depth 3, fc 256, fc kernel 1, output stride 1'
    >>> TrainConfig(lr=-1.0)
    Traceback (most recent call last):
    minideconv.errors.SettingError: lr is -1.0; it must be > 0
    """

    network: models.NetworkOptions

    def __init__(self, *, network: models.NetworkOptions | None = None, **values: Any) -> None:
        model = values.get("model", DEFAULT_MODEL)
        known = self.settings(model)
        options = models.MODELS[model].options
        check_names(values, model)
        if network is not None:
            if not isinstance(network, options):
                raise UsageError(f"network is {network}, but {model} has {options.__name__}")
            values = {**dataclasses.asdict(network), **values}
        own = options.settings()
        for name, described in known.items():
            if name not in own:
                value = values.get(name, described.default)
                described.check(name, value)
                object.__setattr__(self, name, value)
        chosen = options(**{name: values[name] for name in own if name in values})
        object.__setattr__(self, "network", chosen)
        self.check()

    def __getattr__(self, name: str) -> Any:
        """Read an option of the network: ``config.width`` is ``config.network.width``."""
        if name.startswith("_") or "network" not in vars(self):
            raise AttributeError(name)
        return getattr(self.network, name)

    @classmethod
    def settings(cls, model: str | None = DEFAULT_MODEL) -> dict[str, Setting]:
        """Return every `Setting` of a run that trains `model`, by name and in order.

        For None these are the settings that every run has.

        Raises
        ------
        SettingError
            If no network has that name.
        ValueError
            If the network has an option under the name of a setting that every run has.
        """
        if model is not None:
            NetworkSettings.settings()["model"].check("model", model)
        found: dict[str, Setting] = {}
        parts: tuple[Any, ...] = RunConfig.__bases__
        for part in parts:
            more = part.settings()
            if part is NetworkSettings and model is not None:
                more |= models.MODELS[model].settings()
            if twice := found.keys() & more.keys():
                raise ValueError(f"{model}: every run has a setting {twice.pop()!r} already")
            found |= more
        return found

    def check(self) -> None:
        """Refuse what the network cannot do."""
        super().check()
        if getattr(self.network, "decoder_init", "he") == "scores" and self.pretrained is None:
            raise refusal(
                lambda name: (
                    f"{name('decoder_init')} is scores, but {name('pretrained')} is not given; it"
                    " must be a run of fcn32s, fcn16s or fcn8s"
                )
            )
        if self.recompute and "recompute" not in models.MODELS[self.model].parameters:
            raise refusal(
                lambda name: (
                    f"{name('recompute')} is not for {name('model')} {self.model}, which keeps its "
                    "activations"
                )
            )

    @property
    def plan(self) -> tuple[tuple[str, int, float], ...]:
        """The stages in order: (name, epochs, learning rate)."""
        if self.stage != "both":
            return ((self.stage, self.epochs, self.lr),)
        second = self.epochs if self.epochs_stage2 is None else self.epochs_stage2
        second_lr = self.lr if self.lr_stage2 is None else self.lr_stage2
        return (("1", self.epochs, self.lr), ("2", second, second_lr))

    def model_arguments(self, num_classes: int) -> dict[str, Any]:
        """Return the arguments with which ``minideconv.models`` builds the network."""
        return models.arguments(
            self.model,
            self.network,
            num_classes=num_classes,
            input_size=self.input_size,
            recompute=self.recompute,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON, those of the network among the others."""
        options = dataclasses.asdict(self.network)
        return {
            name: options[name] if name in options else getattr(self, name)
            for name in self.settings(self.model)
        }

    def to_toml(self) -> str:
        """Return the settings as a file for ``--config``."""
        return to_toml(self.settings(self.model), self.to_dict())

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Make the settings that `to_dict` returned, perhaps in an older version: new ones default.

        Those that make no difference, which an older version did not refuse, have their default.

        Raises
        ------
        UsageError
            If there is a setting that this version does not have.
        """
        known = cls.settings(values.get("model", DEFAULT_MODEL))
        if unknown := [name for name in values if name not in known]:
            raise UsageError(
                f"the configuration has a setting {brief(unknown[0])}, which this minideconv does"
                " not know; it was written by another version"
            )
        kind = data_of(values.get("data", "auto"), values.get("data_root"))
        unused = [name for name, _ in unused_settings(known, {**values, "data": kind})]
        return cls(**{name: v for name, v in values.items() if name not in unused})


def check_names(names: Iterable[str], model: str) -> None:
    """Refuse a name that is no setting of a run that trains `model`, and suggest the nearest.

    Raises
    ------
    UsageError
        Also for an option of another network: whose it is, and which options this network has.
    """
    known = TrainConfig.settings(model)
    unknown = next((name for name in names if name not in known), None)
    if unknown is None:
        return
    if owners := networks_with(unknown):
        own = models.MODELS[model].options.settings()
        raise refusal(
            lambda shown: (
                f"{shown(unknown)} is an option of {some(owners)}, not of {model}, which "
                f"has {', '.join(map(shown, own)) or 'none'}"
            )
        )
    near = difflib.get_close_matches(unknown, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"there is no setting {brief(unknown)}{hint}")


def networks_with(option: str) -> list[str]:
    """Return the names of the networks that declare an option."""
    return [name for name, entry in models.MODELS.items() if option in entry.options.settings()]


def read_config(path: str | Path, model: str | None = None) -> dict[str, Any]:
    """Read the settings of a TOML file, for ``TrainConfig(**...)``.

    Parameters
    ----------
    path : str or Path
        The file.
    model : str, optional
        The network that is trained, in place of the file's.

    Raises
    ------
    UsageError
        If `read_toml` cannot read it, or a key is no setting of such a run.
    """
    values = read_toml(path)
    try:
        check_names(values, model or values.get("model", DEFAULT_MODEL))
    except UsageError as error:
        raise file_error(path, f": {error}") from None
    return values
