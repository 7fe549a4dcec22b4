"""A server, as one side of a copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from typing import Final

import rundlet
from rundlet import Client, RundletError, Value
from rundlet_server.cli.copy.sides import Change, Commit, Facts, Item, News, older_of
from rundlet_server.storage.bounds import CLOCK_AHEAD_S_MAX
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.metadata import metadata_of

_PAGE_KEYS: Final = 1_000
_PAGE_EVENTS: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NOT_SUPPORTED: Final = "not-supported"


class ServerSide:
    """See ``Side``."""

    def __init__(self, client: Client) -> None:
        """Read the facts about the server.

        Raises:
            RundletError: the server does not answer.
        """
        self._client = client
        info = client.info()
        ahead_s = info.get("clock_ahead_s")
        is_ahead = isinstance(ahead_s, int | float) and ahead_s > CLOCK_AHEAD_S_MAX
        self._ahead = timedelta(seconds=float(str(ahead_s))) if is_ahead else timedelta(0)
        self.facts = Facts(
            client.url,
            str(info.get("store_id")),
            _limits(info.get("limits")),
            keeps_history=self._keeps_history(),
            is_read_only=info.get("read_only") is True,
        )

    def head(self) -> int:
        """See ``Side.head``."""
        return _number(self._client.info(), "revision")

    def oldest(self) -> int:
        """See ``Side.oldest``."""
        return _number(self._client.stats(), "oldest_revision")

    def key_count(self) -> int:
        """See ``Side.key_count``."""
        return self._client.count()

    def hold(self, revision: int) -> AbstractContextManager[None]:  # noqa: ARG002 # as ``Side`` has it
        """See ``Side.hold``; does nothing, because a server keeps history by its retention."""
        return nullcontext()

    def pages(self, after: str, revision: int | None) -> Iterator[list[Item]]:
        """See ``Side.pages``."""
        infos = self._client.scan(
            start=after + "\0" if after else None,
            values=True,
            meta=True,
            revision=revision if self.facts.keeps_history else None,
        )
        while page := list(islice(infos, _PAGE_KEYS)):
            yield [self._item(info.value) for info in page if info.value is not None]

    def older(self, item: Item) -> list[Item]:
        """See ``Side.older``."""
        return older_of(item, ((v.revision, v.version) for v in self._client.history(item.key)))

    def value_of(self, item: Item) -> Item | None:
        """See ``Side.value_of``."""
        try:
            found = self._client.get(item.key, version=item.version)
        except rundlet.Compacted:
            return None
        if found is None or found.revision != item.revision:
            return None
        return self._item(found)

    def changes(self, since: int) -> News:
        """See ``Side.changes``."""
        page = self._client.changes(since, limit=_PAGE_EVENTS, values=True)
        commits = []
        for revision, group in groupby(page.events, key=lambda event: event.revision):
            events = list(group)
            found = [each for each in map(self._change, events) if each]
            commits.append(Commit(revision, (events[0].time - _EPOCH) // _MICROSECOND, found))
        return News(commits, page.next_since)

    def wait(self, since: int, timeout_s: float) -> None:
        """See ``Side.wait``."""
        self._client.changes(since, limit=1, wait_s=timeout_s)

    def put_all(self, items: Sequence[Item]) -> None:
        """See ``Side.put_all``; the server corrects expiry if its store's time is ahead."""
        self._client.import_(_value(item) for item in items)

    def apply(self, changes: Sequence[Change]) -> None:
        """See ``Side.apply``; values that expire are stored after the others.

        A transaction of the API accepts only a time to live, an import the exact time of expiry.
        """
        now = datetime.now(UTC)
        ops: list[rundlet.Op] = []
        expiring: list[Item] = []
        for change in changes:
            item = change.item
            if item is None or (item.expires_us is not None and _time(item.expires_us) <= now):
                ops.append(rundlet.Delete(change.key))
            elif item.expires_us is None:
                meta = dict(item.metadata)
                ops.append(rundlet.Put(item.key, item.value, item.content_type, meta=meta))
            else:
                expiring.append(item)
        if ops:
            self._client.txn(ops)
        if expiring:
            self.put_all(expiring)
        for change in changes:
            if change.is_erased:
                self._erase(change.key)

    def finish(self) -> None:
        """See ``Side.finish``; the server does it by itself."""

    def retention(self) -> tuple[int, float]:
        """See ``Side.retention``."""
        kept = self._client.retention()
        return kept.keep_versions, kept.keep_for_s

    def retain(self, keep_versions: int, keep_for_s: float) -> None:
        """See ``Side.retain``."""
        try:
            self._client.retention(keep_versions=keep_versions, keep_for_s=keep_for_s)
        except rundlet.BadRequest:  # etcd keeps history by time only
            self._client.retention(keep_for_s=keep_for_s)

    def _keeps_history(self) -> bool:
        try:
            self._client.changes(self.head(), limit=1)
        except RundletError as ex:
            if ex.problem != _NOT_SUPPORTED:
                raise
            return False
        return True

    def _erase(self, key: str) -> None:
        try:
            self._client.erase(key)
        except RundletError as ex:
            if ex.problem != _NOT_SUPPORTED:
                raise

    def _item(self, value: Value) -> Item:
        expires_us = self._expires_us(value.expires)
        about = (value.content_type, expires_us, value.version, value.revision)
        return Item(value.key, value.data, *about, metadata_of(value.meta))

    def _expires_us(self, expires: datetime | None) -> int | None:
        return None if expires is None else (expires - self._ahead - _EPOCH) // _MICROSECOND

    def _change(self, event: rundlet.Event) -> Change | None:
        if event.op == "expire":
            return None
        if event.op not in ("put", "restore"):
            return Change(event.key, is_erased=event.op == "erase")
        data = event.data
        if event.is_value_omitted:
            found = self._client.get(event.key, revision=event.revision)
            data = None if found is None else found.data
        if data is None:
            return None  # erased since; a later change erases it in TO
        expires_us = self._expires_us(event.expires)
        metadata = metadata_of(event.meta)
        item = Item(event.key, data, event.content_type, expires_us, metadata=metadata)
        return Change(event.key, item)


def _value(item: Item) -> Value:
    expires = None if item.expires_us is None else _time(item.expires_us)
    meta = dict(item.metadata)
    return Value(item.key, item.value, 0, 0, item.content_type, expires, meta=meta)


def _time(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)


def _number(answer: dict[str, object], name: str) -> int:
    member = answer.get(name)
    if isinstance(member, int):
        return member
    message = f"the server does not say its {name}; is this a Rundlet server?"
    raise rundlet.ServerError(message)


def _limits(reported: object) -> Limits:
    """Return the limits that the server reports, and defaults for the others."""
    known = reported if isinstance(reported, dict) else {}
    default = Limits()

    def limit(name: str) -> int:
        member = known.get(name)
        return member if isinstance(member, int) else int(getattr(default, name))

    return Limits(
        key_bytes_max=limit("key_bytes_max"),
        value_bytes_max=limit("value_bytes_max"),
        txn_ops_max=limit("txn_ops_max"),
        txn_bytes_max=limit("txn_bytes_max"),
    )
