"""Gives a command the options for the place of the data as one argument."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

from rundlet_server.cli.place.options import (
    DataOption,
    StoreOption,
    TokenOption,
    UrlOption,
    open_target,
)
from rundlet_server.cli.place.target import Purpose, Target

_LOCATION: Final = "location"
_OPTIONS: Final = {"url": UrlOption, "data": DataOption, "store": StoreOption, "token": TokenOption}


class Location(NamedTuple):
    """The place of the data, as given on the command line."""

    url: str | None
    data: Path | None
    store: str | None
    token: str | None

    def opened(self, purpose: Purpose = Purpose.READ) -> AbstractContextManager[Target]:
        """Open the place; see ``open_target``."""
        return open_target(self.url, self.data, self.token, purpose, store=self.store)


def takes_location(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--url``, ``--data``, ``--store`` and ``--token`` for its ``location``."""

    @functools.wraps(command)
    def with_location(**arguments: object) -> None:
        command(location=Location(*map(arguments.pop, _OPTIONS)), **arguments)  # type: ignore[arg-type] # typer has converted them

    parameters: list[inspect.Parameter] = []
    for each in inspect.signature(command, eval_str=True).parameters.values():
        kind = inspect.Parameter.KEYWORD_ONLY
        if each.name != _LOCATION:
            parameters.append(each.replace(kind=kind))
            continue
        for name, annotation in _OPTIONS.items():
            parameters.append(inspect.Parameter(name, kind, default=None, annotation=annotation))
    # Typer makes the arguments and options of a command from these two.
    with_location.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # any function may have one
    with_location.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_location
