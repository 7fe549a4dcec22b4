"""A PostgreSQL database behind the ``Store`` interface."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, NoReturn

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.backups import Backups
from rundlet_server.storage.errors import InvalidOperation, NotSupported, ReadOnly, StoreError
from rundlet_server.storage.interface import (
    Entry,
    Feature,
    Page,
    Put,
    Row,
    Snapshot,
    Stats,
    StoreInfo,
    Txn,
)
from rundlet_server.storage.large_values import Admit, LargeValue
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.postgres.clock import StoreClock
from rundlet_server.storage.postgres.connections import Connections
from rundlet_server.storage.postgres.feed import Feed
from rundlet_server.storage.postgres.keeper import Keeper
from rundlet_server.storage.postgres.listing import Lists, Range, Wanted, encode_bound
from rundlet_server.storage.postgres.loading import transactions
from rundlet_server.storage.postgres.place import Place
from rundlet_server.storage.postgres.reading import Reads
from rundlet_server.storage.postgres.retention import Retention as Dropping
from rundlet_server.storage.postgres.schema import prepare
from rundlet_server.storage.postgres.timeline import PostgresTimeline
from rundlet_server.storage.postgres.writing import Writer
from rundlet_server.storage.reports import Gauge, Health
from rundlet_server.storage.requests import check_txn, encode_key, within
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import At, Changes, Erased, History, Moment, Retention

_BACKEND: Final = "postgresql"
_FEATURES: Final[frozenset[Feature]] = frozenset(
    {"history", "retention", "changes", "erase", "bulk_load", "compaction"}
)
_HEAD: Final = "SELECT rev, time_us FROM {meta} WHERE id = 1"
_LOST: Final = (
    "the database has lost the last {} revisions that this process had seen: a standby took over"
    " that did not have them, or it was restored; restart the server to end this warning"
)
_READ_ONLY: Final = "this store is served read-only"


class PostgresStore:
    """A store in a schema of a database. Any number of processes may have it open."""

    def __init__(
        self, address: StoreAddress, settings: StoreSettings, *, is_tended: bool = True
    ) -> None:
        """Connect; create the tables if they are missing.

        Args:
            address: of the database.
            settings: limits, clock, retention, and whether commits are refused.
            is_tended: this process expires values and drops history in the background.

        Raises:
            InvalidAddress: see ``Place.of``.
            Unavailable: the database cannot be reached, or refuses.
            UnknownFormat: a later release has changed the tables.
            ReadOnly: there is no store, and commits are refused.
        """
        place = Place.of(address)
        self._settings = settings
        limits = self._limits = within(_BACKEND, settings.limits)
        store_id = prepare(place, address.shown, is_read_only=settings.is_read_only)
        self._connections = Connections(place, is_read_only=settings.is_read_only)
        self._clock = StoreClock(settings.clock)
        self._reads = Reads(self._connections, self._clock, limits)
        self._lists = Lists(self._connections, self._reads, limits)
        self._writer = Writer(self._connections, self._clock, limits, settings.measures)
        self._timeline = PostgresTimeline(self._connections, self._reads, self._writer, self._clock)
        self._feed = Feed(self._connections, limits)
        self._dropping = Dropping(self._connections, self._writer, self._clock)
        self.info = StoreInfo(
            _BACKEND,
            store_id,
            settings.is_read_only,
            limits,
            {"schema": place.schema},
            _FEATURES,
            is_remote=True,
        )
        self._compaction: threading.Thread | None = None
        is_tended = is_tended and not settings.is_read_only
        try:
            self._begin()
            self._keeper = Keeper(self._find_head, self._tend if is_tended else None)
        except BaseException:
            self._connections.close()
            raise
        self._writer.on_commit = self._note

    def get(self, key: str, *, at: At | None = None) -> Entry | None:
        """See ``Store.get``."""
        return self._reads.get(key, encode_key(key, self._limits), at)

    def peek(self, key: str, *, at: At | None = None) -> Entry | LargeValue | None:
        """See ``Store.peek``."""
        return self._reads.peek(key, encode_key(key, self._limits), at)

    def get_many(
        self, keys: Sequence[str], *, at: At | None = None, admit: Admit | None = None
    ) -> Snapshot:
        """See ``Store.get_many``."""
        encoded = [encode_key(key, self._limits) for key in keys]
        named = dict(zip(encoded, keys, strict=True))
        return self._reads.get_many(named, encoded, at, admit)

    def get_version(self, key: str, version: int) -> Entry | LargeValue | None:
        """See ``Store.get_version``."""
        return self._timeline.get_version(key, encode_key(key, self._limits), version)

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
        """See ``Store.scan``."""
        keys = Range.of(prefix, start, end)
        mark = encode_bound(delimiter) if delimiter else None
        size = len(prefix.encode())
        if after is not None:
            keys = keys.resumed(encode_bound(after), mark, size, reverse=reverse)
        shown = (include_values, include_metadata)
        wanted = Wanted(keys, size, mark, limit, reverse, *shown)
        return self._lists.page(wanted, at, admit)

    def count(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        at: At | None = None,
    ) -> int:
        """See ``Store.count``; the database counts keys one by one, except all keys at the head."""
        if at is None and not prefix and start is None and end is None:
            return self.stats().key_count
        return self._lists.count(Range.of(prefix, start, end), at)

    def commit(self, txn: Txn) -> Commit:
        """See ``Store.commit``; the database decides how durable a commit is."""
        self._require_writable()
        self._check(txn)
        return self._writer.commit(txn)

    def load(self, rows: Sequence[Row]) -> None:
        """See ``Store.load``."""
        self._require_writable()
        for group in transactions(rows, self._limits):
            for txn in group:
                self._check(txn)
            self._writer.load(group)

    def finish_load(self) -> None:
        """See ``Store.finish_load``: update the statistics of the planner."""
        self._connections.execute("ANALYZE {kv}")

    def moment(self, time_us: int) -> Moment:
        """See ``Store.moment``."""
        return self._timeline.moment(time_us)

    def history(self, key: str, *, limit: int = 1_000, before: int | None = None) -> History:
        """See ``Store.history``."""
        return self._timeline.history(encode_key(key, self._limits), limit, before)

    def expired(self, after_us: int, at: Moment) -> list[str]:
        """See ``Store.expired``."""
        return self._timeline.expired(after_us, at)

    def changes(
        self,
        since: int,
        *,
        prefix: str = "",
        limit: int = 1_000,
        include_values: bool = False,
        until: int | None = None,
    ) -> Changes:
        """See ``Store.changes``."""
        return self._feed.changes(since, prefix, limit, include_values, until)

    def wait(self, since: int, timeout_s: float) -> int:
        """See ``Store.wait``; commits of other processes are noticed by looking."""
        return self._keeper.wait(since, timeout_s)

    def retention(self) -> Retention:
        """See ``Store.retention``."""
        return self._timeline.retention()

    def retain(self, retention: Retention) -> None:
        """See ``Store.retain``."""
        self._require_writable()
        self._timeline.retain(retention)

    def hold(self, revision: int) -> AbstractContextManager[None]:
        """See ``Store.hold``."""
        return self._timeline.hold(revision, is_read_only=self.info.read_only)

    def erase(self, key: str, *, wait_s: float = 0) -> Erased:  # noqa: ARG002 # done at once
        """See ``Store.erase``."""
        self._require_writable()
        return self._timeline.erase(encode_key(key, self._limits))

    def stats(self) -> Stats:
        """See ``Store.stats``."""
        return self._reads.stats()

    @property
    def backups(self) -> Backups:
        """See ``Store.backups``: the tools of the database make its backups."""
        raise NotSupported(self.info.backend, "backup")

    def gauges(self) -> Mapping[str, Gauge]:
        """See ``Store.gauges``."""
        counts = self._connections.counts()
        return {
            "connections": Gauge(
                counts.get("pool_size", 0), "Connections of this process to the database."
            ),
            "idle_connections": Gauge(
                counts.get("pool_available", 0), "Those of them that are not in use."
            ),
            "lives": Gauge(
                len(self._connections.lives.known),
                "Timelines of the database that have written the store; one more by a failover.",
            ),
            "waiting_for_connection": Gauge(
                counts.get("requests_waiting", 0), "Threads that wait for a connection."
            ),
        }

    def compact(self, *, wait: bool = False) -> None:
        """See ``Store.compact``: drops history; the database reclaims the space by its vacuum."""
        self._require_writable()
        if wait:
            self._dropping.compact()
        elif self._compaction is None or not self._compaction.is_alive():
            self._compaction = threading.Thread(
                target=self._compact_quietly, name="rundlet-compaction", daemon=True
            )
            self._compaction.start()

    def sync(self) -> None:
        """See ``Store.sync``: a commit is as durable as the database makes it."""

    def health(self) -> Health:
        """See ``Store.health``."""
        try:
            [(_, time_us)] = self._connections.rows(_HEAD)
        except StoreError as ex:
            return Health([str(ex)])
        lost = self._connections.lives.lost_revisions
        warnings = [_LOST.format(lost)] if lost else []
        return Health([], warnings=warnings, clock_ahead_s=self._clock.ahead_s(time_us))

    def close(self) -> None:
        """See ``Store.close``; in a forked child the store is the parent's, and stays open."""
        if self._connections.is_inherited:
            return
        self._keeper.close()
        if self._compaction is not None:
            self._compaction.join()
        self._connections.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        message = "an open store cannot be sent to a process; send its address, and open it there"
        raise TypeError(message)

    def _begin(self) -> None:
        """Adopt the time of the store, and set its retention."""
        [(_, time_us)] = self._connections.rows(_HEAD)
        self._clock.now_us(time_us)
        present = self._timeline.retention()
        wanted = self._settings.retention(present)
        if wanted != present and not self.info.read_only:
            self._timeline.retain(wanted)

    def _check(self, txn: Txn) -> None:
        """Refuse what cannot be stored, before it spoils the batch of other requests."""
        check_txn(txn, self._limits)
        for ops in (txn.then, txn.otherwise or ()):
            for index, op in enumerate(ops):
                if isinstance(op, Put) and "\0" in op.content_type:
                    raise InvalidOperation(index, "a content type has no NUL character")

    def _require_writable(self) -> None:
        if self.info.read_only:
            raise ReadOnly(_READ_ONLY)

    def _find_head(self) -> int:
        [(revision, time_us)] = self._connections.rows(_HEAD)
        self._clock.now_us(time_us)
        head: int = revision
        self._connections.lives.note(head)
        return head

    def _note(self, revision: int) -> None:
        self._connections.lives.note(revision)
        self._keeper.note(revision)

    def _tend(self) -> None:
        self._dropping.expire()
        self._dropping.forget()
        self._dropping.compact_if_due()
        self._timeline.renew_holds()

    def _compact_quietly(self) -> None:
        # What is left is dropped by the next pass; ``health`` reports that the database is away.
        with contextlib.suppress(StoreError):
            self._dropping.compact()
