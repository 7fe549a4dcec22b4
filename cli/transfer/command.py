"""The commands that move many values between files and a store, group *Data*: import, export."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from rundlet import Value
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.options import (
    DataOption,
    JsonOption,
    StoreOption,
    TokenOption,
    UrlOption,
    open_target,
)
from rundlet_server.cli.place.target import Purpose
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.panels import Panel
from rundlet_server.cli.show.progress import RowProgress
from rundlet_server.cli.show.terminal import write_line
from rundlet_server.cli.show.values import existing_file
from rundlet_server.cli.transfer.formats import Format, format_of
from rundlet_server.cli.transfer.jsonlines import read_rows, value_members
from rundlet_server.cli.transfer.loading import Loaded, Source, load

commands = typer.Typer()

FormatOption = Annotated[
    Format | None, typer.Option("--format", help="Instead of what the ending says.")
]


@commands.command("import", rich_help_panel=Panel.DATA)
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            callback=existing_file,
            help="A file; - reads stdin.",
        ),
    ],
    *,
    file_format: FormatOption = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Load the good lines, count the bad.")
    ] = False,
    any_key: Annotated[
        bool, typer.Option("--any-key", help="In text files: any key without a space.")
    ] = False,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load a file of keys and values: .data, .txt or .jsonl.

    Text files (.data, .txt) are lines of a UUID, a space and the value; .jsonl is JSON lines.

    A bad line is reported as file:line: reason, and nothing at all is loaded.

    Example: rundlet import example.data
    """
    # These load the engine, which takes its time.
    from rundlet_server.cli.place.store import StoreTarget  # noqa: PLC0415 - see above
    from rundlet_server.cli.transfer.textlines import read_text_rows  # noqa: PLC0415 - see above
    from rundlet_server.cli.transfer.textload import load_text  # noqa: PLC0415 - see above

    is_text = format_of(file, file_format) is Format.TEXT
    with open_target(url, data, token, Purpose.WRITE, store=store) as target, ExitStack() as stack:
        progress = stack.enter_context(RowProgress("importing"))
        if is_text and isinstance(target, StoreTarget) and _is_plain(file):
            loaded = load_text(file, target, progress, any_key=any_key, skip_bad=skip_bad)
        else:
            source = Source(
                name="stdin" if str(file) == "-" else str(file),
                file=stack.enter_context(_opened(file)),
                read=partial(read_text_rows, any_key=any_key) if is_text else read_rows,
                skip_bad=skip_bad,
            )
            loaded = load(source, target, progress)
    write_line(to_line(asdict(loaded)) if as_json else _summary(loaded))


@commands.command("export", rich_help_panel=Panel.DATA)
def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to; default stdout.")
    ] = None,
    *,
    prefix: Annotated[str, typer.Option(metavar="PREFIX", help="How the keys begin.")] = "",
    file_format: FormatOption = None,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
) -> None:
    """Write all keys and values of one snapshot.

    As JSON lines, or, into .data and .txt, as lines of key, space and value.

    Example: rundlet export all.jsonl
    """
    to_file = None if file is None or str(file) == "-" else file
    chosen = format_of(to_file, file_format) if to_file else file_format or Format.JSONL
    line_of = _text_line if chosen is Format.TEXT else _json_line
    count = 0
    with (
        open_target(url, data, token, store=store) as target,
        RowProgress("exporting") as progress,
        _output(to_file) as output,
    ):
        for info in target.scan(prefix=prefix, values=True):
            if info.value is not None:
                output.write(line_of(info.value))
                count += 1
                progress.advance(1)
    if to_file is not None:
        write_line(f"exported {_counted(count, 'key')}")


def _is_plain(file: Path) -> bool:
    """Whether it is a file that can be read twice; stdin and a pipe cannot."""
    return str(file) != "-" and file.is_file()


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """A file that can be read twice; what comes from stdin or a pipe is kept for that."""
    with ExitStack() as stack:
        is_stdin = str(file) == "-"
        opened: BinaryIO = sys.stdin.buffer if is_stdin else stack.enter_context(file.open("rb"))
        if is_stdin or not opened.seekable():
            spooled = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(opened, spooled)
            opened = spooled
        yield opened


@contextmanager
def _output(file: Path | None) -> Iterator[BinaryIO]:
    """Where an export goes: stdout, a pipe or device, or a file that appears once it is whole."""
    if file is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    file = file.resolve()  # a symbolic link stays one
    if file.exists() and not file.is_file():
        with file.open("wb") as output:
            yield output
        return
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as output:
            yield output
            output.flush()
            os.fsync(output.fileno())  # else a power cut could leave the name without its bytes
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _json_line(value: Value) -> bytes:
    return to_line(value_members(value)).encode() + b"\n"


def _text_line(value: Value) -> bytes:
    if b"\n" in value.data or not {" ", "\n"}.isdisjoint(value.key):
        message = f"key {value.key!r} or its value does not fit on a line of text; export .jsonl"
        raise CommandError(message, ExitCode.USAGE)
    return value.key.encode() + b" " + value.data + b"\n"


def _summary(loaded: Loaded) -> str:
    stored = loaded.rows - loaded.expired
    extras = {
        "repeated": loaded.duplicates,
        "bad": loaded.bad,
        "expired": loaded.expired,
    }
    notes = [f"{count} {name}" for name, count in extras.items() if count]
    noted = f" ({', '.join(notes)})" if notes else ""
    return f"imported {_counted(stored, 'row')}{noted}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
