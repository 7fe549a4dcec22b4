"""Leases: the files of a store at one revision, held until a backup has copied them.

A lease is a folder ``backups/<id>`` in the store's folder, so that every process that has the store
open can serve it:

    backups/
      SHA256                     the hashes of sealed segments, see ``hashing``
      <id>/
        EXPIRES                  when the lease ends: microseconds since the epoch, in 20 digits
        0000000012.log ...       hard links to the segments; of the active one a part belongs to it
        MANIFEST                 of that revision
        TOKENS                   if the store has tokens
        LEASE                    JSON: what the backup consists of; written last, removed first

A lease takes no lock: it reads the manifest, links what it names, notes up to where the active
segment is durable, and begins again if the manifest has changed meanwhile. So it delays no writer,
and a stopped writer does not delay it. A sealed segment never changes, and the active one only
grows behind its durable end, so the bytes of a backup stay the same while they are copied.

Nothing here needs to survive a power cut: without its lease a backup begins again. If a process
dies, the folder of its lease is removed when the lease ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from rundlet_server.storage.backups import Backup, BackupFile
from rundlet_server.storage.errors import (
    BackupGone,
    BackupNotReady,
    DiskFull,
    ReadOnly,
    Unavailable,
)
from rundlet_server.storage.files import CANNOT_WRITE, File, Files, read_whole, write_unsynced
from rundlet_server.storage.log.backup.hashing import SegmentHashes
from rundlet_server.storage.log.format import manifest as manifests
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.locator import offset_of, segment_of
from rundlet_server.storage.log.format.manifest import Manifest, encode_manifest, read_manifest
from rundlet_server.storage.log.format.names import segment_name, segment_number
from rundlet_server.storage.log.format.segment import HEADER_SIZE, Segment
from rundlet_server.storage.log.owner import make_subfolder
from rundlet_server.storage.log.read.clock import SharedClock
from rundlet_server.storage.tokens.format import FILE_NAME as TOKENS_NAME

FOLDER_NAME: Final = "backups"
LEASES_MAX: Final = 100
"""Backups that may be held at a time: each keeps files that compaction could remove."""
_LEASE: Final = "LEASE"
_EXPIRES: Final = "EXPIRES"
_ID: Final = re.compile(r"[0-9a-f]{32}")
_ID_TIME_DIGITS: Final = 16
_MAKING_US: Final = 60_000_000
"""A lease that still has no time of its end after so long was left by a process that died."""
_ATTEMPTS: Final = 1_000
_PAUSE_S: Final = 0.001
_NO_LINKS: Final = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


class Leases:
    """The leases of one store. Any thread may use it."""

    def __init__(
        self,
        files: Files,
        folder: Path,
        *,
        commit_page: CommitPage,
        clock: SharedClock,
        sync: Callable[[], None],
        is_erasing: Callable[[], bool],
    ) -> None:
        """Manage the leases of a folder.

        Args:
            files: the file system.
            folder: of the store.
            commit_page: of the store.
            clock: of the store.
            sync: makes what is published durable.
            is_erasing: says whether bytes of erased keys may be left.
        """
        self._files = files
        self._store = folder
        self._folder = folder / FOLDER_NAME
        self._commit_page = commit_page
        self._clock = clock
        self._sync = sync
        self._is_erasing = is_erasing
        self._hashes = SegmentHashes(files, self._folder)
        self._threads = threading.Lock()

    def take(self, lease_s: float, *, work_s: float = math.inf) -> Backup:
        """See ``Backups.take``.

        A process may die between any two of these steps; ``remove_ended`` removes what is left:

        1. make the folder, and write when the lease ends;
        2. link the segments and note the durable end of the active one;
        3. verify and hash the new bytes, and write the other files of the backup;
        4. write ``LEASE``: from here on every process serves the backup.
        """
        with self._threads, _explained(self._store):
            make_subfolder(self._files, self._folder)
            self.remove_ended()
            if sum(map(_is_id, self._files.names(self._folder))) >= LEASES_MAX:
                raise Unavailable(f"{LEASES_MAX} backups are held already; delete one of them")
            now_us = self._clock.now_us()
            lease = f"{now_us:0{_ID_TIME_DIGITS}x}{os.urandom(8).hex()}"
            folder = self._folder / lease
            make_subfolder(self._files, folder)
            try:
                lease_us = round(lease_s * 1_000_000)
                backup = self._filled(folder, now_us, lease_us, time.monotonic() + work_s)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._remove(folder)
                raise
            return backup

    def find(self, backup_id: str) -> Backup:
        """See ``Backups.find``."""
        folder = self._folder / backup_id
        if not _is_id(backup_id):
            raise BackupGone
        try:
            backup, lease_us = _decode(read_whole(self._files, folder / _LEASE))
            now_us = self._clock.now_us()
            if self._expires_us(folder) <= now_us:
                self._remove(folder)
                raise BackupGone
            backup = dataclasses.replace(backup, expires_us=now_us + lease_us)
            self._set_expiry(folder, backup.expires_us)
        except (FileNotFoundError, ValueError) as ex:
            raise BackupGone from ex
        return backup

    def open(self, backup_id: str, name: str) -> OpenFile | None:
        """See ``Backups.open``."""
        named = [file for file in self.find(backup_id).files if file.name == name]
        if not named:
            return None
        try:
            opened = self._files.open(self._folder / backup_id / name, writable=False)
        except FileNotFoundError as ex:
            raise BackupGone from ex
        return OpenFile(named[0], opened)

    def release(self, backup_id: str) -> None:
        """See ``Backups.release``."""
        self.find(backup_id)
        self._remove(self._folder / backup_id)

    def end_all(self) -> None:
        """End every lease, because the files that they hold must go."""
        for name in filter(_is_id, self._names(self._folder)):
            with contextlib.suppress(OSError):  # another process does the same
                self._remove(self._folder / name)

    def remove_ended(self) -> int:
        """Remove the leases that have ended; return how many."""
        count = 0
        for name in self._names(self._folder):
            if _is_id(name) and self._has_ended(name):
                with contextlib.suppress(OSError):  # another process does the same
                    self._remove(self._folder / name)
                count += 1
        return count

    def end_all_with(self, is_held: Callable[[File], bool], clean: Collection[str]) -> None:
        """End every lease with a segment for which ``is_held`` is true; skip names in ``clean``.

        A lease that is being taken ends, too: it links its segments before it reads the manifest
        once more, so that the segments of an older manifest are found here.
        """
        for lease in filter(_is_id, self._names(self._folder)):
            folder = self._folder / lease
            for name in self._names(folder):
                if segment_number(name) is None or name in clean:
                    continue
                with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
                    file = self._files.open(folder / name, writable=False)
                    try:
                        has_to_end = is_held(file)
                    finally:
                        file.close()
                    if has_to_end:
                        self._remove(folder)
                        break

    def _filled(self, folder: Path, now_us: int, lease_us: int, until_s: float) -> Backup:
        self._set_expiry(folder, now_us + lease_us)
        self._sync()
        manifest, end = self._hold(folder)
        # Checked after linking: a backup with the record of an erasure must not hold what it
        # erased.
        if self._is_erasing():
            raise Unavailable("the bytes of erased keys are being removed; try again in a moment")
        files = self._sealed(folder, manifest, until_s)
        active = manifest.active
        with self._opened(folder, active.number) as segment:
            running = self._hashes.active(segment, end)
            files.append(BackupFile(segment_name(active.number), end, running.hexdigest()))
            revision = running.revision or active.last_revision
        self._write(folder / manifests.FILE_NAME, encode_manifest(manifest))
        if TOKENS_NAME in self._files.names(self._store):
            with contextlib.suppress(FileNotFoundError):
                self._files.link(self._store / TOKENS_NAME, folder / TOKENS_NAME)
        for name in (manifests.FILE_NAME, TOKENS_NAME):
            with contextlib.suppress(FileNotFoundError):
                data = read_whole(self._files, folder / name)
                files.append(BackupFile(name, len(data), hashlib.sha256(data).hexdigest()))
        backup = Backup(
            id=folder.name,
            store_id=manifest.store_id.hex(),
            revision=revision,
            oldest_revision=manifest.oldest_revision,
            time_us=now_us - 1,  # a commit that is not in it may have this very time
            files=tuple(files),
            expires_us=now_us + lease_us,
        )
        self._write(folder / _LEASE, _encode(backup, lease_us))
        return backup

    def _sealed(self, folder: Path, manifest: Manifest, until_s: float) -> list[BackupFile]:
        """Return the sealed segments with their hashes; remember the hashes even if it fails."""
        self._hashes.load()
        files: list[BackupFile] = []
        sealed = manifest.segments[:-1]
        is_new = False
        try:
            for state in sealed:
                with self._opened(folder, state.number) as segment:
                    is_late = is_new and time.monotonic() >= until_s
                    if is_late and not self._hashes.knows(segment, state.size):
                        raise _not_ready(files, manifest)
                    is_new = is_new or not self._hashes.knows(segment, state.size)
                    sha256 = self._hashes.sealed(segment, state.size)
                files.append(BackupFile(segment_name(state.number), state.size, sha256))
        finally:
            self._hashes.store([state.number for state in sealed])
        return files

    def _hold(self, folder: Path) -> tuple[Manifest, int]:
        """Link all segments of one manifest; return it and the durable end of the active one."""
        linked: set[str] = set()
        for _ in range(_ATTEMPTS):
            manifest = read_manifest(self._files, self._store)
            names = {segment_name(state.number) for state in manifest.segments}
            try:
                for name in sorted(names - linked):
                    self._files.link(self._store / name, folder / name)
                    linked.add(name)
            except FileNotFoundError:
                continue  # a compaction has replaced it: there is a newer manifest
            durable = self._commit_page.durable
            is_current = read_manifest(self._files, self._store).generation == manifest.generation
            if durable is None or not is_current or segment_of(durable) > manifest.active.number:
                time.sleep(_PAUSE_S)  # a writer is between two steps
                continue
            for name in linked - names:
                self._files.unlink(folder / name)
            is_in_active = segment_of(durable) == manifest.active.number
            return manifest, offset_of(durable) if is_in_active else HEADER_SIZE
        raise Unavailable("the files of the store change too fast to be held; try again")

    @contextlib.contextmanager
    def _opened(self, folder: Path, number: int) -> Iterator[Segment]:
        segment = Segment.open(self._files, folder, number, writable=False)
        try:
            yield segment
        finally:
            segment.file.close()

    def _write(self, path: Path, data: bytes) -> None:
        """Make a file that other processes find whole or not at all."""
        temporary = path.with_name(path.name + ".tmp")
        write_unsynced(self._files, temporary, data)
        self._files.rename(temporary, path)

    def _set_expiry(self, folder: Path, time_us: int) -> None:
        write_unsynced(self._files, folder / _EXPIRES, b"%020d" % time_us)

    def _expires_us(self, folder: Path) -> int:
        return int(read_whole(self._files, folder / _EXPIRES))

    def _has_ended(self, lease: str) -> bool:
        now_us = self._clock.now_us()
        try:
            return self._expires_us(self._folder / lease) <= now_us
        except (FileNotFoundError, ValueError):
            return int(lease[:_ID_TIME_DIGITS], 16) + _MAKING_US <= now_us

    def _remove(self, folder: Path) -> None:
        """Remove a lease; another process may be doing the same."""
        names = self._names(folder)
        for name in sorted(names, key=lambda name: (name != _LEASE, segment_number(name) or 0)):
            self._files.unlink(folder / name)
        self._files.remove_folder(folder)

    def _names(self, folder: Path) -> list[str]:
        try:
            return self._files.names(folder)
        except FileNotFoundError:
            return []


class OpenFile:
    """See ``OpenBackupFile``."""

    def __init__(self, file: BackupFile, opened: File) -> None:
        self.file = file
        self._opened = opened

    def read(self, start: int, size: int) -> bytes:
        """See ``OpenBackupFile.read``."""
        return self._opened.pread(min(size, self.file.size - start), start)


def _not_ready(files: Sequence[BackupFile], manifest: Manifest) -> BackupNotReady:
    done = sum(file.size for file in files)
    return BackupNotReady(
        f"{done} of {manifest.sealed_bytes} bytes are hashed for the first backup; ask again"
    )


def _is_id(name: str) -> bool:
    return _ID.fullmatch(name) is not None


def _encode(backup: Backup, lease_us: int) -> bytes:
    return json.dumps({**dataclasses.asdict(backup), "lease_us": lease_us}).encode()


def _decode(data: bytes) -> tuple[Backup, int]:
    """Return a backup and the length of its lease.

    Raises:
        ValueError: it cannot be read.
    """
    members = json.loads(data)
    lease_us = members.pop("lease_us")
    files = tuple(BackupFile(*file) for file in members.pop("files"))
    return Backup(files=files, **members), lease_us


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn errors of the system into errors of a store."""
    try:
        yield
    except OSError as ex:
        if isinstance(ex, FileNotFoundError):  # an erasure has ended it while it was taken
            raise Unavailable("the files of the backup are gone; try again") from ex
        if ex.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("no space is left on the device to hold a backup") from ex
        if ex.errno in CANNOT_WRITE:
            raise ReadOnly(f"a backup cannot be held where nothing can be written: {ex}") from ex
        if ex.errno in _NO_LINKS:
            raise Unavailable(f"the file system of {folder} has no hard links") from ex
        raise
