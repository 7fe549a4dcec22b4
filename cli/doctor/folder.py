"""Checks of a store's folder, also while a server runs on it."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rundlet_server.cli.doctor import machine
from rundlet_server.cli.doctor.findings import Finding, bad, good, warning
from rundlet_server.cli.doctor.machine import lock_holders
from rundlet_server.cli.exits import ExitCode, message_of
from rundlet_server.cli.show.sizes import shown_bytes
from rundlet_server.cli.show.times import shown_moment
from rundlet_server.storage import Inspection, inspect
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.tokens.file import TokenFile
from rundlet_server.storage.tokens.format import FILE_NAME as TOKENS_NAME

_BACKLOG_MAX: Final = 8
_DEAD_SHARE_MAX: Final = 0.6
_DEAD_BYTES_MIN: Final = 128 * 1024 * 1024
_CLOCK_AHEAD_US: Final = 1_000_000
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def check_folder(folder: Path) -> Iterator[Finding]:
    """Everything that can be said of a folder, the most basic first."""
    yield machine.software()
    yield machine.descriptors()
    if not folder.is_dir():
        yield bad("folder", f"{folder} is not a folder", "name it with --data DIR")
        return
    access = _access(folder)
    yield access
    yield machine.file_system(folder)
    yield from machine.space(folder)
    if os.access(folder, os.W_OK | os.X_OK):
        yield machine.syncs(folder)
    if os.access(folder, os.R_OK | os.X_OK):
        yield from _as_far_as_it_can_be_read("store", _store(folder))
        yield from _tokens(folder)


def _as_far_as_it_can_be_read(name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings until the disk fails: whoever asks a doctor then needs an answer the most."""
    try:
        yield from findings
    except OSError as ex:
        yield bad(name, message_of(ex), "see the system's log for what is wrong with the disk")


def _access(folder: Path) -> Finding:
    """Owner and permissions."""
    status = folder.stat()
    seen = f"{folder}, mode {stat.S_IMODE(status.st_mode):04o}, owned by user {status.st_uid}"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return bad("folder", seen, f"user {os.geteuid()} may not use it; run as its owner")
    if os.geteuid() not in (status.st_uid, 0):  # root makes files for the owner
        advice = (
            f"this is user {os.geteuid()}; files made now cannot be used by a server of its owner"
        )
        return warning("folder", seen, advice)
    if status.st_mode & _OTHERS:
        return warning("folder", seen, f"other users may look into it: chmod 700 {folder}")
    return good("folder", seen)


def _store(folder: Path) -> Iterator[Finding]:
    try:
        found = inspect(folder)
    except FileNotFoundError:
        if any(folder.glob("*.log")):
            seen, advice = "the manifest is missing beside segments", "rundlet repair"
            yield bad("store", seen, advice, ExitCode.DAMAGED)
        else:
            advice = "rundlet serve --data makes one; if one should be here, check --data"
            yield bad("store", "there is none in the folder", advice)
        return
    except StoreError as ex:
        yield bad("store", message_of(ex), "put a copy back, or rundlet repair", ExitCode.DAMAGED)
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
        advice = "rundlet verify tells all; put a copy back, or rundlet repair"
        return bad("store", seen, advice, ExitCode.DAMAGED)
    seen = (
        f"{found.segment_count} segments, {found.index_count} index files, of a known format,"
        f" {shown_bytes(found.log_bytes)}; rundlet verify reads all of it"
    )
    return good("store", seen)


def _repairs(folder: Path) -> Iterator[Finding]:
    """Damage that was seen before: what a repair has kept."""
    kept = sorted(folder.glob("repair-*"))
    if kept:
        when = shown_moment(int(kept[-1].stat().st_mtime * 1e6))
        times = "once" if len(kept) == 1 else f"{len(kept)} times"
        seen = f"repaired {times}, last {when}; the files as they were are in {kept[-1].name}"
        yield warning("damage", seen, "find out why; then remove them, once nobody needs them")


def _users(folder: Path) -> Finding:
    users = lock_holders(folder / "COMMIT")
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
    seen = f"{found.unindexed_segments} full segments wait for their index files"
    if found.unindexed_segments > _BACKLOG_MAX:
        advice = "is a server running, with its maintenance process? its log says why not"
        yield warning("backlog", seen, advice)
    else:
        yield good("backlog", seen)
    share = found.dead_bytes / max(1, found.log_bytes)
    seen = f"about {share:.0%} of the log, {shown_bytes(found.dead_bytes)}"
    if share > _DEAD_SHARE_MAX and found.dead_bytes > _DEAD_BYTES_MIN:
        yield warning("dead bytes", seen, "rundlet compact gives back what is not kept as history")
    else:
        yield good("dead bytes", seen)
    if found.orphans:
        seen = f"{len(found.orphans)} files that a crash or a running compaction left"
        yield good("leftovers", f"{seen}; the next server removes what nobody needs")


def _times(found: Inspection) -> Iterator[Finding]:
    ahead_us = found.last_time_us - time.time_ns() // 1_000
    last = shown_moment(found.last_time_us)
    if ahead_us > _CLOCK_AHEAD_US:
        seen = f"the store has seen {last}, {ahead_us // 1_000_000} s after this machine's time"
        advice = "nothing expires and history is not let go before that time; set the clock"
        yield warning("clock", seen, advice)
    else:
        yield good("clock", f"not behind the last time in the store, {last}")
    if found.is_page_trusted:
        yield good("restart", "the end of the log is known since this boot")
    else:
        yield good("restart", "not opened since the machine started: the next open reads the tail")


def _tokens(folder: Path) -> Iterator[Finding]:
    path = folder / TOKENS_NAME
    try:
        tokens = TokenFile(folder).read()
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
    except (StoreError, OSError) as ex:
        yield bad(
            "tokens", message_of(ex), "nobody is let in until it is put right", ExitCode.DAMAGED
        )
        return
    if not tokens:
        yield good("tokens", "none: everybody on this machine may do everything, others nothing")
        return
    now_us = time.time_ns() // 1_000
    expired = sum(t.expires_us is not None and t.expires_us <= now_us for t in tokens)
    seen = f"{len(tokens)}, of which {expired} have expired"
    if mode & _OTHERS:
        advice = f"other users may look into the file: chmod 600 {path}"
        yield warning("tokens", f"{seen}; mode {mode:04o}", advice)
    elif expired:
        yield warning("tokens", seen, "rundlet token ls tells which; rundlet token rm removes them")
    else:
        yield good("tokens", seen)
