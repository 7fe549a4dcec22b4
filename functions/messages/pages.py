"""Requests that a web page may send without asking."""

from __future__ import annotations

import falcon

from rundlet_server.functions.problems import Problem


def refuse_foreign_page(req: falcon.Request, act: str) -> None:
    """Refuse a POST without a body that comes from a page and has no token.

    Every other change has a body or a method that browsers ask about first; such a request could be
    sent by any page. ``act`` says what it asks for. The server's own pages, which are the dashboard
    alone, may send it: a page of another origin cannot choose what ``Origin`` says.

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
    """Return whether a page came from this server, as the browser names both."""
    host = req.env.get("HTTP_HOST")
    return bool(host) and origin in (f"http://{host}", f"https://{host}")
