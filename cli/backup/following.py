"""``rundlet backup --follow``: keep a copy that is a second or two behind the store."""

from __future__ import annotations

import sys
import time
from typing import Final, NoReturn

from rundlet import Client, ConnectionFailed, OutcomeUnknown, ServerError, Unavailable
from rundlet_server.cli.backup.sources import with_source
from rundlet_server.cli.exits import Interrupted, message_of
from rundlet_server.cli.place.target import Target
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import escaped, stdout_is_terminal, write_line
from rundlet_server.storage import errors
from rundlet_server.storage.backing import (
    BackupPlace,
    BackupTaker,
    FollowingTaker,
    Taken,
    shown_time,
)

_EVERY_S: Final = 1.0
_RETRY_S: Final = 2.0
_WAIT_S: Final = 10.0
_PASSING: Final = (
    *(ConnectionFailed, OutcomeUnknown, ServerError, Unavailable),
    *(errors.BackupGone, errors.Unavailable),
)
"""Errors that may be over in a moment, such as those of a server that restarts."""


def follow(target: Target, place: BackupPlace, *, as_json: bool) -> NoReturn:
    """Take a backup whenever something was committed, until the process is interrupted.

    After the first backup, a restart of the server does not end this.

    Raises:
        Interrupted: Ctrl-C; the message has the recovery point.
    """
    taker = FollowingTaker(place, BackupTaker(place))
    point = "nothing was backed up"
    revision = -1
    try:
        while True:
            started_s = time.monotonic()
            try:
                if _head_after(target, revision) != revision:
                    taken = with_source(target, taker.take)
                    revision = taken.index.revision
                    point = _point_of(taken)
                    _show(taken, point, as_json=as_json)
                pause_s = _EVERY_S
            except _PASSING as ex:
                if revision < 0:
                    raise
                sys.stderr.write(f"{escaped(f'rundlet: trying again: {message_of(ex)}')}\n")
                pause_s = _RETRY_S
            time.sleep(max(0.0, started_s + pause_s - time.monotonic()))
    except KeyboardInterrupt as ex:
        if stdout_is_terminal() and not as_json:
            write_line("")
        raise Interrupted(f"stopped following; {point}") from ex


def _head_after(target: Target, revision: int) -> int:
    """Return the newest revision; for a store opened here, wait for one after ``revision``."""
    if isinstance(target, Client):
        head = target.info().get("revision")
        return head if isinstance(head, int) else 0
    from rundlet_server.cli.place.store import StoreTarget  # noqa: PLC0415 - loads the engine, which takes its time

    assert isinstance(target, StoreTarget)  # the only other target
    return target.store.wait(max(0, revision), _WAIT_S if revision >= 0 else 0)


def _point_of(taken: Taken) -> str:
    return f"recovery point: {shown_time(taken.index.time_us)}, revision {taken.index.revision}"


def _show(taken: Taken, point: str, *, as_json: bool) -> None:
    if as_json:
        members = {
            "revision": taken.index.revision,
            "time": shown_time(taken.index.time_us),
            "bytes_new": taken.bytes_fetched,
        }
        write_line(to_line(members))
    elif stdout_is_terminal():
        sys.stdout.write(f"\r\x1b[K{point}")
    else:
        write_line(point)
    sys.stdout.flush()
