"""The routes of the dashboard: the page, its files, and the redirects to it.

They answer without a token, because the files contain no data of the store. The page reads all data
through the API, with the token that its user enters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import falcon

from rundlet_server.functions.messages.bodies import JSON_TYPE, accepts_gzip, answer_type
from rundlet_server.functions.messages.query import Query
from rundlet_server.functions.messages.validators import is_among
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.route_table import UI
from rundlet_server.functions.routes.service import FixedResource
from rundlet_server.functions.ui.files import Asset, Assets

_HTML_TYPE: Final = "text/html"
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob:",  # blob: is a stored value, as the type that the page gives it
        "media-src blob:",
        "frame-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # A mistake in the page cannot turn text into HTML or script.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_FOR_GOOD: Final = "max-age=31536000, immutable"


class PageResource:
    """``/ui/``: the page."""

    def __init__(self, assets: Assets) -> None:
        self._page = assets.page

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the page, or 304."""
        Query(req)
        resp.set_header("Content-Security-Policy", _POLICY)
        _send(req, resp, self._page, "no-cache")

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class FileResource:
    """A module, a style sheet or a picture."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    def on_get(
        self, req: falcon.Request, resp: falcon.Response, build: str, room: str, file: str
    ) -> None:
        """Send the file, or 304.

        A page of another build gets the file of this build: during an upgrade of several servers
        behind one address, that is better than an error. But no cache may keep the file under the
        name of the other build.
        """
        Query(req)
        asset = self._assets.find(room, file)
        if asset is None:
            detail = f"the dashboard has no such file; open {UI.path} again"
            raise Problem(404, "not-found", detail)
        is_ours = build == self._assets.build
        _send(req, resp, asset, _FOR_GOOD if is_ours else "no-cache")

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class RedirectResource:
    """``/ui`` without the slash."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Go to the page."""
        Query(req)
        _redirect(resp, "ui/")

    on_head = on_get


class RootResource(FixedResource):
    """``/``: browsers go to the dashboard; programs get links as JSON."""

    def __init__(self, answer: Mapping[str, object]) -> None:
        super().__init__(answer)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send the links, 304, or a redirect to the dashboard."""
        resp.set_header("Vary", "Accept")
        if _HTML_TYPE not in req.accept or answer_type(req, offered=_OFFERED) != _HTML_TYPE:
            super().on_get(req, resp)
            return
        Query(req)
        _redirect(resp, "ui/")

    on_head = on_get


_OFFERED: Final = (JSON_TYPE, _HTML_TYPE)


def _redirect(resp: falcon.Response, place: str) -> None:
    """Redirect to a relative path, so that it works behind a proxy that adds a prefix, too."""
    resp.status = 307
    resp.set_headers((("Location", place), ("Cache-Control", "no-cache")))


def _send(req: falcon.Request, resp: falcon.Response, asset: Asset, caching: str) -> None:
    is_packed = accepts_gzip(req)
    tag = asset.packed_tag if is_packed else asset.tag
    resp.set_headers(
        (*_HEADERS, ("ETag", tag), ("Cache-Control", caching), ("Vary", "Accept-Encoding"))
    )
    if is_among(req.env.get("HTTP_IF_NONE_MATCH", ""), tag):
        resp.status = 304
        return
    resp.content_type = asset.content_type
    if is_packed:
        resp.set_header("Content-Encoding", "gzip")
    resp.data = asset.packed if is_packed else asset.body
