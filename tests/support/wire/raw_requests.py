"""Random requests that only a broken or hostile client sends.

Every kind is a function from a random generator to a ``RawRequest``; ``KINDS`` has them all by
name. None of them names a key outside ``/v1/kv/fuzz`` on purpose; by accident it is very unlikely.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple


class RawRequest(NamedTuple):
    """The bytes of one or more requests.

    Attributes:
        data: the bytes.
        methods: of the requests in it, as far as a server can recognize them.
        is_whole: a server can find the end, and must answer.
    """

    data: bytes
    methods: tuple[str, ...]
    is_whole: bool


_HEAD: Final = b"Host: x\r\nConnection: close\r\n"
_PATHS: Final = (
    *(b"/v1/kv/fuzz", b"/v1/kv64/ZnV6eg", b"/v1/keys", b"/v1/mget", b"/v1/txn", b"/v1/stats"),
    *(b"/v1", b"/", b"/metrics", b"/livez", b"/readyz", b"/openapi.json", b"/v1/admin/compact"),
)
_METHODS: Final = (
    *("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW"),
    *("get", "G", "PROPFIND", "M-SEARCH", "QUERY", "X" * 300, "OTHER", "WEBSOCKET", "__INIT__"),
)
_TARGET_PIECES: Final = (
    *(b"%", b"%zz", b"%4", b"%2F", b"%2f", b"%5C", b"%00", b"%0d%0aX:%20y", b"%25", b"%2525"),
    *(b"%C0%AF", b"%E0%80%AF", b"%ED%A0%80", b"%F8%88%80%80%80", b"%FF", b"%C3", b"%EF%BF%BD"),
    *(b"%F4%90%80%80", b"%u0041", b"\xc3\xa9", b"\xff", b"\x80", b"\x7f", b"\x01", b"\x00", b"\t"),
    *(b"/", b"//", b"/./", b"/../", b"%2e%2e/", b"..%2f", b"\\", b";a=b", b"+", b"#", b"?", b"&"),
    *(b"a", b"fuzz", b"v1", b"kv", b"*", b"@", b":", b"[", b"]", b"<", b">", b'"', b"{}", b"|"),
    *(b"^", b"`", b"'", b"~", b"$", b"e%CC%81", b"%C3%A9", b"%E2%80%AE", b"%EF%BB%BF", b"," * 40),
)
_HEADER_NAMES: Final = (
    *("Range", "If-Match", "If-None-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since"),
    *("Content-Type", "Content-Range", "Content-Encoding", "Accept", "Accept-Encoding", "Expect"),
    *("Prefer", "Authorization", "Origin", "Referer", "Cookie", "Upgrade", "TE", "Trailer", "Via"),
    *("X-Forwarded-For", "Forwarded", "X-HTTP-Method-Override", "Connection", "Host", "Range_"),
    *("Last-Event-ID", "Request-Id", "KV-Revision", "Content-MD5", "Date", "Access-Control-Max"),
)
_HEADER_TEXTS: Final = (
    *("", "*", "bytes=", "bytes=0-", "bytes=-0", "bytes=-1", "bytes=1-0", "bytes=0-0,0-0", "bytes"),
    *("bytes=" + "9" * 30 + "-", "bytes=" + "9" * 5_000 + "-", "bytes=0-" + "9" * 31, "bytes= 0 -"),
    *(
        "BYTES=0-1",
        "lines=1-2",
        "bytes=\xb2-",
        "bytes=-\xb3",
        "bytes=0x1-",
        "bytes=" + "0-1," * 999,
    ),
    *('"', '""', 'W/""', '"1"', '"1-aaaaaaaaaaaa"', 'W/"1-aa", "x"', '"a" "b"', ",,,", '"\xff"'),
    *('"' + "9" * 400 + '-aaaaaaaaaaaa"', "W/", 'w/"1"', '"\\"', ", ".join(['"x"'] * 500), "1"),
    *("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 32 Foo 9999 99:99:99 GMT", "0", "-1", "1e999", "NaN"),
    *(
        "Mon, 01-Jan-00 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "Mon, 01 Jan 0001 00:00:00 Z",
    ),
    *(
        "application/json",
        "application/cbor",
        "text/html; charset=\xff",
        ";;;",
        "*/*;q=",
        "a/b;q=2",
    ),
    *("application/json;q=nan", "*/*;q=1e9", "/", "a", ";" * 300, 'text/plain; a="', "x" * 9_000),
    *("100-continue", "200-ok", "wait=5", "wait=1e9", "close, keep-alive", "Bearer", "Bearer  x y"),
    *(
        "Bearer \xff",
        "Basic Og==",
        "bytes 0-1/2",
        "bytes */*",
        "gzip",
        "identity",
        "gzip, identity",
    ),
    *("a\tb", "\x80\x81", "a\x0bb", "a\x00b", "a\x7fb", "\xe2\x80\xa8", "h2c", "chunked", "null"),
    *(
        "localhost:99999",
        "a,b",
        "[::1",
        "user@host",
        "x" * 70_000,
        "%00",
        "http://x/",
        "../..",
        "é",
    ),
)
_QUERIES: Final = (
    *(b"ttl=", b"ttl=0", b"ttl=-1", b"ttl=1e3", b"ttl=nan", b"ttl=inf", b"ttl=" + b"9" * 400),
    *(
        b"ttl=0." + b"0" * 400 + b"1",
        b"ttl=%31",
        b"ttl=1&ttl=1",
        b"ttl=\xb2",
        b"ttl=%D9%A1",
        b"ttl",
    ),
    *(b"rev=", b"rev=-1", b"rev=" + b"9" * 19, b"rev=9223372036854775807", b"rev=%FF", b"rev=1_0"),
    *(
        b"limit=0",
        b"limit=10001",
        b"limit=" + b"9" * 5_000,
        b"limit=+1",
        b"limit=%D9%A1",
        b"=",
        b"&",
    ),
    *(b"prefix=%ED%A0%80", b"prefix=%00", b"prefix=" + b"%F4%8F%BF%BF" * 800, b"prefix=%EF%BF%BF"),
    *(
        b"start=%F4%8F%BF%BF&end=%00",
        b"start=&end=",
        b"delimiter=",
        b"delimiter=%00",
        b"reverse=no",
    ),
    *(b"include=", b"include=value&limit=10000", b"cursor=", b"cursor=W10", b"cursor=WzEsImEiXQ"),
    *(b"cursor=WzEsIlx1ZDgwMCJd", b"cursor=" + base64.b64encode(b"[" * 40_000).rstrip(b"=")),
    *(b"cursor=WzFlOTk5LCJhIl0", b"cursor=W3RydWUsImEiXQ", b"cursor=WzAsIiJd", b"cursor=%FF"),
    *(b"a=b", b"%zz=1", b"%", b"prefix=%", b"prefix=a%00b&limit=1", b"?", b"limit=1?limit=2", b";"),
    *(b"cursor=" + base64.b64encode(b'[0, "' + b"x" * 3_000 + b'"]').rstrip(b"="), b"x" * 9_000),
    *(b"a&" * 5_000, b"prefix=\xc3\xa9", b"prefix=\xff", b"version=1", b"at=now", b"at=9999-99-99"),
)
_LENGTHS: Final = (
    *(b"0", b"3", b"4", b"-3", b"+3", b"3, 3", b"3,4", b"0x3", b"3.0", b" 3", b"", b"\xb3", b"3 3"),
    *(
        b"9" * 30,
        b"9" * 5_000,
        b"1e1",
        b"00003",
        b"1_0",
        b"NaN",
        b"67108865",
        b"9223372036854775808",
    ),
)
_CODINGS: Final = (
    *(
        b"chunked",
        b"Chunked",
        b"gzip",
        b"gzip, chunked",
        b"chunked, gzip",
        b"identity",
        b"xchunked",
    ),
    *(b"chunked, chunked", b"\x0bchunked", b" chunked", b'"chunked"', b"chunked;q=1", b"", b","),
)
_CHUNKS: Final = (
    *(
        b"3\r\nabc\r\n0\r\n\r\n",
        b"0\r\n\r\n",
        b"3\r\nabc",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"zz\r\n\r\n",
    ),
    *(
        b"-1\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"3;a=b\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\n0\n\n",
        b"\r\n",
    ),
    *(
        b"ffffffffffffffffff\r\nabc",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"00000000000000003\r\nabc\r\n0\r\n\r\n",
    ),
    *(
        b"3;" + b"x" * 70_000 + b"\r\nabc\r\n0\r\n\r\n",
        b"0\r\nHost: y\r\nA: b\r\n\r\n",
        b"+3\r\nabc\r\n",
    ),
    *(
        b"0\r\n" + b"T: x\r\n" * 999 + b"\r\n",
        b"3\r\nabc\r\n0\r\n",
        b"\xb3\r\nabc\r\n0\r\n\r\n",
        b"1_0",
    ),
)
_HEADER_LINES: Final = (
    *(
        b"A: b\r\n c\r\n",
        b" A: b\r\n",
        b"\tA: b\r\n",
        b"A : b\r\n",
        b": b\r\n",
        b"A\r\n",
        b"A: b\n",
    ),
    *(b"A: b\rC: d\r\n", b"A\x00: b\r\n", b"A: \x00\r\n", b"A(: b\r\n", b"\xff: b\r\n", b"A:b\r\n"),
    *(b"Host: y\r\n", b"Host:\r\n", b"Host: a b\r\n", b"HOST: x\r\n", b"Content_Length: 9\r\n"),
    *(
        b"A: b\r\n\tContent-Length: 5\r\n",
        b"Connection: keep-alive\r\n",
        b"Range: bytes=0-\r\n" * 2,
    ),
    *(b"Transfer-Encoding: identity\r\n", b"A:\r\n", b"_: b\r\n", b"wsgi.input: x\r\n", b"\r"),
)
_VERSIONS: Final = (
    *(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"HTTP/1.10"),
    *(b"HTTP/11", b"HTTP/1", b"", b"HTTPS/1.1", b"HTTP /1.1", b"HTTP/1.1 x", b"HTTP/\xb9.1"),
)


def odd_target(chance: random.Random) -> RawRequest:
    """Make a target with misplaced escapes, dots or slashes, or in another form."""
    pieces = b"".join(chance.choices(_TARGET_PIECES, k=chance.randrange(8)))
    target = chance.choice(
        [
            *(b"/v1/kv/fuzz" + pieces, b"/v1/kv64/" + pieces, b"/v1/kv/" + pieces + b"/fuzz"),
            *(b"//v1/kv/fuzz" + pieces, pieces, b"/" + pieces, b"/v1%2Fkv/fuzz" + pieces, b"*"),
            *(b"http://x" + pieces, b"http://x/v1/kv/fuzz" + pieces, b"x:80", b"HTTP://[" + pieces),
            *(b"/v1/keys?prefix=" + pieces, b"/v1" + pieces + b"/keys", b"http:" + pieces),
        ]
    )
    method = chance.choice(["GET", "HEAD", "PUT", "DELETE"])
    return _request(method, target, is_whole=not set(target) & set(b"\x00\t\r\n "))


def odd_query(chance: random.Random) -> RawRequest:
    """Make a query with options that are unknown, too large, duplicated or of the wrong kind."""
    query = b"&".join(chance.choices(_QUERIES, k=chance.choice([1, 1, 1, 2, 3])))
    method = chance.choice(["GET", "HEAD", "PUT", "POST"])
    return _request(method, chance.choice(_PATHS) + b"?" + query)


def odd_header(chance: random.Random) -> RawRequest:
    """Make unusual header values, mostly of headers that this API uses."""
    lines = b"".join(
        f"{name}: {chance.choice(_HEADER_TEXTS)}\r\n".encode("latin-1", "replace")
        for name in chance.choices(_HEADER_NAMES, k=chance.choice([1, 1, 2, 5]))
    )
    method = chance.choice(["GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS"])
    return _request(method, chance.choice(_PATHS), lines, is_whole=False)


def odd_header_line(chance: random.Random) -> RawRequest:
    """Make lines that are not headers, duplicates of single headers, or folded lines."""
    lines = b"".join(chance.choices(_HEADER_LINES, k=chance.choice([1, 1, 2])))
    return _request(chance.choice(["GET", "PUT"]), b"/v1/kv/fuzz", lines, is_whole=False)


def odd_framing(chance: random.Random) -> RawRequest:
    """Make contradictory lengths and invalid chunks."""
    lines = [b"Content-Length: " + chance.choice(_LENGTHS) for _ in range(chance.randrange(3))]
    lines += [b"Transfer-Encoding: " + chance.choice(_CODINGS) for _ in range(chance.randrange(3))]
    chance.shuffle(lines)
    body = chance.choice([b"abc", b"", *_CHUNKS]) + chance.choice([b"", b"", simple_put().data])
    head = b"PUT /v1/kv/fuzz HTTP/1.1\r\n" + _HEAD + b"".join(line + b"\r\n" for line in lines)
    return RawRequest(head + b"\r\n" + body, ("PUT", "PUT"), is_whole=False)


def odd_request_line(chance: random.Random) -> RawRequest:
    """Make methods and HTTP versions that are old, future or invented."""
    # Not HEAD: whether a body may follow cannot be told from a line that cannot be read.
    names = [name for name in _METHODS if name != "HEAD"]
    method = chance.choice([*names, "", "G\x00T", "GET:", "\xff", "(GET)"])
    space = chance.choice([b" ", b" ", b" ", b"  ", b"\t", b""])
    target = chance.choice([*_PATHS, b"", b"*", b"/v1/kv/fuzz a"])
    line = method.encode("latin-1") + space + target + space + chance.choice(_VERSIONS)
    host = chance.choice([b"Host: x\r\n", b"", b"Host: a\r\nHost: b\r\n", b"Host:\r\n"])
    end = chance.choice([b"\r\n", b"\r\n", b"\n", b"\r"])
    data = chance.choice([b"", b"", b"\r\n"]) + line + end + host + b"Connection: close\r\n\r\n"
    return RawRequest(data, (method,), is_whole=False)


def too_much(chance: random.Random) -> RawRequest:
    """Make long targets, long headers, or hundreds of headers."""
    size = chance.choice([2_048, 2_049, 8_000, 60_000, 66_000, 300_000])
    kind = chance.randrange(4)
    if kind == 0:
        return _request("GET", b"/v1/kv/fuzz" + b"x" * size)
    if kind == 1:
        return _request("GET", b"/v1/keys?prefix=" + b"%41" * (size // 3))
    if kind == 2:
        return _request("GET", b"/v1/kv/fuzz", b"X-Long: " + b"x" * size + b"\r\n")
    count = chance.choice([90, 120, 500, 3_000])
    return _request("GET", b"/livez", b"".join(b"X-%d: y\r\n" % n for n in range(count)))


def damaged(chance: random.Random) -> RawRequest:
    """Make an ordinary request with some bytes changed, lost or duplicated."""
    data = bytearray(chance.choice([simple_put, simple_get, simple_txn])().data)
    for _ in range(chance.choice([1, 1, 2, 4])):
        position = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[position] = chance.randrange(256)
            case 1:
                del data[position]
            case 2:
                data.insert(position, chance.choice(b"\r\n\x00 :/%?#,;\xff\x80"))
            case _:
                piece = data[position : position + chance.randrange(1, 20)]
                data[position:position] = piece
    method = bytes(data).partition(b" ")[0].decode("latin-1")
    return RawRequest(bytes(data), (method,), is_whole=False)


def cut_off(chance: random.Random) -> RawRequest:
    """Make the first part of a request."""
    whole = chance.choice([simple_put, simple_get, simple_txn])()
    return RawRequest(whole.data[: chance.randrange(len(whole.data))], whole.methods, False)


def pipelined(chance: random.Random) -> RawRequest:
    """Make pipelined valid requests with an invalid one among them."""
    kind = chance.choice([odd_target, odd_query, odd_header, odd_header_line, damaged])
    parts = [chance.choice([simple_put, simple_get])() for _ in range(chance.randrange(1, 6))]
    parts.insert(chance.randrange(len(parts)), kind(chance))
    *ahead, last = (part.data for part in parts)
    data = b"".join(part.replace(b"Connection: close\r\n", b"") for part in ahead) + last
    methods = tuple(method for part in parts for method in part.methods)
    return RawRequest(data, methods, is_whole=False)


def simple_get() -> RawRequest:
    """Make an ordinary read."""
    return _request("GET", b"/v1/kv/fuzz?rev=1", b"If-None-Match: *\r\n")


def simple_put() -> RawRequest:
    """Make an ordinary write."""
    return _request("PUT", b"/v1/kv/fuzz?ttl=60", b"If-Match: *\r\nContent-Type: text/html\r\n")


def simple_txn() -> RawRequest:
    """Make an ordinary transaction."""
    body = b'{"then": [{"op": "put", "key": "fuzz", "text": "x"}]}'
    data = b"POST /v1/txn HTTP/1.1\r\n" + _HEAD + b"Content-Type: application/json\r\n"
    return RawRequest(
        data + b"Content-Length: %d\r\n\r\n" % len(body) + body, ("POST",), is_whole=True
    )


def _request(
    method: str, target: bytes, lines: bytes = b"", *, is_whole: bool = True
) -> RawRequest:
    has_body = method in ("PUT", "POST")
    framing = b"Content-Length: 3\r\n\r\nabc" if has_body else b"\r\n"
    line = method.encode("latin-1") + b" " + target + b" HTTP/1.1\r\n"
    return RawRequest(line + _HEAD + lines + framing, (method,), is_whole)


KINDS: Final[dict[str, Callable[[random.Random], RawRequest]]] = {
    "targets": odd_target,
    "queries": odd_query,
    "headers": odd_header,
    "header lines": odd_header_line,
    "framings": odd_framing,
    "request lines": odd_request_line,
    "too much": too_much,
    "damaged": damaged,
    "cut off": cut_off,
    "pipelined": pipelined,
}


def any_of(chance: random.Random, names: Sequence[str]) -> tuple[str, RawRequest]:
    """Return a request of one of these kinds, and the kind."""
    name = chance.choice(names)
    return name, KINDS[name](chance)
