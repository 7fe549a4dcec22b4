"""The calls of etcd's API that are used, and what the failure of one means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import grpc

from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb

Request = TypeVar("Request")
Response = TypeVar("Response")

Failure = Literal[
    "not sent", "unknown", "compacted", "future", "full", "too large", "too many", "login", "denied"
]
"""What a failed call means.

* ``not sent``: certainly not applied; another endpoint, or the same one later, may do it.
* ``unknown``: may have been applied.
* ``compacted``, ``future``: the revision to be read is gone, or not there yet.
* ``full``: the quota of the cluster is used up; certainly not applied.
* ``too large``, ``too many``: more bytes, or operations, than the cluster or the client takes.
* ``login``: the login has ended; certainly not applied.
* ``denied``: the user may not do this, or the request is wrong; certainly not applied.
"""


class Call(NamedTuple, Generic[Request, Response]):
    """A call: its path, and how to write and read its messages."""

    path: str
    encode: Callable[[Request], bytes]
    decode: Callable[[bytes], Response]


RANGE: Final = Call[pb.RangeRequest, pb.RangeResponse](
    "/etcdserverpb.KV/Range", pb.RangeRequest.SerializeToString, pb.RangeResponse.FromString
)
TXN: Final = Call[pb.TxnRequest, pb.TxnResponse](
    "/etcdserverpb.KV/Txn", pb.TxnRequest.SerializeToString, pb.TxnResponse.FromString
)
COMPACT: Final = Call[pb.CompactionRequest, pb.CompactionResponse](
    "/etcdserverpb.KV/Compact",
    pb.CompactionRequest.SerializeToString,
    pb.CompactionResponse.FromString,
)
STATUS: Final = Call[pb.StatusRequest, pb.StatusResponse](
    "/etcdserverpb.Maintenance/Status",
    pb.StatusRequest.SerializeToString,
    pb.StatusResponse.FromString,
)
AUTHENTICATE: Final = Call[pb.AuthenticateRequest, pb.AuthenticateResponse](
    "/etcdserverpb.Auth/Authenticate",
    pb.AuthenticateRequest.SerializeToString,
    pb.AuthenticateResponse.FromString,
)
LEASE_GRANT: Final = Call[pb.LeaseGrantRequest, pb.LeaseGrantResponse](
    "/etcdserverpb.Lease/LeaseGrant",
    pb.LeaseGrantRequest.SerializeToString,
    pb.LeaseGrantResponse.FromString,
)
WATCH: Final = Call[pb.WatchRequest, pb.WatchResponse](
    "/etcdserverpb.Watch/Watch", pb.WatchRequest.SerializeToString, pb.WatchResponse.FromString
)

# Texts of etcd's errors (api/v3rpc/rpctypes/error.go) and of gRPC, by what they mean. An error that
# is not here may have come after the write.
_MEANINGS: Final[tuple[tuple[str, Failure], ...]] = (
    ("required revision has been compacted", "compacted"),
    ("required revision is a future revision", "future"),
    ("database space exceeded", "full"),
    ("request is too large", "too large"),
    ("larger than max", "too large"),
    ("too many operations in txn request", "too many"),
    ("invalid auth token", "login"),
    ("revision of auth store is old", "login"),
    ("auth revision in header is old", "login"),
    ("user name is empty", "denied"),
    ("requested lease not found", "denied"),
    ("too many requests", "not sent"),
    ("no leader", "not sent"),
    ("failed to connect to all addresses", "not sent"),
    ("connections to all backends failing", "not sent"),
    ("DNS resolution failed", "not sent"),
    ("errors resolving", "not sent"),
)
_DENIED: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


def meaning_of(ex: Any) -> Failure:  # noqa: ANN401 - gRPC has no types
    """Return what a failed call means; ``ex`` is a ``grpc.RpcError``."""
    details = ex.details() or ""
    for text, failure in _MEANINGS:
        if text in details:
            return failure
    return "denied" if ex.code() in _DENIED else "unknown"
