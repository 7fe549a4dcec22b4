"""``/v1/mget`` and ``/v1/txn``: many keys at once."""

from __future__ import annotations

import base64

import falcon

from rundlet_server.functions.access.admission import note_keys, require_keys
from rundlet_server.functions.limits import mget_body_bytes_max, txn_body_bytes_max
from rundlet_server.functions.messages.bodies import (
    CBOR_TYPE,
    answer_type,
    body_type,
    decode,
    encode,
    read_body,
)
from rundlet_server.functions.messages.content_types import readable_text
from rundlet_server.functions.messages.members import Members
from rundlet_server.functions.messages.operations import keys_of, parse_txn
from rundlet_server.functions.messages.query import Query
from rundlet_server.functions.messages.uploads import UploadGate
from rundlet_server.functions.messages.validators import rfc3339
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.problems import too_large
from rundlet_server.storage.interface import Add, Delete, Entry, Op, OpResult


class MgetResource:
    """Many values of one snapshot."""

    def __init__(self, store: CountedStore, gate: UploadGate) -> None:
        self._store = store
        self._gate = gate
        self._limits = store.info.limits
        self._body_bytes_max = mget_body_bytes_max(self._limits)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Read them."""
        Query(req)
        asked_type = body_type(req)
        media_type = answer_type(req, asked_type)
        body = read_body(req, self._gate, "mget_body_bytes_max", self._body_bytes_max)
        with self._gate.decoding(len(body)):
            members = Members("the body", decode(body, asked_type), {"keys", "rev"})
        listed = members.items("keys")
        if len(listed) > self._limits.list_keys_max:
            raise too_large("list_keys_max", self._limits.list_keys_max, len(listed))
        keys = members.as_keys("keys", listed, self._limits.key_bytes_max)
        require_keys(req.env, keys)
        revision = members.number_or_none("rev", least=0)
        snapshot = self._store.get_many(keys, at=revision)
        answer = {
            "revision": snapshot.revision,
            "items": [
                _item_members(key, entry, media_type)
                for key, entry in zip(keys, snapshot.entries, strict=True)
            ],
        }
        resp.content_type = media_type
        resp.data = encode(answer, media_type)


class TxnResource:
    """Many writes, all or none."""

    def __init__(self, store: CountedStore, gate: UploadGate) -> None:
        self._store = store
        self._gate = gate
        self._limits = store.info.limits
        self._body_bytes_max = txn_body_bytes_max(self._limits)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Do them."""
        self._store.require_writable()
        Query(req)
        asked_type = body_type(req)
        media_type = answer_type(req, asked_type)
        body = read_body(req, self._gate, "txn_body_bytes_max", self._body_bytes_max)
        with self._gate.decoding(len(body)):
            txn = parse_txn(decode(body, asked_type), self._limits)
        del body  # the values have been taken out of it; it need not wait for the disk
        note_keys(req.env, keys_of(txn))
        require_keys(req.env, keys_of(txn))
        commit = self._store.commit(txn)
        ops = txn.then if commit.succeeded else txn.otherwise or ()
        answer = {
            "succeeded": commit.succeeded,
            "revision": commit.revision,
            "results": [
                _result_members(op, result) for op, result in zip(ops, commit.results, strict=True)
            ],
        }
        resp.content_type = media_type
        resp.data = encode(answer, media_type)


def entry_members(entry: Entry, media_type: str) -> dict[str, object]:
    """What an answer shows of an entry beside its key: its value in the form that fits."""
    members: dict[str, object] = {
        "revision": entry.revision,
        "version": entry.version,
        "content_type": entry.content_type,
    }
    if entry.expires_us is not None:
        members["expires"] = rfc3339(entry.expires_us)
    if media_type == CBOR_TYPE:
        members["value"] = entry.value
    elif (text := readable_text(entry.value, entry.content_type)) is not None:
        members["text"] = text
    else:
        members["base64"] = base64.b64encode(entry.value).decode()
    return members


def _item_members(key: str, entry: Entry | None, media_type: str) -> dict[str, object]:
    if entry is None:
        return {"key": key, "found": False}
    return {"key": key, "found": True, **entry_members(entry, media_type)}


def _result_members(op: Op, result: OpResult) -> dict[str, object]:
    if isinstance(op, Delete):
        return {"found": result.found}
    if isinstance(op, Add):
        return {"version": result.version, "number": result.number}
    return {"version": result.version}
