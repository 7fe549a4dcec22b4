"""``/v1/backup``: hold the store as it is, and send its files.

Sealed files never change, and the active one only grows. So a client that has a file of an earlier
backup requests only the bytes after those that it has.
"""

from __future__ import annotations

import re
from typing import Final

import falcon

from rundlet_server.functions.messages.bodies import JSON_TYPE, encode
from rundlet_server.functions.messages.pages import refuse_foreign_page
from rundlet_server.functions.messages.query import Query, bad_query
from rundlet_server.functions.messages.ranges import range_of
from rundlet_server.functions.messages.sending import SendingGate
from rundlet_server.functions.messages.validators import tag_condition_fails
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.route_table import BACKUPS
from rundlet_server.functions.units import rfc3339
from rundlet_server.storage.backups import Backup, OpenBackupFile
from rundlet_server.storage.bounds import BACKUP_LEASE_S, BACKUP_LEASE_S_MAX

_WORK_S: Final = 10.0
"""After this time the server asks the client to retry, before the client or a proxy times out."""
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.]{0,99}")


class BackupsResource:
    """``/v1/backup``."""

    def __init__(self, store: CountedStore) -> None:
        self._store = store

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Take a backup."""
        refuse_foreign_page(req, "take a backup")
        lease_s = Query(req, "lease").ttl_s("lease") or BACKUP_LEASE_S
        if not 1 <= lease_s <= BACKUP_LEASE_S_MAX:
            raise bad_query(f"the option 'lease' must be 1 to {BACKUP_LEASE_S_MAX} seconds")
        backup = self._store.backups.take(lease_s, work_s=_WORK_S)
        resp.status = 201
        resp.set_header("Location", f"{BACKUPS.path}/{backup.id}")
        _show(resp, backup)


class BackupResource:
    """``/v1/backup/{id}``."""

    def __init__(self, store: CountedStore) -> None:
        self._store = store

    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """Describe the backup and its files."""
        Query(req)
        _show(resp, self._store.backups.find(id))

    on_head = on_get  # Falcon keeps the headers and leaves the body out

    def on_delete(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        """End the lease."""
        Query(req)
        self._store.backups.release(id)
        resp.status = 204


class BackupFileResource:
    """``/v1/backup/{id}/{file}``."""

    def __init__(self, store: CountedStore, sending: SendingGate) -> None:
        self._store = store
        self._sending = sending

    def on_get(self, req: falcon.Request, resp: falcon.Response, id: str, file: str) -> None:
        """Send a file, or a range of it."""
        found = self._found(req, resp, id, file)
        if found is None:
            return
        first, last = 0, found.file.size - 1
        header = req.env.get("HTTP_RANGE")
        is_current = req.env.get("HTTP_IF_RANGE") in (None, _tag(found))
        wanted = range_of(header, found.file.size) if header and is_current else None
        if wanted is not None:
            first, last = wanted
        with self._sending.hold() as hold:
            hold.send_value(req, resp, _Whole(found), first=first, size=last + 1 - first)
        # Only now: a request that fails before gets an answer without these headers.
        _describe(resp, found)
        if wanted is not None:
            resp.status = 206
            resp.set_header("Content-Range", f"bytes {first}-{last}/{found.file.size}")

    def on_head(self, req: falcon.Request, resp: falcon.Response, id: str, file: str) -> None:
        """Answer as GET does, without the file; a range is ignored."""
        found = self._found(req, resp, id, file)
        if found is not None:
            _describe(resp, found)
            resp.content_length = found.file.size

    def _found(
        self, req: falcon.Request, resp: falcon.Response, backup_id: str, name: str
    ) -> OpenBackupFile | None:
        """Return a file; ``None`` if a precondition decided the answer."""
        Query(req)
        opened = self._store.backups.open(backup_id, name) if _FILE_NAME.fullmatch(name) else None
        if opened is None:
            detail = "the backup has no such file; its description lists all files"
            raise Problem(404, "no-such-file", detail)
        status = tag_condition_fails(req, opened.file.sha256)
        if status == 412:
            detail = "the file has another hash than If-Match says; look at the backup again"
            raise Problem(412, "precondition-failed", detail)
        if status == 304:
            resp.status = 304
            _describe(resp, opened)
            return None
        resp.content_type = "application/octet-stream"
        return opened


class _Whole:
    """A backup file as ``ValuePieces``; the client verifies it by its hash, not the server."""

    def __init__(self, opened: OpenBackupFile) -> None:
        self.read = opened.read

    def verify(self) -> None:
        """Do nothing: see the class."""


def _describe(resp: falcon.Response, opened: OpenBackupFile) -> None:
    """Set the headers of a file."""
    resp.set_headers(
        {
            "ETag": _tag(opened),
            "Cache-Control": "no-store",
            "Accept-Ranges": "bytes",
            "X-Content-Type-Options": "nosniff",
        }
    )


def _tag(opened: OpenBackupFile) -> str:
    return f'"{opened.file.sha256}"'


def _show(resp: falcon.Response, backup: Backup) -> None:
    answer = {
        "id": backup.id,
        "store_id": backup.store_id,
        "revision": backup.revision,
        "oldest_revision": backup.oldest_revision,
        "time": rfc3339(backup.time_us),
        "files": [file._asdict() for file in backup.files],
        "expires": rfc3339(backup.expires_us),
    }
    resp.content_type = JSON_TYPE
    resp.set_header("Cache-Control", "no-store")
    resp.data = encode(answer, JSON_TYPE)
