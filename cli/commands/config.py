"""``rundlet config``: the settings in force."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import typer

from rundlet_server.cli.place.options import (
    JsonOption,
    TokenOption,
    UrlOption,
    chosen_url,
    open_client,
)
from rundlet_server.cli.serve.environ import warn_of_unknown
from rundlet_server.cli.serve.options import takes_settings
from rundlet_server.cli.show.formats import FormatOption, Shape, format_of, write_rows
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import shown_key, write_line
from rundlet_server.functions.settings import SETTINGS
from rundlet_server.functions.settings.kinds import Duration
from rundlet_server.functions.settings.reading import GivenOptions
from rundlet_server.functions.settings.rows import Setting
from rundlet_server.functions.settings.rules import serve_options

commands = typer.Typer()


class _Setting(NamedTuple):
    name: str
    value: object
    source: str


@commands.command("config")
@takes_settings(hidden=True)
def config(
    *,
    url: UrlOption = None,
    token: TokenOption = None,
    output_format: FormatOption = None,
    as_json: JsonOption = False,
    given: GivenOptions,
) -> None:
    """Print settings.

    With --url, RUNDLET_URL or a context it prints what the running server reports, else what
    `rundlet serve` would use with the same environment and options, which this command takes, too.

    Example: rundlet config --url http://127.0.0.1:8000
    """
    wanted = format_of(output_format, as_json=as_json)
    warn_of_unknown(os.environ)
    url = url if given else chosen_url(url)
    if url is not None and given:
        message = (
            f"{next(iter(given))} is for a server that is not started yet; leave it or --url out"
        )
        raise typer.BadParameter(message)
    if url is not None:
        with open_client(url, token) as client:
            settings = list(_of_server(client.info()))
    else:
        settings = list(_of_next_server(given, os.environ))
    if wanted in ("json", "jsonl"):
        write_line(to_line({setting.name: setting.value for setting in settings}))
    else:
        write_rows(settings, _SHAPE, wanted)


def _cells(setting: _Setting) -> list[str]:
    return [setting.name, shown_key(str(setting.value)), shown_key(setting.source)]


_SHAPE: Final = Shape(_Setting._asdict, _Setting._fields, ("setting", "value", "source"), _cells)


def _of_server(about: Mapping[str, object]) -> Iterator[_Setting]:
    """Yield the settings that ``/v1`` reports, with the names and units of the settings."""
    reported = dict(about)
    for group in (about.get("settings"), about.get("limits")):
        reported |= group if isinstance(group, Mapping) else {}
    for row in SETTINGS:
        value = reported.get(row.name)
        if row.option is not None and value is not None:
            value = float(value) if isinstance(value, int) and _is_duration(row) else value
            yield _Setting(row.label, row.kind.write(value), "server")


def _is_duration(row: Setting) -> bool:
    return isinstance(row.kind, Duration)


def _of_next_server(given: GivenOptions, environ: Mapping[str, str]) -> Iterator[_Setting]:
    """Yield the settings `rundlet serve` would use; raise ``SettingError`` if one is invalid."""
    found = serve_options(given, environ, is_terminal=sys.stderr.isatty())
    for row in SETTINGS:
        if row.option is not None:
            value = row.kind.write(row.value_in(found.instance))
            source: str = found.sources[row.path]
            if not value and row.default_text:
                source += f": {row.default_text}"
            yield _Setting(row.label, value, source)
