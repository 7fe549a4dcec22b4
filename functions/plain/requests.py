"""The conditions that all plain requests meet: known headers, a small body, one host name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

SMALL_BYTES: Final = 64 * 1024
"""A request with a larger body is not plain."""
_DIGITS_MAX: Final = len(str(SMALL_BYTES))

PLAIN_HEADERS: Final = frozenset(
    (
        *(b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language"),
        *(b"connection", b"content-type", b"content-length"),
    )
)
"""Headers that do not change the effect of a plain request, except that ``Host`` is checked."""


def plain_fields(
    headers: Sequence[tuple[bytes, bytes]], known: frozenset[bytes] = PLAIN_HEADERS
) -> dict[bytes, bytes] | None:
    """Return the headers of a request by name; ``None`` if one is not ``known``, or is repeated."""
    fields = dict(headers)
    return fields if len(fields) == len(headers) and fields.keys() <= known else None


def plain_size(fields: Mapping[bytes, bytes]) -> int:
    """Return the size of the body; 0 if it has none, or one that may be too large."""
    digits = fields.get(b"content-length", b"")
    return int(digits) if digits.isdigit() and len(digits) <= _DIGITS_MAX else 0


def spelled(*names: str) -> tuple[tuple[bytes, str], ...]:
    """Return how ASGI and WSGI spell the names of headers."""
    return tuple((name.encode(), f"HTTP_{name.upper().replace('-', '_')}") for name in names)


def environ_of(
    method: str, fields: Mapping[bytes, bytes], read: Sequence[tuple[bytes, str]]
) -> dict[str, object]:
    """Return the part of a WSGI environ that decides the answer.

    Args:
        method: of the request.
        fields: its headers, with names as in ASGI.
        read: the headers to copy into the environ, see ``spelled``.
    """
    environ: dict[str, object] = {"REQUEST_METHOD": method}
    for name, wsgi_name in read:
        if name in fields:
            environ[wsgi_name] = fields[name].decode("latin-1")
    return environ


def host_of(environ: Mapping[str, object]) -> str:
    """Return the host name; empty if there is none, or more than one."""
    host = str(environ.get("HTTP_HOST", ""))
    return "" if "," in host else host
