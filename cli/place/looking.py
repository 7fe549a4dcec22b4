"""What a key's value is, without its bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rundlet.keys import key_bytes

if TYPE_CHECKING:
    from rundlet import KeyInfo, Value
    from rundlet_server.cli.place.target import Target


def look(target: Target, key: str) -> KeyInfo | None:
    """Return what the value of a key is; ``None`` if it has none.

    Of all keys that begin with the text of a key, the key itself is the first.

    Raises:
        BadRequest: the key is empty or cannot be encoded.
    """
    key_bytes(key)
    first = next(iter(target.scan(prefix=key, limit=1)), None)
    return first if first is not None and first.key == key else None


def seconds_left(found: KeyInfo | Value) -> float | None:
    """Return how long a value still lives, 0 if its time is over; ``None``: it does not expire."""
    if found.expires is None:
        return None
    return max(0.0, (found.expires - datetime.now(UTC)).total_seconds())
