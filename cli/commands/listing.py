"""The command that lists keys, group *Data*: ls."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import typer

from rundlet import KeyInfo
from rundlet_server.cli.commands.key_rows import shape_of, tabbed
from rundlet_server.cli.commands.many import RevisionOption, TimeOption
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.options import JsonOption
from rundlet_server.cli.place.taking import Location, takes_location
from rundlet_server.cli.place.target import Target
from rundlet_server.cli.show.formats import FormatOption, format_of, write_rows
from rundlet_server.cli.show.progress import counted
from rundlet_server.cli.show.terminal import escaped, stdout_is_terminal, write_bytes
from rundlet_server.cli.show.times import require_one_place

commands = typer.Typer()

_DELIMITER: Final = "/"
_BEFORE_SURROGATES: Final = 0xD7FF
_AFTER_SURROGATES: Final = 0xE000


@dataclass(frozen=True, slots=True)
class Selection:
    """The selected keys and their order; attributes as the options."""

    prefix: str
    start: str | None
    end: str | None
    match: str | None
    reverse: bool
    delimiter: str | None
    rev: int | None
    at: datetime | None

    def scan(
        self, target: Target, *, limit: int | None, values: bool = False, meta: bool = False
    ) -> Iterator[KeyInfo]:
        """Yield the keys and prefixes."""
        return target.scan(
            prefix=self.prefix,
            start=self.start,
            end=self.end,
            match=self.match,
            limit=limit,
            reverse=self.reverse,
            delimiter=self.delimiter,
            values=values,
            meta=meta,
            revision=self.rev,
            at=self.at,
        )


@commands.command("ls")
@takes_location
def ls(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="How the keys begin.")] = "",
    *,
    long: Annotated[
        bool,
        typer.Option("--long", "-l", help="With revision, size, type, expiry, metadata."),
    ] = False,
    values: Annotated[bool, typer.Option("--values", help="With the values.")] = False,
    tree: Annotated[
        bool, typer.Option("--tree", help="As a tree, with counts and sizes of its branches.")
    ] = False,
    depth: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Levels of the tree; by default all.")
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Only keys that match it after PREFIX: *, ?, [ab]."),
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="KEY", help="From this key on.")] = None,
    end: Annotated[str | None, typer.Option(metavar="KEY", help="Below this key.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="KEY", help="Go on after this key, in the same order.")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="The last key first.")] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most N.")] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Show keys that are equal up to it as one prefix; of a tree, /."
        ),
    ] = None,
    urls: Annotated[bool, typer.Option("--urls", help="The address of each value.")] = False,
    rev: RevisionOption = None,
    at: TimeOption = None,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="End each key with a zero byte, for xargs -0.")
    ] = False,
    output_format: FormatOption = None,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """List keys.

    In the order of their UTF-8 bytes, all of one snapshot. If there are more than --limit, stderr
    says how to go on.

    Example: rundlet ls users/ --delimiter / --long
    """
    require_one_place(rev=rev, at=at)
    wanted = format_of(output_format, as_json=as_json)
    others = {"--long": long, "--values": values, "--urls": urls, "--null": null}
    _require_sense(others | {"--limit": limit, "--reverse": reverse}, tree=tree, depth=depth)
    if match is not None and delimiter is not None and not tree:
        message = "--match and --delimiter exclude each other; give one of them"
        raise CommandError(message, ExitCode.USAGE)
    rolled = None if tree else delimiter
    if after is not None:
        start, end = _behind(after, start, end, prefix, rolled, reverse=reverse)
    keys = Selection(prefix, start, end, match, reverse, rolled, rev, at)
    with location.opened() as target:
        if tree:
            from rundlet_server.cli.commands.tree import write_tree  # noqa: PLC0415 - rarely used

            infos = counted(keys.scan(target, limit=None), "counting", "keys")
            write_tree(infos, prefix, delimiter or _DELIMITER, depth, wanted)
            return
        has_meta = long or wanted not in (None, "table")
        more = None if limit is None else limit + 1
        found = _Limited(keys.scan(target, limit=more, values=values, meta=has_meta), limit)
        if values and not long and wanted is None and not stdout_is_terminal():
            for info in found:
                write_bytes(tabbed(info))
        else:
            shown = {"long": long, "values": values, "urls": urls, "prefixes": rolled is not None}
            shape = shape_of(target, **shown)
            write_rows(found, shape, wanted, end="\0" if null else "\n")
    if found.last is not None and wanted in (None, "table"):
        sys.stderr.write(f"there are more; go on with --after {shlex.quote(escaped(found.last))}\n")


class _Limited:
    """Keys up to a limit.

    Attributes:
        last: the last key within the limit, if there are more keys.
    """

    def __init__(self, infos: Iterator[KeyInfo], limit: int | None) -> None:
        self._infos = infos
        self._limit = limit
        self.last: str | None = None

    def __iter__(self) -> Iterator[KeyInfo]:
        shown = None
        for number, info in enumerate(self._infos):
            if number == self._limit:
                self.last = shown
                return
            yield info
            shown = info.key


def _require_sense(others: Mapping[str, object], *, tree: bool, depth: int | None) -> None:
    """Refuse options that do not apply to a tree, or that apply only to a tree."""
    given = next((name for name, option in others.items() if option), None)
    if tree and given is not None:
        message = f"--tree and {given} exclude each other; give one of them"
        raise CommandError(message, ExitCode.USAGE)
    if depth is not None and not tree:
        raise CommandError("--depth needs --tree", ExitCode.USAGE)


def _behind(
    after: str,
    start: str | None,
    end: str | None,
    prefix: str,
    delimiter: str | None,
    *,
    reverse: bool,
) -> tuple[str | None, str | None]:
    """Return the start and end of a list that continues after a key or a prefix."""
    if (end if reverse else start) is not None:
        message = f"--after and --{'end' if reverse else 'start'} exclude each other"
        raise CommandError(message, ExitCode.USAGE)
    if reverse:
        return start, after
    place = -1 if delimiter is None else after.find(delimiter, len(prefix))
    if delimiter is None or place < 0:
        return f"{after}\0", end
    # The shown prefix covers all keys that begin with it: continue after them.
    shown = after[: place + len(delimiter)]
    last = ord(shown[-1])
    if last == sys.maxunicode:
        message = f"--delimiter {delimiter!r} ends with the last character; use another one"
        raise CommandError(message, ExitCode.USAGE)
    following = _AFTER_SURROGATES if last == _BEFORE_SURROGATES else last + 1
    return shown[:-1] + chr(following), end
