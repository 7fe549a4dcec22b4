"""Decide what a transaction writes, from the values that its keys have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from rundlet_server.storage.errors import (
    Compacted,
    FailedCondition,
    InvalidOperation,
    InvalidRequest,
    LimitExceeded,
)
from rundlet_server.storage.etcd.layout import Envelope
from rundlet_server.storage.interface import (
    TEXT_CONTENT_TYPE,
    Add,
    Condition,
    Delete,
    Entry,
    Limits,
    Op,
    Put,
    Restore,
    Touch,
)
from rundlet_server.storage.outcomes.results import OpResult
from rundlet_server.storage.requests import added, failed_conditions
from rundlet_server.storage.timeline import EventKind


class Holding(NamedTuple):
    """What a key holds: etcd's revision and version of it, and its value, expired or not."""

    revision: int
    version: int
    envelope: Envelope


class Sources(Protocol):
    """Where restored values come from."""

    def get_version(self, key: str, version: int) -> Entry | None:
        """See ``Store.get_version``."""

    def get_at(self, key: str, revision: int) -> Entry | None:
        """Return the value of a key at a revision; see ``Store.get``."""


class Change(NamedTuple):
    """One write: of a value, or its end if there is no ``envelope``."""

    key: bytes
    before: Holding | None
    envelope: Envelope | None
    end: EventKind = "delete"


class Plan:
    """Decides one transaction at one time.

    Attributes:
        changes: the writes, in order.
        results: of the operations, in order.
    """

    def __init__(
        self,
        holdings: Mapping[bytes, Holding],
        time_us: int,
        *,
        base: int,
        limits: Limits,
        sources: Sources,
    ) -> None:
        """Begin.

        Args:
            holdings: what the keys of the transaction hold, expired values among them.
            time_us: of the commit.
            base: etcd's revision of revision 0.
            limits: of the store.
            sources: of restored values.
        """
        self._holdings = holdings
        self._time_us = time_us
        self._base = base
        self._limits = limits
        self._sources = sources
        self._copied_bytes = 0
        self.changes: list[Change] = []
        self.results: list[OpResult] = []

    def failed(self, conditions: Sequence[Condition]) -> tuple[FailedCondition, ...]:
        """Return the conditions that do not hold."""
        return failed_conditions(conditions, self._state)

    def expired(self, ops: Sequence[Op]) -> list[Change]:
        """Return the expiries of values that the operations find expired; they come first."""
        found = []
        for op in ops:
            key = op.key.encode()
            holding = self._holdings.get(key)
            if holding is not None and holding.envelope.is_lapsed(self._time_us):
                found.append(Change(key, holding, None, "expire"))
        return found

    def add(self, ops: Sequence[Op]) -> None:
        """Do the operations.

        Raises:
            InvalidOperation: one of them cannot be done.
            LimitExceeded: values that are written once more are too large together.
        """
        for index, op in enumerate(ops):
            self._do(index, op)

    def _do(self, index: int, op: Op) -> None:
        key = op.key.encode()
        before = self._live(key)
        number: int | None = None
        match op:
            case Put():
                after = self._value(op.value, op.content_type, op.ttl_s, op.expires_us)
                after = after._replace(metadata=op.metadata)
            case Delete():
                if before is not None:
                    self.changes.append(Change(key, before, None))
                self.results.append(OpResult(before is not None, 0))
                return
            case Add():
                number, after = self._added(index, op, before)
            case Touch():
                if before is None:
                    raise InvalidOperation(index, f"there is no key {op.key!r}")
                after = self._copied(before.envelope, op.ttl_s)
            case Restore():
                source = self._source(index, op)
                after = self._copied(source, op.ttl_s)._replace(kind="restore")
        self.changes.append(Change(key, before, after))
        version = before.version + 1 if before else 1
        self.results.append(OpResult(before is not None, version, number))

    def _live(self, key: bytes) -> Holding | None:
        holding = self._holdings.get(key)
        if holding is None or holding.envelope.is_lapsed(self._time_us):
            return None
        return holding

    def _state(self, key: bytes) -> tuple[int, int]:
        holding = self._live(key)
        return (holding.revision - self._base, holding.version) if holding else (0, 0)

    def _value(
        self,
        value: bytes,
        content_type: str,
        ttl_s: float | None = None,
        expires_us: int | None = None,
    ) -> Envelope:
        if ttl_s is not None:
            expires_us = self._time_us + max(1, round(ttl_s * 1_000_000))
        return Envelope("put", self._time_us, expires_us, content_type, value)

    def _added(self, index: int, op: Add, before: Holding | None) -> tuple[int, Envelope]:
        if before is None:
            return op.by, self._value(b"%d" % op.by, TEXT_CONTENT_TYPE)
        old = before.envelope
        number = added(index, op, old.value)
        after = self._value(b"%d" % number, old.content_type, expires_us=old.expires_us)
        return number, after._replace(metadata=old.metadata)

    def _source(self, index: int, op: Restore) -> Entry:
        try:
            if op.version is not None:
                found = self._sources.get_version(op.key, op.version)
            else:
                found = self._sources.get_at(op.key, op.revision or 0)
        except (Compacted, InvalidRequest) as ex:
            raise InvalidOperation(index, f"{op.key!r} cannot be restored: {ex}") from ex
        if found is None:
            raise InvalidOperation(index, f"{op.key!r} cannot be restored: it had no such value")
        return found

    def _copied(self, source: Envelope | Entry, ttl_s: float | None) -> Envelope:
        """Return a value that is written once more.

        The limit is needed because small requests can name many large values.
        """
        size = len(source.value)
        limit = self._limits.txn_bytes_max
        if self._copied_bytes and self._copied_bytes + size > limit:
            raise LimitExceeded("txn_bytes_max", limit, self._copied_bytes + size)
        self._copied_bytes += size
        after = self._value(source.value, source.content_type, ttl_s)
        return after._replace(metadata=source.metadata)
