"""Parses a transaction: the JSON of ``POST /v1/txn``, or one condition or write on each line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

import typer

from rundlet import Add, Condition, Delete, Op, Put, Restore, Touch
from rundlet_server.cli.show.times import seconds_above_0
from rundlet_server.cli.show.values import is_media_type, typed_argument
from rundlet_server.cli.transfer.jsonlines import BadLine, row_of_members

_FORMS: Final = {
    "if": "if KEY exists|missing|revision N|version N",
    "set": "set KEY VALUE [--ttl TIME] [--type TYPE]",
    "del": "del KEY",
    "incr": "incr KEY [N]",
    "touch": "touch KEY TTL|never",
    "restore": "restore KEY VERSION",
    "else": "else",
}
_Read = TypeVar("_Read")

_NEVER: Final = "never"
_LISTS: Final = ("if", "then", "else")


@dataclass(slots=True)
class Wanted:
    """A transaction while it is parsed."""

    conditions: list[Condition] = field(default_factory=list)
    then: list[Op] = field(default_factory=list)
    otherwise: list[Op] | None = None


def read(text: str) -> Wanted:
    """Read a transaction in either form.

    Raises:
        BadLine: the text is not a transaction; the message has the place and the reason.
    """
    wanted = _read_json(text) if text.lstrip().startswith("{") else _read_lines(text)
    if not (wanted.then or wanted.otherwise):
        message = "1: there is no write in it"
        raise BadLine(message)
    return wanted


# --- lines ---------------------------------------------------------------------------------


def _read_lines(text: str) -> Wanted:
    wanted = Wanted()
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            words = [] if line.lstrip().startswith("#") else shlex.split(line)
            if words:
                _take(wanted, words)
        except (ValueError, typer.BadParameter) as ex:  # of shlex, of units, and BadLine
            message = f"{number}: {ex}"
            raise BadLine(message) from ex
    return wanted


def _take(wanted: Wanted, words: Sequence[str]) -> None:
    """Add the condition or write of a line."""
    verb, *rest = words
    if verb not in _FORMS:
        message = f"{verb!r} is none of {', '.join(_FORMS)}"
        raise BadLine(message)
    if verb == "else" and not rest and wanted.otherwise is None:
        wanted.otherwise = []
    elif verb == "if" and not wanted.then and wanted.otherwise is None:
        wanted.conditions.append(_condition(rest))
    elif verb in _OPS:
        branch = wanted.then if wanted.otherwise is None else wanted.otherwise
        branch.append(_OPS[verb](rest))
    else:
        message = "conditions stand before all writes, and there is one else"
        raise BadLine(message)


def _condition(words: Sequence[str]) -> Condition:
    match words:
        case [key, "exists"]:
            return Condition(key, exists=True)
        case [key, "missing"]:
            return Condition(key, exists=False)
        case [key, "revision", number]:
            return Condition(key, revision=_whole(number))
        case [key, "version", number]:
            return Condition(key, version=_whole(number))
    raise _malformed("if")


def _set(words: Sequence[str]) -> Put:
    plain: list[str] = []
    options = {"--ttl": "", "--type": ""}
    coming = iter(words)
    for word in coming:
        if word == "--":
            plain += coming
        elif word in options:
            options[word] = next(coming, "")
            if not options[word]:
                raise _malformed("set")
        else:
            plain.append(word)
    if len(plain) != 2:
        raise _malformed("set")
    value, content_type = typed_argument(plain[1])
    if options["--type"] and not is_media_type(options["--type"]):
        message = f"{options['--type']!r} is not a content type such as text/plain"
        raise BadLine(message)
    ttl = seconds_above_0("--ttl", options["--ttl"]) if options["--ttl"] else None
    return Put(plain[0], value, options["--type"] or content_type, ttl)


def _delete(words: Sequence[str]) -> Delete:
    (key,) = _some(words, "del", 1, 1)
    return Delete(key)


def _add(words: Sequence[str]) -> Add:
    key, *by = _some(words, "incr", 1, 2)
    return Add(key, _whole(by[0]) if by else 1)


def _touch(words: Sequence[str]) -> Touch:
    key, ttl = _some(words, "touch", 2, 2)
    return Touch(key, None if ttl == _NEVER else seconds_above_0("TTL", ttl))


def _restore(words: Sequence[str]) -> Restore:
    key, version = _some(words, "restore", 2, 2)
    return Restore(key, version=_whole(version))


_OPS: Final[Mapping[str, Callable[[Sequence[str]], Op]]] = {
    "set": _set,
    "del": _delete,
    "incr": _add,
    "touch": _touch,
    "restore": _restore,
}


def _some(words: Sequence[str], verb: str, least: int, most: int) -> Sequence[str]:
    if least <= len(words) <= most:
        return words
    raise _malformed(verb)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as ex:
        message = f"{text!r} is not a whole number"
        raise BadLine(message) from ex


def _malformed(verb: str) -> BadLine:
    return BadLine(f"write it as {_FORMS[verb]}")


# --- JSON ----------------------------------------------------------------------------------


def _read_json(text: str) -> Wanted:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as ex:
        line = getattr(ex, "lineno", 1)
        message = f"{line}: not JSON: {ex}"
        raise BadLine(message) from ex
    unknown = sorted(body.keys() - set(_LISTS))
    if unknown:
        message = f"1: unknown member {unknown[0]!r}; there are 'if', 'then' and 'else'"
        raise BadLine(message)
    parts = {name: _objects(body, name) for name in _LISTS}
    return Wanted(
        [_each("if", number, row, _json_condition) for number, row in parts["if"]],
        [_each("then", number, row, _json_op) for number, row in parts["then"]],
        [_each("else", number, row, _json_op) for number, row in parts["else"]]
        if "else" in body
        else None,
    )


def _objects(body: Mapping[str, object], name: str) -> list[tuple[int, dict[str, object]]]:
    listed = body.get(name, [])
    if isinstance(listed, list) and all(isinstance(row, dict) for row in listed):
        return list(enumerate(listed))
    message = f"1: {name!r} is not a list of objects"
    raise BadLine(message)


def _each(
    name: str, number: int, row: dict[str, object], read_one: Callable[[dict[str, object]], _Read]
) -> _Read:
    try:
        return read_one(row)
    except BadLine as ex:
        message = f"{name}[{number}]: {ex}"
        raise BadLine(message) from ex


def _json_condition(row: dict[str, object]) -> Condition:
    _require_members(row, {"key", "revision", "version", "exists"})
    exists = row.get("exists")
    if exists is not None and not isinstance(exists, bool):
        message = "'exists' is neither true nor false"
        raise BadLine(message)
    return Condition(
        _text(row, "key"),
        revision=_number(row, "revision"),
        version=_number(row, "version"),
        exists=exists,
    )


def _json_op(row: dict[str, object]) -> Op:
    kind = row.get("op")
    rest = {name: member for name, member in row.items() if name != "op"}
    if kind == "put":
        put = row_of_members(rest).put(datetime.now(UTC))
        if put is None:
            message = "it has expired"
            raise BadLine(message)
        return put
    if not isinstance(kind, str) or kind not in _JSON_OPS:
        message = f"'op' is none of put, {', '.join(_JSON_OPS)}"
        raise BadLine(message)
    members, make = _JSON_OPS[kind]
    _require_members(rest, members)
    return make(rest)


def _json_add(row: dict[str, object]) -> Add:
    by = _number(row, "by")
    return Add(_text(row, "key"), 1 if by is None else by)


def _json_restore(row: dict[str, object]) -> Restore:
    numbers = _number(row, "version"), _number(row, "revision")
    return Restore(_text(row, "key"), *numbers, _seconds(row))


_JSON_OPS: Final[Mapping[str, tuple[set[str], Callable[[dict[str, object]], Op]]]] = {
    "delete": ({"key"}, lambda row: Delete(_text(row, "key"))),
    "add": ({"key", "by"}, _json_add),
    "touch": ({"key", "ttl"}, lambda row: Touch(_text(row, "key"), _seconds(row))),
    "restore": ({"key", "version", "revision", "ttl"}, _json_restore),
}


def _require_members(row: Mapping[str, object], known: set[str]) -> None:
    unknown = sorted(row.keys() - known)
    if unknown:
        message = f"unknown member {unknown[0]!r}"
        raise BadLine(message)


def _text(row: Mapping[str, object], name: str) -> str:
    member = row.get(name)
    if isinstance(member, str):
        return member
    message = f"{name!r} is missing or no text"
    raise BadLine(message)


def _number(row: Mapping[str, object], name: str) -> int | None:
    member = row.get(name)
    if member is None or (isinstance(member, int) and not isinstance(member, bool)):
        return member
    message = f"{name!r} is not a whole number"
    raise BadLine(message)


def _seconds(row: Mapping[str, object]) -> float | None:
    member = row.get("ttl")
    if member is None:
        return None
    if isinstance(member, int | float) and not isinstance(member, bool) and member > 0:
        return float(member)
    message = "'ttl' is not a number of seconds above 0"
    raise BadLine(message)
