"""Follow the changes of a store opened in this process."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import rundlet
import rundlet_server.storage.interface as engine
from rundlet_server.storage import timeline
from rundlet_server.storage.requests import require_feature

_PAGE_EVENTS: Final = 1_000
_WAIT_S: Final = 1.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class StoreWatch:
    """Does as ``rundlet.Watch`` does."""

    def __init__(
        self, store: engine.Store, prefix: str, since: int | None, *, include_values: bool
    ) -> None:
        """Begin after ``since``, by default after the head.

        Raises:
            NotSupported: the store has no feed.
            Compacted, InvalidRequest: ``since`` is no longer kept, or is beyond the head.
        """
        require_feature(store.info, "changes")
        self._store = store
        self._prefix = prefix
        self._include_values = include_values
        self._since = store.get_many(()).revision if since is None else since
        self._ready: deque[timeline.Event] = deque()
        self._is_closed = threading.Event()
        self._position = self._since
        store.changes(self._since, limit=1)

    @property
    def position(self) -> int:
        """The revision up to which all events were returned."""
        return self._position

    def close(self) -> None:
        """End the iteration within a second."""
        self._is_closed.set()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> rundlet.Event:
        """Wait for the next event."""
        while not self._ready and not self._is_closed.is_set():
            page = self._store.changes(
                self._since,
                prefix=self._prefix,
                limit=_PAGE_EVENTS,
                include_values=self._include_values,
            )
            self._ready.extend(page.events)
            self._since = page.next_since
            if not self._ready:
                self._position = self._since
                self._store.wait(self._since, _WAIT_S)
        if self._is_closed.is_set():
            raise StopIteration
        event = self._ready.popleft()
        if event.is_last:
            self._position = event.revision
        return _shown(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _shown(event: timeline.Event) -> rundlet.Event:
    expires_us = event.expires_us
    return rundlet.Event(
        key=event.key,
        op=event.kind,
        revision=event.revision,
        version=event.version,
        size=event.size,
        content_type=event.content_type,
        time=_EPOCH + timedelta(microseconds=event.time_us),
        expires=None if expires_us is None else _EPOCH + timedelta(microseconds=expires_us),
        is_last=event.is_last,
        data=event.value,
        is_value_omitted=event.is_value_omitted,
        meta=dict(event.metadata),
    )
