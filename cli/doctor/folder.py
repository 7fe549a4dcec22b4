"""Checks of a store's folder; a server may run on it meanwhile."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rundlet_server.cli.doctor import machine
from rundlet_server.cli.doctor.findings import Finding, bad, good, warning
from rundlet_server.cli.doctor.machine import lock_holders, users_of_removed
from rundlet_server.cli.exits import ExitCode, message_of
from rundlet_server.cli.show.sizes import shown_bytes
from rundlet_server.cli.show.times import shown_moment
from rundlet_server.storage.care import Inspection, inspect
from rundlet_server.storage.errors import StoreError, Unavailable
from rundlet_server.storage.tokens.file import TokenFile
from rundlet_server.storage.tokens.format import FILE_NAME as TOKENS_NAME

_BACKLOG_MAX: Final = 8
_DEAD_SHARE_MAX: Final = 0.6
_DEAD_BYTES_MIN: Final = 128 * 1024 * 1024
_CLOCK_AHEAD_US: Final = 1_000_000
_NAMED_MAX: Final = 3
_SUBFOLDERS: Final = frozenset({"backups", "holds", "waiters"})
"""Folders that servers make in the folder of a store; they do not use any others there."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def check_folder(folder: Path) -> Iterator[Finding]:
    """Check a folder, the most basic conditions first."""
    yield machine.software()
    yield machine.descriptors()
    yield from machine.file_size()
    if not folder.is_dir():
        yield bad("folder", f"{folder} is not a folder", "name it with --data DIR")
        return
    if machine.is_read_only(folder):
        yield _read_only(folder)
        yield from _file_access(folder, os.R_OK)
    else:
        yield _access(folder)
        yield from _file_access(folder, os.R_OK | os.W_OK)
    yield machine.file_system(folder)
    yield from machine.space(folder)
    if os.access(folder, os.W_OK | os.X_OK):
        yield machine.syncs(folder)
    if os.access(folder, os.R_OK | os.X_OK):
        yield from _as_far_as_it_can_be_read("store", _store(folder))
        yield from _tokens(folder)


def _as_far_as_it_can_be_read(name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the findings; if the disk fails, keep those so far and report the failure."""
    try:
        yield from findings
    except OSError as ex:
        yield bad(name, message_of(ex), "look into the system's log for the cause")


def _access(folder: Path) -> Finding:
    """Check the owner and the permissions."""
    status = folder.stat()
    seen = f"{folder}, mode {stat.S_IMODE(status.st_mode):04o}, owned by user {status.st_uid}"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        advice = f"user {os.geteuid()} may not use it; run this command as user {status.st_uid}"
        return bad("folder", seen, advice)
    if os.geteuid() not in (status.st_uid, 0):  # root makes files for the owner
        advice = f"this is user {os.geteuid()}: a server of the owner cannot use files created now"
        return warning("folder", seen, advice)
    if status.st_mode & _OTHERS:
        return warning("folder", seen, f"other users may look into it: chmod 700 {folder}")
    return good("folder", seen)


def _read_only(folder: Path) -> Finding:
    advice = (
        "get, ls, export, stats, verify and serve --read-only work there; to write, mount it"
        " read-write, or work on a copy of the folder"
    )
    return warning("folder", f"{folder}, on a file system that is mounted read-only", advice)


def _file_access(folder: Path, needed: int) -> Iterator[Finding]:
    """Find files and subfolders that this user, or the owner of the folder, cannot open.

    Without read access no command works; with read access only, the reading commands work.
    """
    if not os.access(folder, os.R_OK | os.X_OK):
        return
    files = [
        path for path in sorted(folder.iterdir()) if path.is_file() or path.name in _SUBFOLDERS
    ]
    closed = [path for path in files if not os.access(path, needed)]
    unread = [path for path in closed if not os.access(path, os.R_OK)]
    owner = folder.stat().st_uid
    foreign = [path for path in files if path.stat().st_uid != owner]
    if closed:
        seen = f"{_files_named(closed)} cannot be opened by user {os.geteuid()}"
        works = "no command works" if unread else "only commands that read work"
        advice = f"{works} without them; run as root: chown -R {owner} {folder}"
        yield bad("files", seen, advice)
    elif foreign and owner != 0:
        seen = f"{_files_named(foreign)} do not belong to user {owner}, who owns the folder"
        advice = f"a server of that user cannot open them; run as root: chown -R {owner} {folder}"
        yield warning("files", seen, advice)


def _files_named(paths: list[Path]) -> str:
    """Return the names of a few files, with their owners."""
    named = [f"{path.name} (of user {path.stat().st_uid})" for path in paths[:_NAMED_MAX]]
    more = len(paths) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _store(folder: Path) -> Iterator[Finding]:
    try:
        found = inspect(folder)
    except FileNotFoundError:
        if any(folder.glob("*.log")):
            seen, advice = "the manifest is missing beside segments", "rundlet repair"
            yield bad("store", seen, advice, ExitCode.DAMAGED)
        else:
            advice = "rundlet serve --data creates one; if there should be one, check --data"
            yield bad("store", "there is none in the folder", advice)
        return
    except Unavailable as ex:
        seen, _, advice = str(ex).partition("; ")
        yield bad("store", seen, advice)
        return
    except StoreError as ex:
        yield bad(
            "store", message_of(ex), "restore a copy, or run rundlet repair", ExitCode.DAMAGED
        )
        return
    yield _files(found)
    yield from _repairs(folder)
    yield _users(folder)
    yield from _maintenance(found)
    yield from _times(found)


def _files(found: Inspection) -> Finding:
    if found.problems:
        first = found.problems[0]
        seen = f"{len(found.problems)} files are damaged, such as {first.path.name}: {first.reason}"
        advice = "rundlet verify reports all; restore a copy, or run rundlet repair"
        return bad("store", seen, advice, ExitCode.DAMAGED)
    seen = (
        f"{found.segment_count} segments, {found.index_count} index files, of a known format,"
        f" {shown_bytes(found.log_bytes)}; rundlet verify reads all of it"
    )
    return good("store", seen)


def _repairs(folder: Path) -> Iterator[Finding]:
    """Report earlier damage, by the files that a repair has kept."""
    kept = sorted(folder.glob("repair-*"))
    if kept:
        when = shown_moment(int(kept[-1].stat().st_mtime * 1e6))
        times = "once" if len(kept) == 1 else f"{len(kept)} times"
        seen = f"repaired {times}, last {when}; the files as they were are in {kept[-1].name}"
        yield warning("damage", seen, "find the cause; remove them once they are not needed")


def _users(folder: Path) -> Finding:
    users = lock_holders(folder / "COMMIT")
    displaced = users_of_removed(folder / "COMMIT")
    if displaced:
        seen = (
            f"{_processes(displaced)} has a store open that was removed from this folder, or"
            " replaced, and refuses writes"
        )
        return bad("in use", seen, "restart that server; then it serves what is here now")
    if not users:
        return good("in use", "no process has the store open")
    writers = lock_holders(folder / "LOCK")
    seen = f"open in {_processes(users)}"
    if writers:
        seen += f"; {_processes(writers)} writes right now"
    return good("in use", seen)


def _processes(pids: list[int]) -> str:
    noun = "process" if len(pids) == 1 else "processes"
    return f"{noun} {', '.join(map(str, pids))}"


def _maintenance(found: Inspection) -> Iterator[Finding]:
    seen = f"{found.unindexed_segments} full segments have no index file yet"
    if found.unindexed_segments > _BACKLOG_MAX:
        advice = "is a server running, with its maintenance process? if so, read its log"
        yield warning("backlog", seen, advice)
    else:
        yield good("backlog", seen)
    share = found.dead_bytes / max(1, found.log_bytes)
    seen = f"about {share:.0%} of the log, {shown_bytes(found.dead_bytes)}"
    if share > _DEAD_SHARE_MAX and found.dead_bytes > _DEAD_BYTES_MIN:
        yield warning("dead bytes", seen, "rundlet compact reclaims what is not kept as history")
    else:
        yield good("dead bytes", seen)
    if found.orphans:
        seen = f"{len(found.orphans)} files that a crash or a running compaction left"
        yield good("orphaned files", f"{seen}; the next server removes what is not needed")


def _times(found: Inspection) -> Iterator[Finding]:
    ahead_us = found.last_time_us - time.time_ns() // 1_000
    last = shown_moment(found.last_time_us)
    if ahead_us > _CLOCK_AHEAD_US:
        seen = (
            f"the store has seen {last}, {ahead_us // 1_000_000} s after this machine's time: no"
            " key expires and no history is dropped before then"
        )
        advice = (
            "if this machine's clock is behind, set it; if not, export the folder and import that"
            " into a new one (docs/operations.md)"
        )
        yield warning("clock", seen, advice)
    else:
        yield good("clock", f"not behind the last time in the store, {last}")
    if found.is_page_trusted:
        yield good("restart", "the end of the log is known since the machine started")
    else:
        yield good(
            "restart",
            "not opened since the machine started: the next open reads the tail",
        )


def _tokens(folder: Path) -> Iterator[Finding]:
    path = folder / TOKENS_NAME
    try:
        tokens = TokenFile(folder).read()
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
    except (StoreError, OSError) as ex:
        yield bad(
            "tokens",
            message_of(ex),
            "servers refuse all requests until it is repaired",
            ExitCode.DAMAGED,
        )
        return
    if not tokens:
        yield good(
            "tokens",
            "none: all programs on this machine may do everything, others nothing",
        )
        return
    now_us = time.time_ns() // 1_000
    expired = sum(t.expires_us is not None and t.expires_us <= now_us for t in tokens)
    seen = f"{len(tokens)}, of which {expired} have expired"
    if mode & _OTHERS:
        advice = f"other users may look into the file: chmod 600 {path}"
        yield warning("tokens", f"{seen}; mode {mode:04o}", advice)
    elif expired:
        yield warning("tokens", seen, "rundlet token ls shows which; rundlet token rm removes them")
    else:
        yield good("tokens", seen)
