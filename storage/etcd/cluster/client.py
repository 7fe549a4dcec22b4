"""A client of an etcd cluster: it chooses an endpoint, and repeats calls that are safe to repeat.

An endpoint that did not answer is benched for some seconds: a frozen node costs more than a dead
one, because it accepts connections and never answers. Channels are made by the process that uses
them, at its first call.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol, TypeVar

import grpc

from rundlet_server.storage.errors import DiskFull, InvalidAddress, StoreError, Unavailable
from rundlet_server.storage.etcd.cluster.calls import (
    AUTHENTICATE,
    RANGE,
    STATUS,
    TXN,
    WATCH,
    Call,
    Failure,
    meaning_of,
)
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.forks import ProcessGuard

Request = TypeVar("Request")
Response = TypeVar("Response")

ATTEMPT_S: Final = 2.0
"""A call that takes longer is given up; a frozen node never answers."""
PATIENCE_S: Final = 8.0
"""Repeatable calls are repeated for so long: electing a new leader takes 1 to 3 seconds."""
_BENCHED_S: Final = 5.0
_PAUSE_S: Final = 0.05
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.max_send_message_length", -1),
    # Only this client knows what may be repeated.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    # Each endpoint has a connection of its own; clients in one process share none.
    ("grpc.use_local_subchannel_pool", 1),
)
_WITH_LEADER: Final = ("hasleader", "true")
"""A server that knows of no leader then refuses at once, instead of letting the call wait."""


class FailedCall(StoreError):
    """A call failed and is not repeated; ``failure`` says why."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure


class WatchStream(Protocol):
    """The answers to a watch."""

    def __iter__(self) -> Iterator[pb.WatchResponse]:
        """Yield the answers as they come."""

    def cancel(self) -> None:
        """End the stream, from any thread."""


class _Endpoint:
    """One node of the cluster.

    Attributes:
        benched_until_s: it is not chosen before this time, if there is another one.
    """

    def __init__(self, address: str, credentials: Any) -> None:  # noqa: ANN401 - gRPC has no types
        self.address = address
        self.benched_until_s = 0.0
        self._credentials = credentials
        self._lock = threading.Lock()
        self._channel: Any = None
        self._calls: dict[str, Any] = {}

    def call(self, call: Call[Any, Any]) -> Any:  # noqa: ANN401
        """Return the function that does a call."""
        found = self._calls.get(call.path)
        if found is not None:
            return found
        with self._lock:
            if self._channel is None:
                self._channel = self._connect()
            make = self._channel.stream_stream if call is WATCH else self._channel.unary_unary
            found = make(
                call.path, request_serializer=call.encode, response_deserializer=call.decode
            )
            self._calls[call.path] = found
        return found

    def close(self) -> None:
        with self._lock:
            if self._channel is not None:
                self._channel.close()

    def _connect(self) -> Any:  # noqa: ANN401
        if self._credentials is None:
            return grpc.insecure_channel(self.address, options=_OPTIONS)
        return grpc.secure_channel(self.address, self._credentials, options=_OPTIONS)


class EtcdClient:
    """Calls the cluster. Any thread may use it, of the process that made it."""

    def __init__(self, place: EtcdPlace) -> None:
        """Read the TLS files; nothing is connected yet.

        Raises:
            InvalidAddress: a file of the address cannot be read.
        """
        self._place = place
        self._guard = ProcessGuard()
        credentials = _credentials(place)
        self._endpoints = [_Endpoint(address, credentials) for address in place.endpoints]
        random.shuffle(self._endpoints)
        self._chosen = self._endpoints[0]
        self._login: str | None = None
        self._was_admitted = False
        self._is_closed = False
        self._lock = threading.Lock()

    def range(
        self, request: pb.RangeRequest, *, patience_s: float | None = None
    ) -> pb.RangeResponse:
        """Read a range; see ``read``."""
        return self.read(RANGE, request, patience_s=patience_s)

    def status(self) -> pb.StatusResponse:
        """Return the status of the chosen node; for probes, so this is not repeated."""
        return self.read(STATUS, pb.StatusRequest(), patience_s=0)

    def read(
        self,
        call: Call[Request, Response],
        request: Request,
        *,
        patience_s: float | None = None,
    ) -> Response:
        """Do a call that changes nothing, or that may be done twice.

        Args:
            call: which one.
            request: of the call.
            patience_s: after so long it is no longer repeated; default ``PATIENCE_S``.

        Raises:
            FailedCall: it was refused.
            Unavailable: no endpoint answered.
        """
        until_s = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
        return self._repeat(call, request, until_s, is_repeatable=True)

    def write(self, request: pb.TxnRequest) -> pb.TxnResponse:
        """Do a transaction that writes, once.

        Raises:
            FailedCall: it was refused; if ``failure`` is ``unknown``, it may have been applied.
            DiskFull: the quota of the cluster is used up.
            Unavailable: certainly not applied.
        """
        until_s = time.monotonic() + PATIENCE_S
        return self._repeat(TXN, request, until_s, is_repeatable=False)

    def watch(
        self, requests: Iterator[pb.WatchRequest], *, timeout_s: float | None = None
    ) -> AbstractContextManager[WatchStream]:
        """Watch on the endpoint that answered last, until the block ends.

        Raises:
            FailedCall: in the block, the stream broke. The block raises it, too, if the stream ends
                early, so that the next watch is on another endpoint.
        """
        self.require_open()
        return self._watching(requests, timeout_s)

    def close(self) -> None:
        """Close all connections; in a forked child they are the parent's."""
        if not self._guard.is_inherited:
            self._is_closed = True
            for endpoint in self._endpoints:
                endpoint.close()

    @property
    def is_inherited(self) -> bool:
        """Whether the client belongs to the parent process."""
        return self._guard.is_inherited

    def require_own(self) -> None:
        """Refuse before a lock is taken, which a thread of the parent may hold for ever.

        Raises:
            OpenedBeforeFork: the parent process made the client.
        """
        self._guard.require_own()

    @contextmanager
    def _watching(
        self, requests: Iterator[pb.WatchRequest], timeout_s: float | None
    ) -> Iterator[WatchStream]:
        endpoint = self._pick()
        stream = endpoint.call(WATCH)(requests, timeout=timeout_s, metadata=self._metadata())
        try:
            yield stream
        except grpc.RpcError as ex:
            self._bench(endpoint)
            raise self._failed(ex, meaning_of(ex)) from None
        except FailedCall:
            self._bench(endpoint)
            raise
        finally:
            stream.cancel()

    def _repeat(
        self,
        call: Call[Request, Response],
        request: Request,
        until_s: float,
        *,
        is_repeatable: bool,
    ) -> Response:
        """Call one endpoint after the other."""
        while True:
            self.require_open()
            endpoint = self._pick()
            try:
                done: Response = endpoint.call(call)(
                    request, timeout=ATTEMPT_S, metadata=self._metadata()
                )
            except grpc.RpcError as ex:
                failure = meaning_of(ex)
                is_late = time.monotonic() >= until_s
                self._settle(endpoint, failure)
                if failure == "unknown" and is_repeatable:
                    failure = "not sent"
                if failure not in ("not sent", "login") or is_late:
                    raise self._failed(ex, failure) from None
                time.sleep(_PAUSE_S)
            except ValueError:  # so gRPC reports that the channel was closed meanwhile
                self.require_open()
                raise
            else:
                return done

    def require_open(self) -> None:
        """Refuse calls of a forked child, and after ``close``.

        Raises:
            OpenedBeforeFork, Unavailable: the call is one of these.
        """
        self._guard.require_own()
        if self._is_closed:
            raise Unavailable("this store was closed")

    def _settle(self, endpoint: _Endpoint, failure: Failure) -> None:
        """Bench the endpoint, or drop the login, for the calls that follow a failure."""
        if failure in ("not sent", "unknown"):
            self._bench(endpoint)
        elif failure == "login":
            self._login = None

    def _failed(self, ex: Any, failure: Failure) -> StoreError:  # noqa: ANN401
        details = ex.details() or ex.code().name
        match failure:
            case "not sent":
                return Unavailable(f"no node of {self._place.shown} answers: {details}")
            case "full":
                return DiskFull(f"the quota of the etcd cluster is used up: {details}")
            case "denied" | "login":
                return Unavailable(f"{self._place.shown} refuses: {details}")
        return FailedCall(failure, details)

    def _pick(self) -> _Endpoint:
        chosen = self._chosen
        now_s = time.monotonic()
        if chosen.benched_until_s <= now_s:
            return chosen
        chosen = min(self._endpoints, key=lambda endpoint: endpoint.benched_until_s)
        self._chosen = chosen
        return chosen

    def _bench(self, endpoint: _Endpoint) -> None:
        endpoint.benched_until_s = time.monotonic() + _BENCHED_S

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of every call; log in if the cluster needs that."""
        if self._place.user is None:
            return (_WITH_LEADER,)
        with self._lock:
            if self._login is None:
                self._login = self._log_in(self._place.user, self._place.password or "")
            return (_WITH_LEADER, ("token", self._login))

    def _log_in(self, user: str, password: str) -> str:
        request = pb.AuthenticateRequest(name=user, password=password)
        for _ in self._endpoints:
            endpoint = self._pick()
            try:
                answer = endpoint.call(AUTHENTICATE)(request, timeout=ATTEMPT_S)
            except grpc.RpcError as ex:
                if meaning_of(ex) == "denied":
                    # After a first login, the address is right: the cluster has changed.
                    error = Unavailable if self._was_admitted else InvalidAddress
                    raise error(f"{self._place.shown} refuses the user {user!r}") from None
                self._bench(endpoint)
            else:
                self._was_admitted = True
                token: str = answer.token
                return token
        raise Unavailable(f"no node of {self._place.shown} answers")


def _credentials(place: EtcdPlace) -> Any:  # noqa: ANN401 - gRPC has no types
    tls = place.tls
    if tls is None:
        return None
    try:
        ca, key, cert = [path and path.read_bytes() for path in (tls.ca, tls.key, tls.cert)]
    except OSError as ex:
        raise InvalidAddress(f"cannot use {place.shown}: {ex}") from ex
    return grpc.ssl_channel_credentials(ca, key, cert)
