"""The command that does a transaction, group *Data*: txn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rundlet import Add, Delete, Op, OpResult
from rundlet_server.cli.exits import CommandError, ExitCode, failed_conditions, is_conflict
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
from rundlet_server.cli.show.terminal import read_stdin, shown_key, write_line, write_lines
from rundlet_server.cli.show.values import existing_file, shown_file
from rundlet_server.cli.transfer.jsonlines import BadLine
from rundlet_server.cli.txn.reading import read

commands = typer.Typer()


@commands.command("txn")
def txn(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", callback=existing_file, help="What to do."),
    ],
    *,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do a transaction.

    Conditions and writes, all or none: as the JSON of POST /v1/txn, or one a line. A condition is
    if KEY exists, if KEY missing, if KEY revision N or if KEY version N. A write is set KEY VALUE,
    del KEY, incr KEY N, touch KEY TTL or restore KEY VERSION; set takes --ttl TIME and --type TYPE.
    If a condition fails, the lines after a line else are done. Quotes are those of a shell; a line
    that begins with # is a comment. With - it reads stdin.

    Example: rundlet txn changes.txt
    """
    content = read_stdin() if str(file) == "-" else file.read_bytes()
    try:
        wanted = read(content.decode())
    except BadLine as ex:
        message = f"{shown_file(file)}:{ex}"
        raise CommandError(message, ExitCode.USAGE) from ex
    with open_target(url, data, token, Purpose.WRITE, store=store) as target:
        try:
            commit = target.txn(
                wanted.then, conditions=wanted.conditions, otherwise=wanted.otherwise
            )
        except Exception as ex:
            if not is_conflict(ex):
                raise
            failed = ", ".join(f"{key!r} {_state(now)}" for key, now in failed_conditions(ex))
            message = f"the conditions do not hold: {failed}; nothing was changed"
            raise CommandError(message, ExitCode.CONFLICT) from ex
    done = wanted.then if commit.succeeded else wanted.otherwise or []
    pairs = list(zip(done, commit.results, strict=True))
    if as_json:
        results = [{"key": op.key, **_members(op, result)} for op, result in pairs]
        members = {"succeeded": commit.succeeded, "revision": commit.revision}
        write_line(to_line({**members, "results": results}))
        return
    branch = "" if commit.succeeded else ", by else as a condition failed"
    write_line(f"done at revision {commit.revision}{branch}")
    write_lines(f"{shown_key(op.key)}\t{_shown(op, result)}" for op, result in pairs)


def _state(revision: int) -> str:
    return f"is at revision {revision}" if revision else "has no value"


def _members(op: Op, result: OpResult) -> dict[str, object]:
    """Return the result of a write, with the same members for all backends as over HTTP."""
    if isinstance(op, Delete):
        return {"found": result.found is True}
    number = {"number": result.number} if isinstance(op, Add) else {}
    return {**number, "version": result.version}


def _shown(op: Op, result: OpResult) -> str:
    if isinstance(op, Delete):
        return "deleted" if result.found else "was not there"
    return str(result.number) if isinstance(op, Add) else f"version {result.version}"
