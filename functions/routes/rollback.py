"""``/v1/rollback``: restore keys to their values at a revision or a time."""

from __future__ import annotations

import falcon

from rundlet_server.functions.access.admission import note_keys, note_revision, require_keys
from rundlet_server.functions.access.idempotency import idempotency_of, mark_replay
from rundlet_server.functions.limits import mget_body_bytes_max, mget_body_items_max
from rundlet_server.functions.messages.bodies import answer_type, body_type, read_body
from rundlet_server.functions.messages.decoding import BodyDecoder
from rundlet_server.functions.messages.gates import Gates
from rundlet_server.functions.messages.query import Query
from rundlet_server.functions.messages.requests import require_accepted
from rundlet_server.functions.messages.rollbacks import RollbackRequest, encode_rollback
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.route_table import ROLLBACK
from rundlet_server.storage.errors import Conflict
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.past.differences import moment_of
from rundlet_server.storage.past.rollback import RolledBack, Scope, recall, roll_back
from rundlet_server.storage.timeline import Moment


class RollbackResource:
    """Rollbacks, each one transaction."""

    def __init__(self, store: CountedStore, gates: Gates) -> None:
        self._store = store
        self._turns, self._sending = gates.turns, gates.sending
        self._limits = store.info.limits
        self._body_bytes_max = mget_body_bytes_max(self._limits)
        items_max = mget_body_items_max(self._limits)
        self._decoder = BodyDecoder(RollbackRequest, "mget_body_items_max", items_max)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Roll back, or report what a rollback would do; a read-only server reports, too."""
        Query(req)
        asked_type = body_type(req)
        media_type = answer_type(req, asked_type)
        body = read_body(req, "mget_body_bytes_max", self._body_bytes_max)
        with self._turns.decoding(len(body)):
            asked = self._decoder.decode(body, asked_type)
        scope = asked.scope(self._limits)
        keys = [scope.prefix] if scope.keys is None else scope.keys
        note_keys(req.env, keys)
        require_keys(req.env, keys)
        if scope.keys is not None:
            require_accepted({"keys": scope.keys}, self._limits, self._store.accepts_key)
        is_dry = asked.dry_run is True
        if not is_dry:
            self._store.require_writable()
        self._store.require("history")
        if scope.keys is None:
            self._store.require("changes")
        repeat = None
        if not is_dry:
            repeat = idempotency_of(req, self._store.idempotency_s, ROLLBACK.path, body)
        done = recall(self._store, repeat) if repeat else None
        if done is None:
            to = moment_of(self._store, asked.where(self._store.moment))
            done = self._roll_back(to, scope, is_dry=is_dry, idempotency=repeat)
        note_keys(req.env, (change.key for change in done.changes))
        if (done.changes and not is_dry) or done.is_replay:
            note_revision(req.env, done.revision)
        resp.content_type = media_type
        with self._sending.hold() as hold:
            hold.send(req, resp, encode_rollback(done, media_type, dry_run=is_dry))
        mark_replay(resp, is_replay=done.is_replay)

    def _roll_back(
        self, to: Moment, scope: Scope, *, is_dry: bool, idempotency: Idempotency | None
    ) -> RolledBack:
        try:
            return roll_back(self._store, to, scope, dry_run=is_dry, idempotency=idempotency)
        except Conflict as ex:
            failed = [{"index": f.index, "key": f.key, "revision": f.revision} for f in ex.failed]
            detail = (
                "other clients kept writing the keys while they were rolled back, so nothing was"
                " changed; send the request again"
            )
            raise Problem(409, "rollback-conflict", detail, {"failed": failed}) from ex
