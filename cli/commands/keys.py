"""The commands on keys that do not change values: exists, ttl, touch, cp, mv."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from rundlet import Condition, Delete, Put, Touch, Value
from rundlet_server.cli.exits import CommandError, ExitCode, is_conflict, no_value
from rundlet_server.cli.place.options import JsonOption
from rundlet_server.cli.place.taking import Location, takes_location
from rundlet_server.cli.place.target import Purpose, Target
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import stdout_is_terminal, write_line
from rundlet_server.cli.show.times import (
    exact_time,
    seconds_above_0,
    seconds_left,
    shown_time,
    time_left,
)

commands = typer.Typer()

_NEVER: Final = "never"
_ATTEMPTS: Final = 10
"""How often ``mv`` retries if the value changes between its read and its commit."""

IfAbsentOption = Annotated[
    bool, typer.Option("--if-absent", help="Only if the new key has no value.")
]


@commands.command("exists")
@takes_location
def exists(
    keys: Annotated[list[str], typer.Argument(metavar="KEY")],
    *,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Test for keys.

    Prints how many of them have a value, and exits with 1 unless all do.

    Example: rundlet exists config/app && echo yes
    """
    unique = list(dict.fromkeys(keys))
    with location.opened() as target:
        missing = [key for key in unique if not target.exists(key)]
    found = len(unique) - len(missing)
    if as_json:
        write_line(to_line({"found": found, "missing": missing}))
    else:
        write_line(f"found {found} of {len(unique)}")
    if missing:
        raise typer.Exit(ExitCode.NOT_FOUND)


@commands.command("ttl")
@takes_location
def ttl(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    *,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Print time left.

    A time such as 90s or 1h30m, or never; a terminal shows the moment, too.

    Example: rundlet ttl session/42
    """
    with location.opened() as target:
        found = target.head(key)
    if found is None:
        raise no_value([key])
    left_s = seconds_left(found)
    expires = found.expires
    if as_json:
        moment = None if expires is None else exact_time(expires)
        write_line(to_line({"key": key, "ttl": left_s, "expires": moment}))
        return
    line = _NEVER if left_s is None else time_left(left_s)
    if expires is not None and stdout_is_terminal():
        line += f", until {shown_time(expires)}"
    write_line(line)


@commands.command("touch")
@takes_location
def touch(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    ttl: Annotated[str, typer.Argument(metavar="TTL", help="90s, 15m, 12h, 30d, or never.")],
    *,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Set the TTL.

    It begins now. The bytes of the value do not change; the key gets a new version. With never it
    does not expire.

    Example: rundlet touch session/42 30m
    """
    ttl_s = None if ttl == _NEVER else seconds_above_0("TTL", ttl)
    with location.opened(Purpose.CHANGE) as target:
        try:
            commit = target.txn([Touch(key, ttl_s)], conditions=[Condition(key, exists=True)])
        except Exception as ex:
            if is_conflict(ex):
                raise no_value([key]) from ex
            raise
    if as_json:
        version = commit.results[0].version
        write_line(to_line({"key": key, "revision": commit.revision, "version": version}))


@commands.command("cp")
@takes_location
def copy(
    source: Annotated[str, typer.Argument(metavar="KEY")],
    target_key: Annotated[str, typer.Argument(metavar="NEW")],
    *,
    if_absent: IfAbsentOption = False,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Copy a value.

    With its type, its time of expiry and its metadata. A value that the new key has is replaced.

    Example: rundlet cp config/app config/app.old
    """
    _require_two(source, target_key)
    with location.opened(Purpose.CHANGE) as target:
        value = _value(target, source)
        written = target.set(
            target_key,
            value.data,
            ttl=_ttl(value),
            content_type=value.content_type,
            meta=value.meta,
            if_absent=if_absent,
        )
    if as_json:
        members = {"key": target_key, "revision": written.revision, "version": written.version}
        write_line(to_line(members))


@commands.command("mv")
@takes_location
def move(
    source: Annotated[str, typer.Argument(metavar="KEY")],
    target_key: Annotated[str, typer.Argument(metavar="NEW")],
    *,
    if_absent: IfAbsentOption = False,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Rename a key.

    In one transaction, with its type, its time of expiry and its metadata: every reader sees either
    the old key or the new one. A value that the new key has is replaced.

    Example: rundlet mv config/new config/app
    """
    _require_two(source, target_key)
    with location.opened(Purpose.CHANGE) as target:
        revision, version = _move(target, source, target_key, if_absent=if_absent)
    if as_json:
        write_line(to_line({"key": target_key, "revision": revision, "version": version}))


def _move(target: Target, source: str, new: str, *, if_absent: bool) -> tuple[int, int]:
    """Move the value that the key has at the commit; return its new revision and version."""
    absent = [Condition(new, exists=False)] if if_absent else []
    for _ in range(_ATTEMPTS):
        value = _value(target, source)
        put = Put(new, value.data, value.content_type, _ttl(value), value.meta)
        unchanged = Condition(source, revision=value.revision)
        try:
            commit = target.txn([put, Delete(source)], conditions=[unchanged, *absent])
        except Exception as ex:
            if not is_conflict(ex):
                raise
            if if_absent and target.exists(new):
                message = f"{new!r} has a value; leave --if-absent out to replace it"
                raise CommandError(message, ExitCode.CONFLICT) from ex
            continue
        return commit.revision, commit.results[0].version or 0
    message = f"{source!r} changes all the time; nothing was moved, try again"
    raise CommandError(message, ExitCode.CONFLICT)


def _value(target: Target, key: str) -> Value:
    value = target.get(key)
    if value is None or seconds_left(value) == 0:
        raise no_value([key])
    return value


def _ttl(value: Value) -> float | None:
    # If the time has passed meanwhile, use the shortest one that a store accepts.
    left_s = seconds_left(value)
    return None if left_s is None else max(0.001, left_s)


def _require_two(source: str, new: str) -> None:
    if source == new:
        message = f"{source!r} is named twice; give the key and another, new one"
        raise CommandError(message, ExitCode.USAGE)
