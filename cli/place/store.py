"""A ``Target`` over a store that is opened in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import rundlet
import rundlet_server.storage.interface as engine
from rundlet import Commit, Condition, KeyInfo, Op, OpResult, PreconditionFailed, Value, Written
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.options import has_store
from rundlet_server.cli.place.past import StorePast, moment_of_us
from rundlet_server.cli.place.target import Purpose
from rundlet_server.cli.place.watching import StoreWatch
from rundlet_server.cli.show.terminal import escaped
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.bounds import KEY_BYTES_LIMIT, VALUE_BYTES_LIMIT
from rundlet_server.storage.errors import Conflict, StoreError
from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.large_values import LargeValue
from rundlet_server.storage.memory.collector import relax_collector
from rundlet_server.storage.metadata import metadata_of
from rundlet_server.storage.opening import StoreOptions, open_store
from rundlet_server.storage.requests import require_feature, restores
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Moment

_PAGE_KEYS = 1_000
_BATCH_BYTES_MAX = 8 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# A text file is read as it is: the server decides which keys it allows in it.
_OPTIONS = {
    Purpose.READ: StoreOptions(StoreSettings(is_read_only=True), any_key=True),
    Purpose.WRITE: StoreOptions(StoreSettings(), any_key=True),
    Purpose.COMPACT: StoreOptions(StoreSettings(), any_key=True),
}
for _purpose in (Purpose.CHANGE, Purpose.COPY_FROM, Purpose.COPY_TO):
    _OPTIONS[_purpose] = _OPTIONS[Purpose.WRITE]
_CREATING = (Purpose.WRITE, Purpose.COPY_TO)
_COPYING = (Purpose.COPY_FROM, Purpose.COPY_TO)
_OF_ANY_SIZE = (Purpose.READ, *_COPYING)
_COPIED_BYTES_MAX = 8 * 1024 * 1024
"""Of a page of the feed; a copy has several in memory."""
_ANY_SIZE = Limits(key_bytes_max=KEY_BYTES_LIMIT, value_bytes_max=VALUE_BYTES_LIMIT)


class Created(NamedTuple):
    """A store that a command has created, and whether its folder is new, too."""

    folder: Path
    is_folder_new: bool

    def remove_unused(self) -> None:
        """Remove the store, and say so, if nothing is stored in it.

        Raises:
            StoreError, OSError: another process uses it, or it cannot be removed.
        """
        from rundlet_server.storage.care import remove_unused  # noqa: PLC0415 - rarely needed

        if not remove_unused(RealFiles(), self.folder):
            return
        if self.is_folder_new:
            self.folder.rmdir()
        sys.stderr.write("Nothing is stored; removed it again.\n")


class StoreTarget(StorePast):
    """Speaks the client's records, does the work on a ``Store``, which it owns.

    Attributes:
        store: the same in the engine's own words.
        address: where the store is.
        created: what this command has created; ``None`` if the store was there.
    """

    def __init__(self, store: engine.Store, address: StoreAddress) -> None:
        super().__init__(store)
        self.address = address
        self.created: Created | None = None

    def get(
        self,
        key: str,
        *,
        revision: int | None = None,
        at: datetime | str | None = None,
        version: int | None = None,
    ) -> Value | None:
        """Return the value of a key, now or as it was."""
        place = self.at_of(revision, at)
        if version is not None:
            require_feature(self.store.info, "history")
            found = self.store.get_version(key, version)
            if found is None:
                return None
            return _value(found if isinstance(found, engine.Entry) else whole_entry(found))
        entry = self.store.get(key, at=place)
        return None if entry is None else _value(entry)

    def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        meta: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_revision: int | None = None,
    ) -> Written:
        """Store a value; raise ``PreconditionFailed`` if the key does not meet the condition."""
        given_type = content_type or rundlet.DEFAULT_CONTENT_TYPE
        put = rundlet.Put(key, value, given_type, ttl, meta or {})
        conditions = []
        if if_absent:
            conditions.append(Condition(key, exists=False))
        if if_revision is not None:
            conditions.append(Condition(key, revision=if_revision))
        try:
            commit = self.txn([put], conditions=conditions)
        except Conflict as ex:
            current = ex.failed[0].revision
            state = f"is at revision {current}" if current else "has no value"
            message = f"the condition does not hold: {key!r} {state}; nothing was changed"
            raise PreconditionFailed(message, revision=current) from ex
        return Written(commit.revision, commit.results[0].version or 0)

    def incr(self, key: str, by: int = 1) -> int:
        """Add to a number, and return the sum."""
        return self.txn([rundlet.Add(key, by)]).results[0].number or 0

    def mget(
        self, keys: Sequence[str], *, revision: int | None = None, at: datetime | str | None = None
    ) -> list[Value | None]:
        """Return the values of many keys, from one snapshot."""
        entries = self.store.get_many(keys, at=self.at_of(revision, at)).entries
        return [None if entry is None else _value(entry) for entry in entries]

    def txn(
        self,
        then: Sequence[Op],
        *,
        conditions: Sequence[Condition] = (),
        otherwise: Sequence[Op] | None = None,
    ) -> Commit:
        """Do many writes, all or none."""
        wanted = engine.Txn(
            then=[_engine_op(op) for op in then],
            conditions=[_engine_condition(condition) for condition in conditions],
            otherwise=None if otherwise is None else [_engine_op(op) for op in otherwise],
        )
        if restores(wanted):
            require_feature(self.store.info, "history")
        commit = self.store.commit(wanted)
        results = tuple(OpResult(r.found, r.version, r.number) for r in commit.results)
        return Commit(commit.succeeded, commit.revision, results)

    def scan(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
        delimiter: str | None = None,
        values: bool = False,
        meta: bool = False,
        revision: int | None = None,
        at: datetime | str | None = None,
    ) -> Iterator[KeyInfo]:
        """Yield keys in order, from one snapshot."""
        left = limit
        after: str | None = None
        moment = self.at_of(revision, at)
        while left != 0:
            page = self.store.scan(
                prefix=prefix,
                start=start,
                end=end,
                reverse=reverse,
                delimiter=delimiter,
                after=after,
                include_metadata=meta,
                at=moment,
                limit=_PAGE_KEYS if left is None else min(left, _PAGE_KEYS),
            )
            infos = _infos(page, reverse=reverse)
            yield from self._with_values(infos, page.moment) if values else infos
            left = None if left is None else left - len(infos)
            after, moment = page.resume, page.moment
            if after is None:
                return

    def watch(self, prefix: str = "", *, since: int | None = None) -> StoreWatch:
        """Return an iterator over all changes from now on, or from after a revision."""
        return StoreWatch(self.store, prefix, since)

    def url_of(self, key: str, *, is_prefix: bool = False) -> str:
        """Refuse: a store that no server serves has no URLs."""
        what = "prefix" if is_prefix else "key"
        message = f"--urls needs a server; the {what} {key!r} of an opened store has no URL"
        raise CommandError(message, ExitCode.USAGE)

    def info(self) -> dict[str, object]:
        """Return what the store is, with its limits."""
        return asdict(self.store.info) | {"clock_ahead_s": self.store.health().clock_ahead_s}

    def stats(self) -> dict[str, object]:
        """Return counts by name, as a server does without the operations, which only it counts."""
        stats = self.store.stats()
        return {
            "revision": stats.revision,
            "oldest_revision": stats.oldest_revision,
            "keys": stats.key_count,
            "value_bytes": stats.value_bytes,
            "store": {name: gauge.value for name, gauge in self.store.gauges().items()},
        }

    def compact(self) -> None:
        """Compact in this process, as no server may be running to do it."""
        require_feature(self.store.info, "compaction")
        self.store.compact(wait=True)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def abandon(self) -> None:
        """Close the store after a failure; remove it if it is new and nothing is stored in it."""
        self.close()
        if self.created is not None:
            with suppress(StoreError, OSError):  # others use it, or it cannot be removed: it stays
                self.created.remove_unused()

    def _with_values(self, infos: list[KeyInfo], moment: Moment) -> Iterator[KeyInfo]:
        for batch in _batches(infos):
            snapshot = self.store.get_many([info.key for info in batch], at=moment)
            # A prefix that was rolled up has no value.
            yield from (_info(entry) for entry in snapshot.entries if entry is not None)


def whole_entry(found: LargeValue) -> engine.Entry:
    """Return a large value with its bytes, verified."""
    found.pieces.verify()
    data = bytearray()
    while len(data) < found.size:
        data += found.pieces.read(len(data), found.size - len(data))
    about = (found.revision, found.version, found.time_us, found.content_type, found.expires_us)
    return engine.Entry(found.key, bytes(data), *about, found.metadata)


def _value(entry: engine.Entry) -> Value:
    expires_us = entry.expires_us
    return Value(
        key=entry.key,
        data=entry.value,
        revision=entry.revision,
        version=entry.version,
        content_type=entry.content_type,
        expires=None if expires_us is None else _EPOCH + timedelta(microseconds=expires_us),
        modified=_EPOCH + timedelta(microseconds=entry.time_us),
        meta=dict(entry.metadata),
    )


def _info(entry: engine.Entry) -> KeyInfo:
    return KeyInfo(
        key=entry.key,
        revision=entry.revision,
        version=entry.version,
        size=len(entry.value),
        content_type=entry.content_type,
        value=_value(entry),
        meta=dict(entry.metadata),
    )


def _infos(page: engine.Page, *, reverse: bool) -> list[KeyInfo]:
    infos = [
        KeyInfo(
            *(k.key, k.revision, k.version, k.size, k.content_type),
            time=moment_of_us(k.time_us),
            expires=None if k.expires_us is None else moment_of_us(k.expires_us),
            meta=dict(k.metadata),
        )
        for k in page.keys
    ]
    prefixes = [KeyInfo(prefix, is_prefix=True) for prefix in page.prefixes]
    if not prefixes:
        return infos
    return sorted(infos + prefixes, key=lambda info: info.key.encode(), reverse=reverse)


def _batches(infos: list[KeyInfo]) -> Iterator[list[KeyInfo]]:
    """Yield runs of keys whose values fit into memory together."""
    batch: list[KeyInfo] = []
    size = 0
    for info in infos:
        if batch and size + info.size > _BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
        batch.append(info)
        size += info.size
    if batch:
        yield batch


def _engine_op(op: Op) -> engine.Op:
    match op:
        case rundlet.Put(key, value, content_type, ttl, meta):
            return engine.Put(key, value, content_type, ttl, metadata=metadata_of(meta))
        case rundlet.Delete(key):
            return engine.Delete(key)
        case rundlet.Add(key, by):
            return engine.Add(key, by)
        case rundlet.Touch(key, ttl):
            return engine.Touch(key, ttl)
        case rundlet.Restore(key, version, revision, ttl):
            return engine.Restore(key, version, revision, ttl)


def _engine_condition(condition: Condition) -> engine.Condition:
    revision = condition.revision
    return engine.Condition(
        condition.key,
        exists=condition.exists,
        version=condition.version,
        revisions=None if revision is None else (revision,),
    )


def open_store_target(address: StoreAddress, purpose: Purpose) -> StoreTarget:
    """Open the store at an address; only a command that writes may create one in a folder.

    Raises:
        CommandError: there is no store in the folder, and it must not be created.
        MissingBackend, InvalidAddress: see ``open_store``.
    """
    is_new = address.folder is not None and not has_store(address.folder)
    is_folder_new = address.folder is not None and not address.folder.exists()
    if is_new and purpose not in _CREATING:
        message = f"no such store: there is none in {address.shown}; check --data"
        raise CommandError(message)
    relax_collector()
    target = StoreTarget(open_store(address, _options(address, purpose)), address)
    if is_new and address.folder is not None:
        sys.stderr.write(f"Created a new store in {escaped(str(address.folder.absolute()))}.\n")
        target.created = Created(address.folder, is_folder_new)
    return target


def _options(address: StoreAddress, purpose: Purpose) -> StoreOptions:
    """Return how to open a store; what a server has stored is read whatever its limits were.

    Not so for a text file: its index depends on the limits, and is shared with servers.
    """
    options = _OPTIONS[purpose]
    limits = options.settings.limits
    if purpose in _OF_ANY_SIZE and address.folder is not None:
        limits = _ANY_SIZE
    if purpose in _COPYING and address.scheme != "file":
        limits = replace(limits, answer_bytes_max=_COPIED_BYTES_MAX)
    return replace(options, settings=replace(options.settings, limits=limits))
