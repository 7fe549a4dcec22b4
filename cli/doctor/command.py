"""``rundlet doctor``: what is wrong with a folder or a server, and what to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from shutil import get_terminal_size
from typing import Final

import typer

from rundlet import DEFAULT_URL
from rundlet_server.cli.doctor import findings
from rundlet_server.cli.doctor.findings import Finding
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.options import (
    DEFAULT_FOLDER,
    DataOption,
    JsonOption,
    StoreOption,
    TokenOption,
    UrlOption,
    chosen_place,
)
from rundlet_server.cli.serve.environ import warn_of_unknown
from rundlet_server.cli.show.formats import FormatOption, Shape, format_of, write_rows
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import escaped, stdout_is_terminal, write_line, write_lines
from rundlet_server.storage.address import StoreAddress

commands = typer.Typer()


@commands.command("doctor")
def doctor(
    *,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
    output_format: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check health.

    Checks a folder, a database or a server, and reports what is wrong and what to do. Exit code 0:
    no fault, or warnings only; 5: damage; 6: the token does not allow the check; 4: anything else.

    Example: rundlet doctor --data ./data
    """
    wanted = format_of(output_format, as_json=as_json)
    warn_of_unknown(os.environ)
    found = _check(*chosen_place(url, data, store), token)
    code = findings.exit_code(found)
    if output_format is not None:
        write_rows(found, _SHAPE, wanted)
    elif as_json:
        write_line(to_line({"exit_code": int(code), "findings": [*map(_members, found)]}))
    else:
        columns = get_terminal_size().columns if stdout_is_terminal() else None
        write_lines(map(escaped, findings.lines(found, columns)))
    if code:
        raise typer.Exit(code)


def _members(finding: Finding) -> dict[str, object]:
    return finding._asdict() | {"code": int(finding.code)}


def _cells(finding: Finding) -> list[str]:
    return [finding.level, finding.name, escaped(finding.seen), escaped(finding.advice)]


_SHAPE: Final = Shape(_members, Finding._fields, ("level", "check", "found", "advice"), _cells)


def _check(url: str | None, store: StoreAddress | None, token: str | None) -> Sequence[Finding]:
    if url is None and store is None and DEFAULT_FOLDER.is_dir():
        store = StoreAddress.of_folder(DEFAULT_FOLDER)
    # Both load parts of the engine or of the server, which take their time.
    if store is not None:
        if store.scheme in ("etcd", "postgresql"):
            from rundlet_server.cli.doctor.databases import check_database  # noqa: PLC0415

            return list(check_database(store))
        if store.folder is None:
            message = f"doctor checks a folder, a database or a server, not {store.shown}"
            raise CommandError(message, ExitCode.USAGE)
        from rundlet_server.cli.doctor.folder import check_folder  # noqa: PLC0415 - see above

        return list(check_folder(store.folder))
    from rundlet_server.cli.doctor.server import check_server  # noqa: PLC0415 - see above

    return list(check_server(url or DEFAULT_URL, token))
