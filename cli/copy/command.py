"""The command that copies a store to another one, group *Data*: copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Final

import typer

from rundlet import Client
from rundlet_server.cli.copy.copying import begun, bring_up_to_date, ended, verify
from rundlet_server.cli.copy.following import Follower
from rundlet_server.cli.copy.notes import Note, Notes
from rundlet_server.cli.copy.servers import ServerSide
from rundlet_server.cli.copy.sides import Side
from rundlet_server.cli.copy.stores import StoreSide
from rundlet_server.cli.copy.verifying import Comparison
from rundlet_server.cli.exits import CommandError, ExitCode, Interrupted
from rundlet_server.cli.place.options import JsonOption, open_target
from rundlet_server.cli.place.store import StoreTarget
from rundlet_server.cli.place.target import Purpose
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import escaped, write_line
from rundlet_server.storage.errors import ReadOnly

commands = typer.Typer()

_URLS: Final = ("http://", "https://")


@commands.command("copy")
def copy(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FROM", help="A folder, file:PATH, etcd://, postgresql:// or http:// address."
        ),
    ],
    to: Annotated[str, typer.Argument(metavar="TO", help="An empty store, or a new one.")],
    *,
    following: Annotated[
        bool, typer.Option("--follow", help="Then make every change in TO, too, until Ctrl-C.")
    ] = False,
    merging: Annotated[
        bool, typer.Option("--merge", help="TO may have keys already; those of FROM win.")
    ] = False,
    without_history: Annotated[
        bool, typer.Option("--no-history", help="Only the newest value of each key.")
    ] = False,
    from_token: Annotated[
        str | None,
        typer.Option("--from-token", metavar="TOKEN", help="For the server FROM [RUNDLET_TOKEN]."),
    ] = None,
    to_token: Annotated[
        str | None,
        typer.Option("--to-token", metavar="TOKEN", help="For the server TO [RUNDLET_TOKEN]."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy to a store.

    Copies keys with values, content types, expiries and, where both stores keep it, history; then
    compares both. FROM may be in use meanwhile. A copy that was interrupted goes on when the same
    command runs again, and one that is done brings TO up to date.

    Example: rundlet copy ./data postgresql://me@db/app
    """
    with (
        _opened_source(source, from_token) as here,
        _opened(to, to_token, Purpose.COPY_TO) as there,
    ):
        if following and not here.facts.keeps_history:
            message = f"--follow needs a feed of changes, and {here.facts.shown} has none"
            raise CommandError(message, ExitCode.USAGE)
        notes = Notes.of(here.facts.store_id, there.facts.store_id)
        note, is_resumed = begun(
            here, there, notes, merges=merging, with_history=not without_history
        )
        if not as_json:
            write_line(escaped(_beginning(here, there, note, is_resumed=is_resumed)))
        try:
            bring_up_to_date(here, there, note, notes)
        except KeyboardInterrupt as ex:
            notes.save(note)
            raise Interrupted(_how_far(note)) from ex
        comparison = _compared(here, there, note)
        write_line(_summary(note, comparison, as_json=as_json))
        if not following:
            ended(there, note, notes)
        else:
            Follower(here, there, note, notes, as_json=as_json).run()


@contextmanager
def _opened_source(text: str, token: str | None) -> Iterator[Side]:
    """Open the source; if its disk is mounted read-only, open it without holding a revision."""
    with ExitStack() as stack:
        try:
            side = stack.enter_context(_opened(text, token, Purpose.COPY_FROM))
        except (OSError, ReadOnly):
            side = stack.enter_context(_opened(text, token, Purpose.READ))
        yield side


@contextmanager
def _opened(text: str, token: str | None, purpose: Purpose) -> Iterator[Side]:
    is_url = text.lower().startswith(_URLS)
    url, store = (text, None) if is_url else (None, text)
    with open_target(url, None, token, purpose, store=store) as target:
        if isinstance(target, Client):
            yield ServerSide(target)
        else:
            assert isinstance(target, StoreTarget)  # the only other target
            yield StoreSide(target)


def _beginning(here: Side, there: Side, note: Note, *, is_resumed: bool) -> str:
    where = f"{here.facts.shown} to {there.facts.shown}"
    if is_resumed and note.is_loaded:
        return f"going on from revision {note.position}: {where}"
    if is_resumed:
        return f"going on after {note.done} of {note.total} keys: {where}"
    if note.with_history:
        return f"copying {where}, with history"
    reasons = [side.facts.shown for side in (here, there) if not side.facts.keeps_history]
    why = f": {' and '.join(reasons)} keeps none" if reasons else ""
    return f"copying {where}, without history{why}"


def _how_far(note: Note) -> str:
    if not note.is_loaded:
        far = f"{note.done} of {note.total} keys are copied"
    else:
        far = f"all keys are copied, and the changes up to revision {note.position}"
    return f"interrupted: {far}; run the same command again to go on"


def _compared(here: Side, there: Side, note: Note) -> Comparison:
    """Compare both stores.

    Raises:
        CommandError: they are not the same.
    """
    try:
        comparison = verify(here, there, note)
    except KeyboardInterrupt as ex:
        message = "interrupted: all is copied, but not compared; run the same command again"
        raise Interrupted(message) from ex
    if comparison.difference_count:
        named = "; ".join(f"{each.key[:200]!r} {each.what}" for each in comparison.differences)
        others = comparison.difference_count - len(comparison.differences)
        more = f"; and {others} more" if others else ""
        count = comparison.difference_count
        keys = "1 key is" if count == 1 else f"{count} keys are"
        message = (
            f"{keys} not the same: {named}{more}; find out what"
            " else writes to TO, or empty it and copy again"
        )
        raise CommandError(message, ExitCode.DAMAGED)
    return comparison


def _summary(note: Note, comparison: Comparison, *, as_json: bool) -> str:
    if as_json:
        return to_line(
            {
                "keys": comparison.key_count,
                "sha256": comparison.checksum,
                "revision": note.position,
                "with_history": note.with_history,
            }
        )
    return (
        f"copied {comparison.key_count} keys as of revision {note.position}, the same in both"
        f" stores (sha256 {comparison.checksum[:16]})"
    )
