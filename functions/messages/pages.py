"""Requests that browsers send for any web page without a preflight."""

from __future__ import annotations

import falcon

from rundlet_server.functions.problems import Problem


def refuse_foreign_page(req: falcon.Request, act: str) -> None:
    """Refuse a POST without a body that comes from a page and has no token.

    Any page could send such a request, because browsers send no preflight for it. Every other
    change has a content type or a method that needs one. The dashboard, which is a page of the
    server itself, may send it: a page of another origin cannot choose its ``Origin``. ``act`` names
    the requested act in the error.

    Raises:
        Problem: 403 ``foreign-page``.
    """
    origin = req.env.get("HTTP_ORIGIN")
    if origin is not None and "HTTP_AUTHORIZATION" not in req.env and not _is_own(req, origin):
        detail = (
            f"a web page may not {act} without a token; send one as 'Authorization: Bearer TOKEN'"
        )
        raise Problem(403, "foreign-page", detail)


def _is_own(req: falcon.Request, origin: str) -> bool:
    """Return whether ``Origin`` and ``Host`` name the same server."""
    host = req.env.get("HTTP_HOST")
    return bool(host) and origin in (f"http://{host}", f"https://{host}")
