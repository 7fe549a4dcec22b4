"""Random requests of every route, right and wrong, whose end every server can find.

Many of them write. None of them waits. Most are right and meet a key that is there: the paths of
errors are few, and those of answers are many.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

import cbor2

from tests.support.wire.get_requests import Request
from tests.support.wire.twins import reason_to_differ

KEYS: Final = (
    *("a", "b", "c", "a/b", "a/b/c", "é", "%41", "a b", "..", "?", "\x00", "n", "k" * 2_048),
    *("a//b", "zz/1", "zz/2", "zz/3"),
)
_SPELLINGS: Final = (
    *("%zz", "%FF", "%2F", "a%2Fb", "%", "\xe9", "a/../b", "%2e%2e", "%C3%A9", "a+b", "a;b", ""),
    *("x" * 2_049, "%ED%A0%80", "a%00", "a\\b", "[a]", "a|b", "a^b", 'a"b', "<a>", "{a}", "a`b"),
)
_HEADERS: Final[Sequence[tuple[str, Sequence[str]]]] = (
    ("If-Match", ("*", '"1-aaaaaaaaaaaa"', "", "1", '"x", "y"', 'W/"1"', '"\xe9"')),
    ("If-None-Match", ("*", '"1-aaaaaaaaaaaa"', "", "1", '"x", "y"', 'W/"1"', '"\xff"')),
    ("If_Match", ("*", '"x"')),
    ("If_None_Match", ("*",)),
    ("If-Modified-Since", ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2100 00:00:00 GMT", "x")),
    ("If-Unmodified-Since", ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2100 00:00:00 GMT")),
    ("If-Range", ('"x"', "Thu, 01 Jan 1970 00:00:00 GMT")),
    ("Range", ("bytes=0-1", "bytes=-2", "bytes=9-", "bytes=0-0,2-2", "lines=1-2", "bytes=x", "")),
    ("Content-Type", ("text/plain", "", "text/\xe9", "a", "text/plain; charset=x", "a/b;;", "/")),
    ("Content-Encoding", ("gzip", "identity", "", "gzip, \xe9", "br")),
    ("Content-Range", ("bytes 0-1/2",)),
    ("Content-MD5", ("x",)),
    ("Prefer", ("return=minimal", "return=representation", "wait=0", "\xe9", "")),
    ("Origin", ("https://app.example", "null", "", "\xe9")),
    ("Accept", ("*/*", "application/json", "application/cbor", "image/png", "", "a", ",", "\xe9")),
    ("Accept-Encoding", ("gzip", "identity", "*;q=0")),
    ("Expect", ("100-continue", "x", "")),
    ("Kv-Meta-A", ("b", "", "\xe9", " c ", "x" * 3_000)),
    ("Kv-Meta-B_c", ("b",)),
    ("Kv-Meta-", ("b",)),
    ("Kv-Ttl", ("1", "x")),
    ("Authorization", ("Bearer", "Bearer x", "Basic eDp5", "\xe9", "")),
    ("Access-Control-Request-Method", ("PUT", "x")),
    ("Access-Control-Request-Headers", ("a, b",)),
    ("X-HTTP-Method-Override", ("DELETE",)),
    ("X-Request-Id", ("a",)),
    ("Request-Id", ("a",)),
    ("Last-Event-ID", ("1", "x")),
    ("Upgrade", ("h2c", "websocket")),
    ("TE", ("trailers",)),
    ("Host", ("evil.example", "", "a b", "\xe9", "x:y:z")),
    ("Content-Length", ("0", "x", "-1", "+1", "", "1, 1", "\xb2")),
    ("Transfer-Encoding", ("gzip", "identity", "")),
    ("Cookie", ("a=b",)),
    ("Empty", ("",)),
)
_QUERIES: Final = (
    *("ttl=86400", "ttl=", "ttl=x", "ttl=0", "rev=1", "rev=0", "rev=999999", "x=1", "version=1"),
    *("rev=x", "%zz=1", "=", "&", "a=%FF", "return=1"),
)
_LIST_QUERIES: Final = (
    *("limit=1", "limit=2", "limit=0", "limit=x", "prefix=a", "prefix=a/", "prefix=%C3%A9"),
    *("prefix=\xe9", "prefix=%FF", "start=a", "start=b&end=c", "end=", "delimiter=/", "delimiter="),
    *("reverse=true", "reverse=x", "include=value", "include=value&limit=3", "include=", "rev=1"),
    *(
        "cursor=x",
        "cursor=",
        "prefix=a&prefix=b",
        "count=true",
        "since=0",
        "since=1",
        "since=99999",
    ),
    *("wait=0", "from=1&to=2", "from=1", "prefix=zz/", "limit=10001", "x=1"),
)
_FIXED_ROUTES: Final = (
    *("/", "/v1", "/v1/", "/v1/stats", "/livez", "/readyz", "/openapi.json", "/metrics", "/ui"),
    *("/ui/", "/ui/static/x/y/z", "/v1/tokens", "/v1/tokens/x", "/v1/backup", "/v1/backup/x"),
    *("/v1/backup/x/y", "/v1/admin/retention", "/v1/nope", "/nope", "//v1", "/v1/kv", "*"),
    *("/v1/admin/compact/x", "/V1/keys"),
)
_LISTS: Final = ("/v1/keys", "/v1/changes", "/v1/diff", "/v1/export")
_METHODS: Final = (
    *("GET", "GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get"),
)
_OPERATIONS: Final[Sequence[dict[str, object]]] = (
    {"op": "put", "key": "a", "text": "x"},
    {"op": "put", "key": "b", "base64": "eA=="},
    {"op": "put", "key": "c", "json": {"a": [1, None]}},
    {"op": "put", "key": "é", "text": "é", "content_type": "text/html"},
    {"op": "put", "key": "c", "text": "x", "ttl": 86_400},
    {"op": "put", "key": "", "text": "x"},
    {"op": "add", "key": "n", "by": 1},
    {"op": "add", "key": "a", "by": 1},
    {"op": "delete", "key": "b"},
    {"op": "touch", "key": "missing", "ttl": 1},
    {"op": "get", "key": "a"},
    {"op": "jump", "key": "a"},
    {"key": "a"},
)
_CHUNKED: Final = (
    *("3\r\nabc\r\n0\r\n\r\n", "0\r\n\r\n", "3;a=b\r\nabc\r\n0\r\n\r\n", "zz\r\nabc\r\n0\r\n\r\n"),
    *("-1\r\n\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n"),
    *("03\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\nA: b\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n"),
)


RIGHT_SHARE: Final = 0.85
_HARMLESS: Final = (
    *(("Origin", "https://app.example"), ("Accept-Encoding", "gzip"), ("X-Request-Id", "a")),
    *(("Prefer", "return=minimal"), ("Cookie", "a=b"), ("TE", "trailers"), ("Empty", "")),
)
_OF_WRITES: Final = (
    *(("Content-Type", "text/plain"), ("Content-Type", "a/b; c=d"), ("Kv-Meta-A", "b")),
    *(("Expect", "100-continue"), ("If-Unmodified-Since", "Fri, 31 Dec 2100 00:00:00 GMT")),
)
_RIGHT_LISTS: Final = (
    ("/v1/keys", ("limit=2", "prefix=a", "start=b&end=c", "delimiter=/", "reverse=true", "rev=9")),
    ("/v1/keys", ("include=value&limit=3", "prefix=%C3%A9", "count=true", "match=a*", "")),
    ("/v1/changes", ("since=0", "since=9&limit=3", "since=2&include=value", "since=0&prefix=a")),
    ("/v1/diff", ("from=0", "from=1&to=9", "from=9&to=3&limit=2", "from=2&prefix=a")),
    ("/v1/export", ("", "prefix=a", "rev=9", "format=cbor")),
)
_RIGHT_ROUTES: Final = (
    *("/", "/v1", "/v1/stats", "/livez", "/readyz", "/openapi.json", "/metrics", "/ui", "/ui/"),
    *("/v1/tokens", "/v1/admin/retention"),
)
_RIGHT_OPERATIONS: Final[Sequence[dict[str, object]]] = (
    {"op": "put", "key": "b", "base64": "eA=="},
    {"op": "put", "key": "c", "json": {"a": [1, None]}},
    {"op": "put", "key": "é", "text": "é", "content_type": "text/html"},
    {"op": "put", "key": "c", "text": "x", "ttl": 86_400},
    {"op": "add", "key": "counter", "by": 1},
    {"op": "get", "key": "a"},
    {"op": "delete", "key": "zz/3"},
)


class TwinRequests:
    """Makes requests of a random generator."""

    def __init__(self, chance: random.Random, secrets: Sequence[str] = ()) -> None:
        """Send one of these secrets of tokens with most requests, if there are any."""
        self._chance = chance
        self._secrets = secrets
        self._cursors: list[str] = []
        self._tags: list[str] = []

    def remember(self, answer_headers: dict[str, str], body: bytes) -> None:
        """Use entity tags and cursors of an answer in requests to come."""
        if "etag" in answer_headers:
            self._tags = [*self._tags[-5:], answer_headers["etag"]]
        if b'"cursor":"' in body.replace(b" ", b""):
            found = json.loads(body)
            if isinstance(found, dict) and isinstance(found.get("cursor"), str):
                self._cursors = [*self._cursors[-5:], found["cursor"]]

    def any(self) -> Request:
        """Return a request of any kind."""
        return self.right() if self._chance.random() < RIGHT_SHARE else self._odd()

    def right(self) -> Request:
        """Return a request that succeeds, unless an earlier one removed what it needs."""
        chance = self._chance
        makers = (self._right_value, self._right_write, self._right_list, self._right_post)
        (maker,) = chance.choices((*makers, self._right_fixed), weights=(5, 5, 3, 3, 2))
        request = maker()
        request.headers.append(("Host", "127.0.0.1:8080"))
        if chance.random() < 0.2:
            request.headers.append(chance.choice(_HARMLESS))
        if self._secrets:
            request.headers.append(("Authorization", f"Bearer {self._secrets[0]}"))
        chance.shuffle(request.headers)
        return request

    def _right_value(self) -> Request:
        chance = self._chance
        headers = []
        if chance.random() < 0.3:
            tag = ("If-None-Match", chance.choice(self._tags or ["*"]))
            headers = [chance.choice((("Range", "bytes=0-1"), tag))]
        target = self._path(chance.choice(KEYS))
        if chance.random() < 0.15:
            target = target.replace("/v1/kv", "/v1/history", 1)
        return Request(chance.choice(("GET", "GET", "HEAD")), target, headers, "HTTP/1.1", b"")

    def _right_write(self) -> Request:
        chance = self._chance
        target = self._path(chance.choice(KEYS))
        if chance.random() < 0.08:
            return Request("DELETE", target, [], "HTTP/1.1", b"")
        body = chance.choice((b"", b"1", b"value \x00\xff", b"x" * 70_000))
        headers = [chance.choice(_OF_WRITES)] if chance.random() < 0.4 else []
        if chance.random() < 0.2:
            headers.append(("Transfer-Encoding", "chunked"))
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        else:
            headers.append(("Content-Length", str(len(body))))
        ttl = "?ttl=86400" if chance.random() < 0.1 else ""
        return Request("PUT", target + ttl, headers, "HTTP/1.1", body)

    def _right_list(self) -> Request:
        chance = self._chance
        route, queries = chance.choice(_RIGHT_LISTS)
        query = chance.choice(queries)
        if route == "/v1/keys" and self._cursors and chance.random() < 0.3:
            query = "cursor=" + quote(chance.choice(self._cursors), safe="")
        method = "HEAD" if route == "/v1/keys" and chance.random() < 0.2 else "GET"
        headers = [("Accept", "application/cbor")] if chance.random() < 0.2 else []
        if route == "/v1/export":
            headers = []
        return Request(method, f"{route}?{query}", headers, "HTTP/1.1", b"")

    def _right_post(self) -> Request:
        chance = self._chance
        target, body = chance.choice(
            (
                ("/v1/txn", {"then": [chance.choice(_RIGHT_OPERATIONS)]}),
                ("/v1/txn", {"then": [_RIGHT_OPERATIONS[0], chance.choice(_RIGHT_OPERATIONS[1:])]}),
                ("/v1/mget", {"keys": chance.choices(KEYS, k=3)}),
                ("/v1/rollback", {"to": 5, "prefix": "a", "dry_run": chance.random() < 0.8}),
            )
        )
        encoded = json.dumps(body).encode()
        is_cbor = b"json" not in encoded and b"base64" not in encoded and chance.random() < 0.4
        encoded = cbor2.dumps(body) if is_cbor else encoded
        kind = "application/cbor" if is_cbor else "application/json"
        headers = [("Content-Type", kind), ("Content-Length", str(len(encoded)))]
        if chance.random() < 0.4:
            headers.append(("Accept", chance.choice(("application/cbor", "application/json"))))
        return Request("POST", target, headers, "HTTP/1.1", encoded)

    def _right_fixed(self) -> Request:
        method = self._chance.choice(("GET", "GET", "HEAD", "OPTIONS"))
        return Request(method, self._chance.choice(_RIGHT_ROUTES), [], "HTTP/1.1", b"")

    def _path(self, key: str) -> str:
        if self._chance.random() < 0.2:
            return "/v1/kv64/" + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
        return "/v1/kv/" + quote(key, safe=self._chance.choice(("/", "", "/!*~ab")))

    def _odd(self) -> Request:
        makers: Sequence[Callable[[], Request]] = (self._value, self._list, self._post, self._fixed)
        (maker,) = self._chance.choices(makers, weights=(6, 3, 3, 2))
        request = maker()
        headers = list(request.headers)
        while self._chance.random() < 0.2:
            headers += self._odd_headers()
        if self._chance.random() < 0.95:
            headers.append(("Host", "127.0.0.1:8080"))
        if self._secrets and self._chance.random() < 0.95:
            headers.append(("Authorization", f"Bearer {self._chance.choice(self._secrets)}"))
        self._chance.shuffle(headers)
        target = request.target
        if self._chance.random() < 0.05:
            target = self._chance.choice(("http://h", "HTTP://h:1", "https://u@h", "x:")) + target
        version = "HTTP/1.1" if self._chance.random() < 0.9 else "HTTP/1.0"
        made = Request(request.method, target, headers, version, request.body)
        # One that a single server may refuse must not write: the stores would differ from then on.
        return made if reason_to_differ(made) is None else made._replace(method="GET")

    def _value(self) -> Request:
        chance = self._chance
        key = chance.choice(KEYS)
        target = "/v1/kv/" + quote(key, safe=chance.choice(("/", "", "/!*~ab")))
        if chance.random() < 0.15:
            target = "/v1/kv/" + chance.choice(_SPELLINGS)
        elif chance.random() < 0.2:
            target = "/v1/kv64/" + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
        elif chance.random() < 0.1:
            target = target.replace("/kv/", "/history/", 1)
        if chance.random() < 0.25:
            target += "?" + chance.choice(_QUERIES)
        method = chance.choice(_METHODS if chance.random() < 0.4 else ("GET", "PUT", "DELETE"))
        return self._with_body(method, target, chance.choice((b"", b"1", b"value \x00\xff", b"{}")))

    def _list(self) -> Request:
        chance = self._chance
        target = chance.choice(_LISTS)
        queries = [chance.choice(_LIST_QUERIES) for _ in range(chance.randrange(3))]
        if self._cursors and chance.random() < 0.3:
            queries = ["cursor=" + quote(chance.choice(self._cursors), safe="")]
        if queries:
            target += "?" + "&".join(queries)
        (method,) = chance.choices(("GET", "HEAD", "DELETE", "OPTIONS"), weights=(12, 3, 1, 1))
        return self._with_body(method, target, b"")

    def _post(self) -> Request:
        chance = self._chance
        target = chance.choice(("/v1/txn", "/v1/txn", "/v1/mget", "/v1/rollback", "/v1/import"))
        body: object
        if target == "/v1/txn":
            body = {"then": chance.choices(_OPERATIONS, k=chance.choice((0, 1, 1, 2)))}
        elif target == "/v1/mget":
            body = {"keys": chance.choices(KEYS, k=3)}
        else:
            body = chance.choice(({}, {"key": "a"}, {"to": 1, "prefix": "a"}, [], "x"))
        is_cbor = chance.random() < 0.4
        encoded = cbor2.dumps(body) if is_cbor else json.dumps(body).encode()
        if chance.random() < 0.1:
            encoded = chance.choice((b"", b"null", b"{", b"[]", b"\xff", b"\xa0", encoded[:-1]))
        kind = "application/cbor" if is_cbor else "application/json"
        request = self._with_body("POST", target, encoded)
        if chance.random() < 0.9:
            request.headers.append(("Content-Type", kind))
        if chance.random() < 0.4:
            request.headers.append(("Accept", chance.choice(("application/cbor", kind))))
        return request

    def _fixed(self) -> Request:
        method = self._chance.choice(_METHODS)
        target = self._chance.choice(_FIXED_ROUTES)
        return self._with_body(method, target, b"")

    def _with_body(self, method: str, target: str, body: bytes) -> Request:
        """Return a request whose body has a length, chunks, or neither."""
        chance = self._chance
        if (
            method in ("GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "get")
            and chance.random() < 0.95
        ):
            return Request(method, target, [], "HTTP/1.1", b"")
        if chance.random() < 0.1:
            text = chance.choice(_CHUNKED).encode()
            coding = "chunked" if chance.random() < 0.9 else "chunked, chunked"
            return Request(method, target, [("Transfer-Encoding", coding)], "HTTP/1.1", text)
        if chance.random() < 0.05:
            return Request(method, target, [], "HTTP/1.1", b"")
        length = [("Content-Length", str(len(body)))]
        return Request(method, target, length, "HTTP/1.1", body)

    def _odd_headers(self) -> list[tuple[str, str]]:
        chance = self._chance
        name, texts = chance.choice(_HEADERS)
        if name in ("If-Match", "If-None-Match", "If-Range") and self._tags:
            texts = (*texts, *self._tags)
        text = chance.choice(texts)
        if chance.random() < 0.15:
            name = chance.choice((name.lower(), name.upper()))
        return [(name, text)] * (2 if chance.random() < 0.15 else 1)
