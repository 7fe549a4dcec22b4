"""Sizes, as people read them."""

from __future__ import annotations


def shown_bytes(size: float) -> str:
    """A size for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
