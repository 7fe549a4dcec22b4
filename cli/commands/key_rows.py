"""The rows of keys in lists, for ``ls`` and other commands that list keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rundlet_server.cli.show.formats import Shape
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import shortened, shown_key
from rundlet_server.cli.show.times import exact_time, seconds_left, shown_time, time_left
from rundlet_server.cli.transfer.jsonlines import data_members

if TYPE_CHECKING:
    from rundlet import KeyInfo
    from rundlet_server.cli.place.target import Target

_COLUMNS: Final = ("revision", "version", "size", "content_type", "time", "expires", "meta")


def shape_of(
    target: Target, *, long: bool, values: bool, urls: bool, prefixes: bool
) -> Shape[KeyInfo]:
    """Return the shape in which ``ls`` prints keys, by its options."""
    shown = _Shown(target, long=long, values=values, urls=urls)
    columns = ["key", *_COLUMNS, *(["text", "base64"] if values else [])]
    columns += [*(["url"] if urls else []), *(["prefix"] if prefixes else [])]
    return Shape(shown.members, columns, shown.titles(), shown.cells, shown.piped)


def tabbed(info: KeyInfo) -> bytes:
    """Return the line of a key with its exact value, or of a prefix, for a pipe."""
    value = b"" if info.value is None else b"\t" + info.value.data
    return info.key.encode() + value + b"\n"


class _Shown:
    """Makes the row of a key in each form."""

    def __init__(self, target: Target, *, long: bool, values: bool, urls: bool) -> None:
        self._target = target
        self._is_long = long
        self._has_values = values
        self._is_url = urls

    def members(self, info: KeyInfo) -> Mapping[str, object]:
        """Return all members, for machines."""
        if info.is_prefix:
            return {"prefix": info.key, **self._url(info)}
        members: dict[str, object] = {
            "key": info.key,
            "revision": info.revision,
            "version": info.version,
            "size": info.size,
            "content_type": info.content_type,
        }
        for name, time in (("time", info.time), ("expires", info.expires)):
            if time is not None:
                members[name] = exact_time(time)
        if info.meta:
            members["meta"] = dict(info.meta)
        if info.value is not None:
            members |= data_members(info.value.data, info.content_type)
        return members | self._url(info)

    def titles(self) -> list[str]:
        """Return the titles of a table; without ``--long`` there are none."""
        values = ["value"] if self._has_values else []
        if not self._is_long:
            return []
        return [">revision", ">version", ">size", "type", "expires", "key", *values, "meta"]

    def cells(self, info: KeyInfo) -> Sequence[str]:
        """Return a row of a table."""
        value = [_short(info)] if self._has_values else []
        if not self._is_long:
            return [self._name(info), *value]
        meta = [to_line(dict(info.meta))] if info.meta else []
        about = ["", "", "", "", ""]
        if not info.is_prefix:
            *numbers, content_type = _about(info)
            # A line for people has no room for parameters of the type, nor for a whole time.
            left_s = seconds_left(info)
            left = "" if left_s is None else time_left(left_s)
            about = [*numbers, content_type.partition(";")[0], left]
        return [*about, self._name(info), *value, *meta]

    def piped(self, info: KeyInfo) -> Sequence[str]:
        """Return a row for a pipe, without empty columns at the end."""
        if not self._is_long:
            return [self._name(info)]
        about = ["", "", "", ""] if info.is_prefix else _about(info)
        value = [_short(info)] if self._has_values else []
        meta = [to_line(dict(info.meta))] if info.meta else []
        expires = [_expires(info)] if info.expires or meta or value else []
        return [*about, self._name(info), *expires, *value, *meta]

    def _name(self, info: KeyInfo) -> str:
        if self._is_url:
            return self._target.url_of(info.key, is_prefix=info.is_prefix)
        return shown_key(info.key)

    def _url(self, info: KeyInfo) -> dict[str, object]:
        return {"url": self._name(info)} if self._is_url else {}


def _about(info: KeyInfo) -> list[str]:
    return [
        str(info.revision),
        str(info.version),
        str(info.size),
        shown_key(info.content_type),
    ]


def _expires(info: KeyInfo) -> str:
    return "" if info.expires is None else shown_time(info.expires)


def _short(info: KeyInfo) -> str:
    return "" if info.value is None else shortened(info.value.data)
