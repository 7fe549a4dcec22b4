"""The HTTP requests of each kind of server, as bytes that are made before they are sent.

Dialects have no state, so processes can pass them to each other.
"""

# ``Dialect`` describes the methods.
# ruff: noqa: D102

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import cbor2

from bench.errors import NotMeasurable

Form = Literal["cbor", "json"]
"""The form of a body of many values."""


class Dialect(Protocol):
    """The requests that one kind of server understands."""

    def get(self, key: str) -> bytes:
        """Return a request that reads one value."""

    def put(self, key: str, value: bytes) -> bytes:
        """Return a request that stores one value."""

    def value_in(self, body: bytes) -> bytes:
        """Return the value in the body of an answer to ``get``; empty if there is none."""


class PathDialect:
    """``/v1/kv/KEY``, for Rundlet and the small servers of ``bench.peers``."""

    def get(self, key: str) -> bytes:
        return request("GET", f"/v1/kv/{key}")

    def put(self, key: str, value: bytes) -> bytes:
        return request("PUT", f"/v1/kv/{key}", value)

    def value_in(self, body: bytes) -> bytes:
        return body

    def mget(self, keys: Sequence[str], form: Form) -> bytes:
        """Return a request that reads many values."""
        members = {"keys": list(keys)}
        body = cbor2.dumps(members) if form == "cbor" else json.dumps(members).encode()
        return request("POST", "/v1/mget", body, f"application/{form}")


@dataclass(frozen=True, slots=True)
class TokenDialect(PathDialect):
    """Like its base, with a token."""

    secret: str

    def get(self, key: str) -> bytes:
        head, _, body = PathDialect.get(self, key).partition(b"\r\n")
        return b"%s\r\nAuthorization: Bearer %s\r\n%s" % (head, self.secret.encode(), body)


@dataclass(frozen=True, slots=True)
class TtlDialect(PathDialect):
    """Like its base, with a time to live of each value that is written."""

    ttl_s: int

    def put(self, key: str, value: bytes) -> bytes:
        return request("PUT", f"/v1/kv/{key}?ttl={self.ttl_s}", value)


class WebdisDialect:
    """Webdis: a path is a Redis command, and the answer is the bare value."""

    def get(self, key: str) -> bytes:
        return request("GET", f"/GET/{key}.txt")

    def put(self, key: str, value: bytes) -> bytes:
        return request("PUT", f"/SET/{key}", value)

    def value_in(self, body: bytes) -> bytes:
        return body


class EtcdDialect:
    """etcd's JSON gateway; reads are serializable, so the node answers without a round trip."""

    def get(self, key: str) -> bytes:
        return _json_request("/v3/kv/range", {"key": _base64(key.encode()), "serializable": True})

    def put(self, key: str, value: bytes) -> bytes:
        return _json_request("/v3/kv/put", {"key": _base64(key.encode()), "value": _base64(value)})

    def put_all(self, rows: Sequence[tuple[str, bytes]]) -> bytes:
        """Return a request that stores many values in one transaction; etcd allows 128."""
        puts = [
            {"requestPut": {"key": _base64(key.encode()), "value": _base64(value)}}
            for key, value in rows
        ]
        return _json_request("/v3/kv/txn", {"success": puts})

    def value_in(self, body: bytes) -> bytes:
        found = json.loads(body).get("kvs", [])
        return base64.b64decode(found[0]["value"]) if found else b""


class LinearizableEtcdDialect(EtcdDialect):
    """etcd's JSON gateway; the node asks the others before it answers a read."""

    def get(self, key: str) -> bytes:
        return _json_request("/v3/kv/range", {"key": _base64(key.encode())})


class ConstantDialect:
    """A server with one answer to every request, which stores nothing."""

    def get(self, key: str) -> bytes:
        return request("GET", f"/{key}")

    def put(self, key: str, value: bytes) -> bytes:  # noqa: ARG002 # nothing is written
        raise NotMeasurable("a server with one constant answer cannot store values")

    def value_in(self, body: bytes) -> bytes:
        return body


def request(method: str, path: str, body: bytes = b"", content_type: str = "") -> bytes:
    """Return the bytes of one HTTP/1.1 request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if content_type:
        head += f"Content-Type: {content_type}\r\nAccept: {content_type}\r\n"
    if body or method in ("PUT", "POST"):
        head += f"Content-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def _json_request(path: str, members: dict[str, object]) -> bytes:
    return request("POST", path, json.dumps(members).encode(), "application/json")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
