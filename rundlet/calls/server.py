"""Operations on the server itself."""

from __future__ import annotations

from rundlet.answers import fields_of
from rundlet.calls.call import Call, Request, needed, read


def info() -> Call[dict[str, object]]:
    """Return the service document."""
    return fields_of(needed((yield read("/v1")))).as_dict()


def stats() -> Call[dict[str, object]]:
    """Return counts by name."""
    return fields_of(needed((yield read("/v1/stats")))).as_dict()


def compact() -> Call[None]:
    """Start a compaction."""
    needed((yield Request("POST", "/v1/admin/compact", is_write=True)))
