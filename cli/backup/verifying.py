"""``rundlet verify --backup``: read all backups of a directory."""

from __future__ import annotations

from rundlet_server.cli.backup.places import existing_place
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.progress import byte_progress
from rundlet_server.cli.show.terminal import escaped, write_line, write_lines


def verify_directory(directory: str, *, as_json: bool) -> None:
    """Print the damage in the backups of a place, or that there is none.

    Raises:
        CommandError: a backup is damaged, or there are no backups.
    """
    from rundlet_server.storage.backing import covered, verify_backups  # noqa: PLC0415 - a command that talks to a server needs none of it

    place = existing_place(directory)
    with byte_progress("verifying") as progress:
        report = verify_backups(place, progress)
    lines = [f"{ex.path}:{ex.offset}: {ex.reason}" for ex in report.problems]
    spans = covered(report.backups) if report.backups else "nothing"
    if as_json:
        problems = [
            {"path": str(ex.path), "offset": ex.offset, "reason": ex.reason}
            for ex in report.problems
        ]
        backups = [index.name for index in report.backups]
        members = {"problems": problems, "backups": backups, "bytes_read": report.bytes_read}
        write_line(to_line(members))
    else:
        write_lines(map(escaped, lines))
    if report.problems:
        message = f"{directory} is damaged; take a new backup into another directory"
        raise CommandError(message, ExitCode.DAMAGED)
    if not report.backups:
        message = f"there are no backups in {directory}"
        raise CommandError(message, ExitCode.NOT_FOUND)
    if not as_json:
        counts = f"{len(report.backups)} backups, {report.bytes_read} bytes read"
        write_line(f"all is well: {counts}; restorable: {spans}")
