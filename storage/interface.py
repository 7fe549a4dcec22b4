"""What handlers, CLI and tests see of a store: the ``Store`` protocol and its values.

Every backend keeps the same meaning of the words:

* *key*: Unicode text, ordered by its UTF-8 bytes.
* *revision*: number of a commit in the whole store; rises with every commit, gaps allowed;
  0 is the empty store before the first commit.
* *version*: n-th write of a key since it was last created, from 1.
* times are microseconds since the Unix epoch (``*_us``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from rundlet_server.storage.backups import Backups
from rundlet_server.storage.large_values import Admit, LargeValue
from rundlet_server.storage.metadata import NO_METADATA, Metadata
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.reports import Gauge, Health
from rundlet_server.storage.timeline import At, Moment, Timeline

DEFAULT_CONTENT_TYPE = "application/octet-stream"
TEXT_CONTENT_TYPE = "text/plain; charset=utf-8"


Feature = Literal["history", "retention", "changes", "erase", "bulk_load", "compaction", "backup"]
"""What some backends can do and others cannot. Every backend can do everything else.

* ``history``: read at an old revision, list versions, ``Restore``.
* ``retention``: ``Store.retain`` changes which history is kept.
* ``changes``: ``Store.changes`` pages through all commits.
* ``erase``: ``Store.erase`` removes every version of a key.
* ``bulk_load``: ``Store.load`` stores many rows faster than transactions do.
* ``compaction``: ``Store.compact`` reclaims space.
* ``backup``: ``Store.backups`` holds the store as it is while it is copied.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most a store takes; every limit is a setting, and its error names it."""

    key_bytes_max: int = 2_048
    value_bytes_max: int = 64 * 1024 * 1024
    txn_ops_max: int = 1_000
    txn_bytes_max: int = 64 * 1024 * 1024
    list_keys_max: int = 10_000
    answer_bytes_max: int = 64 * 1024 * 1024


class Entry(NamedTuple):
    """One value of one key, as one commit wrote it."""

    key: str
    value: bytes
    revision: int
    version: int
    time_us: int
    content_type: str
    expires_us: int | None
    metadata: Metadata = NO_METADATA


class KeyInfo(NamedTuple):
    """A key in a list; ``entry`` and ``metadata`` only if the list was to include them."""

    key: str
    revision: int
    version: int
    size: int
    content_type: str
    entry: Entry | None = None
    time_us: int = 0
    expires_us: int | None = None
    metadata: Metadata = NO_METADATA


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The entries of many keys at one moment, in the requested order; ``None`` if missing."""

    moment: Moment
    entries: list[Entry | None]

    @property
    def revision(self) -> int:
        """The revision of the moment."""
        return self.moment.revision


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    Attributes:
        moment: of the snapshot that all keys are from.
        keys: in order (descending if reversed).
        prefixes: keys rolled up at the delimiter, each ending with it, in the same order.
        resume: pass as ``after`` (with ``at=moment``) for the next page; ``None`` at the end.
    """

    moment: Moment
    keys: list[KeyInfo]
    prefixes: list[str]
    resume: str | None

    @property
    def revision(self) -> int:
        """The revision of the moment."""
        return self.moment.revision


# --- writing -------------------------------------------------------------------------------


@dataclass(slots=True)  # a frozen one takes six times as long to make
class Put:
    """Store a value; it may expire after ``ttl_s``, or at ``expires_us``, which may be over."""

    key: str
    value: bytes
    content_type: str = DEFAULT_CONTENT_TYPE
    ttl_s: float | None = None
    expires_us: int | None = None
    metadata: Metadata = NO_METADATA


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key; a missing one is no error."""

    key: str


@dataclass(frozen=True, slots=True)
class Add:
    """Add to a value that is decimal text; a missing key counts as 0. Keeps all but the number."""

    key: str
    by: int = 1


@dataclass(frozen=True, slots=True)
class Touch:
    """Give an existing key a new time to live (``None``: it no longer expires); keep the rest."""

    key: str
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class Restore:
    """Write again a value that a key had, whether it has one now or not.

    Attributes:
        version: of the key's newest life ...
        revision: ... or a revision at which the key had the value; one of the two is given.
        ttl_s: as in ``Put``; the value keeps its content type and metadata, not its old expiry.
    """

    key: str
    version: int | None = None
    revision: int | None = None
    ttl_s: float | None = None


Op = Put | Delete | Add | Touch | Restore

Row = tuple[bytes, bytes, str]
"""Key as UTF-8, value and content type of a value to be loaded."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be true of a key at the moment of the commit; all given fields must be.

    Attributes:
        exists: the key has a value, or has none.
        version: the key is at this version.
        revisions: the key's revision is one of these (0: it has no value).
        not_revisions: the key's revision is none of these.
    """

    key: str
    exists: bool | None = None
    version: int | None = None
    revisions: tuple[int, ...] | None = None
    not_revisions: tuple[int, ...] | None = None


@dataclass(slots=True)  # as ``Put`` is
class Txn:
    """Writes that are committed all or none, at one revision.

    If every condition is true, ``then`` is done. Otherwise ``otherwise`` is done or, if that is
    ``None``, the commit fails with ``Conflict``. Each list may write a key only once.

    If ``idempotency`` is given, the commit remembers its outcome under that key. If the key is
    remembered already, the transaction is neither decided nor done: the commit returns the
    remembered outcome.
    """

    then: Sequence[Op]
    conditions: Sequence[Condition] = ()
    otherwise: Sequence[Op] | None = None
    idempotency: Idempotency | None = None


# --- looking at the whole ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stats:
    """Exact counts at one revision.

    Attributes:
        revision: head revision the counts are of.
        oldest_revision: oldest revision that can still be read.
        key_count: keys that have a value.
        value_bytes: sum of the sizes of their values.
    """

    revision: int
    oldest_revision: int
    key_count: int
    value_bytes: int


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What does not change while a store is open.

    Attributes:
        backend: ``log``, ``file``, ``etcd``, ``postgresql``.
        store_id: opaque text; another one after a restore from backup.
        read_only: commits are refused.
        limits: of this store as it runs.
        settings: its other settings by name, as far as the backend knows them.
        features: what it can do that not every backend can.
        is_remote: its reads wait for a network, so an event loop must not make them.
    """

    backend: str
    store_id: str
    read_only: bool
    limits: Limits
    settings: dict[str, str | int | float] = field(default_factory=dict)
    features: frozenset[Feature] = frozenset()
    is_remote: bool = False


class Store(Timeline, Protocol):
    """A store. All methods may be called from any thread.

    A method that needs a feature which ``info.features`` lacks raises ``NotSupported``, or
    ``ReadOnly`` if the store takes no writes either. Every method may raise ``Damaged``
    (verification on read failed), ``InvalidKey`` and ``LimitExceeded``. Reads with ``at`` raise
    ``Compacted`` if that revision is no longer kept, ``InvalidRequest`` if it is above the head.
    """

    info: StoreInfo

    @property
    def backups(self) -> Backups:
        """The backups that are held; it needs the feature ``backup``."""

    def get(self, key: str, *, at: At | None = None) -> Entry | None:
        """Return the value of a key, now or as it was at ``at``; ``None`` if it has none."""

    def peek(self, key: str, *, at: At | None = None) -> Entry | LargeValue | None:
        """Do as ``get`` does, but leave a value above ``bounds.LARGE_VALUE_BYTES`` unread."""

    def get_many(
        self, keys: Sequence[str], *, at: At | None = None, admit: Admit | None = None
    ) -> Snapshot:
        """Return the values of many keys, each read once, all of one moment.

        Raises:
            LimitExceeded: keys and values, counted as often as they are named, exceed
                ``answer_bytes_max``; decided before a value is read. One key never does.
        """

    def get_version(self, key: str, version: int) -> Entry | LargeValue | None:
        """Return a version of a key since it was last created, as ``peek`` does.

        Returns:
            ``None`` if the key never had that version.

        Raises:
            Compacted: the version is no longer kept.
        """

    def commit(self, txn: Txn) -> Commit:
        """Do a transaction; return once it is as durable as the sync policy says.

        Raises:
            Conflict: a condition failed and there is no ``otherwise``.
            InvalidOperation: an operation cannot be done; nothing was changed.
            IdempotencyKeyReused: the key is remembered with another request.
            ReadOnly, Unavailable, OutcomeUnknown: see ``storage.errors``.
        """

    def scan(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        after: str | None = None,
        limit: int = 1_000,
        reverse: bool = False,
        delimiter: str | None = None,
        include_values: bool = False,
        include_metadata: bool = False,
        at: At | None = None,
        admit: Admit | None = None,
    ) -> Page:
        """Return keys in order, from one snapshot.

        Args:
            prefix: only keys that start with this.
            start: only keys >= this.
            end: only keys < this.
            after: ``Page.resume`` of the page before.
            limit: the most keys and prefixes on the page; ``answer_bytes_max`` may end it earlier.
            reverse: descending order.
            delimiter: roll up what follows its first occurrence after the prefix.
            include_values: fill in ``KeyInfo.entry``.
            include_metadata: fill in ``KeyInfo.metadata``.
            at: as it was then; default now.
            admit: see ``Admit``.
        """

    def count(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        at: At | None = None,
    ) -> int:
        """Count all the keys that ``scan`` with the same arguments would return."""

    def stats(self) -> Stats:
        """Return exact counts at the head."""

    def gauges(self) -> Mapping[str, Gauge]:
        """Return the gauges of the backend by name; names have letters, digits and ``_``."""

    def compact(self, *, wait: bool = False) -> None:
        """Compact the store. It needs the feature ``compaction``.

        Args:
            wait: return once it is done; by default it returns at once and works in the background.

        Raises:
            ReadOnly: this store takes no writes.
            StoreError, OSError: the compaction failed, with ``wait``.
        """

    def load(self, rows: Sequence[Row]) -> None:
        """Store many rows in this order, as commits of up to a thousand rows would, but faster.

        They are on stable storage when it returns. If it fails, the first of them may be stored. It
        needs the feature ``bulk_load``.

        Raises:
            InvalidKey, LimitExceeded, ReadOnly, Unavailable, OutcomeUnknown: as ``commit``.
        """

    def finish_load(self) -> None:
        """Make what ``load`` has stored quick to read."""

    def sync(self) -> None:
        """Put everything committed so far on stable storage, whatever the sync policy.

        Raises:
            Unavailable: the disk failed.
        """

    def health(self) -> Health:
        """Return whether the store is ready; probes call it every few seconds."""

    def close(self) -> None:
        """Release all files and threads; a second call does no harm."""


@runtime_checkable
class CommitsGroups(Protocol):
    """A store that commits the transactions of many callers with one write and one sync."""

    def commit_group(self, txns: Sequence[Txn]) -> list[Commit | Exception]:
        """Return for each its commit, or the error that ``Store.commit`` would raise."""
