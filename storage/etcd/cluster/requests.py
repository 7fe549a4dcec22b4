"""Short functions that build requests to etcd."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb

OPS_MAX: Final = 128
"""The most operations, and comparisons, that etcd takes in a transaction by default."""
REQUEST_BYTES_MAX: Final = 1_536 * 1024
"""The most bytes that etcd takes in a request by default."""


def one(key: bytes, *, revision: int = 0) -> pb.RangeRequest:
    """Read one key, now or at a revision of etcd's."""
    return pb.RangeRequest(key=key, revision=revision)


def span(
    low: bytes, high: bytes, *, revision: int = 0, limit: int = 0, keys_only: bool = False
) -> pb.RangeRequest:
    """Read the keys from ``low`` on and below ``high``."""
    return pb.RangeRequest(
        key=low, range_end=high, revision=revision, limit=limit, keys_only=keys_only
    )


def counting(low: bytes, high: bytes, *, revision: int = 0) -> pb.RangeRequest:
    """Count the keys from ``low`` on and below ``high``."""
    return pb.RangeRequest(key=low, range_end=high, revision=revision, count_only=True)


def all_of(ranges: Iterable[pb.RangeRequest]) -> pb.TxnRequest:
    """Read many ranges at one revision."""
    return pb.TxnRequest(success=[pb.RequestOp(request_range=each) for each in ranges])


def answers(response: pb.TxnResponse) -> list[pb.RangeResponse]:
    """Return the answers to ``all_of``, in order."""
    return [each.response_range for each in response.responses]


def unchanged(key: bytes, revision: int) -> pb.Compare:
    """Return the condition that a key was last written at a revision; 0: that it has no value."""
    return pb.Compare(
        result=pb.Compare.EQUAL, target=pb.Compare.MOD, key=key, mod_revision=revision
    )


def put(key: bytes, value: bytes) -> pb.RequestOp:
    """Write a key."""
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value))


def delete(key: bytes) -> pb.RequestOp:
    """Delete a key."""
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))


def fetch(key: bytes) -> pb.RequestOp:
    """Read a key in a transaction."""
    return pb.RequestOp(request_range=one(key))
