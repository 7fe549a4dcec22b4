"""Private folders that live as long as the server: counters, and the store of ``--in-memory``.

A server holds an exclusive ``flock`` on its folder from before the folder gets its name until
the server ends. So if the lock on a folder is free, the folder is orphaned, and the next server
removes it. Process ids play no part in this, because the system reuses them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from rundlet_server.server.helpers.watched import module_command

_PREFIX: Final = "rundlet-run-"
_UNNAMED_PREFIX: Final = ".rundlet-new-"
_UNNAMED_S: Final = 60.0
"""A folder without its name for longer is of a server that was killed before it locked it."""
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 # names in it are random, folders mode 0700


class ScratchFolder:
    """A folder in memory if the system has ``/dev/shm``; a context manager that removes it.

    Attributes:
        path: the folder, mode 0700.
    """

    def __init__(self, base: Path | None = None) -> None:
        """Remove orphaned folders, then make this one.

        Args:
            base: the parent; default ``/dev/shm``, else the folder for temporary files.

        Raises:
            OSError: the folder cannot be made.
        """
        base = base or _default_base()
        sweep(base)
        unnamed = Path(tempfile.mkdtemp(prefix=_UNNAMED_PREFIX, dir=base))
        self._lock = os.open(unnamed, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path = unnamed.rename(base / f"{_PREFIX}{secrets.token_hex(8)}")
        self._janitor: subprocess.Popen[bytes] | None = None

    def remove_even_if_killed(self) -> None:
        """Start a process that removes the folder when this one ends, even by ``kill -9``."""
        self._janitor = subprocess.Popen(
            module_command("rundlet_server.server.helpers.janitor", str(self.path)),
            stdin=subprocess.PIPE,
            pass_fds=[self._lock],  # the lock is not free before the janitor is done
            process_group=0,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        if self._janitor is not None and self._janitor.stdin is not None:
            self._janitor.stdin.close()
            self._janitor.wait()


def sweep(base: Path) -> None:
    """Remove the orphaned folders of this user."""
    for path in (*base.glob(f"{_PREFIX}*"), *_old_unnamed(base)):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # already removed, or another user's
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            continue  # its server is alive
        finally:
            os.close(lock)


def _old_unnamed(base: Path) -> Iterator[Path]:
    """Yield the folders that have not got their name in time; the server may have been killed."""
    for path in base.glob(f"{_UNNAMED_PREFIX}*"):
        with contextlib.suppress(OSError):  # it has just got its name
            if path.lstat().st_mtime < time.time() - _UNNAMED_S:
                yield path


def _default_base() -> Path:
    if os.access(_MEMORY, os.W_OK | os.X_OK):
        return _MEMORY
    return Path(tempfile.gettempdir())
