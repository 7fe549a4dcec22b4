"""Sizes in the form for people."""

from __future__ import annotations

import typer

from rundlet_server.functions import units


def bytes_of(option: str, text: str) -> int:
    """Return a size such as ``100``, ``64KiB`` or ``10MB`` in bytes.

    Raises:
        typer.BadParameter: the text is not a size, or not a whole number of bytes.
    """
    try:
        return units.bytes_of(text)
    except ValueError as ex:
        message = f"{text!r} is not a size; write {units.SIZE_EXAMPLES}"
        raise typer.BadParameter(message, param_hint=option) from ex


def shown_bytes(size: float) -> str:
    """Return a size for people."""
    if size == 1:
        return "1 byte"
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
