"""How a setting is written down: a field of a dataclass, with its default, legal values and help.

::

    @dataclass(frozen=True, kw_only=True)
    class Options(Settings):
        width: int = setting(16, "channels of the first convolution", **AT_LEAST_1)

The command line's options, the keys of a ``--config`` file and the tables of the report are made
from such fields, and a value that is not legal is refused in one sentence.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

from minideconv.errors import MinideconvError, SettingError, brief

__all__ = [
    "AT_LEAST_0",
    "AT_LEAST_1",
    "FRACTION",
    "POSITIVE",
    "Need",
    "Setting",
    "Settings",
    "by_setting_names",
    "option_name",
    "refusal",
    "setting",
    "unused_settings",
]

POSITIVE: dict[str, Any] = {"legal": lambda v: v > 0, "legal_text": "> 0"}
AT_LEAST_0: dict[str, Any] = {"legal": lambda v: v >= 0, "legal_text": ">= 0"}
AT_LEAST_1: dict[str, Any] = {"legal": lambda v: v >= 1, "legal_text": ">= 1"}
FRACTION: dict[str, Any] = {"legal": lambda v: 0 <= v < 1, "legal_text": "in [0, 1)"}

_KINDS: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
_IN_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class Need(NamedTuple):
    """What another setting must be, if one is to make a difference."""

    name: str
    """The other setting."""
    fits: Callable[[Any], bool]
    """Whether it is so."""
    text: str
    """What it must be, in words."""


@dataclass(frozen=True)
class Setting:
    """The description of one field: see `setting`."""

    default: Any
    help: str
    choices: Collection[str] = ()
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    legal: Callable[[Any], bool] | None = None
    legal_text: str = ""
    resume: bool = False
    needs: tuple[Need, ...] = ()
    kind: type = str
    optional: bool = False
    group: str = ""

    def check(self, name: str, value: Any) -> None:
        """Refuse a value of the wrong type or outside the legal ones.

        Raises
        ------
        SettingError
            One sentence: the setting's `name`, its value, and what is legal.
        """
        if value is None and self.optional:
            return
        if wrong := self._wrong(value):
            raise refusal(lambda shown: f"{shown(name)} is {wrong}")

    def _wrong(self, value: Any) -> str:
        right = isinstance(value, self.kind) or (self.kind is float and isinstance(value, int))
        if not right or (self.kind is not bool and isinstance(value, bool)):
            return f"{brief(value)}; it must be {_IN_WORDS[self.kind]}"
        if self.kind is float and not abs(value) < float("inf"):
            return f"{value}; it must be finite"
        if isinstance(value, str) and not _is_unicode(value):
            return f"{value!a}; it must be text in UTF-8, which a file of settings can hold"
        if self.choices and value not in self.choices:
            return f"{brief(value)}; it must be one of {', '.join(self.choices)}"
        if self.legal is not None and not self.legal(value):
            shown = brief(value) if isinstance(value, int) else str(value)[:200]
            return f"{shown}; it must be {self.legal_text}"
        return ""


def _is_unicode(text: str) -> bool:
    """Whether a text can be written down: bytes of a path that are none come as half a pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def setting(default: Any, help_: str, **extra: Any) -> Any:
    """Make a field of a `Settings` class.

    Parameters
    ----------
    default : bool, int, float, str or None
        None only where the field's type allows it.
    help_ : str
        One line for ``--help``.
    choices : collection of str, optional
        All legal values.
    legal, legal_text : callable and str, optional
        Whether a value is legal, and the legal ones in words; `AT_LEAST_1` is such a pair.
    metavar : str, optional
        What stands for the value in ``--help``; N for a whole number if left out.
    flags : tuple of str, optional
        Short options, such as ``("-b",)``.
    resume : bool
        Whether a run that goes on may change it.
    needs : tuple of Need
        What other settings must be; otherwise this one is ignored, and refused if it is given.
    """
    return field(default=default, metadata={"setting": Setting(default, help_, **extra)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of the dataclasses whose fields are settings: their values are legal, or an error."""

    group: ClassVar[str] = ""
    """The heading of these settings in help texts, files and tables."""

    @classmethod
    def settings(cls) -> dict[str, Setting]:
        """Return the `Setting` of each field, by name and in order.

        Raises
        ------
        TypeError
            If a field was not made by `setting`, or is of a type that no text can give.
        """
        found = {}
        for item in dataclasses.fields(cls):
            # Under `from __future__ import annotations` a type is the text that it was written as.
            text = item.type.__name__ if isinstance(item.type, type) else str(item.type)
            kind = _KINDS.get(text.removesuffix(" | None"))
            if kind is None or "setting" not in item.metadata:
                raise TypeError(
                    f"{cls.__name__}: {item.name} must be a bool, int, float or str (or None)"
                    " made by setting(default, help)"
                )
            own: dict[str, Any] = {"kind": kind, "optional": text.endswith(" | None")}
            found[item.name] = replace(item.metadata["setting"], group=cls.group, **own)
        return found

    def __post_init__(self) -> None:
        for name, described in self.settings().items():
            described.check(name, getattr(self, name))
        self.check()

    def check(self) -> None:
        """Refuse values that do not go together; each of them is legal."""
        self.refuse_ignored()

    def refuse_ignored(self, given: Collection[str] = ()) -> None:
        """Refuse settings that make no difference by what others are.

        Parameters
        ----------
        given : collection of str
            The names of those that a user gave: they are refused at their default, too.

        Raises
        ------
        SettingError
        """
        settings = self.settings()
        needing = {name: described for name, described in settings.items() if described.needs}
        others = {need.name for described in needing.values() for need in described.needs}
        known = {name: settings[name] for name in {*needing, *others} & settings.keys()}
        values = {name: getattr(self, name) for name in known}
        if unused := unused_settings(known, values, given):
            name, need = unused[0]
            raise refusal(
                lambda shown: (
                    f"{shown(name)} is {values[name]}, but {shown(need.name)} is"
                    f" {values[need.name]}, which ignores it; it is for {shown(need.name)}"
                    f" {need.text}"
                )
            )


def unused_settings(
    known: Mapping[str, Setting], values: Mapping[str, Any], given: Collection[str] = ()
) -> list[tuple[str, Need]]:
    """Return the settings that are given, but make no difference by what others are."""
    return [
        (name, need)
        for name, described in known.items()
        for need in described.needs
        if (name in given or values.get(name, described.default) != described.default)
        and need.name in known
        and not need.fits(values.get(need.name, known[need.name].default))
    ]


def option_name(name: str) -> str:
    """Return a setting's option on the command line: ``--batch-size`` for ``batch_size``."""
    return "--" + name.replace("_", "-")


@contextlib.contextmanager
def by_setting_names(what: str) -> Iterator[None]:
    """Let errors about settings in the block say what they are about, and name no options.

    For a program that trains by settings of which some are no options of its own.
    """
    try:
        yield
    except SettingError as error:
        raise SettingError(f"{what}: {error}") from error


def refusal(
    sentence: Callable[[Callable[[str], str]], str], kind: type[MinideconvError] = SettingError
) -> MinideconvError:
    """Make the error of a sentence that names settings.

    Parameters
    ----------
    sentence : callable
        Takes a function, and returns the sentence with this function around each setting's name.
    kind : subclass of MinideconvError
        The error's class.

    Examples
    --------
    >>> error = refusal(lambda name: f"{name('image_size')} is 8; it must be >= 16")
    >>> print(error)
    image_size is 8; it must be >= 16
    >>> print(error.as_options)
    --image-size is 8; it must be >= 16
    """
    return kind(sentence(str), sentence(option_name))
