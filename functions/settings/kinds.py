"""The kinds of settings: how each is read from text, handed over as text, and shown.

A kind reads the text of an option and of an environment variable alike. ``read`` raises
``ValueError`` with what to write instead; ``reading`` puts the name of the setting before it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from rundlet_server.functions.units import (
    SIZE_EXAMPLES,
    TIME_EXAMPLES,
    bytes_of,
    seconds_of,
    shown_bytes,
    shown_seconds,
)
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import InvalidAddress

EVERY_ORIGIN: Final = "*"

_TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE: Final = frozenset({"0", "false", "f", "no", "n", "off"})
_COUNT_DIGITS_MAX: Final = 18  # fits into 64 bits
_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.\-]*)://([a-z0-9_.\-]+|\[[0-9a-f:.]+\])(:(?P<port>[1-9][0-9]{0,4}))?"
)
_LEFT_OUT_PORTS: Final = {"http": "80", "https": "443"}


class Kind(Protocol):
    """One kind of setting."""

    @property
    def metavar(self) -> str:
        """The placeholder of the value in a help text."""

    def read(self, text: str) -> object:
        """Return the value of a text; raise ``ValueError`` with what to write instead."""

    def write(self, value: object) -> str:
        """Return the text that ``read`` turns into this value."""

    def show(self, value: object) -> str:
        """Return the value in a form for people."""


@dataclass(frozen=True, slots=True)
class Flag:
    """On or off; the option takes no value."""

    metavar: str = "1|0"

    def read(self, text: str) -> bool:
        """Read ``1`` or ``0``, or a word that means the same."""
        word = text.strip().lower()
        if word not in _TRUE | _FALSE:
            raise ValueError("write 1 (on) or 0 (off)")
        return word in _TRUE

    def write(self, value: object) -> str:
        """Return ``1`` or ``0``."""
        return "1" if value else "0"

    def show(self, value: object) -> str:
        """Return ``on`` or ``off``."""
        return "on" if value else "off"


class _Plain:
    """A kind whose values are written and shown as they are; ``None`` is an empty text."""

    __slots__ = ()

    def write(self, value: object) -> str:
        """Return the text of the value."""
        return "" if value is None else str(value)

    def show(self, value: object) -> str:
        """Return the text of the value."""
        return self.write(value)


@dataclass(frozen=True, slots=True)
class Text(_Plain):
    """Any text but an empty one."""

    metavar: str

    def read(self, text: str) -> str:
        """Return the text unchanged."""
        if not text:
            raise ValueError(f"write a {self.metavar.lower()}, or leave the option out")
        return text


@dataclass(frozen=True, slots=True)
class Folder(_Plain):
    """The path of a folder, which need not exist."""

    metavar: str = "DIR"

    def read(self, text: str) -> Path:
        """Return the path."""
        if not text:
            raise ValueError("name a folder; '.' is the current one")
        if Path(text).is_file():
            raise ValueError("that is a file; name a folder")
        return Path(text)


@dataclass(frozen=True, slots=True)
class File(_Plain):
    """The path of a file, which need not exist."""

    metavar: str = "FILE"

    def read(self, text: str) -> Path:
        """Return the path."""
        if not text:
            raise ValueError("name a file")
        if Path(text).is_dir():
            raise ValueError("that is a folder; name a file")
        return Path(text)


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a store; ``write`` keeps its password, ``show`` leaves it out."""

    metavar: str = "ADDRESS"

    def read(self, text: str) -> StoreAddress:
        """Return the address."""
        try:
            return StoreAddress.parse(text)
        except InvalidAddress as ex:
            raise ValueError(str(ex)) from ex

    def write(self, value: object) -> str:
        """Return the address with its password."""
        return value.text if isinstance(value, StoreAddress) else ""

    def show(self, value: object) -> str:
        """Return the address without its password."""
        return value.shown if isinstance(value, StoreAddress) else ""


@dataclass(frozen=True, slots=True)
class Choice(_Plain):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def metavar(self) -> str:
        """Return all words."""
        return "|".join(self.words)

    def read(self, text: str) -> str:
        """Return the word."""
        if text not in self.words:
            raise ValueError(f"write {', '.join(self.words[:-1])} or {self.words[-1]}")
        return text


@dataclass(frozen=True, slots=True)
class Count(_Plain):
    """A whole number of things."""

    least: int = 1
    most: int | None = None
    metavar: str = "N"

    def read(self, text: str) -> int:
        """Return the number."""
        digits = text.strip()
        if digits.isascii() and digits.isdigit() and len(digits) <= _COUNT_DIGITS_MAX:
            number = int(digits)
            if self.least <= number <= (number if self.most is None else self.most):
                return number
        upper = "" if self.most is None else f" to {self.most}"
        raise ValueError(f"write a whole number from {self.least}{upper or ' up'}")


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes, with a unit if wanted."""

    least: int = 1
    most: int | None = None
    metavar: str = "SIZE"

    def read(self, text: str) -> int:
        """Return the number of bytes."""
        try:
            size = bytes_of(text)
        except ValueError as ex:
            raise ValueError(f"write a size such as {SIZE_EXAMPLES}") from ex
        if size < self.least:
            raise ValueError(f"write a size of at least {shown_bytes(self.least)}")
        if self.most is not None and size > self.most:
            raise ValueError(f"write a size of at most {shown_bytes(self.most)}")
        return size

    def write(self, value: object) -> str:
        """Return the number of bytes without a unit."""
        return str(value)

    def show(self, value: object) -> str:
        """Return the size in a unit that gives a whole number."""
        return shown_bytes(value) if isinstance(value, int) else ""


@dataclass(frozen=True, slots=True)
class Duration:
    """A time, with a unit if wanted; its value is in seconds.

    Attributes:
        plain_unit: the unit of a number that has none.
        may_be_zero: whether 0 is valid.
        most: the longest time in seconds, if there is one.
    """

    plain_unit: str = "s"
    may_be_zero: bool = True
    metavar: str = "TIME"
    most: float = math.inf

    def read(self, text: str) -> float:
        """Return the seconds."""
        try:
            seconds = seconds_of(text, self.plain_unit)
        except ValueError as ex:
            raise ValueError(f"write a time such as {TIME_EXAMPLES}") from ex
        if not seconds and not self.may_be_zero:
            raise ValueError(f"write a time above 0, such as {TIME_EXAMPLES}")
        if seconds > self.most:
            raise ValueError(f"write at most {shown_seconds(self.most)}")
        return seconds

    def write(self, value: object) -> str:
        """Return a number in the plain unit if that is exact, else the seconds with their unit."""
        if value is None:
            return ""
        if self.plain_unit == "s" or not isinstance(value, float):
            return str(value)
        number = str(value / seconds_of(f"1{self.plain_unit}"))
        return number if self.read(number) == value else f"{value}s"

    def show(self, value: object) -> str:
        """Return the duration in a unit that gives a whole number."""
        return shown_seconds(value) if isinstance(value, float) else ""


@dataclass(frozen=True, slots=True)
class Words:
    """Words; the option may be repeated, the variable has spaces between them."""

    metavar: str

    def read(self, text: str) -> tuple[str, ...]:
        """Return all words, each checked."""
        return tuple(self.read_one(word) for word in text.split())

    def read_one(self, word: str) -> str:
        """Return the word of one option."""
        if word.split() != [word]:
            raise ValueError(f"write one {self.metavar.lower()}, and repeat the option for more")
        return word

    def write(self, value: object) -> str:
        """Return all words."""
        return " ".join(value) if isinstance(value, tuple) else ""

    def show(self, value: object) -> str:
        """Return all words."""
        return self.write(value) or "none"


@dataclass(frozen=True, slots=True)
class Origins(Words):
    """Origins of web pages, as browsers spell them."""

    metavar: str = "ORIGIN"

    def read_one(self, word: str) -> str:
        """Return the origin of one option."""
        if not is_origin(word):
            raise ValueError(
                "browsers send no such origin; write it as https://app.example.org,"
                " without patterns, or '*' for all"
            )
        return word


def is_origin(text: str) -> bool:
    """Return whether a text is an origin as browsers spell it, or ``*`` for all.

    Browsers write lower case, punycode, no path, and no default port. Any other spelling, and a
    pattern such as ``*.example.org``, would never equal the ``Origin`` of a browser.
    """
    parts = _ORIGIN.fullmatch(text)
    if parts is None:
        return text == EVERY_ORIGIN
    return _LEFT_OUT_PORTS.get(parts["scheme"]) != (parts["port"] or "none")
