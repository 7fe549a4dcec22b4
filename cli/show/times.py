"""Times and lengths of time, as people write them on a command line."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

import typer

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds_of(option: str, text: str) -> float:
    """A time such as ``90``, ``90s``, ``15m``, ``12h`` or ``30d``, in seconds."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _SECONDS else (text, "s")
    try:
        seconds = float(number) * _SECONDS[unit]
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        message = f"{text!r} is no time; write 90s, 15m, 12h or 30d"
        raise typer.BadParameter(message, param_hint=option)
    return seconds


def moment_us(option: str, text: str, now_us: int) -> int:
    """A moment: ``2027-01-31T12:00:00Z``, or ``30d`` from now; microseconds since the epoch."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return now_us + int(seconds_of(option, text) * 1_000_000)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)


def shown_moment(time_us: int) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).isoformat().replace("+00:00", "Z")
