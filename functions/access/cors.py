"""Web pages of other origins: which of them a browser allows to use this server (CORS).

It is off unless origins are named. While it is off, a page can neither read answers nor send a
request that a browser asks about first, and every write is such a request.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import falcon

from rundlet_server.functions.route_table import METHODS

EVERY_ORIGIN: Final = "*"

_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.\-]*)://([a-z0-9_.\-]+|\[[0-9a-f:.]+\])(:(?P<port>[1-9][0-9]{0,4}))?"
)
_LEFT_OUT_PORTS: Final = {"http": "80", "https": "443"}
_METHODS: Final = ", ".join(METHODS)
_REQUEST_HEADERS: Final = (
    "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, "
    "If-Unmodified-Since, Last-Event-ID, Prefer, Range"
)
_ANSWER_HEADERS: Final = (
    "Accept-Ranges, Allow, Content-Range, ETag, KV-Count, KV-Expires, KV-Revision, KV-Version, "
    "Link, Preference-Applied, Request-Id, Retry-After, WWW-Authenticate"
)
_PREFLIGHT_LIFE_S: Final = 3_600


def is_origin(text: str) -> bool:
    """Whether it is an origin as browsers spell them, or ``*`` for all.

    Browsers write lower case, punycode, no path, and no port that is the scheme's default. Any
    other spelling would never equal an origin that a browser sends, nor would a pattern such as
    ``*.example.org``.
    """
    parts = _ORIGIN.fullmatch(text)
    if parts is None:
        return text == EVERY_ORIGIN
    return _LEFT_OUT_PORTS.get(parts["scheme"]) != (parts["port"] or "none")


class CorsHeaders:
    """Falcon middleware that tells browsers what pages of the named origins may do.

    Falcon's own middleware allows whatever headers a preflight asks for, calls the resource for
    it, and sends no ``Vary``, so that a cache would give one origin's answer to another.
    """

    def __init__(self, origins: Collection[str]) -> None:
        """``origins`` such as ``https://app.example.org``, exactly; or ``*``."""
        self._origins = frozenset(origins)
        self._is_open = EVERY_ORIGIN in self._origins

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer a preflight, which browsers send without a token."""
        if req.method != "OPTIONS" or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in req.env:
            return
        if self._allowed(req) is None:
            return
        resp.status = 204
        resp.set_headers(
            {
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": _REQUEST_HEADERS,
                "Access-Control-Max-Age": str(_PREFLIGHT_LIFE_S),
            }
        )
        if req.env.get("HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK") == "true":
            resp.set_header("Access-Control-Allow-Private-Network", "true")
        resp.complete = True

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _ok: bool
    ) -> None:
        """Name the origin in every answer to it, errors included."""
        if not self._is_open:
            resp.append_header("Vary", "Origin")
        allowed = self._allowed(req)
        if allowed is not None:
            resp.set_header("Access-Control-Allow-Origin", allowed)
            resp.set_header("Access-Control-Expose-Headers", _ANSWER_HEADERS)

    def _allowed(self, req: falcon.Request) -> str | None:
        """Return what to name as allowed; ``None`` if the page is not, or none asks."""
        origin: str | None = req.env.get("HTTP_ORIGIN")
        if origin is None:
            return None
        if self._is_open:
            return EVERY_ORIGIN
        return origin if origin in self._origins else None
