"""Times and durations, as people write them on a command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import typer

from rundlet_server.functions import units

if TYPE_CHECKING:
    from rundlet import KeyInfo, Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE_SECONDS_FROM = 10
_PARTS_SHOWN = 2


def seconds_of(option: str, text: str) -> float:
    """Return a duration such as ``90s``, ``15m`` or ``30d`` in seconds.

    A bare number counts seconds, as the ``ttl`` of the HTTP API does.

    Raises:
        typer.BadParameter: the text is not a duration, or it is negative or infinite.
    """
    try:
        return units.seconds_of(text)
    except ValueError as ex:
        message = f"{text!r} is not a duration; write {units.TIME_EXAMPLES}"
        raise typer.BadParameter(message, param_hint=option) from ex


def seconds_above_0(option: str, text: str) -> float:
    """Return a duration in seconds, as ``seconds_of`` does; refuse 0."""
    seconds = seconds_of(option, text)
    if not seconds:
        message = f"a time above 0 is needed; write {units.TIME_EXAMPLES}"
        raise typer.BadParameter(message, param_hint=option)
    return seconds


def moment_us(option: str, text: str, now_us: int) -> int:
    """Return a moment in microseconds since the epoch.

    Args:
        option: for the message.
        text: ``2027-01-31T12:00:00Z``, or a duration from now such as ``30d``. A bare number is
            refused, because 90 for an expiry means days more often than seconds.
        now_us: microseconds since the epoch.

    Raises:
        typer.BadParameter: the text is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _require_unit(option, text)
        try:
            return now_us + int(units.seconds_of(text) * 1_000_000)
        except ValueError as ex:
            message = f"{text!r} is no time; write 2027-01-31T12:00:00Z, or {units.TIME_EXAMPLES}"
            raise typer.BadParameter(message, param_hint=option) from ex
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)


def moment_ago_us(option: str, text: str, now_us: int) -> int:
    """Return a moment in the past, as ``moment_us`` does; a duration counts back from now."""
    return (
        moment_us(option, text, now_us)
        if _is_moment(text)
        else now_us - (moment_us(option, text, 0))
    )


def time_ago(option: str, text: str) -> datetime:
    """Return a moment in the past: a time, or a duration before now such as ``10m``.

    Raises:
        typer.BadParameter: it is neither.
    """
    now = datetime.now(UTC)
    time_us = moment_ago_us(option, text, int(now.timestamp() * 1_000_000))
    return _EPOCH + timedelta(microseconds=max(0, time_us))


def place_of(option: str, text: str) -> int | datetime:
    """Return a revision for a bare number, otherwise a moment as ``time_ago`` does."""
    is_number = text.isascii() and text.isdecimal()
    return int(text) if is_number else time_ago(option, text)


def require_one_place(**places: object) -> None:
    """Refuse more than one of the options for a revision, version or time.

    Raises:
        typer.BadParameter: several options are given.
    """
    named = [f"--{name}" for name, place in places.items() if place is not None]
    if len(named) > 1:
        message = f"{' and '.join(named)} exclude each other; give one of them"
        raise typer.BadParameter(message)


def shown_moment(time_us: int) -> str:
    """Return a moment in UTC, to the second."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).isoformat().replace("+00:00", "Z")


def exact_time(time: datetime) -> str:
    """Return a time in UTC, to the microsecond."""
    shown = time.astimezone(UTC).isoformat(timespec="microseconds")
    return shown.replace("+00:00", "Z")


def shown_time(time: datetime) -> str:
    """Return a time in UTC, to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def seconds_left(found: KeyInfo | Value) -> float | None:
    """Return the seconds until a value expires, at least 0; ``None`` if it does not expire."""
    if found.expires is None:
        return None
    return max(0.0, (found.expires - datetime.now(UTC)).total_seconds())


def time_left(seconds: float) -> str:
    """Return a remaining time for people: ``850ms``, ``9.5s``, ``1h30m``, ``2d4h``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < _WHOLE_SECONDS_FROM:
        return f"{seconds:.1f}s"
    parts, rest = [], int(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:_PARTS_SHOWN])


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _require_unit(option: str, text: str) -> None:
    number = text.strip()
    if number.replace(".", "", 1).isdecimal():
        message = f"{text!r} has no unit; write {number}s, {number}m, {number}h or {number}d"
        raise typer.BadParameter(message, param_hint=option)
