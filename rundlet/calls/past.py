"""Operations that read and restore earlier states."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

import cbor2

from rundlet.answers import fields_of, is_absent, next_page_query
from rundlet.calls.call import Call, Listing, Request, needed, post, read
from rundlet.errors import BadRequest
from rundlet.keys import key_bytes, key_path
from rundlet.past import (
    Difference,
    Erased,
    Place,
    Retention,
    RolledBack,
    State,
    Version,
)
from rundlet.wire import ACCEPTED_TYPES, Fields


def history(key: str, *, limit: int | None) -> Listing[Version]:
    """Yield the kept versions of a key, newest first."""
    page_size = {} if limit is None or limit > 1_000 else {"limit": limit}
    path = _history_path(key)
    query: str | None = urlencode(page_size)
    left = limit
    while query is not None and left != 0:
        response = yield read(f"{path}?{query}")
        if is_absent(response):
            return
        versions = [_version(row) for row in fields_of(response).rows("versions")][:left]
        yield versions
        left = None if left is None else left - len(versions)
        query = next_page_query(response)


def diff(start: Place, end: Place | None, *, prefix: str) -> Listing[Difference]:
    """Yield the keys that differ between two states of the store."""
    options = {"from": place_text(start), "prefix": prefix}
    if end is not None:
        options["to"] = place_text(end)
    query: str | None = urlencode(options)
    while query is not None:
        response = needed((yield read(f"/v1/diff?{query}")))
        yield [_difference(row) for row in fields_of(response).rows("changes")]
        query = next_page_query(response)


def rollback(
    to: Place, *, prefix: str | None, keys: Sequence[str] | None, dry_run: bool
) -> Call[RolledBack]:
    """Restore keys to an earlier state."""
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
    response = yield post("/v1/rollback", cbor2.dumps(body), is_write=not dry_run)
    fields = fields_of(needed(response))
    return RolledBack(
        revision=fields.number("revision"),
        restored=fields.number("restored"),
        deleted=fields.number("deleted"),
        unchanged=fields.number("unchanged"),
        changes=tuple(map(_difference, fields.rows("changes"))) if dry_run else (),
    )


def retention(*, keep_versions: int | None, keep_for_s: float | None) -> Call[Retention]:
    """Change the given members of the retention, if any, and return the retention."""
    path = "/v1/admin/retention"
    now = _retention(fields_of(needed((yield read(path)))))
    if keep_versions is None and keep_for_s is None:
        return now
    wanted = {
        "keep_versions": now.keep_versions if keep_versions is None else keep_versions,
        "keep_for_s": now.keep_for_s if keep_for_s is None else keep_for_s,
    }
    response = yield post(path, cbor2.dumps(wanted), is_write=True, method="PUT")
    return _retention(fields_of(needed(response)))


def erase(key: str, *, wait_s: float) -> Call[Erased | None]:
    """Remove every version of a key for good."""
    query = f"?wait={wait_s:.6f}" if wait_s > 0 else ""
    # Erasing twice is the same as erasing once, so a retry is as safe as for a read.
    headers = {"Accept": ACCEPTED_TYPES}
    path = _history_path(key) + query
    response = yield Request("DELETE", path, False, headers, wait_s=wait_s)
    if is_absent(response):
        return None
    fields = fields_of(response)
    return Erased(fields.number("revision"), fields.number("erased"), fields.fact("pending"))


def place_text(place: Place) -> str:
    """Return a revision or a time as text for a URL.

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
    """Return the query for a read of one key at a revision, time or version."""
    options = {"rev": revision, "at": None if at is None else time_text(at), "version": version}
    given = {name: place for name, place in options.items() if place is not None}
    if len(given) > 1:
        message = "give at most one of revision, at and version"
        raise BadRequest(message)
    return f"?{urlencode(given)}" if given else ""


def _history_path(key: str) -> str:
    return key_path(key).replace("/v1/kv", "/v1/history", 1)


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
