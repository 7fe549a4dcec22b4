"""A second, simple implementation of ``mget`` and transactions, with which tests compare."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import Final

from rundlet_server.storage.interface import Limits

TTL_S_MAX: Final = 100 * 366 * 86_400
NUMBER_MAX: Final = 2**63 - 1
_KNOWN: Final = {
    "put": {"op", "key", "text", "base64", "value", "content_type", "ttl"},
    "delete": {"op", "key"},
    "add": {"op", "key", "by"},
    "touch": {"op", "key", "ttl"},
    "restore": {"op", "key", "version", "revision", "ttl"},
}


class Refused(Exception):
    """The server must reject the body and change nothing."""


class NotDone(Exception):
    """The conditions do not hold, and the transaction has no ``else`` operations."""


@dataclass(frozen=True)
class Held:
    """The value of a key."""

    value: bytes
    content_type: str
    version: int
    expires: bool = False


State = dict[str, Held]
History = dict[tuple[str, int], Held]
"""What may be restored: by key and version."""


def mget(body: object, limits: Limits) -> tuple[list[str], int | None]:
    """Return the requested keys and the revision; bodies with ``at`` are tested elsewhere."""
    members = _object(body, {"keys", "rev"})
    keys = [_key(item, limits) for item in _list(members.get("keys"))]
    _require(len(keys) <= limits.list_keys_max)
    rev = members.get("rev")
    return keys, None if rev is None else _number(rev, least=0)


def txn(
    body: object, state: State, revisions: dict[str, int], history: History, limits: Limits
) -> tuple[bool, State]:
    """Return whether the conditions hold, and the state afterwards."""
    members = _object(body, {"if", "then", "else"})
    then = _ops(members.get("then"), limits)
    otherwise = None if members.get("else") is None else _ops(members["else"], limits)
    conditions = [] if members.get("if") is None else _list(members["if"])
    _require(len(conditions) <= limits.txn_ops_max)
    held = [_holds(_object(item), state, revisions, limits) for item in conditions]
    if all(held):
        return True, _applied(then, state, history)
    if otherwise is None:
        raise NotDone
    return False, _applied(otherwise, state, history)


def _holds(
    condition: dict[str, object], state: State, revisions: dict[str, int], limits: Limits
) -> bool:
    _require(condition.keys() <= {"key", "exists", "revision", "version"})
    key = _key(condition.get("key"), limits)
    asked = {name: of for name, of in condition.items() if name != "key" and of is not None}
    _require(bool(asked))
    holds = []
    if "exists" in asked:
        _require(isinstance(asked["exists"], bool))
        holds.append(asked["exists"] == (key in state))
    if "revision" in asked:
        holds.append(_number(asked["revision"], least=0) == revisions.get(key, 0))
    if "version" in asked:
        version = state[key].version if key in state else 0
        holds.append(_number(asked["version"], least=1) == version)
    return all(holds)


def _ops(listed: object, limits: Limits) -> list[dict[str, object]]:
    """Return the operations; check what does not depend on the state of the store."""
    ops = [_object(item) for item in _list(listed)]
    _require(len(ops) <= limits.txn_ops_max)
    size = 0
    for op in ops:
        kind = op.get("op")
        _require(isinstance(kind, str) and kind in _KNOWN and op.keys() <= _KNOWN[kind])
        size += len(_key(op.get("key"), limits).encode())
        if kind == "put":
            value = _value(op)
            _require(len(value) <= limits.value_bytes_max)
            size += len(value)
            _require_content_type(op.get("content_type"))
        if op.get("ttl") is not None:
            _require_ttl(op["ttl"])
        if op.get("by") is not None:
            _number(op["by"], least=-(2**63))
        if kind == "restore":
            _require((op.get("version") is None) != (op.get("revision") is None))
            if op.get("revision") is None:
                _number(op.get("version"), least=1)
            else:
                _number(op["revision"], least=0)
    _require(len({str(op["key"]) for op in ops}) == len(ops))
    _require(size <= limits.txn_bytes_max or len(ops) == 1)
    return ops


def _applied(ops: list[dict[str, object]], state: State, history: History) -> State:
    after = dict(state)
    for op in ops:
        key = str(op["key"])
        old = state.get(key)
        if op["op"] == "delete":
            after.pop(key, None)
        else:
            new = _written(op, key, old, history)
            after[key] = replace(new, version=old.version + 1 if old else 1)
    return after


def _written(op: dict[str, object], key: str, old: Held | None, history: History) -> Held:
    expires = op.get("ttl") is not None
    match op["op"]:
        case "put":
            is_text = op.get("text") is not None
            default = "text/plain; charset=utf-8" if is_text else "application/octet-stream"
            content_type = op.get("content_type") or default
            return Held(_value(op), str(content_type), 0, expires)
        case "add":
            by = 1 if op.get("by") is None else op["by"]
            _require(old is None or old.value.removeprefix(b"-").isdigit())
            number = int(old.value if old else b"0") + by  # type: ignore[operator]
            _require(-NUMBER_MAX - 1 <= number <= NUMBER_MAX)
            value = b"%d" % number
            old = old or Held(b"", "text/plain; charset=utf-8", 0)
            return replace(old, value=value)
        case "touch":
            if old is None:
                raise Refused
            return replace(old, expires=expires)
        case _:
            restored = history.get((key, int(str(op["version"]))))
            if restored is None:
                raise Refused
            return replace(restored, expires=False)


def _value(op: dict[str, object]) -> bytes:
    given = {name: op[name] for name in ("text", "base64", "value") if op.get(name) is not None}
    _require(len(given) == 1)
    match given:
        case {"value": bytes(value)}:
            return value
        case {"text": str(text)}:
            return _utf8(text)
        case {"base64": str(text)} if text.isascii():
            try:
                value = base64.b64decode(text, validate=True)
            except binascii.Error as ex:
                raise Refused from ex
            _require(base64.b64encode(value).decode() == text)
            return value
    raise Refused


def _key(item: object, limits: Limits) -> str:
    if not isinstance(item, str):
        raise Refused
    _require(0 < len(_utf8(item)) <= limits.key_bytes_max)
    return item


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as ex:
        raise Refused from ex


def _number(item: object, *, least: int) -> int:
    if type(item) is not int or not least <= item <= NUMBER_MAX:
        raise Refused
    return item


def _require_ttl(item: object) -> None:
    if type(item) not in (int, float) or not 1e-6 <= item <= TTL_S_MAX:  # type: ignore[operator]
        raise Refused


def _require_content_type(item: object) -> None:
    if item is not None:
        _require(isinstance(item, str))
        printable = all(" " <= x <= "~" or x == "\t" for x in str(item))
        _require(printable and len(str(item)) <= 200)


def _object(item: object, known: set[str] | None = None) -> dict[str, object]:
    if not isinstance(item, dict) or not (known is None or item.keys() <= known):
        raise Refused
    return item


def _list(item: object) -> list[object]:
    if not isinstance(item, list):
        raise Refused
    return item


def _require(holds: bool) -> None:
    if not holds:
        raise Refused
