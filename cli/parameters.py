"""Converts the plain parameters of a command without pydantic.

Typer converts every parameter with pydantic, even one that is not given. pydantic takes half as
long to load as everything else that a command needs to talk to a server. Text, whole numbers and
paths do not need it. Typer converts all other values, and makes the messages of all errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typer.core import TyperArgument, TyperOption

if TYPE_CHECKING:
    from typer._click.core import Context, Parameter
    from typer._coercion import RuntimeParam

Param = TyperOption | TyperArgument

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class _NotPlain(Exception):
    """Leaves a value to typer."""


def quicken(params: Iterable[Parameter]) -> None:
    """Let parameters convert plain values without typer."""
    for param in params:
        if isinstance(param, TyperOption | TyperArgument):
            quick = _Quick(param, param.get_runtime_param)
            # Set on this parameter only, not on its class.
            vars(param)["get_runtime_param"] = partial(_same, quick)


class _Quick:
    """Converts the values of one parameter."""

    def __init__(self, param: Param, typers: Callable[[], RuntimeParam]) -> None:
        self._convert = _conversion_of(param)
        self._typers = typers

    def coerce(self, value: object, param: Param, ctx: Context) -> object:
        """Convert a value, as typer would."""
        try:
            return self._convert(value)
        except _NotPlain:
            return self._typers().coerce(value, param, ctx)


def _same(quick: _Quick) -> _Quick:
    return quick


def _conversion_of(param: Param) -> Callable[[object], object]:
    info = param.type_descriptor.parameter_info
    annotation = param.type_descriptor.annotation
    if annotation == list[str]:
        return _texts
    if info.parser is not None:
        return partial(_parsed, info.parser)
    if annotation is str:
        return _text
    if annotation is bool:
        return _fact
    if annotation is int:
        return partial(_number, info.min, info.max)
    is_checked = info.exists or not info.file_okay or not info.dir_okay or info.resolve_path
    if annotation is Path and not is_checked:
        return _path
    return _none


def _none(value: object) -> object:
    if value is None:
        return None
    raise _NotPlain


def _text(value: object) -> object:
    return value if isinstance(value, str) else _none(value)


def _fact(value: object) -> object:
    return value if isinstance(value, bool) else _none(value)


def _texts(value: object) -> object:
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return list(value)
    if value is None:
        return ()
    raise _NotPlain


def _parsed(parser: Callable[[str], object], value: object) -> object:
    return parser(value) if isinstance(value, str) else _none(value)


def _number(least: float | None, most: float | None, value: object) -> object:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    if not isinstance(value, int):
        return _none(value)
    if (least is not None and value < least) or (most is not None and value > most):
        raise _NotPlain
    return value


def _path(value: object) -> object:
    if isinstance(value, Path):
        return value
    return Path(value) if isinstance(value, str) else _none(value)
