"""A transaction, from a decoded body."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rundlet_server.functions.messages.content_types import require_header_safe
from rundlet_server.functions.messages.members import Members
from rundlet_server.functions.problems import Problem, too_large
from rundlet_server.storage.interface import (
    DEFAULT_CONTENT_TYPE,
    Add,
    Condition,
    Delete,
    Limits,
    Op,
    Put,
    Restore,
    Touch,
    Txn,
)

NUMBER_MIN = -(2**63)


def parse_txn(body: object, limits: Limits) -> Txn:
    """The transaction that a body asks for.

    Raises:
        Problem: 422 naming list and index of whatever is wrong, 413 for too many operations,
            a value too large, or too many bytes together.
    """
    members = Members("the body", body, {"if", "then", "else"})
    conditions = members.items("if") if "if" in members else []
    _require_count(conditions, limits)
    return Txn(
        then=_parse_ops("then", members.items("then"), limits),
        conditions=[_parse_condition(index, item, limits) for index, item in enumerate(conditions)],
        otherwise=_parse_ops("else", members.items("else"), limits) if "else" in members else None,
    )


def keys_of(txn: Txn) -> Iterator[str]:
    """Every key that a transaction writes, may write, or asks about."""
    for part in (txn.conditions, txn.then, txn.otherwise or ()):
        yield from (item.key for item in part)


def _parse_ops(name: str, items: list[object], limits: Limits) -> list[Op]:
    _require_count(items, limits)
    ops: list[Op] = []
    first_index: dict[str, int] = {}
    size = 0
    for index, item in enumerate(items):
        op = _parse_op(name, index, item, limits)
        if op.key in first_index:
            other = f"{name}[{first_index[op.key]}]"
            detail = f"{name}[{index}] writes the same key as {other}; a key may stand there once"
            raise Problem(422, "bad-operation", detail, {"list": name, "index": index})
        first_index[op.key] = index
        size += len(op.key.encode()) + (len(op.value) if isinstance(op, Put) else 0)
        ops.append(op)
    if size > limits.txn_bytes_max and len(ops) > 1:  # a single value has a limit of its own
        raise too_large("txn_bytes_max", limits.txn_bytes_max, size)
    return ops


def _parse_op(name: str, index: int, item: object, limits: Limits) -> Op:
    kind = item.get("op") if isinstance(item, dict) else None
    parser = _PARSERS.get(kind) if isinstance(kind, str) else None
    if parser is None:
        detail = f"{name}[{index}] needs 'op', one of: {', '.join(_PARSERS)}"
        raise Problem(422, "bad-operation", detail, {"list": name, "index": index})
    known, parse = parser
    return parse(Members(name, item, known, index), limits)


def _parse_put(members: Members, limits: Limits) -> Put:
    key = members.key(limits.key_bytes_max)
    value = _value(members)
    if len(value) > limits.value_bytes_max:
        raise too_large("value_bytes_max", limits.value_bytes_max, len(value))
    content_type = DEFAULT_CONTENT_TYPE
    if "content_type" in members:
        content_type = members.text("content_type") or DEFAULT_CONTENT_TYPE
        try:
            require_header_safe(content_type)
        except Problem as ex:
            raise members.wrong(f"has 'content_type': {ex.detail}") from ex
    return Put(key, value, content_type, members.ttl_s("ttl"))


def _parse_delete(members: Members, limits: Limits) -> Delete:
    return Delete(members.key(limits.key_bytes_max))


def _parse_add(members: Members, limits: Limits) -> Add:
    by = members.number_or_none("by", least=NUMBER_MIN)
    return Add(members.key(limits.key_bytes_max), 1 if by is None else by)


def _parse_touch(members: Members, limits: Limits) -> Touch:
    return Touch(members.key(limits.key_bytes_max), members.ttl_s("ttl"))


def _parse_restore(members: Members, limits: Limits) -> Restore:
    return Restore(members.key(limits.key_bytes_max), members.number("version", least=1))


_FORMS: Final = ("text", "base64", "value")
_CONDITION_MEMBERS: Final = frozenset({"key", "revision", "exists", "version"})

_PARSERS: dict[str, tuple[frozenset[str], Callable[[Members, Limits], Op]]] = {
    "put": (frozenset({"op", "key", *_FORMS, "content_type", "ttl"}), _parse_put),
    "delete": (frozenset({"op", "key"}), _parse_delete),
    "add": (frozenset({"op", "key", "by"}), _parse_add),
    "touch": (frozenset({"op", "key", "ttl"}), _parse_touch),
    "restore": (frozenset({"op", "key", "version"}), _parse_restore),
}


def _value(members: Members) -> bytes:
    """The value in the one form it was given; a byte string can only have come in CBOR."""
    given = members.given(_FORMS)
    if len(given) != 1:
        raise members.wrong("needs exactly one of 'text' and 'base64' (in CBOR: 'value')")
    if given == ["value"]:
        return members.byte_string("value")
    if given == ["text"]:
        return members.text("text").encode()
    return _decode_base64(members)


def _decode_base64(members: Members) -> bytes:
    encoded = members.text("base64")
    try:
        value = base64.b64decode(encoded, validate=True)
    except ValueError as ex:
        raise members.wrong(f"has 'base64' that is none: {ex}") from ex
    if base64.b64encode(value).decode() != encoded:  # stray bits, or more padding than needed
        raise members.wrong("has 'base64' that is not the usual spelling of its bytes")
    return value


def _parse_condition(index: int, item: object, limits: Limits) -> Condition:
    members = Members("if", item, _CONDITION_MEMBERS, index)
    key = members.key(limits.key_bytes_max)
    exists = members.fact("exists")
    revision = members.number_or_none("revision", least=0)
    version = members.number_or_none("version", least=1)
    if exists is None and revision is None and version is None:
        raise members.wrong("needs one of 'revision', 'exists' and 'version'")
    revisions = None if revision is None else (revision,)
    return Condition(key, exists=exists, version=version, revisions=revisions)


def _require_count(items: Sequence[object], limits: Limits) -> None:
    if len(items) > limits.txn_ops_max:
        raise too_large("txn_ops_max", limits.txn_ops_max, len(items))
