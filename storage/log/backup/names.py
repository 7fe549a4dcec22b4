"""The names of the files of a backup directory; other files there are the user's.

backup-<revision>-<time>-<store>.json                       an index, see ``index``
<store id>-<number of the segment>-<start>-<end>.piece      a piece, see ``pieces``
"""

from __future__ import annotations

import re
from typing import Final

PIECE: Final = re.compile(r"([0-9a-f]{32})-(\d{10}\.log)-(\d{13})-(\d{13})\.piece", re.ASCII)
"""The id of the store, the name of the segment, and the places from and to which it is held."""
TEMPORARY_SUFFIX: Final = ".tmp"
_INDEX_PREFIX: Final = "backup-"
_INDEX_SUFFIX: Final = ".json"


def index_name(store_id: str, revision: int, time_us: int) -> str:
    """Return the name of an index file; names sort by revision, then by time."""
    return f"{_INDEX_PREFIX}{revision:016d}-{time_us:017d}-{store_id[:8]}{_INDEX_SUFFIX}"


def is_index(name: str) -> bool:
    """Return whether a file of a backup directory is an index."""
    return name.startswith(_INDEX_PREFIX) and name.endswith(_INDEX_SUFFIX)


def piece_name(store_id: str, segment: str, start: int, end: int) -> str:
    """Return the name of a piece; ``segment`` is the name of the segment's file."""
    return f"{store_id}-{segment}-{start:013d}-{end:013d}.piece"


def is_of_backup(name: str) -> bool:
    """Return whether backups make files with such a name."""
    return PIECE.fullmatch(name) is not None or is_index(name)


def is_half_written(name: str) -> bool:
    """Return whether only a backup that died leaves such a file."""
    return name.endswith(TEMPORARY_SUFFIX) and is_of_backup(name.removesuffix(TEMPORARY_SUFFIX))
