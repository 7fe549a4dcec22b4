"""Private folders that live as long as the server: counters, and the store of ``--in-memory``.

A folder carries an exclusive ``flock`` from before it gets its name until its server is gone.
So a folder whose lock can be had is a leftover, and the next server removes it. Nobody needs to
compare process ids, which are used again.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from rundlet_server.server.helpers.watched import module_command

_PREFIX: Final = "rundlet-run-"
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 # names in it are random, folders mode 0700


class ScratchFolder:
    """A folder in memory (where there is ``/dev/shm``), removed when left.

    Attributes:
        path: the folder, mode 0700.
    """

    def __init__(self, base: Path | None = None) -> None:
        """Remove leftovers and make the folder.

        Args:
            base: where to make it; default ``/dev/shm``, else the folder for temporary files.

        Raises:
            OSError: it cannot be made.
        """
        base = base or _default_base()
        sweep(base)
        unnamed = Path(tempfile.mkdtemp(prefix=".rundlet-new-", dir=base))
        self._lock = os.open(unnamed, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path = unnamed.rename(base / f"{_PREFIX}{secrets.token_hex(8)}")
        self._janitor: subprocess.Popen[bytes] | None = None

    def remove_even_if_killed(self) -> None:
        """Start a process that removes the folder when this one is gone, even by ``kill -9``."""
        self._janitor = subprocess.Popen(
            module_command("rundlet_server.server.helpers.janitor", str(self.path)),
            stdin=subprocess.PIPE,
            pass_fds=[self._lock],  # no sweep before the janitor is done
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
    """Remove the folders of this user's servers that are gone."""
    for path in base.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # gone meanwhile, or another user's
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            continue  # its server is alive
        finally:
            os.close(lock)


def _default_base() -> Path:
    if os.access(_MEMORY, os.W_OK | os.X_OK):
        return _MEMORY
    return Path(tempfile.gettempdir())
