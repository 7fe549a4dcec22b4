"""Times and lengths of time, as people write them on a command line."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from rundlet_server.functions.settings import units


def seconds_of(option: str, text: str) -> float:
    """Return a length of time such as ``90``, ``90s``, ``15m`` or ``30d`` in seconds.

    Raises:
        typer.BadParameter: it is none, negative or infinite.
    """
    try:
        return units.seconds_of(text)
    except ValueError as ex:
        message = f"{text!r} is no time; write {units.TIME_EXAMPLES}"
        raise typer.BadParameter(message, param_hint=option) from ex


def seconds_above_0(option: str, text: str) -> float:
    """Return a length of time in seconds, as ``seconds_of``; 0 is refused."""
    seconds = seconds_of(option, text)
    if not seconds:
        message = f"a time above 0 is needed; write {units.TIME_EXAMPLES}"
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
