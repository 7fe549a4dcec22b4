"""Random requests of values: plain ones, nearly plain ones, and some that are nothing of the kind.

None of them changes a store: writes fail by a condition or for a key that is missing.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import quote


class Request(NamedTuple):
    """A request, before it is in the form of any interface.

    Attributes:
        method: of the request.
        target: as the client sent it, as latin-1.
        headers: as the client sent them, with names in lower case.
        version: of HTTP.
        body: of the request.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    version: str
    body: bytes

    def encoded(self) -> bytes:
        """The request as bytes; the server keeps the connection if the version has it do so."""
        body = self.body
        if ("transfer-encoding", "chunked") in self.headers:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        lines = [f"{self.method} {self.target} {self.version}"]
        lines += [f"{name}: {text}" for name, text in self.headers if name != "connection"]
        return "\r\n".join((*lines, "\r\n")).encode("latin-1") + body


KEYS: Final = (
    *("plain", "empty", "large", "expiring", "expired", "described", "a/b", "trouble/1"),
    *("trouble/2", "trouble/3"),
    *("prefix/in", "é", "%41", "a b", "dot.ted", "..", "a//b", "?", "#", "\x00", "k" * 2_048),
)
_MISSING: Final = ("missing", "prefix/missing", "é/missing", "x" * 2_049, "y" * 9_000)
_METHODS: Final = ("OPTIONS", "POST", "PATCH", "PUT", "DELETE", "get", "head", "BREW")
_ODD_LIVEZ: Final = (
    "/livez?",
    "/livez?x=1",
    "/livez/",
    "/livez#x",
    "//livez",
    "/livez%20",
    "/LIVEZ",
)
_TARGETS: Final = (
    *("/", "/v1", "/v1/", "/v1/kv", "/v1/kv/", "/v1/kv64/", "/v1/KV/plain", "/v1//kv/plain"),
    *("//v1/kv/plain", "/v1/kv/%", "/v1/kv/%4", "/v1/kv/%zz", "/v1/kv/%FF", "/v1/kv/%ed%a0%80"),
    *("/v1/kv/a/../b", "/v1/kv/./a", "/v1/kv/%2e%2e", "/v1/kv/\xe9", "/v1/kv/\xff", "/v1%2Fkv/a"),
    *("/v1/kv/plain#x", "/v1/kv/plain#?rev=1", "/v1/kv/plain?", "/v1/kv/plain?rev=1", "*"),
    *("/v1/kv/plain?rev=0", "/v1/kv/plain?x=1", "/v1/kv/plain?version=1", "/v1/kv/plain??"),
    *("http://h/v1/kv/plain", "http://h", "HTTP://h/v1/kv64/cGxhaW4?", "x:/v1/kv/plain"),
    *("/v1/kv64/cGxhaW5", "/v1/kv64/cGxhaW4=", "/v1/kv64/+/", "/v1/kv64/_-", "/v1/kv64/wyg"),
    *("/v1/keys", "/v1/history/plain", "/v1/stats", "/openapi.json", "/v1/kv64/plain"),
    *("http://h/livez", "/readyz", *_ODD_LIVEZ),
)
_HOSTS: Final = (
    *("127.0.0.1:8080", "localhost", "[::1]:80", "evil.example", "", "a, b", "own.example"),
    *("\xe9", "EVIL.example.", "x:y:z"),
)
_DATES: Final = (
    *("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2100 00:00:00 GMT", "yesterday"),
    *("Wed, 15 Nov 2023 00:00:00 GMT",),
)
_RANGES: Final = ("bytes=0-1", "bytes=-2", "bytes=9-", "bytes=0-0,2-2", "lines=1-2", "bytes=x")


class Requests:
    """Makes requests of a seed."""

    def __init__(self, seed: object, *, tags: Sequence[str], secrets: Sequence[str]) -> None:
        """Name entity tags and secrets of tokens in some of the headers."""
        self._chance = random.Random(f"requests {seed}")
        self._tags = (*tags, "*", 'W/"1"', '"1-aaaaaaaaaaaa"', "1", "")
        self._credentials = (
            *(f"Bearer {secret}" for secret in secrets),
            *(f"bearer  {secret} " for secret in secrets),
            *("Bearer", "Bearer ", "Basic eDp5", "Bearer rundlet_unknown", "\xe9", ""),
        )

    def any(self) -> Request:
        """Return a request; about half of them are plain."""
        chance = self._chance
        method = chance.choice(("GET", "GET", "HEAD"))
        if chance.random() < 0.2:
            method = chance.choice(_METHODS)
        headers = [*self._host(), ("user-agent", "x")]
        if chance.random() < 0.5:
            usual = self._credentials[0]
            given = usual if chance.random() < 0.7 else chance.choice(self._credentials)
            headers.append(("authorization", given))
        while chance.random() < 0.3:
            headers.append(self._header())
        body = b""
        if method == "PUT":
            headers.append(("if-match", '"1-aaaaaaaaaaaa"'))
            body = b"body"
        elif chance.random() < 0.05:
            body = b"x" * chance.choice((1, 5))
        if body and method == "GET" and chance.random() < 0.5:
            headers.append(("transfer-encoding", "chunked"))
        elif body:
            headers.append(("content-length", str(len(body))))
        if chance.random() < 0.02:
            headers.append(("content-length", "0"))
        if chance.random() < 0.03:
            headers += self._host()
        chance.shuffle(headers)
        version = "HTTP/1.1" if chance.random() < 0.9 else "HTTP/1.0"
        return Request(method, self._target(method), headers, version, body)

    def again(self, request: Request, tag: str) -> Request:
        """Return a request with the entity tag that its value has, spelled in one of many ways."""
        given = self._chance.choice(
            (tag, tag, f"W/{tag}", f'"other", {tag}', f"{tag},", f" {tag}", tag[1:-1], tag.lower())
        )
        headers = [pair for pair in request.headers if pair[0] != "if-none-match"]
        headers.insert(self._chance.randrange(len(headers) + 1), ("if-none-match", given))
        return request._replace(headers=headers)

    def _target(self, method: str) -> str:
        chance = self._chance
        if method == "DELETE":
            return "/v1/kv/missing"
        if chance.random() < 0.1:
            return "/livez"
        if chance.random() < 0.3:
            return chance.choice(_TARGETS)
        key = chance.choice(KEYS if chance.random() < 0.8 else _MISSING)
        if chance.random() < 0.2:
            return "/v1/kv64/" + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
        return "/v1/kv/" + quote(key, safe=chance.choice(("/", "", "/!*~ab")))

    def _host(self) -> list[tuple[str, str]]:
        if self._chance.random() < 0.7:
            return [("host", _HOSTS[0])]
        if self._chance.random() < 0.1:
            return []
        return [("host", self._chance.choice(_HOSTS))]

    def _header(self) -> tuple[str, str]:
        name, texts = self._chance.choice(
            (
                ("if-match", self._tags),
                ("if-none-match", self._tags),
                ("if-range", (*self._tags, *_DATES)),
                ("if-modified-since", _DATES),
                ("if-unmodified-since", _DATES),
                ("range", _RANGES),
                ("prefer", ("wait=0", "wait=0.001", "return=minimal")),
                ("origin", ("https://app.example", "https://other.example", "null", "")),
                ("accept", ("*/*", "application/json", "image/png")),
                ("expect", ("100-continue", "x")),
                ("kv-meta-a", ("b",)),
                ("connection", ("close", "keep-alive")),
                ("access-control-request-method", ("GET", "PUT")),
            )
        )
        return name, self._chance.choice(texts)
