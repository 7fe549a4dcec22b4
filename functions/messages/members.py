"""The members of a decoded JSON or CBOR object, read by name and type."""

from __future__ import annotations

from collections.abc import Iterable, Set

from rundlet_server.functions.limits import over_limit
from rundlet_server.functions.messages.query import REVISION_MAX, is_ttl
from rundlet_server.functions.problems import Member, Problem
from rundlet_server.storage.requests import TTL_S_MAX


class Members:
    """An object in a request's body.

    Every method raises ``Problem`` 422 where a member is not what it must be, naming it and,
    through ``place`` and ``index``, where it stands. ``null`` counts as left out.
    """

    def __init__(self, place: str, item: object, known: Set[str], index: int | None = None) -> None:
        """Take an object that has no other members than those that are known.

        Args:
            place: what it is, or the list that it stands in.
            item: as decoded.
            known: names of members.
            index: in the list.
        """
        self._place = place
        self._index = index
        if not isinstance(item, dict):
            raise self.wrong(f"must be an object, not {_kind(item)}")
        self._members: dict[object, object] = item
        if not item.keys() <= known:
            shown = repr(next(name for name in item if name not in known))[:80]
            raise self.wrong(f"has no member {shown}; known: {', '.join(sorted(known))}")

    def __contains__(self, name: str) -> bool:
        return self._members.get(name) is not None

    def wrong(self, what: str) -> Problem:
        """The answer to an object that is not what it must be."""
        name = "bad-members" if self._index is None else "bad-operation"
        return self._problem(name, what, {})

    def given(self, names: Iterable[str]) -> list[str]:
        """Which of some members there are."""
        return [name for name in names if self._members.get(name) is not None]

    def items(self, name: str) -> list[object]:
        """A list."""
        member = self._members.get(name)
        if isinstance(member, list):
            return member
        raise self.wrong(f"needs '{name}', a list, not {_kind(member)}")

    def text(self, name: str) -> str:
        """Text that is encodable as UTF-8."""
        member = self._members.get(name)
        if isinstance(member, str):
            if not member.isascii():
                self._encoded(f"'{name}'", member)
            return member
        raise self.wrong(f"needs '{name}', a text, not {_kind(member)}")

    def byte_string(self, name: str) -> bytes:
        """A byte string."""
        member = self._members.get(name)
        if isinstance(member, bytes):
            return member
        raise self.wrong(f"needs '{name}', a byte string, not {_kind(member)}")

    def fact(self, name: str) -> bool | None:
        """True or false, or ``None`` where there is none."""
        member = self._members.get(name)
        if member is None or isinstance(member, bool):
            return member
        raise self.wrong(f"has '{name}', which must be true or false, not {_kind(member)}")

    def number(self, name: str, *, least: int) -> int:
        """A whole number of at most 63 bits."""
        number = self.number_or_none(name, least=least)
        if number is None:
            raise self.wrong(f"needs '{name}', a whole number")
        return number

    def number_or_none(self, name: str, *, least: int) -> int | None:
        """A whole number of at most 63 bits, or ``None`` where there is none."""
        member = self._members.get(name)
        if member is None:
            return None
        if (
            isinstance(member, int)
            and not isinstance(member, bool)
            and least <= member <= REVISION_MAX
        ):
            return member
        raise self.wrong(f"has '{name}', which must be a whole number from {least} to 2^63-1")

    def ttl_s(self, name: str) -> float | None:
        """A time to live in seconds, or ``None`` where there is none."""
        member = self._members.get(name)
        if member is None:
            return None
        if isinstance(member, int | float) and not isinstance(member, bool) and is_ttl(member):
            return float(member)
        most = f"{TTL_S_MAX} at most"
        raise self.wrong(f"has '{name}', which must be a number of seconds above 0, {most}")

    def key(self, key_bytes_max: int) -> str:
        """The member ``key``."""
        return self._as_key("'key'", self._members.get("key"), key_bytes_max)

    def as_keys(self, name: str, items: Iterable[object], key_bytes_max: int) -> list[str]:
        """The keys in the list ``name``."""
        return [
            item
            if isinstance(item, str) and item.isascii() and 0 < len(item) <= key_bytes_max
            else self._as_key(f"{name}[{index}]", item, key_bytes_max)
            for index, item in enumerate(items)
        ]

    def _as_key(self, place: str, item: object, key_bytes_max: int) -> str:
        """A key that stands at ``place``."""
        if not isinstance(item, str) or not item:
            raise self.wrong(f"needs {place}, a text that is not empty")
        size = len(item) if item.isascii() else len(self._encoded(place, item))
        if size > key_bytes_max:
            what = f"has {place} too long: {over_limit('key_bytes_max', key_bytes_max, size)}"
            raise self._problem("key-too-long", what, {"limit": key_bytes_max, "got": size})
        return item

    def _problem(self, name: str, what: str, extra: dict[str, Member]) -> Problem:
        """A problem that says where it is. Nothing of that is made for objects that are right."""
        if self._index is None:
            return Problem(422, name, f"{self._place} {what}", extra)
        place: dict[str, Member] = {"list": self._place, "index": self._index}
        return Problem(422, name, f"{self._place}[{self._index}] {what}", {**place, **extra})

    def _encoded(self, place: str, text: str) -> bytes:
        try:
            return text.encode()
        except UnicodeEncodeError as ex:
            raise self.wrong(f"has {place} with half of a surrogate pair") from ex


def _kind(item: object) -> str:
    """What an item is, in words of JSON."""
    if item is None:
        return "nothing"
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return names.get(type(item), type(item).__name__)
