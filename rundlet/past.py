"""The past over HTTP: the records, and the part of the client that reads and restores it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

import cbor2
import httpx

from rundlet.answers import fields_of, next_page_query
from rundlet.errors import BadRequest
from rundlet.keys import key_bytes, key_path
from rundlet.transport import Request
from rundlet.wire import ACCEPTED_TYPES, CBOR_TYPE, Fields

Place = int | datetime | str
"""A state of the store: a revision, or a time, as text in the form of RFC 3339."""


@dataclass(frozen=True, slots=True)
class Version:
    """One line of a key's history.

    Attributes:
        version: n-th write since the key was last created; 0 if it has no value after this.
        op: ``put``, ``restore``, ``delete``, ``expire`` or ``erase``.
        time: of the commit.
        size: of the value, in bytes.
        expires: when the value expires; ``None``: never.
        meta: metadata of the value.
    """

    revision: int
    version: int
    op: str
    time: datetime
    size: int
    content_type: str = ""
    expires: datetime | None = None
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class State:
    """What a key held at one of two moments; fields as in ``Version``."""

    revision: int
    version: int
    time: datetime
    size: int
    content_type: str
    expires: datetime | None = None
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Difference:
    """A key that differs between two moments.

    Attributes:
        change: ``added``, ``changed`` or ``removed``.
        before, after: what it held then; ``None``: it had no value.
    """

    key: str
    change: str
    before: State | None
    after: State | None


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did, or would do.

    Attributes:
        revision: of its commit; of the head if it wrote nothing.
        changes: of a dry run, from now to what would be; otherwise empty.
    """

    revision: int
    restored: int
    deleted: int
    unchanged: int
    changes: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Retention:
    """Which history a store keeps.

    Attributes:
        keep_versions: so many newest versions of each key that has a value.
        keep_for_s: everything that could be seen in the last so many seconds.
    """

    keep_versions: int
    keep_for_s: float


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did.

    Attributes:
        revision: of its commit.
        versions: how many can no longer be read.
        is_pending: their bytes are still to be removed by a compaction.
    """

    revision: int
    versions: int
    is_pending: bool


class PastCalls(ABC):
    """The methods of ``Client`` about the past: history, differences, rollback, erasure."""

    def history(self, key: str, *, limit: int | None = None) -> Iterator[Version]:
        """Yield the kept versions of a key, newest first, also of one that was deleted.

        Args:
            key: which key; one that never was has no versions.
            limit: the most versions in all.
        """
        page_size = {} if limit is None or limit > 1_000 else {"limit": limit}
        path = _history_path(key)
        query: str | None = urlencode(page_size)
        left = limit
        while query is not None and left != 0:
            response = self._send_or_none(_read(f"{path}?{query}"))
            if response is None:
                return
            versions = [_version(row) for row in fields_of(response).rows("versions")][:left]
            yield from versions
            left = None if left is None else left - len(versions)
            query = next_page_query(response)

    def diff(
        self, start: Place, end: Place | None = None, *, prefix: str = ""
    ) -> Iterator[Difference]:
        """Yield the keys that differ between two revisions or times, in order.

        A value that was written again, with the same bytes, differs.

        Args:
            start: one of the two; it may be the later one.
            end: the other one; by default the newest.
            prefix: only keys that start with this.

        Raises:
            Compacted: the history that is kept no longer reaches one of them.
        """
        options = {"from": place_text(start), "prefix": prefix}
        if end is not None:
            options["to"] = place_text(end)
        query: str | None = urlencode(options)
        while query is not None:
            response = self._send(_read(f"/v1/diff?{query}"))
            yield from map(_difference, fields_of(response).rows("changes"))
            query = next_page_query(response)

    def rollback(
        self,
        to: Place,
        *,
        prefix: str | None = None,
        keys: Sequence[str] | None = None,
        dry_run: bool = False,
    ) -> RolledBack:
        """Make keys hold what they held at a revision or a time, in one transaction.

        Values that are restored do not expire. A write that comes between is never lost.

        Args:
            to: the revision or time.
            prefix: all keys that start with this; empty: all keys.
            keys: these keys, instead of a prefix.
            dry_run: write nothing; the answer has the ``changes``.

        Raises:
            Compacted: the history that is kept no longer reaches ``to``.
            Conflict: other clients kept writing the keys; nothing was changed.
            TooLarge: more keys would change than a transaction may have.
            ReadOnly: this server takes no writes.
        """
        if (prefix is None) == (keys is None):
            message = "give one of prefix and keys"
            raise BadRequest(message)
        body: dict[str, object] = {"to": to if isinstance(to, int) else place_text(to)}
        if keys is None:
            body["prefix"] = prefix
        else:
            for key in keys:
                key_bytes(key)
            body["keys"] = list(keys)
        if dry_run:
            body["dry_run"] = True
        fields = self._exchange("POST", "/v1/rollback", body, is_write=not dry_run)
        return RolledBack(
            revision=fields.number("revision"),
            restored=fields.number("restored"),
            deleted=fields.number("deleted"),
            unchanged=fields.number("unchanged"),
            changes=tuple(map(_difference, fields.rows("changes"))) if dry_run else (),
        )

    def retention(
        self, *, keep_versions: int | None = None, keep_for_s: float | None = None
    ) -> Retention:
        """Return which history the store keeps; first change what is given.

        Raises:
            BadRequest: no store keeps so little or so much.
            Forbidden: the token has no scope ``admin``.
        """
        path = "/v1/admin/retention"
        now = _retention(fields_of(self._send(_read(path))))
        if keep_versions is None and keep_for_s is None:
            return now
        wanted = {
            "keep_versions": now.keep_versions if keep_versions is None else keep_versions,
            "keep_for_s": now.keep_for_s if keep_for_s is None else keep_for_s,
        }
        return _retention(self._exchange("PUT", path, wanted, is_write=True))

    def erase(self, key: str, *, wait_s: float = 0) -> Erased | None:
        """Remove every version of a key for good; ``None`` if there is none.

        From then on no read shows any of it, at any revision.

        Args:
            key: which key.
            wait_s: wait so long, at most a minute, for the bytes to be gone from the disk.

        Raises:
            Forbidden: the token has no scope ``admin``.
            ReadOnly: this server takes no writes.
        """
        query = f"?wait={wait_s:.6f}" if wait_s > 0 else ""
        headers = {"Accept": ACCEPTED_TYPES}
        # To erase twice is to erase once: it is sent again as a read is.
        request = Request("DELETE", _history_path(key) + query, False, headers)
        response = self._send_or_none(request)
        if response is None:
            return None
        fields = fields_of(response)
        return Erased(fields.number("revision"), fields.number("erased"), fields.fact("pending"))

    def _exchange(
        self, method: str, path: str, body: Mapping[str, object], *, is_write: bool
    ) -> Fields:
        headers = {"Content-Type": CBOR_TYPE, "Accept": ACCEPTED_TYPES}
        return fields_of(self._send(Request(method, path, is_write, headers, cbor2.dumps(body))))

    @abstractmethod
    def _send(self, request: Request) -> httpx.Response:
        """Send a request, as ``Client`` does it."""

    @abstractmethod
    def _send_or_none(self, request: Request) -> httpx.Response | None:
        """Send a request, as ``Client`` does it."""


def place_text(place: Place) -> str:
    """Return a revision or a time as a URL has it.

    Raises:
        BadRequest: the time has no time zone.
    """
    return time_text(place) if isinstance(place, datetime) else str(place)


def time_text(time: datetime | str) -> str:
    """Return a time in the form of RFC 3339.

    Raises:
        BadRequest: it has no time zone.
    """
    if isinstance(time, str):
        return time
    if time.tzinfo is None:
        message = f"the time {time} has no time zone; give one, such as datetime.now(UTC)"
        raise BadRequest(message)
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def place_query(revision: int | None, at: datetime | str | None, version: int | None) -> str:
    """Return the query that says where a read of one key looks."""
    options = {"rev": revision, "at": None if at is None else time_text(at), "version": version}
    given = {name: place for name, place in options.items() if place is not None}
    if len(given) > 1:
        message = "give at most one of revision, at and version"
        raise BadRequest(message)
    return f"?{urlencode(given)}" if given else ""


def _history_path(key: str) -> str:
    return key_path(key).replace("/v1/kv", "/v1/history", 1)


def _read(path: str) -> Request:
    return Request("GET", path, False, {"Accept": ACCEPTED_TYPES})


def _version(row: Fields) -> Version:
    return Version(
        revision=row.number("revision"),
        version=row.number("version"),
        op=row.text("op"),
        time=datetime.fromisoformat(row.text("time")),
        size=row.number("size"),
        content_type=row.text("content_type", ""),
        expires=_expires(row),
        meta=row.texts_by_name("meta"),
    )


def _difference(row: Fields) -> Difference:
    return Difference(
        key=row.text("key"),
        change=row.text("change"),
        before=_state(row.part("from")) if "from" in row else None,
        after=_state(row.part("to")) if "to" in row else None,
    )


def _state(row: Fields) -> State:
    return State(
        revision=row.number("revision"),
        version=row.number("version"),
        time=datetime.fromisoformat(row.text("time")),
        size=row.number("size"),
        content_type=row.text("content_type"),
        expires=_expires(row),
        meta=row.texts_by_name("meta"),
    )


def _expires(row: Fields) -> datetime | None:
    return datetime.fromisoformat(row.text("expires")) if "expires" in row else None


def _retention(fields: Fields) -> Retention:
    return Retention(fields.number("keep_versions"), fields.decimal("keep_for_s"))
