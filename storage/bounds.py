"""Bounds that no setting changes; every backend, the API and the command line keep them."""

from __future__ import annotations

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
"""The store's time may be ahead of the system's clock by this much, as small corrections of a clock
make it, before a person is told."""
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

LARGE_VALUE_BYTES: Final = 256 * 1024
"""A value above this is read and sent in pieces, and never kept in a cache."""

KEY_BYTES_LIMIT: Final = (1 << 16) - 1
"""The most that the limit on keys can be set to: a record has two bytes for the size of its key."""

VALUE_BYTES_LIMIT: Final = (1 << 32) - (1 << 20)
"""The most that the limits on values and transactions can be set to: a frame has four bytes for its
size, and holds a value with its key and its content type."""

OUTCOME_BYTES_MAX: Final = 64 * 1024
"""The most bytes of an outcome that is remembered for an idempotency key."""

IDEMPOTENCY_S_MAX: Final = 30 * 86_400
"""The longest time that outcomes can be remembered: each takes space for so long."""
