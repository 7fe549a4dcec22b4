"""``/v1/mget`` and ``/v1/txn``: many keys at once."""

from __future__ import annotations

import dataclasses

import falcon

from rundlet_server.functions.access.admission import note_keys, note_revision, require_keys
from rundlet_server.functions.access.idempotency import idempotency_of, mark_replay
from rundlet_server.functions.limits import (
    mget_body_bytes_max,
    mget_body_items_max,
    txn_body_bytes_max,
    txn_body_items_max,
)
from rundlet_server.functions.messages.answers import (
    TransactionAnswer,
    encode_mget,
    operation_result,
)
from rundlet_server.functions.messages.bodies import answer_type, body_type, encode, read_body
from rundlet_server.functions.messages.decoding import BodyDecoder
from rundlet_server.functions.messages.gates import Gates
from rundlet_server.functions.messages.query import Query
from rundlet_server.functions.messages.requests import (
    MgetRequest,
    Transaction,
    keys_of,
    lists_of,
    require_accepted,
)
from rundlet_server.functions.messages.sending import Hold
from rundlet_server.functions.messages.uploads import DecodingTurns
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.route_table import TXN
from rundlet_server.storage.interface import Limits


def mget_decoder(limits: Limits) -> BodyDecoder[MgetRequest]:
    """Return the decoder for bodies of ``/v1/mget``."""
    return BodyDecoder(MgetRequest, "mget_body_items_max", mget_body_items_max(limits))


class MgetResource:
    """Many values of one snapshot."""

    def __init__(self, store: CountedStore, gates: Gates) -> None:
        self._store = store
        self._turns, self._sending = gates.turns, gates.sending
        self._limits = store.info.limits
        self._body_bytes_max = mget_body_bytes_max(self._limits)
        self._decoder = mget_decoder(self._limits)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Read the values of the keys in the body."""
        Query(req)
        asked_type = body_type(req)
        media_type = answer_type(req, asked_type)
        body = read_body(req, "mget_body_bytes_max", self._body_bytes_max)
        with self._turns.decoding(len(body)):
            asked = self._decoder.decode(body, asked_type)
        asked.require_within(self._limits)
        require_keys(req.env, asked.keys)
        require_accepted(asked.lists(), self._limits, self._store.accepts_key)
        resp.content_type = media_type
        with self._sending.hold() as hold:
            snapshot = None if asked.is_past else self._store.get_many_now(asked.keys)
            if snapshot is not None:
                data = encode_mget(asked.keys, snapshot.entries, snapshot.revision, media_type)
            else:
                data = self._store.waits.work(lambda: self._read(asked, hold, media_type))
            hold.send(req, resp, data)

    def _read(self, asked: MgetRequest, hold: Hold, media_type: str) -> bytes:
        """Return the body of an answer that may take long."""
        at = asked.where(self._store.moment)
        snapshot = self._store.get_many(asked.keys, at=at, admit=hold.admit)
        return encode_mget(asked.keys, snapshot.entries, snapshot.revision, media_type)


class TxnResource:
    """Many writes, all or none."""

    def __init__(self, store: CountedStore, turns: DecodingTurns) -> None:
        self._store = store
        self._turns = turns
        self._limits = store.info.limits
        self._body_bytes_max = txn_body_bytes_max(self._limits)
        items_max = txn_body_items_max(self._limits)
        self._decoder = BodyDecoder(Transaction, "txn_body_items_max", items_max)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Commit the transaction in the body."""
        self._store.require_writable()
        Query(req)
        asked_type = body_type(req)
        media_type = answer_type(req, asked_type)
        body = read_body(req, "txn_body_bytes_max", self._body_bytes_max)
        with self._turns.decoding(len(body)):
            txn = self._decoder.decode(body, asked_type).to_storage(self._limits)
        repeat = idempotency_of(req, self._store.idempotency_s, TXN.path, body)
        del body  # the values were copied from it; free it before the commit waits for the disk
        note_keys(req.env, keys_of(txn))
        require_keys(req.env, keys_of(txn))
        require_accepted(lists_of(txn), self._limits, self._store.accepts_key)
        commit = self._store.commit(dataclasses.replace(txn, idempotency=repeat))
        mark_replay(resp, is_replay=commit.is_replay)
        ops = txn.then if commit.succeeded else txn.otherwise or ()
        if any(result.found or result.version for result in commit.results):
            note_revision(req.env, commit.revision)
        answer: TransactionAnswer = {
            "succeeded": commit.succeeded,
            "revision": commit.revision,
            "results": [
                operation_result(op, result) for op, result in zip(ops, commit.results, strict=True)
            ],
        }
        resp.content_type = media_type
        resp.data = encode(answer, media_type)
