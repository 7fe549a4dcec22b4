"""Limits: how an error names one, and the sizes of bodies that follow from them.

A limit has one name, in ``/v1``, in errors, and in ``storage.Limits`` or ``ConnectionLimits``.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from rundlet_server.functions.route_table import (
    IMPORT,
    KV,
    KV64,
    MGET,
    RETENTION,
    ROLLBACK,
    TOKENS,
    TXN,
)
from rundlet_server.functions.settings import SETTINGS, ServerSettings
from rundlet_server.storage.bounds import METADATA_COUNT_MAX
from rundlet_server.storage.interface import Limits, StoreInfo
from rundlet_server.storage.requests import limits_reached

_OPTION_OF: Final = {row.name: row.option for row in SETTINGS if row.option}

SET_BY: Final = {
    **{name: _OPTION_OF[name] for name in dataclasses.asdict(ServerSettings().limits)},
    **{name: _OPTION_OF[name] for name in dataclasses.asdict(ServerSettings().connections)},
    **{name: _OPTION_OF[name] for name in dataclasses.asdict(ServerSettings().feeds)},
    **{name: _OPTION_OF[name] for name in dataclasses.asdict(ServerSettings().writes)},
    "receiving_bytes_max": _OPTION_OF["receiving_bytes_max"],
    "sending_bytes_max": _OPTION_OF["sending_bytes_max"],
    "txn_body_bytes_max": _OPTION_OF["txn_bytes_max"],
    "txn_body_items_max": _OPTION_OF["txn_ops_max"],
    "import_body_bytes_max": _OPTION_OF["txn_bytes_max"],
    "exports_max": _OPTION_OF["exports_max"],
    "mget_body_bytes_max": _OPTION_OF["list_keys_max"],
    "mget_body_items_max": _OPTION_OF["list_keys_max"],
    "body_bytes_max": f"{_OPTION_OF['value_bytes_max']} or {_OPTION_OF['txn_bytes_max']}",
}
"""The option of ``rundlet serve`` that sets each limit."""

_OF_ANSWERS: Final = ("answer_bytes_max",)

_FOLLOWS: Final = {
    "txn_body_bytes_max": "txn_bytes_max",
    "txn_body_items_max": "txn_ops_max",
    "import_body_bytes_max": "txn_bytes_max",
}
"""The limits of a store from which limits of bodies follow."""

EXPORTS_DEFAULT: Final = 2
"""Exports at a time where the number of threads is not known."""

LIST_KEYS_DEFAULT: Final = 1_000
"""Keys on a page of a list that names no limit, if the server's limit is not lower."""

# JSON's escapes make text two or three times as long, and each item has names of members.
_JSON_GROWTH: Final = 3
_ITEM_OVERHEAD_BYTES: Final = 512
_LIKE_MGET: Final = (MGET.base, ROLLBACK.base, RETENTION.base, TOKENS.base)
_OTHER_BODY_BYTES_MAX: Final = 64 * 1024

# An operation is an object; each member is two items: its name and its value. A put has up to eight
# members besides metadata. Conditions have none, so two of the three lists may have metadata.
_OP_ITEMS: Final = 18
_METADATA_ITEMS: Final = 2 * METADATA_COUNT_MAX
_BODY_ITEMS: Final = 16


def over_limit(what: str, limit: int, got: int) -> str:
    """Return the message of an error about an exceeded limit, with what to do."""
    return f"{what} is {limit}, got {got}; {LimitAdvice().on(what)}"


class LimitAdvice:
    """Says what to do about a limit; no option of the server raises a limit of the backend."""

    def __init__(self, info: StoreInfo | None = None) -> None:
        """``info`` is of the store that is served."""
        self._backend = info.backend if info else ""
        self._own = limits_reached(info) if info else frozenset()

    def on(self, what: str) -> str:
        """Return what to do about an exceeded limit."""
        todo = "ask for less" if what in _OF_ANSWERS else "send less"
        if _FOLLOWS.get(what, what) in self._own:
            return f"{todo}: it is a limit of {self._backend}, which no option of the server raises"
        return f"{todo}, or raise {SET_BY[what]} on the server"


def over_limit_now(what: str, limit: int, got: int) -> str:
    """Return the message of an error about a limit that concurrent requests share."""
    return (
        f"{what} is {limit}, and with this answer there would be {got} at once; send the request"
        f" again later, or raise {SET_BY[what]} on the server"
    )


def txn_body_bytes_max(limits: Limits) -> int:
    """Return the largest body of a transaction."""
    ops = 3 * limits.txn_ops_max * (_ITEM_OVERHEAD_BYTES + _JSON_GROWTH * limits.key_bytes_max)
    return _JSON_GROWTH * limits.txn_bytes_max + ops


def import_body_bytes_max(limits: Limits) -> int:
    """Return the largest body of an import, as it comes and decompressed.

    It is the same as for a transaction, so that proxies need no other limit for it.
    """
    return txn_body_bytes_max(limits)


def mget_body_bytes_max(limits: Limits) -> int:
    """Return the largest body of an mget."""
    return limits.list_keys_max * (_ITEM_OVERHEAD_BYTES + _JSON_GROWTH * limits.key_bytes_max)


def txn_body_items_max(limits: Limits) -> int:
    """Return the most values and names of members that the body of a transaction may have.

    It bounds the memory that decoding takes, so it is checked before anything is decoded. The limit
    is higher than most transactions need, so that the error for one with a few operations too many
    names ``txn_ops_max``.
    """
    return limits.txn_ops_max * (3 * _OP_ITEMS + 2 * _METADATA_ITEMS) + _BODY_ITEMS


def mget_body_items_max(limits: Limits) -> int:
    """Return the most values and names of members that the body of an mget may have."""
    return 2 * limits.list_keys_max + _BODY_ITEMS


def body_bytes_max_at(limits: Limits, path: str) -> int:
    """Return the largest body of a request to a path, in bytes; servers stop reading there.

    The app rejects a larger body by its length. If a route ignores bodies, the server still reads
    a small one, so that the connection can be used again.
    """
    if path.startswith((KV.base, KV64.base)):
        return limits.value_bytes_max
    if path == TXN.base:
        return txn_body_bytes_max(limits)
    if path == IMPORT.base:
        return import_body_bytes_max(limits)
    return mget_body_bytes_max(limits) if path in _LIKE_MGET else _OTHER_BODY_BYTES_MAX


def body_bytes_max(limits: Limits) -> int:
    """Return the largest body of any request: a proxy in front must let it pass."""
    return max(limits.value_bytes_max, txn_body_bytes_max(limits), mget_body_bytes_max(limits))


def shown_limits(settings: ServerSettings, limits: Limits) -> dict[str, object]:
    """Return every limit by its name, for ``/v1``; ``limits`` are those of the store."""
    return {
        **dataclasses.asdict(limits),
        "txn_body_bytes_max": txn_body_bytes_max(limits),
        "txn_body_items_max": txn_body_items_max(limits),
        "import_body_bytes_max": import_body_bytes_max(limits),
        "exports_max": settings.exports_max or EXPORTS_DEFAULT,
        "mget_body_bytes_max": mget_body_bytes_max(limits),
        "mget_body_items_max": mget_body_items_max(limits),
        "body_bytes_max": body_bytes_max(limits),
        "sending_bytes_max": settings.sending_bytes_max,
        "receiving_bytes_max": settings.receiving_bytes_max,
        **dataclasses.asdict(settings.writes),
        **dataclasses.asdict(settings.feeds),
        **dataclasses.asdict(settings.connections),
    }
