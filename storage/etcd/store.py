"""The etcd store: a name in an etcd cluster behind the ``Store`` interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, NoReturn

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.backups import Backups
from rundlet_server.storage.errors import NotSupported, ReadOnly, StoreError
from rundlet_server.storage.etcd.cluster.client import EtcdClient
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.commits import Commits
from rundlet_server.storage.etcd.counts import Counter
from rundlet_server.storage.etcd.erasing import Eraser
from rundlet_server.storage.etcd.feed import Feed
from rundlet_server.storage.etcd.identity import identify
from rundlet_server.storage.etcd.layout import Layout
from rundlet_server.storage.etcd.lists import Lists, Wanted
from rundlet_server.storage.etcd.loading import Loader
from rundlet_server.storage.etcd.past import Past
from rundlet_server.storage.etcd.reads import Reads
from rundlet_server.storage.etcd.retention import Keeping
from rundlet_server.storage.etcd.tidying import Tidier, Tidying
from rundlet_server.storage.etcd.views import Views
from rundlet_server.storage.etcd.watching import Watching
from rundlet_server.storage.interface import (
    Entry,
    Feature,
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
from rundlet_server.storage.requests import check_txn, encode_key, within
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import At, Changes, Erased, History, Moment, Retention

BACKEND: Final = "etcd"
_FEATURES: Final = frozenset[Feature](
    {"history", "retention", "changes", "erase", "bulk_load", "compaction"}
)
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
            tidy_s: seconds between passes that end expired values in the background; ``None``:
                never.

        Raises:
            InvalidAddress: there is no store, and a read-only one is not made; a TLS file cannot be
                read.
            Unavailable: no node answers.
        """
        self._client = EtcdClient(place)
        layout = Layout(place.name)
        is_read_only = settings.is_read_only
        try:
            store_id, base = identify(self._client, layout, create=not is_read_only)
            self._views = Views(self._client, layout, base, settings.clock)
            limits = within(BACKEND, settings.limits)
            self._limits = limits
            self._reads = Reads(self._views, limits)
            self._lists = Lists(self._views, limits)
            self._counter = Counter(self._views)
            self._past = Past(self._views, self._reads, limits)
            self._commits = Commits(self._views, self._reads, limits, self._past)
            self._loader = Loader(self._views, self._commits, limits)
            self._watching = Watching(self._views)
            self._feed = Feed(self._views, limits, self._watching)
            self._keeping = Keeping(self._views, self._past)
            self._eraser = Eraser(self._views, self._commits, self._past, self._keeping)
            self._retain_as(settings)
        except BaseException:
            self._client.close()
            raise
        tidying = Tidying(self._views, self._commits, self._counter, self._keeping)
        self._tidier = None if tidy_s is None or is_read_only else Tidier(tidying, tidy_s)
        self.info = StoreInfo(
            BACKEND, store_id, is_read_only, limits, features=_FEATURES, is_remote=True
        )

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
        self._client.require_own()
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
        include_metadata: bool = False,
        at: At | None = None,
        admit: Admit | None = None,
    ) -> Page:
        """See ``Store.scan``."""
        self._client.require_own()
        wanted = Range.of(prefix, start, end, reverse=reverse).resumed(after, delimiter)
        mark = encode_bound(delimiter) if delimiter else None
        shown = (include_values, include_metadata)
        return self._lists.page(Wanted(wanted, limit, delimiter, mark, *shown, at, admit))

    def count(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        at: At | None = None,
    ) -> int:
        """See ``Store.count``; etcd counts the keys in its memory."""
        self._client.require_own()
        return self._counter.count(Range.of(prefix, start, end, reverse=False), at)

    def get_version(self, key: str, version: int) -> Entry | None:
        """See ``Store.get_version``."""
        self._client.require_own()
        return self._past.get_version(key, version)

    def stats(self) -> Stats:
        """See ``Store.stats``."""
        self._client.require_own()
        return self._counter.stats(self._views.oldest)

    # --- the past and the future -----------------------------------------------------------

    def moment(self, time_us: int) -> Moment:
        """See ``Store.moment``."""
        self._client.require_own()
        return self._past.moment(time_us)

    def expired(self, after_us: int, at: Moment) -> list[str]:
        """See ``Store.expired``."""
        self._client.require_own()
        return self._counter.expired(after_us, at)

    def history(self, key: str, *, limit: int = 1_000, before: int | None = None) -> History:
        """See ``Store.history``."""
        self._client.require_own()
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
        self._client.require_own()
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
        self._client.require_own()
        return self._feed.changes(
            since, prefix=prefix, limit=limit, include_values=include_values, until=until
        )

    def erase(self, key: str, *, wait_s: float = 0) -> Erased:
        """See ``Store.erase``; the bytes go with the history, when etcd compacts."""
        self._client.require_own()
        if self.info.read_only:
            raise ReadOnly("this store is served read-only")
        self._start_tidying()
        erased = self._eraser.erase(encode_key(key, self._limits), wait_s)
        self._watching.saw(self._commits.newest)
        return erased

    def wait(self, since: int, timeout_s: float) -> int:
        """See ``Store.wait``."""
        self._client.require_own()
        self._start_tidying()
        return self._watching.wait(since, timeout_s)

    # --- writing ---------------------------------------------------------------------------

    def commit(self, txn: Txn) -> Commit:
        """See ``Store.commit``; etcd syncs every commit on most of its nodes."""
        self._client.require_own()
        if self.info.read_only:
            raise ReadOnly("this store is served read-only")
        check_txn(txn, self._limits)
        self._start_tidying()
        commit = self._commits.commit(txn)
        self._watching.saw(self._commits.newest)
        return commit

    def load(self, rows: Sequence[Row]) -> None:
        """See ``Store.load``; if it fails, more than the first rows may be stored."""
        self._client.require_own()
        if self.info.read_only:
            raise ReadOnly("this store is served read-only")
        self._start_tidying()
        self._loader.load(rows)
        self._watching.saw(self._commits.newest)

    def finish_load(self) -> None:
        """See ``Store.finish_load``."""

    def sync(self) -> None:
        """See ``Store.sync``: every commit was synced before it was acknowledged."""

    def compact(self, *, wait: bool = False) -> None:
        """See ``Store.compact``; without ``wait``, etcd frees the space in the background."""
        self._client.require_own()
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
        """See ``Store.close``; in a forked child the store is the parent's, and stays open."""
        if self._client.is_inherited:
            return
        self._watching.close()
        if self._tidier is not None:
            self._tidier.close()
        self._client.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        message = "an open store cannot be sent to a process; send its address, and open it there"
        raise TypeError(message)

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
