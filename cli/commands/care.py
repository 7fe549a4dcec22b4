"""The commands that look after a store, group *Care*: stats, compact, verify, repair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.options import (
    FolderOption,
    JsonOption,
    chosen_folder,
    no_store_if_missing,
)
from rundlet_server.cli.place.taking import Location, takes_location
from rundlet_server.cli.place.target import Purpose
from rundlet_server.cli.show.formats import FormatOption, Shape, format_of, write_rows
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.progress import byte_progress
from rundlet_server.cli.show.terminal import escaped, shown_key, write_line, write_lines

if TYPE_CHECKING:
    from rundlet_server.storage.care import Problem, RepairReport, VerifyReport

commands = typer.Typer()

_LINES_MAX: Final = 20
"""Maximum lines of each kind that a repair prints; a file lists all of them."""


@commands.command("stats")
@takes_location
def stats(
    *,
    location: Location,
    output_format: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print counts.

    Keys, bytes, revision and more, of a server or a folder.

    Example: rundlet stats --json
    """
    wanted = format_of(output_format, as_json=as_json)
    with location.opened() as target:
        members = target.stats()
    if wanted in ("json", "jsonl"):
        write_line(to_line(members))
    else:
        write_rows(_flat(members), _COUNTS, wanted)


@commands.command("compact")
@takes_location
def compact(
    location: Location,
) -> None:
    """Reclaim space.

    Removes deleted and overwritten values that are not kept as history. A server does so in the
    background; a folder is compacted before the command ends.

    Example: rundlet compact
    """
    from rundlet import Client  # noqa: PLC0415 - the other commands need no client

    with location.opened(Purpose.COMPACT) as target:
        target.compact()
        is_server = isinstance(target, Client)
    write_line("started; rundlet stats shows what it reclaims" if is_server else "done")


@commands.command("verify")
def verify_(
    data: FolderOption = None,
    backup: Annotated[
        str | None,
        typer.Option("--backup", metavar="DIR", help="Instead: the backups in a directory."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find damage.

    Reads everything in a folder and changes nothing; a server may run on the folder meanwhile.

    Example: rundlet verify --data ./data
    """
    if backup is not None:
        if data is not None:
            message = "give --data or --backup, not both"
            raise CommandError(message, ExitCode.USAGE)
        from rundlet_server.cli.backup.verifying import verify_directory  # noqa: PLC0415 - a command that talks to a server needs none of it

        verify_directory(backup, as_json=as_json)
        return
    from rundlet_server.storage.care import verify  # noqa: PLC0415 - loads the engine, which takes its time

    folder = chosen_folder(data)
    with no_store_if_missing(folder), byte_progress("verifying") as progress:
        report = verify(folder, progress=progress)
    is_store_damaged = bool(report.problems)
    report.problems += _token_problems(folder)
    if as_json:
        write_line(to_line(_json_members(report)))
    elif report.problems:
        write_lines(_problem_line(problem) for problem in report.problems)
    else:
        counts = f"{report.key_count} keys at revision {report.revision}"
        write_line(f"all is well: {counts}, {report.bytes_read} bytes read")
    if is_store_damaged:
        message = f"{folder} is damaged; run rundlet repair --data {folder} to keep what is whole"
        raise CommandError(message, ExitCode.DAMAGED)
    if report.problems:
        raise CommandError("the store is whole, its tokens are not: see above", ExitCode.DAMAGED)


@commands.command("repair")
def repair_(data: FolderOption = None, as_json: JsonOption = False) -> None:
    """Repair damage.

    Keeps every whole record, and reports what is lost and which keys have an older value again. No
    process may have the folder open. Its subfolder repair-N keeps the original files and the full
    list of losses.

    Example: rundlet repair --data ./data
    """
    from rundlet_server.storage.care import repair  # noqa: PLC0415 - loads the engine, which takes its time

    folder = chosen_folder(data)
    with no_store_if_missing(folder):
        report = repair(folder)
    write_lines([to_line(_json_members(report))] if as_json else _repair_lines(report))
    if report.is_anything_lost:
        message = f"data is lost; {report.list_path} lists all of it"
        raise CommandError(message, ExitCode.NOT_FOUND)


def _token_problems(folder: Path) -> list[Problem]:
    """Return the damage to the tokens beside a store, which ``repair`` cannot fix."""
    from rundlet_server.storage.care import Problem  # noqa: PLC0415 - as above
    from rundlet_server.storage.errors import Damaged  # noqa: PLC0415 - as above
    from rundlet_server.storage.tokens.file import TokenFile  # noqa: PLC0415 - as above

    try:
        TokenFile(folder).read()
    except Damaged as ex:
        return [Problem(ex.path, ex.offset, ex.reason)]
    return []


def _problem_line(problem: Problem) -> str:
    return escaped(f"{problem.path}:{problem.offset}: {problem.reason}")


def _repair_lines(report: RepairReport) -> Iterator[str]:
    """Yield the result of a repair, for people."""
    if not report.problems:
        yield "nothing to repair: all is well"
        return
    yield from _first_of(list(report.lost_lines()), report)
    yield from _first_of(list(report.came_back_lines()), report)
    if report.deletes_kept:
        yield f"kept: {report.deletes_kept} deletes whose records are lost"
    yield f"repaired: {report.key_count} keys, {report.record_count} records kept"
    if report.originals is not None:
        yield escaped(f"the files as they were are in {report.originals}")


def _first_of(lines: list[str], report: RepairReport) -> Iterator[str]:
    """Yield the first lines, and the name of the file that lists all."""
    yield from map(escaped, lines[:_LINES_MAX])
    if len(lines) > _LINES_MAX:
        what = lines[0].partition(":")[0]
        count = f"{len(lines) - _LINES_MAX:,}"
        yield escaped(f"{what}: {count} more: the whole list is in {report.list_path}")


def _json_members(report: VerifyReport | RepairReport) -> dict[str, object]:
    """Return the members of a report, with paths as text."""
    return {name: _plain(member) for name, member in asdict(report).items()}


def _plain(member: object) -> object:
    if isinstance(member, Path):
        return str(member)
    if isinstance(member, tuple) and hasattr(member, "_asdict"):
        return _plain(member._asdict())
    if isinstance(member, dict):
        return {name: _plain(inner) for name, inner in member.items()}
    return [_plain(inner) for inner in member] if isinstance(member, list) else member


_Count = tuple[str, str]


def _flat(members: Mapping[str, object], above: str = "") -> Iterator[_Count]:
    """Yield each member with its text; a nested member is named ``outer.inner``."""
    for name, member in members.items():
        if isinstance(member, Mapping):
            yield from _flat(member, f"{above}{name}.")
        else:
            yield above + name, str(member)


def _shown(count: _Count) -> list[str]:
    return [shown_key(text) for text in count]


def _named(count: _Count) -> dict[str, object]:
    name, number = count
    return {"name": name, "count": number}


_COUNTS: Final[Shape[_Count]] = Shape(_named, ("name", "count"), (), _shown)
