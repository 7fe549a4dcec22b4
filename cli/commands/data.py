"""The commands on one key or a few, group *Data*: get, set, incr."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from rundlet import DEFAULT_CONTENT_TYPE
from rundlet_server.cli.exits import CommandError, ExitCode, naming_full_disk, no_value
from rundlet_server.cli.place.options import JsonOption
from rundlet_server.cli.place.taking import Location, takes_location
from rundlet_server.cli.place.target import Purpose
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import read_stdin, write_line, write_value
from rundlet_server.cli.show.times import require_one_place, seconds_above_0, time_ago
from rundlet_server.cli.show.values import existing_file, is_media_type, typed_argument
from rundlet_server.cli.transfer.jsonlines import value_members
from rundlet_server.storage.bounds import (
    CONTENT_TYPE_BYTES_MAX,
    METADATA_NAME_BYTES_MAX,
    NUMBER_MAX,
)

commands = typer.Typer()

_SHOWN_CHARACTERS_MAX = 80
_METADATA_NAME = re.compile(rf"[A-Za-z0-9-]{{1,{METADATA_NAME_BYTES_MAX}}}")


def _checked_content_type(content_type: str | None) -> str | None:
    if content_type is not None and not is_media_type(content_type):
        message = (
            f"{content_type[:_SHOWN_CHARACTERS_MAX]!r} is not a content type; write one such as"
            f" text/plain, of at most {CONTENT_TYPE_BYTES_MAX} characters"
        )
        raise typer.BadParameter(message)
    return content_type


@commands.command("get")
@takes_location
def get(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    *,
    rev: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="As of this revision.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="This version of the value.")
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME", parser=partial(time_ago, "--at"), help="As of this time, or 10m ago."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to a file.")
    ] = None,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Print a value.

    A pipe or a file gets the exact bytes. On a terminal, control characters are escaped.

    Example: rundlet get greeting > value.bin
    """
    require_one_place(rev=rev, version=version, at=at)
    if as_json and output is not None:
        raise CommandError("--json and -o exclude each other; give one of them", ExitCode.USAGE)
    with location.opened() as target:
        value = target.get(key, revision=rev, at=at, version=version)
    if value is None:
        raise no_value([key])
    if as_json:
        write_line(to_line(value_members(value)))
    elif output is not None:
        with naming_full_disk(output):
            output.write_bytes(value.data)
    else:
        write_value(value.data)


@commands.command("set")
@takes_location
def set_(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="The value; - reads stdin.")
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=existing_file, help="Read it from a file."),
    ] = None,
    ttl: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=partial(seconds_above_0, "--ttl"),
            help="Expire after this time: 90s, 15m, 12h, 30d.",
        ),
    ] = None,
    content_type: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            callback=_checked_content_type,
            help="Content type of the value.",
        ),
    ] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Metadata as NAME=TEXT; may be repeated."),
    ] = None,
    if_absent: Annotated[
        bool, typer.Option("--if-absent", help="Only if the key has no value.")
    ] = False,
    if_revision: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Only if the key is still at this revision."),
    ] = None,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Store a value.

    It is an argument, a file, or stdin.

    Example: rundlet set greeting hello --ttl 90s
    """
    if if_absent and if_revision is not None:
        message = "--if-absent and --if-revision exclude each other; give one of them"
        raise CommandError(message, ExitCode.USAGE)
    texts = _metadata(meta or ())
    stored, default_type = _given_value(value, file)
    with location.opened(Purpose.WRITE) as target:
        written = target.set(
            key,
            stored,
            ttl=ttl,
            content_type=content_type or default_type,
            meta=texts,
            if_absent=if_absent,
            if_revision=if_revision,
        )
    if as_json:
        members = {"key": key, "revision": written.revision, "version": written.version}
        write_line(to_line(members))


@commands.command(
    "incr",
    context_settings={"ignore_unknown_options": True},  # so that BY may be -5
)
@takes_location
def incr(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    by: Annotated[
        int,
        typer.Argument(
            metavar="BY", min=-NUMBER_MAX - 1, max=NUMBER_MAX, help="64 bits; may be negative."
        ),
    ] = 1,
    *,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Add to a number.

    Atomically; prints the new number. A missing key counts as 0.

    Example: rundlet incr visits 5
    """
    with location.opened(Purpose.WRITE) as target:
        number = target.incr(key, by)
    write_line(to_line({"key": key, "number": number}) if as_json else str(number))


def _metadata(pairs: Sequence[str]) -> dict[str, str]:
    """Return the metadata of all ``--meta`` options; the store checks its size.

    Raises:
        CommandError: an option is not NAME=TEXT, or repeats a name.
    """
    texts: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not _METADATA_NAME.fullmatch(name) or not text:
            message = (
                f"--meta {pair[:_SHOWN_CHARACTERS_MAX]!r} is not NAME=TEXT; a name has 1 to"
                f" {METADATA_NAME_BYTES_MAX} letters a to z, digits and '-'"
            )
            raise CommandError(message, ExitCode.USAGE)
        if name.lower() in texts:
            message = f"--meta gives {name.lower()!r} twice; give each name once"
            raise CommandError(message, ExitCode.USAGE)
        texts[name.lower()] = text
    return texts


def _given_value(value: str | None, file: Path | None) -> tuple[bytes, str]:
    """Return the given value and its default content type."""
    if (value is None) == (file is None):
        message = "give one of VALUE, --file FILE, or - to read stdin"
        raise CommandError(message, ExitCode.USAGE)
    if file is not None:
        return file.read_bytes(), DEFAULT_CONTENT_TYPE
    if value == "-":
        return read_stdin(), DEFAULT_CONTENT_TYPE
    return typed_argument(value or "")
