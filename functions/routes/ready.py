"""``/readyz``: 200 if the server is ready (see ``readiness``), otherwise 503 and the reasons.

Either answer has ``warnings`` about conditions that need an operator but do not affect clients.
"""

from __future__ import annotations

import falcon

from rundlet_server.functions.messages.bodies import JSON_TYPE, encode
from rundlet_server.functions.messages.query import Query
from rundlet_server.functions.monitoring.readiness import Readiness
from rundlet_server.functions.problems import RETRY_LATER, Member, Problem


class ReadyResource:
    """The answer."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Report that the server is ready, or why not."""
        Query(req)
        health = self._readiness.health()
        reasons = health.reasons
        warnings: dict[str, Member] = {"warnings": health.warnings} if health.warnings else {}
        if reasons:
            detail = "the server is not ready: " + "; ".join(reasons)
            members: dict[str, Member] = {"ready": False, "reasons": reasons, **warnings}
            raise Problem(503, "not-ready", detail, members, headers=RETRY_LATER)
        resp.content_type = JSON_TYPE
        resp.set_header("Cache-Control", "no-store")
        ready = {"status": "ready", "ready": True, "reasons": [], **warnings}
        resp.data = encode(ready, JSON_TYPE)

    on_head = on_get  # Falcon keeps the headers and leaves the body out
