"""The index of one backup in a backup directory: which files it consists of, and their hashes.

It is a JSON file, ``backup-<revision>-<time>-<store>.json``:

    {"backup": {"format": 1, "store_id": "…", "revision": 12, "oldest_revision": 3, "time": "…",
                "time_us": 17…, "files": [{"name": "0000000001.log", "size": 640, "sha256": "…"}],
                "contents": {"MANIFEST": "<base64>"}},
     "sha256": "…"}

``contents`` holds the files that are small and belong to this backup alone. The hash at the end
covers all of ``backup``, and the file must be exactly what ``encode`` makes of it, so that any
changed byte is noticed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rundlet_server.storage.backups import Backup, BackupFile
from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.log.backup.names import index_name
from rundlet_server.storage.log.backup.places import BackupPlace
from rundlet_server.storage.log.format.names import segment_number

FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class BackupIndex:
    """One backup.

    Attributes:
        name: of its index file.
        store_id, revision, oldest_revision, time_us: see ``Backup``.
        files: the segments, in the order of their numbers as text.
        contents: the small files, by name.
    """

    name: str
    store_id: str
    revision: int
    oldest_revision: int
    time_us: int
    files: tuple[BackupFile, ...]
    contents: Mapping[str, bytes]

    @classmethod
    def of(cls, backup: Backup, contents: Mapping[str, bytes]) -> BackupIndex:
        """Return the index of a backup that is held by a lease."""
        return cls(
            index_name(backup.store_id, backup.revision, backup.time_us),
            backup.store_id,
            backup.revision,
            backup.oldest_revision,
            backup.time_us,
            tuple(file for file in backup.files if is_segment(file.name)),
            contents,
        )


def is_segment(name: str) -> bool:
    """Return whether a file of a backup is a segment."""
    return segment_number(name) is not None


def shown_time(time_us: int) -> str:
    """Return a time for people, as RFC 3339."""
    at = datetime.fromtimestamp(time_us / 1e6, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(index: BackupIndex) -> bytes:
    """Return the content of an index file."""
    backup = {
        "format": FORMAT_VERSION,
        "store_id": index.store_id,
        "revision": index.revision,
        "oldest_revision": index.oldest_revision,
        "time": shown_time(index.time_us),
        "time_us": index.time_us,
        "files": [file._asdict() for file in index.files],
        "contents": {
            name: base64.b64encode(data).decode() for name, data in index.contents.items()
        },
    }
    return _text(backup, hashlib.sha256(_payload(backup)).hexdigest())


def read_index(place: BackupPlace, name: str) -> BackupIndex:
    """Return a backup of a place.

    Raises:
        Damaged: the index is not what was written.
        UnknownFormat: another release wrote it.
    """
    data = place.read(name, 0, place.sizes().get(name, 0))
    path = Path(str(place)) / name
    try:
        document = json.loads(data)
        backup, sha256 = document["backup"], document["sha256"]
        version = backup["format"]
        if _text(backup, sha256) != data or hashlib.sha256(_payload(backup)).hexdigest() != sha256:
            raise ValueError("its hash does not match")
        if version != FORMAT_VERSION:
            raise UnknownFormat(f"{path}: this release does not know backup format {version}")
        index = BackupIndex(
            name,
            str(backup["store_id"]),
            int(backup["revision"]),
            int(backup["oldest_revision"]),
            int(backup["time_us"]),
            tuple(BackupFile(**file) for file in backup["files"]),
            {name: base64.b64decode(text) for name, text in backup["contents"].items()},
        )
    except (ValueError, LookupError, TypeError) as ex:
        raise Damaged(path, 0, f"the index of the backup cannot be used: {ex}") from ex
    if index_name(index.store_id, index.revision, index.time_us) != name:
        raise Damaged(path, 0, "this is the index of another backup under a wrong name")
    return index


def _payload(backup: Mapping[str, object]) -> bytes:
    return json.dumps(backup, separators=(",", ":")).encode()


def _text(backup: Mapping[str, object], sha256: object) -> bytes:
    return json.dumps({"backup": backup, "sha256": sha256}, indent=1).encode() + b"\n"
