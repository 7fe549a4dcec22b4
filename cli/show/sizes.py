"""Sizes, as people read and write them."""

from __future__ import annotations

import re
from typing import Final

import typer

_BYTES: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)


def bytes_of(option: str, text: str) -> int:
    """Return a size such as ``100``, ``64KiB`` or ``10MB`` in bytes.

    ``kB``, ``MB`` and ``GB`` are powers of 1,000, ``KiB``, ``MiB`` and ``GiB`` of 1,024, in any
    case; a bare number counts bytes.

    Raises:
        typer.BadParameter: it is none, or no whole number of bytes.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    unit = _BYTES.get(found[2]) if found else None
    size = float(found[1]) * unit if found and unit is not None else -1.0
    if size < 0 or not size.is_integer():
        message = f"{text!r} is no size; write 100, 64KiB or 10MB"
        raise typer.BadParameter(message, param_hint=option)
    return int(size)


def shown_bytes(size: float) -> str:
    """Return a size for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
