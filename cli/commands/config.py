"""``rundlet config``: the settings in force."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import typer

from rundlet_server.cli.place.options import JsonOption, TokenOption, UrlOption, open_client
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.panels import Panel
from rundlet_server.cli.show.terminal import escaped, write_line, write_lines
from rundlet_server.cli.show.times import seconds_of
from rundlet_server.functions.settings import ServerSettings

commands = typer.Typer()

# Those that a server makes up for its own processes are of no use to a person.
_OF_ONE_LIFE = frozenset({"RUNDLET_COUNTERS", "RUNDLET_MAINTAIN_INLINE", "RUNDLET_OPEN"})

# People write 90s or 1h there.
_TIMES = (
    *("RUNDLET_SYNC_INTERVAL", "RUNDLET_KEEP_FOR"),
    *("RUNDLET_HEADER_TIMEOUT", "RUNDLET_BODY_TIMEOUT", "RUNDLET_IDLE_TIMEOUT"),
)


class _Setting(NamedTuple):
    name: str
    value: object
    source: str


@commands.command("config", rich_help_panel=Panel.CARE)
def config(url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False) -> None:
    """Print the settings.

    Those of a running server, or those with which one would start.

    Those it would start with, without --url and RUNDLET_URL: the environment's and the defaults.

    Example: rundlet config --url http://127.0.0.1:8000
    """
    url = url or os.environ.get("RUNDLET_URL") or None
    if url is not None:
        with open_client(url, token) as client:
            settings = list(_of_server(client.info()))
    else:
        settings = list(_of_environ(os.environ))
    if as_json:
        write_line(to_line({setting.name: setting.value for setting in settings}))
        return
    width = max(len(setting.name) for setting in settings)
    write_lines(escaped(_line(setting, width)) for setting in settings)


def _line(setting: _Setting, width: int) -> str:
    line = f"{setting.name:<{width}}  {setting.value}"
    return f"{line}  ({setting.source})" if setting.source else line


def _of_server(about: Mapping[str, object]) -> Iterator[_Setting]:
    """What ``/v1`` tells, members of members by their own names."""
    for name, member in about.items():
        if isinstance(member, Mapping):
            yield from (_Setting(inner, value, "") for inner, value in member.items())
        elif name != "sync":  # stands among the settings, too
            yield _Setting(name, member, "")


def _of_environ(environ: Mapping[str, str]) -> Iterator[_Setting]:
    """Settings by their variables; raises ``SettingError`` where one cannot be read."""
    seconds = {name: str(seconds_of(name, environ[name])) for name in _TIMES if environ.get(name)}
    settings = ServerSettings.from_environ({**environ, **seconds})
    for variable, value in settings.to_environ().items():
        if variable not in _OF_ONE_LIFE:
            yield _Setting(variable, value, "environment" if environ.get(variable) else "default")
