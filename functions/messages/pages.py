"""Requests that a web page may send without asking."""

from __future__ import annotations

import falcon

from rundlet_server.functions.problems import Problem


def refuse_foreign_page(req: falcon.Request, act: str) -> None:
    """Refuse a POST without a body that comes from a page and has no token.

    Every other change has a body or a method that browsers ask about first; such a request could be
    sent by any page. ``act`` says what it asks for.

    Raises:
        Problem: 403 ``foreign-page``.
    """
    if "HTTP_ORIGIN" in req.env and "HTTP_AUTHORIZATION" not in req.env:
        detail = (
            f"a web page may not {act} without a token; send one as 'Authorization: Bearer TOKEN'"
        )
        raise Problem(403, "foreign-page", detail)
