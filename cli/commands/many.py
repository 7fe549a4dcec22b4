"""The commands on many keys, group *Data*: mset, mget, ls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from rundlet import KeyInfo, Put
from rundlet_server.cli.exits import CommandError, ExitCode, no_value
from rundlet_server.cli.place.options import (
    DataOption,
    JsonOption,
    StoreOption,
    TokenOption,
    UrlOption,
    open_target,
)
from rundlet_server.cli.place.target import Purpose, Target
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import (
    escaped_value,
    read_stdin,
    shown_key,
    stdout_is_terminal,
    write_bytes,
    write_line,
    write_lines,
)
from rundlet_server.cli.show.times import require_one_place, time_ago
from rundlet_server.cli.show.values import existing_file, is_media_type, typed_argument
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
        help="As it was then: 10m for ago.",
    ),
]


@commands.command("mset")
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
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
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
    with open_target(url, data, token, Purpose.WRITE, store=store) as target:
        commit = target.txn(puts)
    if as_json:
        write_line(to_line({"stored": len(puts), "revision": commit.revision}))


@commands.command("mget")
def mget(
    keys: Annotated[list[str], typer.Argument(metavar="KEY")],
    *,
    rev: RevisionOption = None,
    at: TimeOption = None,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print many values.

    All of one snapshot, as key, tab, value on a line each. If values hold newlines or tabs, use
    --json, which prints one object per key.

    Example: rundlet mget name role --json
    """
    require_one_place(rev=rev, at=at)
    with open_target(url, data, token, store=store) as target:
        values = target.mget(keys, revision=rev, at=at)
    for key, value in zip(keys, values, strict=True):
        if as_json:
            members = {"key": key} if value is None else value_members(value)
            write_line(to_line(members | {"found": value is not None}))
        elif value is not None:
            write_bytes(_tabbed(key, value.data))
    missing = [key for key, value in zip(keys, values, strict=True) if value is None]
    if missing:
        raise no_value(missing)


@commands.command("ls")
def ls(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="How the keys begin.")] = "",
    *,
    long: Annotated[
        bool, typer.Option("--long", "-l", help="With revision, version, size, type and metadata.")
    ] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most N.")] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Show keys that are equal up to it as one prefix."),
    ] = None,
    urls: Annotated[bool, typer.Option("--urls", help="The address of each value.")] = False,
    rev: RevisionOption = None,
    at: TimeOption = None,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="End each key with a zero byte, for xargs -0.")
    ] = False,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List keys.

    In the order of their UTF-8 bytes, all of one snapshot.

    Example: rundlet ls users/ --delimiter / --long
    """
    require_one_place(rev=rev, at=at)
    with open_target(url, data, token, store=store) as target:
        show = _shower(target, as_json=as_json, long=long, urls=urls)
        if long and not as_json and stdout_is_terminal():
            write_line(_aligned("revision", "version", "size", "type", "key"))
        ends_with = "\0" if null else "\n"
        infos = target.scan(
            prefix=prefix,
            limit=limit,
            delimiter=delimiter,
            meta=long or as_json,
            revision=rev,
            at=at,
        )
        write_lines((show(info) for info in infos), end=ends_with)


def _shower(target: Target, *, as_json: bool, long: bool, urls: bool) -> Callable[[KeyInfo], str]:
    """How ``ls`` shows one key."""
    if as_json:
        return _json_line
    if urls:
        return lambda info: target.url_of(info.key, is_prefix=info.is_prefix)
    return _long_line if long else lambda info: shown_key(info.key)


def _json_line(info: KeyInfo) -> str:
    if info.is_prefix:
        return to_line({"prefix": info.key})
    members: dict[str, object] = {
        "key": info.key,
        "revision": info.revision,
        "version": info.version,
        "size": info.size,
        "content_type": info.content_type,
    }
    if info.meta:
        members["meta"] = dict(info.meta)
    return to_line(members)


def _long_line(info: KeyInfo) -> str:
    key = shown_key(info.key)
    if info.is_prefix:
        cells = ("", "", "", "", key)
    else:
        content_type = shown_key(info.content_type)
        cells = (str(info.revision), str(info.version), str(info.size), content_type, key)
    meta = [to_line(dict(info.meta))] if info.meta else []
    if stdout_is_terminal():
        return " ".join([_aligned(*cells), *meta])
    return "\t".join([*cells, *meta])


def _aligned(revision: str, version: str, size: str, content_type: str, key: str) -> str:
    return f"{revision:>9} {version:>8} {size:>10}  {content_type:<26} {key}"


def _pair(pair: str) -> Put:
    key, equals, value = pair.partition("=")
    if not key or not equals:
        message = f"{pair!r} is not KEY=VALUE"
        raise CommandError(message, ExitCode.USAGE)
    return Put(key, *typed_argument(value))


def _puts_in(file: Path) -> list[Put]:
    """The rows of a file of JSON lines, ``-`` for stdin; expired rows are left out."""
    content = read_stdin() if str(file) == "-" else file.read_bytes()
    now = datetime.now(UTC)
    puts = []
    for number, row in read_rows(content.split(b"\n")):
        try:
            put = _put(row, now)
        except BadLine as ex:
            message = f"{file}:{number}: {ex}"
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
