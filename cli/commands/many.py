"""The commands on many keys, group *Data*: mset, mget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from rundlet import Put, Value
from rundlet_server.cli.exits import CommandError, ExitCode, no_value
from rundlet_server.cli.place.options import JsonOption
from rundlet_server.cli.place.taking import Location, takes_location
from rundlet_server.cli.place.target import Purpose
from rundlet_server.cli.show.formats import FormatOption, Shape, format_of, write_rows
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import (
    escaped,
    escaped_value,
    read_stdin,
    shown_key,
    stdout_is_terminal,
    write_bytes,
    write_line,
)
from rundlet_server.cli.show.times import require_one_place, time_ago
from rundlet_server.cli.show.values import existing_file, is_media_type, shown_file, typed_argument
from rundlet_server.cli.transfer.jsonlines import BadLine, Row, read_rows, value_members

commands = typer.Typer()

RevisionOption = Annotated[
    int | None, typer.Option("--rev", metavar="N", min=0, help="As of this revision.")
]
TimeOption = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        metavar="TIME",
        parser=partial(time_ago, "--at"),
        help="As of this time, or 10m ago.",
    ),
]


@commands.command("mset")
@takes_location
def mset(
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="The key ends at the first =."),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=existing_file,
            help="JSON lines: key, text or base64, content_type, ttl.",
        ),
    ] = None,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Store many values.

    All of them in one transaction, or none.

    Example: rundlet mset name=Ada role=admin
    """
    puts = [_pair(pair) for pair in pairs or ()]
    if file is not None:
        puts += _puts_in(file)
    if not puts:
        message = "nothing to store; give KEY=VALUE or --file FILE"
        raise CommandError(message, ExitCode.USAGE)
    with location.opened(Purpose.WRITE) as target:
        commit = target.txn(puts)
    if as_json:
        write_line(to_line({"stored": len(puts), "revision": commit.revision}))


@commands.command("mget")
@takes_location
def mget(
    keys: Annotated[list[str], typer.Argument(metavar="KEY")],
    *,
    rev: RevisionOption = None,
    at: TimeOption = None,
    output_format: FormatOption = None,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Print many values.

    All of one snapshot, as key, tab, value on a line each. If values hold newlines or tabs, use
    --json, which prints one object per key, or another --format.

    Example: rundlet mget name role --json
    """
    require_one_place(rev=rev, at=at)
    wanted = format_of(output_format, as_json=as_json)
    with location.opened() as target:
        values = target.mget(keys, revision=rev, at=at)
    if wanted is not None:
        write_rows(zip(keys, values, strict=True), _SHAPE, wanted)
    else:
        for key, value in zip(keys, values, strict=True):
            if value is not None:
                write_bytes(_tabbed(key, value.data))
    missing = [key for key, value in zip(keys, values, strict=True) if value is None]
    if missing:
        raise no_value(missing)


def _pair(pair: str) -> Put:
    key, equals, value = pair.partition("=")
    if not key or not equals:
        message = f"{pair!r} is not KEY=VALUE"
        raise CommandError(message, ExitCode.USAGE)
    return Put(key, *typed_argument(value))


def _puts_in(file: Path) -> list[Put]:
    """Return the rows of a file of JSON lines, ``-`` for stdin, without expired rows."""
    content = read_stdin() if str(file) == "-" else file.read_bytes()
    now = datetime.now(UTC)
    puts = []
    for number, row in read_rows(content.split(b"\n")):
        try:
            put = _put(row, now)
        except BadLine as ex:
            message = f"{shown_file(file)}:{number}: {ex}"
            raise CommandError(message, ExitCode.USAGE) from ex
        if put is not None:
            puts.append(put)
    return puts


def _put(row: Row | BadLine, now: datetime) -> Put | None:
    if isinstance(row, BadLine):
        raise row
    if not is_media_type(row.content_type):
        message = "'content_type' is not a content type such as text/plain"
        raise BadLine(message)
    return row.put(now)


def _tabbed(key: str, value: bytes) -> bytes:
    if stdout_is_terminal():
        return f"{shown_key(key)}\t{escaped_value(value)}\n".encode()
    return key.encode() + b"\t" + value + b"\n"


def _members(row: tuple[str, Value | None]) -> Mapping[str, object]:
    key, value = row
    members = {"key": key} if value is None else value_members(value)
    return members | {"found": value is not None}


def _cells(row: tuple[str, Value | None]) -> Sequence[str]:
    key, value = row
    shown = "" if value is None else escaped(escaped_value(value.data))
    return [shown_key(key), "no" if value is None else "yes", shown]


_COLUMNS: Final = ("revision", "version", "content_type", "expires", "meta", "text", "base64")
_SHAPE: Final = Shape(_members, ("key", "found", *_COLUMNS), ("key", "found", "value"), _cells)
