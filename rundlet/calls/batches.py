"""Operations on many values at once, of one snapshot or in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import cbor2

from rundlet.answers import fields_of
from rundlet.calls.call import Call, needed, post
from rundlet.calls.past import time_text
from rundlet.errors import Conflict, PreconditionFailed, TooLarge
from rundlet.keys import key_bytes, several
from rundlet.model import Commit, Condition, Op, Value
from rundlet.wire import Fields, decode_commit, decode_item, encode_txn


def mget(
    keys: Sequence[str], *, revision: int | None = None, at: datetime | str | None = None
) -> Call[list[Value | None]]:
    """Return the values of any number of keys, all of the snapshot of the first request.

    One request reads all of them if the server allows as many keys.
    """
    names = list(several(keys))
    for name in names:
        key_bytes(name)
    found: list[Value | None] = []
    size = len(names)
    while True:
        some = names[len(found) : len(found) + size]
        try:
            fields = yield from _mget(some, revision, at)
        except TooLarge as ex:
            if len(some) <= 1:
                raise
            size = ex.limit if ex.limit and ex.got == len(some) else len(some) // 2
            continue
        found += [decode_item(item) for item in fields.rows("items")]
        if len(found) >= len(names):
            return found
        revision, at = fields.number("revision"), None


def _mget(keys: Sequence[str], revision: int | None, at: datetime | str | None) -> Call[Fields]:
    body: dict[str, object] = {"keys": keys}
    if revision is not None:
        body["rev"] = revision
    if at is not None:
        body["at"] = time_text(at)
    response = yield post("/v1/mget", cbor2.dumps(body), is_write=False)
    return fields_of(needed(response))


def txn(
    then: Sequence[Op],
    *,
    conditions: Sequence[Condition] = (),
    otherwise: Sequence[Op] | None = None,
) -> Call[Commit]:
    """Do many writes, all or none."""
    for item in (*then, *conditions, *(otherwise or ())):
        key_bytes(item.key)
    body = encode_txn(then, conditions, otherwise)
    response = yield post("/v1/txn", body, is_write=True)
    return decode_commit(fields_of(needed(response)))


def commit_if_revision(op: Op, revision: int) -> Call[Commit]:
    """Do one write if its key is at a revision."""
    # Preconditions over HTTP are ETags; only a transaction can demand a revision.
    try:
        return (yield from txn([op], conditions=[Condition(op.key, revision=revision)]))
    except Conflict as ex:
        current = ex.failed[0].revision if ex.failed else 0
        raise PreconditionFailed(str(ex), revision=current) from ex
