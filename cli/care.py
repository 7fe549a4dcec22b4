"""The commands that look after a store, group *Care*: stats, compact, verify, repair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import typer

from cli.folder import Purpose
from cli.jsonlines import to_line
from cli.panels import Panel
from cli.place import (
    DataOption,
    JsonOption,
    TokenOption,
    UrlOption,
    open_target,
)
from cli.terminal import escaped, write_line, write_lines

commands = typer.Typer()


@commands.command("stats", rich_help_panel=Panel.CARE)
def stats(
    url: UrlOption = None,
    data: DataOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print counts: keys, bytes, revision and more.

    Example: rundlet stats --json
    """
    with open_target(url, data, token) as target:
        members = target.stats()
    if as_json:
        write_line(to_line(members))
        return
    rows = list(_flat(members))
    width = max((len(name) for name, _ in rows), default=0)
    write_lines(f"{name:<{width}}  {escaped(shown)}" for name, shown in rows)


@commands.command("compact", rich_help_panel=Panel.CARE)
def compact(url: UrlOption = None, data: DataOption = None, token: TokenOption = None) -> None:
    """Give back the space of what is deleted and replaced.

    Example: rundlet compact
    """
    with open_target(url, data, token, Purpose.COMPACT) as target:
        target.compact()


def _flat(members: Mapping[str, object], above: str = "") -> Iterator[tuple[str, str]]:
    """Members of members as ``outer.inner``, each with what is shown of it."""
    for name, member in members.items():
        if isinstance(member, Mapping):
            yield from _flat(member, f"{above}{name}.")
        else:
            yield above + name, str(member)
