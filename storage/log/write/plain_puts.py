"""A transaction of plain puts, decided and encoded in one pass.

Most transactions only put values of well-known content types, without an expiry or metadata. For
these, most of the time of a commit is what Python needs for calls and objects. The one loop here
does for each put what ``Batch`` does in several steps, and encodes the same bytes. For any other
transaction it returns ``None``, and ``Batch`` decides that transaction in its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Final, NamedTuple, Protocol

from rundlet_server.storage.checksum import checksum
from rundlet_server.storage.files import Buffer
from rundlet_server.storage.interface import Op, Put, Txn
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.locator import Locator, locator_of
from rundlet_server.storage.log.format.record import (
    CHECKSUM,
    COPIED_BYTES_MAX,
    HEADER,
    PUT,
    TOMBSTONES,
    TYPE_CODES,
    VERSION_MAX,
)
from rundlet_server.storage.log.read.view import Head, View
from rundlet_server.storage.outcomes.results import Commit, OpResult

_new: Final = tuple.__new__
"""Makes a named tuple in half the time; there are four of them for each single put."""
_CREATED: Final = OpResult(found=False, version=1)
_NO_NEEDS: Final[Set[str]] = frozenset()

PlainPuts = tuple[list[tuple[bytes, Locator]], list[bytes], Totals, tuple[OpResult, ...]]
"""Key and locator of each record, the bytes of each, the totals of the store after them, and the
result of each put."""


class Frames(Protocol):
    """What the writer appends at the end of a view's log, see ``PendingFrames``."""

    @property
    def buffers(self) -> list[Buffer]: ...  # noqa: D102
    @property
    def entries(self) -> list[tuple[bytes, Locator]]: ...  # noqa: D102
    @property
    def commits(self) -> list[tuple[int, int, int]]: ...  # noqa: D102
    @property
    def head(self) -> Head: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def needs(self) -> Set[str]: ...  # noqa: D102


class PlainFrame(NamedTuple):
    """The only frame of a transaction that is committed alone."""

    buffers: list[Buffer]
    entries: list[tuple[bytes, Locator]]
    commits: list[tuple[int, int, int]]
    head: Head
    size: int
    needs: Set[str]


def plain_frame(
    view: View, txn: Txn, *, salt: int, time_us: int, synced: int
) -> tuple[PlainFrame, Commit] | None:
    """Decide a transaction that is committed alone, as ``Batch.add_plain`` does.

    Args:
        view: up to date.
        txn: the transaction.
        salt: of the active segment.
        time_us: of the commit.
        synced: offset in the active segment up to which it is on stable storage.

    Returns:
        Its frame and its commit; ``None`` if it is no transaction of plain puts, or cannot be done.
    """
    if txn.conditions or txn.idempotency is not None or not txn.then:
        return None
    head, offset = view.head, view.active.offset
    revision = max(head.revision, view.manifest.revision_floor) + 1
    try:
        puts = plain_puts(
            txn.then,
            {},
            view.finder(),
            revision=revision,
            time_us=time_us,
            position=view.position + frames.HEADER.size,
            totals=head.totals,
            published=head.revision,
        )
    except Exception:
        return None  # for example an index file is damaged: ``Batch.add`` meets it again
    if puts is None:
        return None
    entries, encoded, totals, results = puts
    buffers, size = frames.encode_pieces(
        encoded,
        record_count=len(encoded),
        revision=revision,
        time_us=time_us,
        totals=totals,
        synced=synced,
        salt=salt,
        offset=offset,
    )
    commits = [(revision, time_us, offset)]
    head_then = _new(Head, (revision, time_us, totals))
    frame = _new(PlainFrame, (buffers, entries, commits, head_then, size, _NO_NEEDS))
    return frame, _new(Commit, (True, revision, results, None))


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
        newest: the newest version of each key that the batch has looked up or written.
        find: returns the newest version of any other key.
        revision: of their frame.
        time_us: of their frame.
        position: of the first record.
        totals: of the store before the frame.
        published: revision up to which the view knows all commits; later ones belong to the batch.

    Returns:
        ``None`` if an operation is no plain put, or would replace a value that may have expired.
    """
    pack, pack_checksum, make, codes = HEADER.pack, CHECKSUM.pack, locator_of, TYPE_CODES
    key_count, value_bytes = totals
    entries: list[tuple[bytes, Locator]] = []
    encoded: list[bytes] = []
    results: list[OpResult] = []
    for op in ops:
        if type(op) is not Put or op.ttl_s is not None or op.expires_us is not None:
            return None
        value, content_type = op.value, op.content_type
        code, value_size = codes.get(content_type), len(value)
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
        # As ``record.encode``: to call it would take a third of the time of the loop.
        data = pack(value_size, len(key), 0, version, PUT, code, 0, revision, time_us) + key + value
        data += pack_checksum(checksum(data))
        size = len(data)
        about = (revision, position, size, value_size, version, PUT, content_type, 0, previous)
        entries.append((key, make(about)))
        encoded.append(data)
        results.append(_CREATED if version == 1 else OpResult(True, version))
        position += size
    return entries, encoded, _new(Totals, (key_count, value_bytes)), tuple(results)
