"""Turns the lines of a feed into events, without I/O.

The server sends one event on each line, and the events of a commit one after the other. A
connection may break between them. So the reader holds events back until their commit is complete,
and only then advances the position: a feed that resumes there neither loses nor repeats an event.
"""

from __future__ import annotations

import json
from datetime import datetime
from urllib.parse import urlencode

import httpx

from rundlet.errors import RundletError, ServerError
from rundlet.model import Event
from rundlet.problems import error_of
from rundlet.wire import Fields

NDJSON_TYPE = "application/x-ndjson"


class FeedReader:
    """The state of a feed that is being read.

    Attributes:
        position: a feed resumes after this revision.
    """

    def __init__(self, prefix: str, position: int, *, include_values: bool) -> None:
        self._prefix = prefix
        self._include_values = include_values
        self._held: list[Event] = []
        self.position = position

    @property
    def path(self) -> str:
        """The path of the next request for the feed."""
        return changes_path(self._prefix, self.position, include_values=self._include_values)

    def begin(self) -> None:
        """Forget the events of a commit that a broken connection left incomplete."""
        self._held = []

    def take(self, line: bytes) -> list[Event]:
        """Return the events of the commit that a line completes, or no events.

        Raises:
            RundletError: the line has the problem that ended the feed, or is not a line of a feed.
        """
        fields = _fields(line)
        if "problem" in fields:
            raise _error(fields)
        if "next_since" in fields:
            self.position = max(self.position, fields.number("next_since"))
            return []
        event = decode_event(fields, has_value=self._include_values)
        if event.revision <= self.position:
            message = "the server sent an event for a second time; is this a Rundlet server?"
            raise ServerError(message)
        self._held.append(event)
        if not event.is_last:
            return []
        events, self._held = self._held, []
        self.position = event.revision
        return events


def changes_path(
    prefix: str,
    since: int | None,
    *,
    include_values: bool = False,
    limit: int | None = None,
    wait_s: float | None = None,
) -> str:
    """Return the path and query of the changes after a revision."""
    options: dict[str, str | int | None] = {
        "since": since,
        "prefix": prefix or None,
        "include": "value" if include_values else None,
        "limit": limit,
        "wait": None if wait_s is None else f"{wait_s:.3f}",
    }
    given = {name: option for name, option in options.items() if option is not None}
    return "/v1/changes?" + urlencode(given)


def decode_event(fields: Fields, *, has_value: bool) -> Event:
    """Decode an event; ``has_value`` if values were requested."""
    is_omitted = "value_omitted" in fields and fields.fact("value_omitted")
    return Event(
        key=fields.text("key"),
        op=fields.text("op"),
        revision=fields.number("revision"),
        version=fields.number("version"),
        size=fields.number("size"),
        content_type=fields.text("content_type"),
        time=datetime.fromisoformat(fields.text("time")),
        expires=datetime.fromisoformat(fields.text("expires")) if "expires" in fields else None,
        is_last=fields.fact("last"),
        data=fields.value() if has_value and _shows_value(fields) else None,
        is_value_omitted=is_omitted,
        meta=fields.texts_by_name("meta"),
    )


def _shows_value(fields: Fields) -> bool:
    return any(form in fields for form in ("value", "base64", "text"))


def _fields(line: bytes) -> Fields:
    try:
        return Fields(json.loads(line))
    except ValueError as ex:
        message = f"a line of the feed is not JSON: {ex}"
        raise ServerError(message) from ex


def _error(fields: Fields) -> RundletError:
    """Return the error for the problem in a line, as if the server had answered with it."""
    problem = Fields(fields.as_dict()["problem"])
    status = problem.number("status")
    response = httpx.Response(
        status,
        headers={
            "Content-Type": "application/problem+json",
            "Request-Id": problem.text("request_id", ""),
            **({"WWW-Authenticate": 'Bearer error="invalid_token"'} if status == 401 else {}),
        },
        content=json.dumps(problem.as_dict()).encode(),
        request=httpx.Request("GET", "http://server/v1/changes"),
    )
    return error_of(response, is_write=False)
