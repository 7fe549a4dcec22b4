"""Expiries that maintenance adds to a batch, beside transactions."""

from __future__ import annotations

from typing import NamedTuple


class Expire(NamedTuple):
    """Log that a key's value has expired, if it still is the value of ``revision``."""

    key: str
    revision: int
