"""The commands that move values between files and a store, group *Data*: import, export."""

from __future__ import annotations

import codecs
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from rundlet import Client
from rundlet_server.cli.exits import CommandError, ExitCode, naming_full_disk
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
from rundlet_server.cli.show.progress import RowProgress
from rundlet_server.cli.show.terminal import escaped, open_stdout, stdin_bytes, write_line
from rundlet_server.cli.show.times import moment_ago_us
from rundlet_server.cli.show.values import existing_file, shown_file
from rundlet_server.cli.transfer.exports import Wanted, exported
from rundlet_server.cli.transfer.formats import format_of, format_read
from rundlet_server.cli.transfer.packed import has_gzip, packing, unpacked
from rundlet_server.functions.transfer.formats import Format, OnConflict
from rundlet_server.storage.bounds import CLOCK_AHEAD_S_MAX

if TYPE_CHECKING:
    from rundlet_server.cli.transfer.loading import Loaded, Source
    from rundlet_server.cli.transfer.textlines import TextLines

commands = typer.Typer()

_BLOCK_BYTES = 1024 * 1024

FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="text, jsonl, csv or cbor-seq; instead of what the ending says.",
    ),
]


@commands.command("import")
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
    strip_cr: Annotated[
        bool, typer.Option("--strip-cr", help="In text files: lines end in CRLF.")
    ] = False,
    on_conflict: Annotated[
        OnConflict, typer.Option("--on-conflict", help="What to do with a key that has a value.")
    ] = OnConflict.REPLACE,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load a file.

    Text files (.data, .txt) hold a UUID, a space and the value on each line; other files hold
    what export writes: JSON lines (.jsonl), CSV (.csv), or a CBOR sequence (.cbor). With another
    ending, and on stdin, the first bytes tell which it is. Each may be compressed with gzip. A
    bad line is reported as file:line: reason, and nothing is loaded at all.

    Example: rundlet import example.data
    """
    from rundlet_server.cli.transfer.loading import Source  # noqa: PLC0415 - loads the engine

    with ExitStack() as stack:
        opened = stack.enter_context(_opened(file))
        found = format_read(file, opened, file_format, any_key=any_key)
        is_text = found is Format.TEXT
        if is_text:
            _refuse_byte_order_mark(file, opened)
        # Only now, because it may create a store.
        target = stack.enter_context(open_target(url, data, token, Purpose.WRITE, store=store))
        progress = stack.enter_context(RowProgress("importing", "lines", first="checking"))
        source = Source(
            shown_file(file), opened, found, any_key=any_key, strip_cr=strip_cr, skip_bad=skip_bad
        )
        replaces = on_conflict is OnConflict.REPLACE
        if is_text and replaces and not strip_cr and _is_read_by_engine(file, target):
            loaded = _loaded_in_blocks(file, target, progress, any_key=any_key, skip_bad=skip_bad)
        else:
            loaded = _loaded(source, target, progress, on_conflict)
        returns = _count_returns(opened) if is_text and not strip_cr else 0
    write_line(to_line(asdict(loaded)) if as_json else _summary(loaded))
    if returns:
        what = f"{_counted(returns, 'line')} ended in a carriage return (CRLF)"
        sys.stderr.write(
            f"{escaped(shown_file(file))}: {what}, which is now the last byte of the value;"
            " import again with --strip-cr to remove it\n"
        )


@commands.command("export")
def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to; default stdout.")
    ] = None,
    *,
    prefix: Annotated[str, typer.Option(metavar="PREFIX", help="How the keys begin.")] = "",
    file_format: FormatOption = None,
    revision: Annotated[
        int | None, typer.Option("--rev", metavar="N", min=0, help="As of this revision.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="As of this time, or 10m ago.")
    ] = None,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
) -> None:
    """Write a file.

    Keys and values of one snapshot, as JSON lines; into .csv as CSV, into .cbor as a CBOR
    sequence, into .data and .txt as lines of key, space and value; with .gz behind that
    compressed. If the store's time is far ahead of its machine's clock, the times of expiry are
    written by that clock.

    Example: rundlet export all.jsonl
    """
    if revision is not None and at is not None:
        message = "--rev and --at exclude each other; give one of them"
        raise CommandError(message, ExitCode.USAGE)
    to_file = None if file is None or str(file) == "-" else file
    chosen = format_of(to_file, file_format) if to_file else file_format or Format.JSONL
    text_lines = _text_lines() if chosen is Format.TEXT else None
    at_us = None if at is None else moment_ago_us("--at", at, time.time_ns() // 1_000)
    wanted = Wanted(prefix, revision, at_us)
    count = 0
    with (
        open_target(url, data, token, store=store) as target,
        RowProgress("exporting", "keys") as progress,
        _output(to_file) as output,
    ):
        _warn_of_clock_ahead(target)
        if progress.is_drawn and (total := _key_count(target, wanted)) is not None:
            progress.begin(total)
        for piece, key_count in exported(target, wanted, chosen, text_lines):
            output.write(piece)
            progress.advance(key_count - count)
            count = key_count
    if to_file is not None:
        write_line(f"exported {_counted(count, 'key')}")
    if text_lines and text_lines.lossy_count:
        lossy = _counted(text_lines.lossy_count, "key")
        sys.stderr.write(
            f"{lossy} with a time to live or a content type that lines of text do not hold; export"
            " .jsonl to keep them\n"
        )


def _key_count(target: Target, wanted: Wanted) -> int | None:
    """Return the number of keys to export, for the progress bar; ``None`` if unknown."""
    if isinstance(target, Client):
        return target.count(prefix=wanted.prefix, revision=wanted.revision, at=wanted.at)
    is_all = not wanted.prefix and wanted.revision is None and wanted.at_us is None
    keys = target.stats().get("keys") if is_all else None
    return keys if isinstance(keys, int) else None


def _warn_of_clock_ahead(target: Target) -> None:
    """Warn if times of expiry are written earlier, by the clock of the store's machine.

    If a store's time is far ahead, it keeps its keys until the clock has caught up. A store that
    imports the export must not keep them as long.
    """
    ahead_s = target.info().get("clock_ahead_s")  # an earlier release does not report it
    if isinstance(ahead_s, int | float) and ahead_s > CLOCK_AHEAD_S_MAX:
        sys.stderr.write(
            f"The store's time is {ahead_s:.0f} s ahead of its machine's clock; times of expiry are"
            " written that much earlier.\n"
        )


def _loaded(
    source: Source, target: Target, progress: RowProgress, on_conflict: OnConflict
) -> Loaded:
    """Check a file and store its rows."""
    from rundlet_server.cli.transfer.loading import checked  # noqa: PLC0415 - loads the engine
    from rundlet_server.cli.transfer.sending import send  # noqa: PLC0415 - as above

    with checked(source, target, progress) as loading:
        if isinstance(target, Client):
            send(loading, target, on_conflict)
        else:
            from rundlet_server.cli.transfer.storing import store_rows  # noqa: PLC0415 - as above

            store_rows(loading, target, on_conflict)
    return loading.loaded


def _loaded_in_blocks(
    file: Path, target: Target, progress: RowProgress, *, any_key: bool, skip_bad: bool
) -> Loaded:
    from rundlet_server.cli.place.store import StoreTarget  # noqa: PLC0415 - loads the engine
    from rundlet_server.cli.transfer.textload import load_text  # noqa: PLC0415 - as above

    assert isinstance(target, StoreTarget)  # the only other target
    return load_text(file, target, progress, any_key=any_key, skip_bad=skip_bad)


def _refuse_byte_order_mark(file: Path, opened: BinaryIO) -> None:
    """Refuse a byte-order mark, which would be read as a part of the first key."""
    opened.seek(0)
    if opened.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
        message = (
            f"{shown_file(file)}:1: the file begins with a byte-order mark (BOM); save it as UTF-8"
            " without one"
        )
        raise CommandError(message, ExitCode.USAGE)


def _count_returns(opened: BinaryIO) -> int:
    """Return how many lines end in a carriage return, with or without a line feed after it."""
    opened.seek(0)
    count = 0
    last = b""
    while block := opened.read(_BLOCK_BYTES):
        count += (last + block).count(b"\r\n")
        last = block[-1:]
    return count + (last == b"\r")


def _is_read_by_engine(file: Path, target: Target) -> bool:
    """Return whether the engine can read the file: the store is opened here, and it is no pipe."""
    is_file = str(file) != "-" and file.is_file()
    return not isinstance(target, Client) and is_file and not _has_gzip(file)


def _has_gzip(file: Path) -> bool:
    with file.open("rb") as opened:
        return has_gzip(opened)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file decompressed and seekable (it is read twice); copy a pipe to a temporary file."""
    with ExitStack() as stack:
        is_stdin = str(file) == "-"
        opened: BinaryIO = stdin_bytes() if is_stdin else stack.enter_context(file.open("rb"))
        if is_stdin or not opened.seekable():
            spooled = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(opened, spooled)
            opened = spooled
        yield unpacked(shown_file(file), opened)


@contextmanager
def _output(file: Path | None) -> Iterator[BinaryIO]:
    """Open stdout, a pipe or device, or a file that gets its name only when it is complete."""
    if file is None:
        with open_stdout() as stdout:
            yield stdout
        return
    file = file.resolve()  # replace the target of a symbolic link, not the link
    if file.exists() and not file.is_file():
        with naming_full_disk(file), file.open("wb") as output, packing(file, output) as packed:
            yield packed
        return
    part = file.with_name(f".{secrets.token_hex(8)}.part")  # the whole name may be too long
    try:
        with naming_full_disk(file), part.open("xb") as output:
            if file.exists():
                part.chmod(stat.S_IMODE(file.stat().st_mode))
            with packing(file, output) as packed:
                yield packed
            output.flush()
            os.fsync(output.fileno())  # otherwise a power cut could leave the name without the data
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _text_lines() -> TextLines:
    from rundlet_server.cli.transfer.textlines import TextLines  # noqa: PLC0415 - as above

    return TextLines()


def _summary(loaded: Loaded) -> str:
    stored = loaded.rows - loaded.expired - loaded.skipped
    extras = {
        "repeated": loaded.duplicates,
        "bad": loaded.bad,
        "expired": loaded.expired,
        "skipped": loaded.skipped,
    }
    notes = [f"{count} {name}" for name, count in extras.items() if count]
    noted = f" ({', '.join(notes)})" if notes else ""
    return f"imported {_counted(stored, 'line')}{noted}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
