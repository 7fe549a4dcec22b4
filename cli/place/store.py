"""A ``Target`` over a store that is opened in this process."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import rundlet
import rundlet_server.storage.interface as engine
from rundlet import Commit, Condition, Op, OpResult, PreconditionFailed, Value, Written
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.lists import StoreLists, value_of
from rundlet_server.cli.place.options import has_store
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

# Accept any key in a text file: the server decides which keys it allows.
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
"""Maximum bytes of a page of the feed; a copy has several pages in memory."""
_ANY_SIZE = Limits(key_bytes_max=KEY_BYTES_LIMIT, value_bytes_max=VALUE_BYTES_LIMIT)


class Created(NamedTuple):
    """A store that a command has created, and whether it has created the folder, too."""

    folder: Path
    is_folder_new: bool

    def remove_unused(self) -> None:
        """Remove the store if nothing is stored in it, and report that.

        Raises:
            StoreError, OSError: another process uses the store, or it cannot be removed.
        """
        from rundlet_server.storage.care import remove_unused  # noqa: PLC0415 - rarely needed

        if not remove_unused(RealFiles(), self.folder):
            return
        if self.is_folder_new:
            self.folder.rmdir()
        sys.stderr.write("Nothing is stored; removed it again.\n")


class StoreTarget(StoreLists):
    """A ``Target`` over a ``Store``, which it owns and closes.

    Attributes:
        store: the store of the engine.
        address: the address of the store.
        created: the store that this command created; ``None`` if it existed.
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
        """Return a value of a key, current or earlier."""
        place = self.at_of(revision, at)
        if version is not None:
            require_feature(self.store.info, "history")
            found = self.store.get_version(key, version)
            if found is None:
                return None
            return value_of(found if isinstance(found, engine.Entry) else whole_entry(found))
        entry = self.store.get(key, at=place)
        return None if entry is None else value_of(entry)

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
        return [None if entry is None else value_of(entry) for entry in entries]

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

    def watch(
        self, prefix: str = "", *, since: int | None = None, values: bool = False
    ) -> StoreWatch:
        """Return an iterator over all changes from now on, or from after a revision."""
        return StoreWatch(self.store, prefix, since, include_values=values)

    def url_of(self, key: str, *, is_prefix: bool = False) -> str:
        """Refuse: a store that no server serves has no URLs."""
        what = "prefix" if is_prefix else "key"
        message = f"--urls needs a server; the {what} {key!r} of an opened store has no URL"
        raise CommandError(message, ExitCode.USAGE)

    def info(self) -> dict[str, object]:
        """Return a description of the store, with its limits."""
        return asdict(self.store.info) | {"clock_ahead_s": self.store.health().clock_ahead_s}

    def stats(self) -> dict[str, object]:
        """Return the same counts by name as a server, except for operations."""
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
            with suppress(StoreError, OSError):  # other processes use it, or it cannot be removed
                self.created.remove_unused()


def whole_entry(found: LargeValue) -> engine.Entry:
    """Return a large value with its bytes, verified."""
    found.pieces.verify()
    data = bytearray()
    while len(data) < found.size:
        data += found.pieces.read(len(data), found.size - len(data))
    about = (found.revision, found.version, found.time_us, found.content_type, found.expires_us)
    return engine.Entry(found.key, bytes(data), *about, found.metadata)


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
    """Return the options for opening a store; reads accept keys and values of any size.

    The exception is a text file: its index depends on the limits, and servers share it.
    """
    options = _OPTIONS[purpose]
    limits = options.settings.limits
    if purpose in _OF_ANY_SIZE and address.folder is not None:
        limits = _ANY_SIZE
    if purpose in _COPYING and address.scheme != "file":
        limits = replace(limits, answer_bytes_max=_COPIED_BYTES_MAX)
    return replace(options, settings=replace(options.settings, limits=limits))
