"""Work on a folder that no other process may have open meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.files import File, Files, file_size
from rundlet_server.storage.log.format.commit_page import FILE_NAME as COMMIT_NAME
from rundlet_server.storage.log.format.manifest import FILE_NAME as MANIFEST_NAME
from rundlet_server.storage.log.format.manifest import read_manifest
from rundlet_server.storage.log.format.names import segment_name
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.open.folder_lock import LOCK_NAME, MAINTENANCE_LOCK_NAME
from rundlet_server.storage.log.open.recovery import may_hold_commits
from rundlet_server.storage.log.open.unfinished import refuse_unfinished


@contextlib.contextmanager
def alone(files: Files, folder: Path) -> Iterator[None]:
    """Hold every lock of a folder.

    Raises:
        FileNotFoundError: there is no store in it.
        Unavailable: another process has the store open, or a restore has not filled the folder.
    """
    refuse_unfinished(files, folder)
    names = files.names(folder)
    is_there = MANIFEST_NAME in names
    if not is_there and not any(may_hold_commits(files, folder / name) for name in names):
        raise FileNotFoundError(f"there is no store in {folder}")
    held: list[File] = []
    try:
        for name in (LOCK_NAME, MAINTENANCE_LOCK_NAME, COMMIT_NAME):
            if name == COMMIT_NAME and name not in names:
                continue
            held.append(files.open(folder / name, create=True))
            if not held[-1].lock(wait=False):
                raise Unavailable(f"another process has {folder} open; stop that process first")
        yield
    finally:
        for file in held:
            file.close()


def remove_unused(files: Files, folder: Path) -> bool:
    """Remove a store that was never written to; return false, and change nothing, for others.

    The lock file goes last: a process that waits for its lock then sees that the file is no longer
    the store's. The remains of a crash are no store, and a new store can be created over them.

    Raises:
        FileNotFoundError, Unavailable: see ``alone``.
        Damaged, UnknownFormat, OSError: the files cannot be read, or removed.
    """
    with alone(files, folder):
        active = read_manifest(files, folder).active
        first = segment_name(1)
        if active.number != 1 or file_size(files, folder / first) > HEADER_SIZE:
            return False
        names = set(files.names(folder))
        for name in (MANIFEST_NAME, first, COMMIT_NAME, MAINTENANCE_LOCK_NAME, LOCK_NAME):
            if name in names:
                files.unlink(folder / name)
        files.sync_folder(folder)
    return True
