"""Events as answers show them: in a page, as server-sent events, and as lines of JSON."""

from __future__ import annotations

import functools
from typing import Annotated, Final, Literal, NotRequired, Protocol, TypedDict

import msgspec
from msgspec import Meta

from rundlet_server.functions.messages.answers import (
    Base64,
    ByteString,
    Text,
    Texts,
    Time,
)
from rundlet_server.functions.messages.bodies import CBOR_TYPE, JSON_TYPE, encode
from rundlet_server.functions.transfer.writing import readable_text
from rundlet_server.functions.units import rfc3339
from rundlet_server.storage.timeline import Changes, Event

SSE_TYPE: Final = "text/event-stream"
NDJSON_TYPE: Final = "application/x-ndjson"

_RETRY_MS: Final = 2_000
_encode_json: Final = msgspec.json.Encoder().encode
_shown_time: Final = functools.lru_cache(maxsize=64)(rfc3339)  # the events of a commit have one


class ChangeEvent(TypedDict):
    """One change of one key; the value only if it was asked for."""

    revision: int
    time: Time
    op: Literal["put", "delete", "expire", "restore", "erase"]
    key: str
    version: Annotated[int, Meta(description="Of the key; 0 if it has no value now.")]
    size: Annotated[int, Meta(description="Of the value in bytes.")]
    content_type: str
    expires: NotRequired[Time]
    meta: NotRequired[Texts]
    last: Annotated[bool, Meta(description="It is the last event of its commit.")]
    text: NotRequired[Text]
    base64: NotRequired[Base64]
    value: NotRequired[ByteString]
    value_omitted: NotRequired[
        Annotated[bool, Meta(description="The value was too large for this page.")]
    ]


class ChangePage(TypedDict):
    """One page of the feed."""

    events: list[ChangeEvent]
    next_since: Annotated[int, Meta(description="The 'since' of the next page.")]
    oldest_revision: Annotated[int, Meta(description="The least 'since' that still works.")]


def encode_changes(page: Changes, media_type: str) -> bytes:
    """Encode the body of a page."""
    answer: ChangePage = {
        "events": [shown_event(event, media_type) for event in page.events],
        "next_since": page.next_since,
        "oldest_revision": page.oldest_revision,
    }
    return encode(answer, media_type)


def shown_event(event: Event, media_type: str) -> ChangeEvent:
    """Return an event as answers show it, with its value in the form that fits."""
    shown: ChangeEvent = {
        "revision": event.revision,
        "time": _shown_time(event.time_us),
        "op": event.kind,
        "key": event.key,
        "version": event.version,
        "size": event.size,
        "content_type": event.content_type,
        "last": event.is_last,
    }
    if event.expires_us is not None:
        shown["expires"] = rfc3339(event.expires_us)
    if event.metadata:
        shown["meta"] = dict(event.metadata)
    if event.is_value_omitted:
        shown["value_omitted"] = True
    elif event.value is not None:
        _add_value(shown, event.value, event.content_type, media_type)
    return shown


def _add_value(shown: ChangeEvent, value: bytes, content_type: str, media_type: str) -> None:
    if media_type == CBOR_TYPE:
        shown["value"] = value
    elif (text := readable_text(value, content_type)) is not None:
        shown["text"] = text
    else:
        shown["base64"] = value


class Form(Protocol):
    """How a stream is written."""

    def begin(self, position: int) -> bytes:
        """Return the first bytes of a stream that begins after the revision ``position``."""

    def event(self, event: Event) -> bytes:
        """Encode one event."""

    def still_here(self, position: int) -> bytes:
        """Return a heartbeat: all events up to the revision ``position`` have been sent."""

    def problem(self, problem: bytes) -> bytes:
        """Return the last bytes if a problem ends the stream; ``problem`` is JSON."""


class ServerSentEvents:
    """A stream for ``EventSource``.

    Only the last event of a commit has an id. So a client that loses the connection within a
    transaction resumes at the beginning of the transaction.
    """

    def begin(self, position: int) -> bytes:
        """See ``Form``."""
        return b"retry: %d\nid: %d\n\n" % (_RETRY_MS, position)

    def event(self, event: Event) -> bytes:
        """See ``Form``."""
        number = b"id: %d\n" % event.revision if event.is_last else b""
        data = _encode_json(shown_event(event, JSON_TYPE))
        return b"event: %s\ndata: %s\n%s\n" % (event.kind.encode(), data, number)

    def still_here(self, position: int) -> bytes:
        """See ``Form``."""
        return b":\nid: %d\n\n" % position

    def problem(self, problem: bytes) -> bytes:
        """See ``Form``."""
        return b"event: problem\ndata: %s\n\n" % problem


class JsonLines:
    """A stream of lines, each a JSON object."""

    def begin(self, position: int) -> bytes:
        """See ``Form``."""
        return self.still_here(position)

    def event(self, event: Event) -> bytes:
        """See ``Form``."""
        return _encode_json(shown_event(event, JSON_TYPE)) + b"\n"

    def still_here(self, position: int) -> bytes:
        """See ``Form``."""
        return b'{"next_since":%d}\n' % position

    def problem(self, problem: bytes) -> bytes:
        """See ``Form``."""
        return b'{"problem":%s}\n' % problem


FORMS: Final[dict[str, Form]] = {SSE_TYPE: ServerSentEvents(), NDJSON_TYPE: JsonLines()}
