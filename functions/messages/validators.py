"""Validators and conditional requests (RFC 9110, sections 8.8 and 13)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b

import falcon

from rundlet_server.functions.problems import Problem
from rundlet_server.storage.interface import Condition, Entry
from rundlet_server.storage.large_values import LargeValue

Found = Entry | LargeValue
"""The value from which validators and dates are taken."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPAQUE = r"[\x21\x23-\x7e\x80-\xff]*"
_ENTITY_TAG = re.compile(rf'(W/)?"({_OPAQUE})"')
# Blanks match in one place only, so that a long run of them costs linear time.
_LIST_ITEM = re.compile(rf"[ \t]*(?:{_ENTITY_TAG.pattern}[ \t]*)?(?:,|$)")
_TAG = rf'(?:W/)?"{_OPAQUE}"'
ENTITY_TAGS_PATTERN = rf"^[ \t,]*{_TAG}[ \t]*(?:,[ \t]*(?:{_TAG}[ \t]*)?)*$"
"""A list of entity tags as writes accept it, besides ``*``; for the OpenAPI document."""
_READ_CONDITIONS = (
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_UNMODIFIED_SINCE",
)
_REVISION = re.compile(r"[1-9][0-9]{0,18}")


class EntityTags:
    """Strong entity tags: ``"REVISION-STORE"``.

    They contain the store's id, so that a tag never comes back when a restored backup assigns its
    revisions for a second time.
    """

    def __init__(self, store_id: str) -> None:
        self._suffix = "-" + store_digest(store_id)

    def tag(self, revision: int) -> str:
        """Return the tag of what a commit wrote."""
        return f'"{revision}{self._suffix}"'

    def revision(self, opaque: str) -> int | None:
        """Return the revision in a tag without its quotes; ``None`` for a foreign tag."""
        revision = opaque.removesuffix(self._suffix)
        if revision == opaque or not _REVISION.fullmatch(revision):
            return None
        return int(revision)

    def read_condition_fails(self, req: falcon.Request, entry: Found) -> int | None:
        """Decide ``GET`` and ``HEAD`` in the order of section 13.2.2.

        Returns:
            412 or 304; ``None`` if the value is the answer.
        """
        environ = req.env
        if environ.keys().isdisjoint(_READ_CONDITIONS):
            return None
        if (listed := environ.get("HTTP_IF_MATCH")) is not None:
            if not self._matches(listed, entry, weak=False):
                return 412
        elif _is_modified_since(environ.get("HTTP_IF_UNMODIFIED_SINCE"), entry):
            return 412
        if (listed := environ.get("HTTP_IF_NONE_MATCH")) is not None:
            return 304 if self.is_known(listed, entry) else None
        since = _date(environ.get("HTTP_IF_MODIFIED_SINCE"))
        return 304 if since is not None and modified_s(entry) <= since else None

    def is_known(self, listed: str, entry: Found) -> bool:
        """Return whether ``If-None-Match`` names the tag of an entry, or any tag."""
        return listed == self.tag(entry.revision) or self._matches(listed, entry, weak=True)

    def write_conditions(self, environ: Mapping[str, object], key: str) -> list[Condition]:
        """Return ``If-Match`` and ``If-None-Match`` as conditions of a commit.

        Raises:
            Problem: 400 ``bad-precondition``: a header is malformed. A read may ignore that, but
                a write without the condition would not be the write that the client meant.
        """
        conditions = []
        if isinstance(listed := environ.get("HTTP_IF_MATCH"), str):
            if listed.strip() == "*":
                conditions.append(Condition(key, exists=True))
            else:
                revisions = self._revisions(listed, "If-Match", weak=False)
                conditions.append(Condition(key, revisions=revisions))
        if isinstance(listed := environ.get("HTTP_IF_NONE_MATCH"), str):
            if listed.strip() == "*":
                conditions.append(Condition(key, exists=False))
            else:
                revisions = self._revisions(listed, "If-None-Match", weak=True)
                conditions.append(Condition(key, not_revisions=revisions))
        return conditions

    def range_applies(self, req: falcon.Request, entry: Found) -> bool:
        """Return whether to apply ``Range``: there is no ``If-Range``, or it names the entry.

        A date in ``If-Range`` never matches: it has whole seconds, so it is no strong validator, as
        a value may be written twice within one second.
        """
        listed = req.env.get("HTTP_IF_RANGE")
        return listed is None or listed == self.tag(entry.revision)

    def _matches(self, listed: str, entry: Found, *, weak: bool) -> bool:
        if listed.strip() == "*":
            return True
        tags = _entity_tags(listed) or []
        return any(
            self.revision(opaque) == entry.revision
            for is_weak, opaque in tags
            if weak or not is_weak
        )

    def _revisions(self, listed: str, header: str, *, weak: bool) -> tuple[int, ...]:
        tags = _entity_tags(listed)
        if tags is None:
            detail = (
                f"{header} is neither * nor a list of entity tags; send * or tags in double quotes,"
                " as ETag has them"
            )
            raise Problem(400, "bad-precondition", detail)
        revisions = [self.revision(opaque) for is_weak, opaque in tags if weak or not is_weak]
        return tuple(revision for revision in revisions if revision is not None)


def store_digest(store_id: str) -> str:
    """Return the digest of a store's id that tags and cursors contain.

    A store id may be any text, but a tag may not contain every character.
    """
    return blake2b(store_id.encode(), digest_size=6).hexdigest()


def is_among(listed: str, tag: str) -> bool:
    """Return whether ``If-None-Match`` names ``tag``, given with its quotes, or is ``*``."""
    tags = _entity_tags(listed) or []
    return listed.strip() == "*" or any(f'"{opaque}"' == tag for _, opaque in tags)


def tag_condition_fails(req: falcon.Request, opaque: str) -> int | None:
    """Decide ``If-Match`` and ``If-None-Match`` on an answer with the strong tag ``opaque``.

    Returns:
        412 or 304; ``None`` if the conditions hold.
    """
    if (listed := req.env.get("HTTP_IF_MATCH")) is not None:
        tags = _entity_tags(listed) or []
        if listed.strip() != "*" and (False, opaque) not in tags:
            return 412
    if (listed := req.env.get("HTTP_IF_NONE_MATCH")) is not None:
        tags = _entity_tags(listed) or []
        if listed.strip() == "*" or any(tag == opaque for _, tag in tags):
            return 304
    return None


def unmodified_condition(req: falcon.Request, entry: Found | None) -> Condition | None:
    """Decide ``If-Unmodified-Since`` of a write on the key's current entry.

    The returned condition makes the commit fail if the entry changes meanwhile. If there is no
    entry, the header does not count.

    Raises:
        Problem: 412 ``precondition-failed``.
    """
    if entry is None:
        return None
    if _is_modified_since(req.env.get("HTTP_IF_UNMODIFIED_SINCE"), entry):
        raise precondition_failed(req.env, entry.revision)
    return Condition(entry.key, revisions=(entry.revision,))


def has_unmodified_since(req: falcon.Request) -> bool:
    """Return whether ``If-Unmodified-Since`` counts: it is a date, and there is no ``If-Match``."""
    environ = req.env
    return (
        "HTTP_IF_MATCH" not in environ
        and _date(environ.get("HTTP_IF_UNMODIFIED_SINCE")) is not None
    )


def precondition_failed(environ: Mapping[str, object], revision: int) -> Problem:
    """Return 412 with the revision that the key has instead; 0 if it has no value."""
    now = f"is at revision {revision}" if revision else "has no value"
    what = f"the key {now} now, so a precondition of the request is false"
    listed = environ.get("HTTP_IF_MATCH")
    tags = _entity_tags(listed) if isinstance(listed, str) else None
    if tags and all(is_weak for is_weak, _ in tags):
        advice = (
            "If-Match never matches a weak tag (W/), which a proxy that compresses makes of a"
            " strong one; turn compression off there, or read with Accept-Encoding: identity"
        )
    else:
        advice = "read it and decide again"
    return Problem(412, "precondition-failed", f"{what}; {advice}", {"revision": revision})


def modified_s(entry: Found) -> int:
    """Return the time of an entry's write, in whole seconds since the epoch."""
    return entry.time_us // 1_000_000


@lru_cache(maxsize=1024)  # for repeated reads of one value, and values written in one second
def http_date(seconds: int) -> str:
    """Return a time as ``Last-Modified`` has it."""
    return falcon.dt_to_http(_EPOCH + timedelta(seconds=seconds))


def _is_modified_since(header: str | None, entry: Found) -> bool:
    since = _date(header)
    return since is not None and modified_s(entry) > since


def _date(header: str | None) -> float | None:
    """Return the seconds since the epoch; ``None`` if the header is missing or no date."""
    if header is None:
        return None
    try:
        return falcon.http_date_to_dt(header, obs_date=True).timestamp()
    except (ValueError, OverflowError):
        return None


def _entity_tags(listed: str) -> list[tuple[bool, str]] | None:
    """Return the tags of a list as (is weak, opaque part); ``None`` if malformed or empty."""
    tags: list[tuple[bool, str]] = []
    position = 0
    while position < len(listed):
        item = _LIST_ITEM.match(listed, position)
        if item is None:
            return None
        if item[2] is not None:
            tags.append((item[1] is not None, item[2]))
        position = item.end()
    return tags or None
