"""The options of ``rundlet serve``, made from the table of settings.

A command that ``takes_settings`` gets its given options as one mapping. This module neither
converts nor checks them: ``functions.settings`` does that, in the same way for options and
variables.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import typer

from rundlet_server.functions.settings import SETTINGS
from rundlet_server.functions.settings.kinds import Flag, Words
from rundlet_server.functions.settings.reading import GivenOptions
from rundlet_server.functions.settings.rows import Setting

_CONTEXT: Final = "ctx"
_GIVEN: Final = "given"
_COMMAND_LINE: Final = "COMMANDLINE"
_KEYWORD: Final = inspect.Parameter.KEYWORD_ONLY

_ROWS: Final = {
    row.option.removeprefix("--").replace("-", "_"): row for row in SETTINGS if row.option
}
"""Every row with an option, by the name of the parameter that Typer makes of it."""


def takes_settings(*, hidden: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the option of every setting.

    The command gets the options that are on the command line as its argument ``given``, by name.

    Args:
        hidden: leave the options out of the help.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_settings(ctx: typer.Context, **arguments: object) -> None:
            values = {name: arguments.pop(name) for name in _ROWS}
            command(**arguments, given=_given(ctx, values))

        signature = inspect.signature(command, eval_str=True)
        own = [each for name, each in signature.parameters.items() if name != _GIVEN]
        context = inspect.Parameter(_CONTEXT, _KEYWORD, annotation=typer.Context)
        options = [_parameter(name, row, hidden=hidden) for name, row in _ROWS.items()]
        # Typer makes the arguments and options of a command from these two.
        parameters = [each.replace(kind=_KEYWORD) for each in (context, *own, *options)]
        with_settings.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # any function may have one
        with_settings.__annotations__ = {each.name: each.annotation for each in parameters}
        return with_settings

    return decorate


def _given(ctx: typer.Context, values: dict[str, object]) -> GivenOptions:
    """Return the options on the command line, without those that Typer took from variables."""
    given: dict[str, str | bool | Sequence[str]] = {}
    for name, value in values.items():
        source = ctx.get_parameter_source(name)
        option = _ROWS[name].option
        if source is not None and source.name == _COMMAND_LINE and option is not None:
            assert isinstance(value, str | bool | list)
            given[option] = value
    return given


def _parameter(name: str, row: Setting, *, hidden: bool) -> inspect.Parameter:
    is_flag, is_repeated = isinstance(row.kind, Flag), isinstance(row.kind, Words)
    spellings = [spelling for spelling in (row.option, row.short) if spelling]
    # If a default depends on something, show it in words; Typer shows other defaults itself.
    plain = None if is_flag or is_repeated or row.is_default_dependent else row.shown_default
    shown_default = True if plain else "" if is_flag else row.shown_default
    option = typer.Option(
        *spellings,
        envvar=row.variable,
        metavar=None if is_flag else row.kind.metavar,
        help=row.description,
        rich_help_panel=row.panel,
        show_default=shown_default or False,
        hidden=hidden,
    )
    value = bool if is_flag else list[str] if is_repeated else str
    annotation = Annotated[value | None, option]  # type: ignore[valid-type] # it is for Typer
    return inspect.Parameter(name, _KEYWORD, default=plain, annotation=annotation)
