"""Bounds that no setting changes; every backend, the API and the command line keep them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CONTENT_TYPE_BYTES_MAX: Final = 200
"""A content type is kept with every value; this bounds what it costs."""

NUMBER_MAX: Final = (1 << 63) - 1
"""A counter, and what is added to it, is a signed number of 64 bits."""

TTL_S_MAX: Final = 100 * 366 * 86_400
"""The longest time to live that a store, the API, and an import accept: 100 leap years."""

EXPIRES_US_MAX: Final = 253_402_300_799_999_999
"""The latest time of expiry that can be given: the last microsecond of the year 9999."""

CLOCK_AHEAD_S_MAX: Final = 60.0
"""If the store's time is further ahead of the system's clock than this, the store warns. Small
corrections of a clock stay below it."""
BACKUP_LEASE_S: Final = 3_600
"""How long a backup is held after the last request for it, unless the first one says otherwise."""

BACKUP_LEASE_S_MAX: Final = 7 * 86_400
"""The longest time that a backup can be held without a request: it keeps compaction from freeing
space."""

KEEP_VERSIONS_MAX: Final = (1 << 53) - 1
"""The most versions of a key that a store can be told to keep: as many as there are revisions."""

KEEP_FOR_S_MAX: Final = TTL_S_MAX
"""The longest time that a store can be told to keep history."""

ERASURES_MAX: Final = 1_000
"""Erased keys whose bytes may wait for their removal: the manifest lists them, and every segment is
searched for each of them."""

GLOB_CHARACTERS_MAX: Final = 256
"""The longest glob on keys: to match a key costs at most its length times this."""

LARGE_VALUE_BYTES: Final = 256 * 1024
"""A value above this is read and sent in pieces, and never kept in a cache."""

KEY_BYTES_LIMIT: Final = (1 << 16) - 1
"""The most that the limit on keys can be set to: a record has two bytes for the size of its key."""

VALUE_BYTES_LIMIT: Final = (1 << 32) - (1 << 20)
"""The most that the limits on values and transactions can be set to: a frame has four bytes for its
size, and holds a value with its key and its content type."""

METADATA_COUNT_MAX: Final = 16
"""The most names of metadata that a value has."""

METADATA_NAME_BYTES_MAX: Final = 40
"""The longest name of metadata; every byte of it is an ASCII character."""

METADATA_BYTES_MAX: Final = 2_048
"""The most bytes that names and texts of a value's metadata have together, as UTF-8."""

OF_ENGINES: Final[Mapping[str, Mapping[str, int]]] = {
    # etcd takes requests of 1.5 MiB; the keys of a transaction are in one more than once. It takes
    # 128 operations; a write is up to two of them, and the counters are one.
    "etcd": {
        "value_bytes_max": 1_536 * 1024 - 64 * 1024,
        "txn_bytes_max": 1_536 * 1024 - 64 * 1024,
        "txn_ops_max": 63,
    },
    # A row of an index takes a third of a page of 8 KiB, at most. A message to the database takes
    # 1 GiB at most, and a batch has the values of several requests.
    "postgresql": {
        "key_bytes_max": 2_560,
        "value_bytes_max": 256 * 1024 * 1024,
        "txn_bytes_max": 256 * 1024 * 1024,
    },
}
"""Limits that are an engine's own, by their names in ``Limits``; no setting raises them."""

OUTCOME_BYTES_MAX: Final = 64 * 1024
"""The most bytes of an outcome that is remembered for an idempotency key."""

IDEMPOTENCY_KEY_BYTES_MAX: Final = 128
"""The longest idempotency key of a client; a UUID has 36 bytes."""

IDEMPOTENCY_S_DEFAULT: Final = 86_400
"""How long an outcome is remembered: a day, unless a setting says otherwise."""

IDEMPOTENCY_S_MAX: Final = 30 * 86_400
"""The longest time that outcomes can be remembered: each takes space for so long."""
