"""Read settings from options and environment variables, and write them as variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

from rundlet_server.functions.settings.kinds import Words
from rundlet_server.functions.settings.rows import Setting, settings_of, with_value
from rundlet_server.storage.address import without_password

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Source = Literal["option", "environment", "default"]
GivenOptions = Mapping[str, str | bool | Sequence[str]]
"""The given options: a text, ``True`` for a flag, or texts for an option that may be repeated."""

Instance = TypeVar("Instance", bound="DataclassInstance")

_SHOWN_CHARACTERS_MAX: Final = 80


class SettingError(ValueError):
    """The value of an option or a variable is invalid; the message names the option or variable."""


@dataclass(frozen=True, slots=True)
class Found(Generic[Instance]):
    """Settings, and where each of them comes from.

    Attributes:
        instance: the settings.
        sources: by the path of the setting.
    """

    instance: Instance
    sources: Mapping[tuple[str, ...], Source]


def read(
    defaults: Instance, environ: Mapping[str, str], given: GivenOptions | None = None
) -> Found[Instance]:
    """Read all settings of a class: an option overrides a variable, a variable a default.

    An empty variable counts as none.

    Args:
        defaults: an instance with the default values.
        environ: the environment.
        given: the options.

    Raises:
        SettingError: one cannot be read.
    """
    sources: dict[tuple[str, ...], Source] = {}
    for row in settings_of(type(defaults)):
        option = (given or {}).get(row.option or "")
        text = environ.get(row.variable or "")
        sources[row.path] = "default"
        if option is not None:
            defaults = with_value(defaults, row.path, _of_option(row, option))
            sources[row.path] = "option"
        elif text:
            defaults = with_value(defaults, row.path, _checked(row, row.label, text))
            sources[row.path] = "environment"
    return Found(defaults, sources)


def written(settings: DataclassInstance) -> dict[str, str]:
    """Return the variables from which ``read`` reads these settings."""
    return {
        row.variable: row.kind.write(row.value_in(settings))
        for row in settings_of(type(settings))
        if row.variable is not None
    }


def _of_option(row: Setting, option: str | bool | Sequence[str]) -> object:
    if isinstance(option, bool):
        return option
    if isinstance(option, str):
        return _checked(row, row.option or "", option)
    assert isinstance(row.kind, Words)
    return tuple(_checked_word(row.kind, row.option or "", word) for word in option)


def _checked(row: Setting, name: str, text: str) -> object:
    try:
        return row.kind.read(text)
    except ValueError as ex:
        raise _error(name, text, ex) from ex


def _checked_word(kind: Words, name: str, word: str) -> str:
    try:
        return kind.read_one(word)
    except ValueError as ex:
        raise _error(name, word, ex) from ex


def _error(name: str, text: str, advice: ValueError) -> SettingError:
    shown = (
        repr(without_password(text))
        if len(text) <= _SHOWN_CHARACTERS_MAX
        else f"{len(text)} characters long"
    )
    return SettingError(f"{name} is {shown}; {advice}")
