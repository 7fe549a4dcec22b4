"""The audit trail: one JSON object a line for what was changed, administered or refused.

``{"time","request_id","who","token","remote","method","route","path","status"}``: ``who`` is the
name of the token, ``token`` its id. A transaction or rollback adds ``keys``, all keys that it
names. A request that made one commit adds its ``revision``, as in the history of a key. A deletion
by prefix adds the keys of its transaction, or the prefix if it made none or several.

The trail is written while authentication is on. It holds keys, but never values, secrets or query
strings. The table of routes says which requests are audited. A read is recorded only if it was
refused, because reads would be nearly all of the trail.
"""

from __future__ import annotations

import functools
import json
import select
from collections.abc import Callable, Sequence
from typing import Any, Final

import falcon

from rundlet_server.functions.access.admission import caller_of, noted_keys, noted_revision
from rundlet_server.functions.messages.target import raw_path
from rundlet_server.functions.monitoring.logs import LineWriter
from rundlet_server.functions.request_ids import RequestIds
from rundlet_server.functions.units import rfc3339
from rundlet_server.functions.waits import IN_THREAD, Waits
from rundlet_server.storage.clock import system_clock_us

AUDIT_FAILURES: Final = "audit_failures"
"""The count of lines that could not be written to the file and went to stderr."""


class AuditTrail:
    """Falcon middleware that writes the trail."""

    def __init__(
        self,
        ids: RequestIds,
        write_line: LineWriter,
        waits: Waits = IN_THREAD,
        *,
        clock: Callable[[], int] = system_clock_us,
    ) -> None:
        self._ids = ids
        self._write_line = write_line
        self._waits = waits
        self._clock = clock

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _ok: bool
    ) -> None:
        """Record a request after its answer is decided."""
        made = self.line_of(req.env, resp.status_code)
        if made is not None:
            request_id, line = made
            self._waits.record(functools.partial(self._write_line, line))
            resp.set_header("Request-Id", request_id)

    def write(self, lines: Sequence[str]) -> None:
        """Write lines that ``line_of`` returned: several in one call, which is cheaper.

        A call writes at most ``PIPE_BUF`` bytes, so lines of two processes never mix in a pipe.
        """
        together: list[str] = []
        size = 0
        for line in lines:
            size += len(line) + 1
            if size > select.PIPE_BUF and together:
                self._write_line("\n".join(together))
                together, size = [], len(line) + 1
            together.append(line)
        self._write_line("\n".join(together))

    def line_of(self, environ: dict[str, Any], status: int) -> tuple[str, str] | None:
        """Return the line of a request whose answer is decided.

        Args:
            environ: of the request, with its caller, ``REMOTE_ADDR`` and the path.
            status: of the answer.

        Returns:
            The request id to send in the answer, and the line, which must be written before the
            answer is sent; ``None`` if the request is not recorded.
        """
        caller = caller_of(environ)
        if caller is None:
            return None
        method = environ["REQUEST_METHOD"]
        rule = caller.route.rules.get(method)
        is_audited = rule is None or rule.is_audited
        if not is_audited and status not in (401, 403):
            return None
        request_id = self._ids.of(environ)
        line: dict[str, object] = {
            "time": rfc3339(self._clock()),
            "request_id": request_id,
            "who": caller.token.name if caller.token else None,
            "token": caller.token.token_id if caller.token else None,
            "remote": environ.get("REMOTE_ADDR"),
            "method": method,
            "route": caller.route.template,
            "path": raw_path(environ),
            "status": status,
        }
        revision = noted_revision(environ)
        if revision is not None:
            line["revision"] = revision
        keys = noted_keys(environ)
        if keys is not None:
            line["keys"] = keys
        return request_id, json.dumps(line)
