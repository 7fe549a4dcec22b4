"""The headers that describe a value, as text or as bytes.

Falcon and WSGI take pairs of text, ASGI takes pairs of bytes. ``ValueHeaders`` makes both, so that
each header is defined once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from rundlet_server.functions.messages.validators import EntityTags, Found, http_date
from rundlet_server.functions.metadata import metadata_headers
from rundlet_server.functions.units import rfc3339

# A stored page must never run scripts in the origin of the server, whatever its content type.
_FIXED: Final = (
    ("accept-ranges", "bytes"),
    ("cache-control", "no-cache"),
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "sandbox"),
)

Text = TypeVar("Text", bound=str | bytes)


class ValueHeaders(Generic[Text]):
    """Makes headers as text or as bytes.

    Attributes:
        last: headers that are added to every answer.
    """

    def __init__(
        self,
        tags: EntityTags,
        form: Callable[[str], Text],
        *,
        last: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Make each name and value with ``form``: ``str`` or ``str.encode``."""
        self._tags = tags
        self.last = [(form(name), form(text)) for name, text in last]
        self._form = form
        self._fixed = tuple((form(name), form(text)) for name, text in _FIXED)
        self._etag, self._revision = form("etag"), form("kv-revision")
        self._version, self._modified = form("kv-version"), form("last-modified")
        self._expires, self._content_type = form("kv-expires"), form("content-type")
        self._size = form("content-length")

    def of_unchanged(self, found: Found) -> list[tuple[Text, Text]]:
        """Return the headers of 304: the client already has the value."""
        form = self._form
        revision = found.revision
        headers = [
            (self._etag, form(self._tags.tag(revision))),
            (self._revision, form(str(revision))),
            (self._version, form(str(found.version))),
            (self._modified, form(http_date(found.time_us // 1_000_000))),
            *self._fixed,
        ]
        if found.expires_us is not None:
            headers.append((self._expires, form(rfc3339(found.expires_us))))
        return headers

    def of_value(self, found: Found) -> list[tuple[Text, Text]]:
        """Return the headers of an answer with the value, without ``Content-Length``."""
        headers = self.of_unchanged(found)
        headers.append((self._content_type, self._form(found.content_type)))
        if found.metadata:
            form = self._form
            headers += [(form(name), form(text)) for name, text in metadata_headers(found.metadata)]
        return headers

    def of_size(self, size: int) -> tuple[Text, Text]:
        """Return the header that has the size of a body."""
        return self._size, self._form(str(size))

    def of_others(self, headers: Iterable[tuple[str, str]]) -> list[tuple[Text, Text]]:
        """Return any other headers, with names in lower case as those of values."""
        return [(self._form(name.lower()), self._form(text)) for name, text in headers]
