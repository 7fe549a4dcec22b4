"""Cross-origin requests (CORS): the web pages that a browser allows to use this server.

CORS is off unless the settings name origins. Without it, a page of another origin can neither read
an answer nor write: browsers send a preflight before a write, and this server refuses the few that
need no preflight (``messages.pages``).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import falcon

from rundlet_server.functions.metadata import HEADER
from rundlet_server.functions.route_table import METHODS
from rundlet_server.functions.settings.kinds import EVERY_ORIGIN
from rundlet_server.storage.bounds import METADATA_COUNT_MAX
from rundlet_server.storage.metadata import NAME_PATTERN

_METHODS: Final = ", ".join(METHODS)
_REQUEST_HEADERS: Final = (
    "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, "
    "If-None-Match, If-Range, If-Unmodified-Since, Last-Event-ID, Prefer, Range"
)
_ANSWER_HEADERS: Final = (
    "Accept-Ranges, Allow, Content-Range, ETag, Idempotency-Replayed, KV-Count, KV-Expires, "
    "KV-Revision, KV-Version, Link, Preference-Applied, Request-Id, Retry-After, WWW-Authenticate"
)
_METADATA_NAMES: Final = re.compile(rf"{HEADER}{NAME_PATTERN}", re.IGNORECASE)
_PREFLIGHT_LIFE_S: Final = 3_600
_ASKED_MAX: Final = 4_096
"""Maximum characters of a preflight's list of headers; longer than a list with the most
metadata headers."""


class CorsHeaders:
    """Falcon middleware that allows pages of the named origins to use the API.

    Falcon's own middleware allows all headers that a preflight requests, and passes the preflight
    on to the resource. It sends no ``Vary``, so a cache would serve one origin's answer to another.
    """

    def __init__(self, origins: Collection[str]) -> None:
        """Allow ``origins``: exact ones such as ``https://app.example.org``, or ``*``."""
        self._origins = frozenset(origins)
        self._is_open = EVERY_ORIGIN in self._origins

    @property
    def without_origin(self) -> tuple[tuple[str, str], ...]:
        """The headers that it adds to the answer if a request has no ``Origin``."""
        return () if self._is_open else (("vary", "Origin"),)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer a preflight here, because browsers send it without a token."""
        if req.method != "OPTIONS" or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in req.env:
            return
        if self._allowed(req) is None:
            return
        resp.status = 204
        resp.set_headers(
            {
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": ", ".join([_REQUEST_HEADERS, *_metadata(req)]),
                "Access-Control-Max-Age": str(_PREFLIGHT_LIFE_S),
            }
        )
        if req.env.get("HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK") == "true":
            resp.set_header("Access-Control-Allow-Private-Network", "true")
        resp.complete = True

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _ok: bool
    ) -> None:
        """Name the allowed origin in every answer, errors included."""
        for name, text in self.without_origin:
            resp.append_header(name, text)
        allowed = self._allowed(req)
        if allowed is not None:
            resp.set_header("Access-Control-Allow-Origin", allowed)
            shown = [name for name in resp.headers if _METADATA_NAMES.fullmatch(name)]
            resp.set_header("Access-Control-Expose-Headers", ", ".join([_ANSWER_HEADERS, *shown]))

    def _allowed(self, req: falcon.Request) -> str | None:
        """Return the origin to name as allowed; ``None`` if it is not allowed or not given."""
        origin: str | None = req.env.get("HTTP_ORIGIN")
        if origin is None:
            return None
        if self._is_open:
            return EVERY_ORIGIN
        return origin if origin in self._origins else None


def _metadata(req: falcon.Request) -> list[str]:
    """Return the metadata headers that a preflight asks for: users choose their names."""
    asked: str = req.env.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
    names = (name.strip() for name in asked[:_ASKED_MAX].split(","))
    return [name for name in names if _METADATA_NAMES.fullmatch(name)][:METADATA_COUNT_MAX]
