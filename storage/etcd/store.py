"""The etcd store: a name in an etcd cluster behind the ``Store`` interface."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.backups import Backups
from rundlet_server.storage.errors import NotSupported, ReadOnly, StoreError
from rundlet_server.storage.etcd.cluster.client import EtcdClient
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.commits import Commits
from rundlet_server.storage.etcd.counts import Counter
from rundlet_server.storage.etcd.feed import Feed
from rundlet_server.storage.etcd.identity import identify
from rundlet_server.storage.etcd.layout import Layout
from rundlet_server.storage.etcd.lists import Lists, Wanted
from rundlet_server.storage.etcd.past import Past
from rundlet_server.storage.etcd.reads import Reads
from rundlet_server.storage.etcd.retention import Keeping
from rundlet_server.storage.etcd.tidying import Tidier, Tidying
from rundlet_server.storage.etcd.views import Views
from rundlet_server.storage.etcd.watching import Watching
from rundlet_server.storage.interface import (
    Entry,
    Feature,
    Limits,
    Page,
    Row,
    Snapshot,
    Stats,
    StoreInfo,
    Txn,
)
from rundlet_server.storage.large_values import Admit
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.ranges import Range, encode_bound
from rundlet_server.storage.reports import Gauge, Health
from rundlet_server.storage.requests import check_txn
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import At, Changes, Erased, History, Retention

BACKEND: Final = "etcd"
TXN_BYTES_MAX: Final = 1_536 * 1024 - 64 * 1024
"""etcd takes requests of 1.5 MiB; the keys of a transaction are in one more than once."""
TXN_OPS_MAX: Final = 63
"""etcd takes 128 operations; a write is up to two of them, and the counters are one."""
_FEATURES: Final = frozenset[Feature]({"history", "retention", "changes", "compaction"})
_TIDY_S: Final = 1.0
_PROBE_S: Final = 2.5


class EtcdStore:
    """A store in an etcd cluster. Any number of processes may have the same name open."""

    def __init__(
        self, place: EtcdPlace, settings: StoreSettings, *, tidy_s: float | None = _TIDY_S
    ) -> None:
        """Open a store, or make a new one.

        Args:
            place: where it is.
            settings: limits, clock, whether commits are refused.
            tidy_s: so often, in seconds, what has expired is ended in the background; ``None``:
                never.

        Raises:
            InvalidAddress: there is none, and none is to be made; a TLS file cannot be read.
            Unavailable: no node answers.
        """
        self._client = EtcdClient(place)
        layout = Layout(place.name)
        is_read_only = settings.is_read_only
        try:
            store_id, base = identify(self._client, layout, create=not is_read_only)
            self._views = Views(self._client, layout, base, settings.clock)
        except BaseException:
            self._client.close()
            raise
        limits = _limits(settings.limits)
        self._limits = limits
        self._reads = Reads(self._views, limits)
        self._lists = Lists(self._views, limits)
        self._counter = Counter(self._views)
        self._past = Past(self._views, self._reads, limits)
        self._commits = Commits(self._views, self._reads, limits, self._past)
        self._watching = Watching(self._views)
        self._feed = Feed(self._views, limits, self._watching)
        self._keeping = Keeping(self._views, self._past)
        self._retain_as(settings)
        tidying = Tidying(self._views, self._commits, self._counter, self._keeping)
        self._tidier = None if tidy_s is None or is_read_only else Tidier(tidying, tidy_s)
        self.moment = self._past.moment
        self.get_version = self._past.get_version
        self.expired = self._counter.expired
        self.info = StoreInfo(BACKEND, store_id, is_read_only, limits, {}, _FEATURES)

    # --- reading ---------------------------------------------------------------------------

    def get(self, key: str, *, at: At | None = None) -> Entry | None:
        """See ``Store.get``."""
        return self._reads.get(key, at)

    def peek(self, key: str, *, at: At | None = None) -> Entry | None:
        """See ``Store.peek``: etcd sends a value whole, and none is larger than a request."""
        return self._reads.get(key, at)

    def get_many(
        self, keys: Sequence[str], *, at: At | None = None, admit: Admit | None = None
    ) -> Snapshot:
        """See ``Store.get_many``."""
        return self._reads.get_many(keys, at, admit)

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
        at: At | None = None,
        admit: Admit | None = None,
    ) -> Page:
        """See ``Store.scan``."""
        wanted = Range.of(prefix, start, end, reverse=reverse).resumed(after, delimiter)
        mark = encode_bound(delimiter) if delimiter else None
        return self._lists.page(Wanted(wanted, limit, delimiter, mark, include_values, at, admit))

    def count(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        at: At | None = None,
    ) -> int:
        """See ``Store.count``; etcd counts the keys in its memory."""
        return self._counter.count(Range.of(prefix, start, end, reverse=False), at)

    def stats(self) -> Stats:
        """See ``Store.stats``."""
        return self._counter.stats(self._views.oldest)

    # --- the past and the future -----------------------------------------------------------

    def history(self, key: str, *, limit: int = 1_000, before: int | None = None) -> History:
        """See ``Store.history``."""
        return self._past.history(key, limit, before)

    def retention(self) -> Retention:
        """See ``Store.retention``."""
        return self._keeping.retention()

    def retain(self, retention: Retention) -> None:
        """See ``Store.retain``; etcd keeps history by time only."""
        if self.info.read_only:
            raise ReadOnly("this store is served read-only")
        self._keeping.retain(retention)

    def hold(self, revision: int) -> AbstractContextManager[None]:
        """See ``Store.hold``."""
        return self._keeping.hold(revision, is_read_only=self.info.read_only)

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
        return self._feed.changes(
            since, prefix=prefix, limit=limit, include_values=include_values, until=until
        )

    def erase(self, key: str, *, wait_s: float = 0) -> Erased:  # noqa: ARG002 # as the interface
        """See ``Store.erase``: etcd drops history by revision, not by key."""
        raise NotSupported(BACKEND, "erase")

    def wait(self, since: int, timeout_s: float) -> int:
        """See ``Store.wait``."""
        self._start_tidying()
        return self._watching.wait(since, timeout_s)

    # --- writing ---------------------------------------------------------------------------

    def commit(self, txn: Txn) -> Commit:
        """See ``Store.commit``; etcd syncs every commit on most of its nodes."""
        if self.info.read_only:
            raise ReadOnly("this store is served read-only")
        check_txn(txn, self._limits)
        self._start_tidying()
        commit = self._commits.commit(txn)
        self._watching.saw(self._commits.newest)
        return commit

    def load(self, rows: Sequence[Row]) -> None:  # noqa: ARG002 # as the interface has it
        """See ``Store.load``."""
        raise NotSupported(BACKEND, "bulk_load")

    def finish_load(self) -> None:
        """See ``Store.finish_load``."""

    def sync(self) -> None:
        """See ``Store.sync``: every commit was synced before it was acknowledged."""

    def compact(self, *, wait: bool = False) -> None:
        """See ``Store.compact``; without ``wait``, etcd frees the space in the background."""
        if self.info.read_only:
            raise ReadOnly("this store is served read-only")
        self._keeping.compact(wait=wait)

    # --- operating -------------------------------------------------------------------------

    @property
    def backups(self) -> Backups:
        """See ``Store.backups``: etcd has snapshots of its own."""
        raise NotSupported(BACKEND, "backup")

    def gauges(self) -> Mapping[str, Gauge]:
        """See ``Store.gauges``."""
        status = self._client.status()
        return {
            "etcd_db_bytes": Gauge(status.dbSize, "Size of etcd's database, which has a quota."),
            "etcd_db_used_bytes": Gauge(
                status.dbSizeInUse, "Bytes in use in etcd's database; the rest needs a defragment."
            ),
            "etcd_raft_term": Gauge(status.raftTerm, "Elections of a leader so far, about."),
        }

    def health(self) -> Health:
        """See ``Store.health``."""
        try:
            self._client.range(self._views.slots(0), patience_s=_PROBE_S)
            status = self._client.status()
        except StoreError as ex:
            return Health([str(ex)], clock_ahead_s=self._views.clock.ahead_s())
        errors = [f"etcd reports: {error}" for error in status.errors]
        return Health(errors, clock_ahead_s=self._views.clock.ahead_s())

    def close(self) -> None:
        """See ``Store.close``."""
        self._watching.close()
        if self._tidier is not None:
            self._tidier.close()
        self._client.close()

    def _retain_as(self, settings: StoreSettings) -> None:
        """Set the retention that the settings name, if they name any."""
        present = self._keeping.retention()
        wanted = settings.retention(present)
        if wanted != present and not settings.is_read_only:
            self._keeping.retain(wanted)

    def _start_tidying(self) -> None:
        if self._tidier is not None:
            self._tidier.start()


def open_etcd_store(address: StoreAddress, settings: StoreSettings) -> EtcdStore:
    """Open the store at an address of etcd's.

    Raises:
        InvalidAddress, Unavailable: see ``EtcdStore``.
    """
    return EtcdStore(EtcdPlace.of(address), settings)


def _limits(wanted: Limits) -> Limits:
    """Return limits that etcd, as it is delivered, can keep."""
    return dataclasses.replace(
        wanted,
        value_bytes_max=min(wanted.value_bytes_max, TXN_BYTES_MAX),
        txn_bytes_max=min(wanted.txn_bytes_max, TXN_BYTES_MAX),
        txn_ops_max=min(wanted.txn_ops_max, TXN_OPS_MAX),
    )
