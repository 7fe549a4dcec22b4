"""Durations, sizes and times as people write them: ``90s``, ``1h``, ``10MB``, ``64MiB``.

Options, environment variables and arguments of commands use the same parsers.
"""

from __future__ import annotations

import functools
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

TIME_EXAMPLES: Final = "90s, 15m, 12h or 30d"
SIZE_EXAMPLES: Final = "4096, 10MB or 64MiB"

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MILLISECOND: Final = "ms"
_PER_SECOND: Final = 1_000
_BYTES: Final = {
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)},
    "b": 1,
}
_BINARY: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")
_SIZE_DIGITS_MAX: Final = 18  # fits into 64 bits
_TEXT_MAX: Final = 40
_SECOND_US: Final = 1_000_000
_HOUR_US: Final = 3_600 * _SECOND_US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def seconds_of(text: str, plain_unit: str = "s") -> float:
    """Return the seconds of a duration such as ``250ms``, ``90s``, ``15m``, ``12h`` or ``30d``.

    Args:
        text: a number and its unit.
        plain_unit: the unit of a number that has none.

    Raises:
        ValueError: the text is not a duration, or it is negative or infinite.
    """
    text = text.strip()
    # The longer unit is tried first: "250ms" ends with "s", too.
    unit = next((unit for unit in (_MILLISECOND, *_SECONDS) if text.endswith(unit)), "")
    number = float(text.removesuffix(unit))
    unit = unit or plain_unit
    # Divide, not multiply by 0.001: 300ms must give the same number as 0.3.
    seconds = number / _PER_SECOND if unit == _MILLISECOND else number * _SECONDS[unit]
    if not 0 <= seconds < math.inf:
        raise ValueError(text)
    return seconds


def bytes_of(text: str) -> int:
    """Return the bytes of a size such as ``4096``, ``10MB`` (10,000,000) or ``64MiB`` (67,108,864).

    Raises:
        ValueError: the text is not a size, or it is negative, not whole bytes, or too large.
    """
    text = text.strip().lower()
    unit = next((unit for unit in _BYTES if text.endswith(unit)), "")
    number = text.removesuffix(unit).strip()
    digits = number.replace(".", "", 1)
    if len(number) > _TEXT_MAX or not (digits.isascii() and digits.isdecimal()):
        raise ValueError(text[:_TEXT_MAX])
    try:
        size = Decimal(number) * _BYTES[unit or "b"]
    except InvalidOperation as ex:
        raise ValueError(text) from ex
    if size != int(size) or len(str(int(size))) > _SIZE_DIGITS_MAX:
        raise ValueError(text)
    return int(size)


def shown_seconds(seconds: float) -> str:
    """Return a duration in the largest unit that gives a whole number: ``1h``, ``250ms``."""
    for unit, length in reversed(_SECONDS.items()):
        if seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    thousandths = seconds * _PER_SECOND
    return f"{thousandths:g}ms" if 0 < seconds < 1 else f"{seconds:g}s"


def shown_bytes(size: int) -> str:
    """Return a size in the largest binary unit that gives a whole number: ``64MiB``, ``1000``."""
    power = 0
    while size and size % 1024 == 0 and power < len(_BINARY) - 1:
        size //= 1024
        power += 1
    return f"{size}{_BINARY[power]}" if power else str(size)


def rfc3339(time_us: int) -> str:
    """Return a time, given in microseconds since the epoch, as RFC 3339 in UTC."""
    hour, us = divmod(time_us, _HOUR_US)
    second, us = divmod(us, _SECOND_US)
    minute, second = divmod(second, 60)
    return f"{_shown_hour(hour)}:{minute:02d}:{second:02d}.{us:06d}Z"


@functools.lru_cache(maxsize=1_024)
def _shown_hour(hour: int) -> str:
    """Return the date and the hour, which are the same for many times."""
    return (_EPOCH + timedelta(hours=hour)).isoformat()[: len("1970-01-01T00")]
