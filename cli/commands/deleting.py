"""The command that deletes keys, group *Data*: del."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from rundlet import Delete
from rundlet_server.cli.exits import CommandError, ExitCode, Interrupted, is_conflict
from rundlet_server.cli.place.options import JsonOption
from rundlet_server.cli.place.taking import Location, takes_location
from rundlet_server.cli.place.target import Purpose, Target
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.progress import RowProgress
from rundlet_server.cli.show.questions import confirmed
from rundlet_server.cli.show.terminal import escaped, write_line

commands = typer.Typer()

_OPS: Final = 1_000
_SHOWN: Final = 3
_ATTEMPTS: Final = 5
"""How often to count again if other clients write the keys, unless a person confirmed the count."""


@commands.command("del")
@takes_location
def delete(
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY")] = None,
    *,
    prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Instead of KEY: all keys with this prefix.")
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Of these, only keys that match after the prefix."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Delete keys.

    Deletes all of them in one transaction, prints how many existed, and exits with 1 if none did.
    With --prefix it first asks for confirmation with the number of keys. If there are too many for
    one transaction, it uses several.

    Example: rundlet del old-1 old-2
    """
    if bool(keys) == (prefix is not None):
        message = "give KEY, or --prefix TEXT for all keys that begin with it"
        raise CommandError(message, ExitCode.USAGE)
    if prefix is None and (yes or match is not None):
        option = "--yes" if yes else "--match"
        raise CommandError(f"{option} needs --prefix", ExitCode.USAGE)
    if prefix == "":
        message = "--prefix is empty, which means all keys; is a variable not set?"
        raise CommandError(message, ExitCode.USAGE)
    with location.opened(Purpose.CHANGE) as target:
        if prefix is None:
            _delete_named(target, list(dict.fromkeys(keys or ())), as_json=as_json)
        else:
            _delete_selected(target, _Selected(prefix, match), is_sure=yes, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Selected:
    """The selected keys; attributes as the options."""

    prefix: str
    match: str | None

    def count(self, target: Target) -> int:
        return target.count(prefix=self.prefix, match=self.match)

    def keys(self, target: Target, limit: int | None = None) -> Iterator[str]:
        found = target.scan(prefix=self.prefix, match=self.match, limit=limit)
        return (info.key for info in found)


def _delete_named(target: Target, keys: Sequence[str], *, as_json: bool) -> None:
    commit = target.txn([Delete(key) for key in keys])
    count = sum(result.found is True for result in commit.results)
    if as_json:
        write_line(to_line({"deleted": count, "revision": commit.revision}))
    else:
        write_line(f"deleted {count} of {len(keys)}")
    if count == 0:
        raise typer.Exit(ExitCode.NOT_FOUND)


def _delete_selected(target: Target, selected: _Selected, *, is_sure: bool, as_json: bool) -> None:
    """Delete only the counted keys, in one transaction if it has room for them."""
    count = selected.count(target)
    first = [] if is_sure else [*selected.keys(target, limit=_SHOWN)]
    _require_answer(selected, first, count, is_sure=is_sure)
    ops_max = _ops_max(target)
    if count > ops_max:
        _delete_many(target, selected, None if is_sure else count, ops_max, as_json=as_json)
        return
    deleted = _delete_at_once(target, selected, count, is_sure=is_sure)
    _show_deleted(deleted, deleted, as_json=as_json)


def _delete_at_once(target: Target, selected: _Selected, count: int, *, is_sure: bool) -> int:
    """Delete exactly the confirmed number of keys; with ``--yes``, count again if it changes."""
    for _ in range(_ATTEMPTS if is_sure else 1):
        try:
            return target.delete_prefix(selected.prefix, match=selected.match, expect=count)
        except Exception as ex:
            if not is_conflict(ex):
                raise
            count = selected.count(target)
    raise _others_write(count)


def _others_write(count: int) -> CommandError:
    message = f"other clients write these keys, {count:,} now; nothing was deleted, run it again"
    return CommandError(message, ExitCode.CONFLICT)


def _require_answer(
    selected: _Selected, first: Sequence[str], count: int, *, is_sure: bool
) -> None:
    """Ask whether to delete these keys.

    Raises:
        CommandError: the answer is no, or stdin is not a terminal.
    """
    if is_sure or not count:
        return
    prefix, match = selected.prefix, selected.match
    which = f"begin with {prefix!r}" if match is None else f"match {prefix!r} and {match!r}"
    what = "1 key that" if count == 1 else f"{count:,} keys that"
    if count == 1:
        which = which.replace("begin", "begins", 1).replace("match ", "matches ", 1)
    shown = ", ".join(map(repr, first[:_SHOWN])) + (", …" if count > _SHOWN else "")
    if not confirmed(escaped(f"Delete {what} {which} ({shown})?")):
        raise CommandError("nothing was deleted", ExitCode.USAGE)


def _delete_many(
    target: Target, selected: _Selected, expected: int | None, ops_max: int, *, as_json: bool
) -> None:
    """Delete any number of keys, in as few transactions as the limits of the store allow."""
    deleted = done = 0
    keys: list[str] = []
    try:
        with RowProgress("deleting", "keys", first="listing") as progress:
            for key in selected.keys(target):
                keys.append(key)
                progress.advance(1)
            if expected not in (None, len(keys)):
                raise _others_write(len(keys))
            progress.begin(len(keys))
            for start in range(0, len(keys), ops_max):
                batch = keys[start : start + ops_max]
                commit = target.txn([Delete(key) for key in batch])
                deleted += sum(result.found is True for result in commit.results)
                done += len(batch)
                progress.advance(len(batch))
    except KeyboardInterrupt:
        message = f"stopped: {done:,} of {len(keys):,} keys are deleted; run it again to go on"
        raise Interrupted(message if done else "stopped; nothing was deleted") from None
    _show_deleted(deleted, len(keys), as_json=as_json)


def _show_deleted(deleted: int, count: int, *, as_json: bool) -> None:
    write_line(to_line({"deleted": deleted}) if as_json else f"deleted {deleted} of {count}")
    if not deleted:
        raise typer.Exit(ExitCode.NOT_FOUND)


def _ops_max(target: Target) -> int:
    """Return the maximum number of operations in a transaction of this store."""
    limits = target.info().get("limits")
    ops = limits.get("txn_ops_max") if isinstance(limits, Mapping) else None
    return ops if isinstance(ops, int) and ops > 0 else _OPS
