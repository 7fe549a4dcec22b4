"""A transaction of plain puts, decided and encoded in one pass.

Most transactions only put values of well-known content types, without an expiry or metadata. For
these, most of the time of a commit is what Python needs for calls and objects. The one loop here
does for each put what ``Batch`` does in several steps, and makes the same bytes of it. It returns
nothing for any transaction with something odd about it, which ``Batch`` then does in those steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rundlet_server.storage.interface import Op, Put
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.locator import Locator, locator_of
from rundlet_server.storage.log.format.record import (
    COPIED_BYTES_MAX,
    PUT,
    TOMBSTONES,
    TYPE_CODES,
    VERSION_MAX,
    encode_plain,
)
from rundlet_server.storage.outcomes.results import OpResult

_CREATED: Final = OpResult(found=False, version=1)


PlainPuts = tuple[list[tuple[bytes, Locator]], list[bytes], Totals, tuple[OpResult, ...]]
"""Key and locator of each record, the bytes of each, the totals of the store after them, and the
result of each put."""


def plain_puts(
    ops: Sequence[Op],
    newest: Mapping[bytes, Locator | None],
    find: Callable[[bytes], Locator | None],
    *,
    revision: int,
    time_us: int,
    position: int,
    totals: Totals,
    published: int,
) -> PlainPuts | None:
    """Decide and encode the operations of a transaction; nothing is changed.

    Args:
        ops: each writes another key.
        newest: the newest version of keys that the batch knows of.
        find: returns that of any other key.
        revision: of their frame.
        time_us: of their frame.
        position: of the first record.
        totals: of the store before it.
        published: revision up to which the view knows all commits; later ones are of the batch.

    Returns:
        ``None`` if an operation is no plain put, or would replace a value that may have expired.
    """
    key_count, value_bytes = totals
    entries: list[tuple[bytes, Locator]] = []
    encoded: list[bytes] = []
    results: list[OpResult] = []
    for op in ops:
        if type(op) is not Put or op.ttl_s is not None or op.expires_us is not None:
            return None
        value, content_type = op.value, op.content_type
        code, value_size = TYPE_CODES.get(content_type), len(value)
        if code is None or value_size > COPIED_BYTES_MAX or op.metadata:
            return None
        key = op.key.encode()
        previous = newest[key] if key in newest else find(key)
        version = 1
        if previous is not None:
            if previous.expires_us or previous.version == VERSION_MAX:
                return None
            if previous.kind not in TOMBSTONES:
                version = previous.version + 1
                key_count -= 1
                value_bytes -= previous.value_size
            if previous.revision <= published:
                previous = None
        key_count += 1
        value_bytes += value_size
        data = encode_plain(key, value, code, version=version, revision=revision, time_us=time_us)
        size = len(data)
        about = (revision, position, size, value_size, version, PUT, content_type, 0, previous)
        entries.append((key, locator_of(about)))
        encoded.append(data)
        results.append(_CREATED if version == 1 else OpResult(True, version))
        position += size
    return entries, encoded, Totals(key_count, value_bytes), tuple(results)
