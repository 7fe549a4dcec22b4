"""Test that no header, target, query or body costs more than linear time in its size.

A request that costs quadratic time stops the whole process, because it keeps Python's interpreter
lock. So every parser that a request passes is measured with inputs that are made to be slow.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable

import cbor2
import pytest
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.server.waitress.parser import StrictParser
from rundlet_server.storage.tokens.interface import TokenTable
from tests.support.models.model import ModelStore
from tests.support.wire.pathological import SIZES, Shape, require_linear, shapes

HEADER_BYTES_MAX = 64 * 1024
RECEIVED_BYTES = 8_192  # waitress reads so many at a time
ADJUSTMENTS = Adjustments(max_request_header_size=2 * HEADER_BYTES_MAX)


# --- the WSGI server -----------------------------------------------------------------------

HEADS = {
    "request line": "{}\r\nHost: x\r\n\r\n",
    "method": "{} / HTTP/1.1\r\nHost: x\r\n\r\n",
    "target": "GET {} HTTP/1.1\r\nHost: x\r\n\r\n",
    "path": "GET /{} HTTP/1.1\r\nHost: x\r\n\r\n",
    "query": "GET /v1/keys?{} HTTP/1.1\r\nHost: x\r\n\r\n",
    "authority": "GET http://{} x\r\nHost: x\r\n\r\n",
    "version": "GET / {}\r\nHost: x\r\n\r\n",
    "header lines": "GET / HTTP/1.1\r\n{}\r\n\r\n",
    "header name": "GET / HTTP/1.1\r\n{}: b\r\n\r\n",
    "header value": "GET / HTTP/1.1\r\nA:{}\r\n\r\n",
    "Connection": "GET / HTTP/1.1\r\nConnection:{}\r\n\r\n",
    "Transfer-Encoding": "PUT / HTTP/1.1\r\nTransfer-Encoding:{}\r\n\r\n",
    "Content-Length": "PUT / HTTP/1.1\r\nContent-Length:{}\r\n\r\n",
    "Expect": "PUT / HTTP/1.1\r\nContent-Length: 1\r\nExpect:{}\r\n\r\n",
    "unfinished head": "GET / HTTP/1.1\r\nA: {}",
}
CHUNKED = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = {
    "chunk size": CHUNKED + "{}\r\na\r\n0\r\n\r\n",
    "chunk extension": CHUNKED + "1;{}\r\na\r\n0\r\n\r\n",
    "chunk content": CHUNKED + "1\r\n{}\r\n0\r\n\r\n",
    "trailers": CHUNKED + "1\r\na\r\n0\r\n{}\r\n\r\n",
    "many chunks": CHUNKED + "1\r\na\r\n{}",
}


def receive(parser: HTTPRequestParser, data: bytes, piece_bytes: int = RECEIVED_BYTES) -> None:
    """Give a parser a request in pieces, as a channel does."""
    for position in range(0, len(data), piece_bytes):
        piece = data[position : position + piece_bytes]
        while piece and not parser.completed:
            piece = piece[parser.received(piece) :]


@pytest.mark.parametrize("place", [*HEADS, *BODIES])
def test_server_parses_in_linear_time(place: str):
    around = (HEADS | BODIES)[place]
    for shape in shapes(1, "", "*", "/", "a", '"', "1", "http://"):

        def parse(size: int, shape: Shape = shape) -> None:
            data = around.replace("{}", shape.text(size - 200)).encode("latin-1")
            receive(StrictParser(ADJUSTMENTS), data)

        require_linear(parse, (place, shape))


@pytest.mark.parametrize("around", [HEADS["header value"], *BODIES.values()])
@pytest.mark.parametrize("unit", ["a", "\t", "1\r\na\r\n", "A: b\r\n", "0"])
def test_bytes_that_arrive_one_by_one_cost_linear_time(around: str, unit: str):
    def parse(size: int) -> None:
        text = unit * (size // len(unit) // 8)
        receive(StrictParser(ADJUSTMENTS), around.replace("{}", text).encode(), piece_bytes=1)

    require_linear(parse, (around, unit))


# --- the functions -------------------------------------------------------------------------


class NoTokenMatches:
    """A source of tokens with a token that no request has, so that each secret is looked up."""

    def current(self) -> TokenTable:
        return TokenTable([])


STORE = ModelStore()
STORE_KEY = "/v1/kv/a"
OPEN = create_app(STORE, ServerSettings(host_names=("x",), cors_origins=("http://x",)))
LOCKED = create_app(STORE, ServerSettings(open_without_tokens=False), tokens=NoTokenMatches())


def call(app: Callable[..., object], method: str, target: str, body: bytes, **headers: str) -> str:
    """Call an app as a WSGI server does; return the status line."""
    path, _, query = target.partition("?")
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": target,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SCRIPT_NAME": "",
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "x",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.input_terminated": True,
        **headers,
    }
    answer = app(environ, lambda status, _headers: statuses.append(status))
    for _ in answer:
        pass
    return statuses[0]


HEADERS = [
    *("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_RANGE", "HTTP_RANGE", "HTTP_ACCEPT"),
    *("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "CONTENT_TYPE", "CONTENT_LENGTH"),
    *("HTTP_CONTENT_ENCODING", "HTTP_CONTENT_RANGE", "HTTP_HOST", "HTTP_ORIGIN", "HTTP_EXPECT"),
    *("HTTP_AUTHORIZATION", "HTTP_PREFER", "HTTP_COOKIE", "HTTP_FORWARDED", "HTTP_CONNECTION"),
    *("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "HTTP_X_FORWARDED_FOR", "HTTP_USER_AGENT"),
]
BEGINS = {
    "HTTP_RANGE": ("bytes=", "bytes=0-", "bytes"),
    "HTTP_ACCEPT": ("", "a/b;", 'a/b;"', "a/b;q=", "application/json;"),
    "HTTP_IF_MATCH": ("", ",", '"', 'W/"'),
    "HTTP_IF_NONE_MATCH": ("", ",", '"', 'W/"'),
    "HTTP_HOST": ("", "[", "x:"),
    "HTTP_AUTHORIZATION": ("", "Bearer ", "Bearer rundlet_"),
    "CONTENT_TYPE": ("", "text/plain;", "application/json;"),
    "HTTP_IF_MODIFIED_SINCE": ("", "Sun, ", "Sunday, 06-Nov-94 "),
    "HTTP_IF_UNMODIFIED_SINCE": ("", "Sun, ", "Sun Nov  6 "),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_are_read_in_linear_time(name: str):
    requests = [(OPEN, "GET", STORE_KEY, b""), (OPEN, "PUT", STORE_KEY, b"x")]
    if name in ("HTTP_ACCEPT", "CONTENT_TYPE"):
        requests = [(OPEN, "POST", "/v1/mget", b'{"keys": []}'), (OPEN, "GET", "/v1/keys", b"")]
    if name == "HTTP_AUTHORIZATION":
        requests = [(LOCKED, "GET", STORE_KEY, b"")]
    if name.startswith("HTTP_ACCESS"):
        requests = [(OPEN, "OPTIONS", STORE_KEY, b"")]
    call(OPEN, "PUT", STORE_KEY, b"x")
    for shape in shapes(2, *BEGINS.get(name, ("",)), mixed=20):
        for app, method, target, body in requests:

            def ask(size: int, shape: Shape = shape, asked=(app, method, target, body)) -> None:
                call(*asked, **{name: shape.text(size)})

            require_linear(ask, (name, method, shape))


@pytest.mark.parametrize(
    "begin", ["", "*", "/", "/v1/kv/", "/v1/kv64/", "http://", "/v1/kv/%"], ids=repr
)
def test_targets_are_read_in_linear_time(begin: str):
    for shape in shapes(3, begin, mixed=20):

        def ask(size: int, shape: Shape = shape) -> None:
            call(OPEN, "GET", shape.text(size), b"")

        require_linear(ask, shape)


@pytest.mark.parametrize(
    "begin",
    ["", "prefix=", "cursor=", "start=", "limit=", "delimiter=", "include=", "a=", "limit=1&"],
    ids=repr,
)
def test_queries_are_read_in_linear_time(begin: str):
    for shape in shapes(4, begin, mixed=20):

        def ask(size: int, shape: Shape = shape) -> None:
            call(OPEN, "GET", "/v1/keys?" + shape.text(size), b"")

        require_linear(ask, shape)


JSON_TEXTS = [
    *('{"keys": [', '{"keys": ["', '{"then": [{"op": "put", "key": "a", "text": "', "[", '{"a":'),
    *(
        '{"then": [{"op": "put", "key": "a", "base64": "',
        '{"then": [{"op": "incr", "by": ',
        "",
        "0.",
    ),
]


@pytest.mark.parametrize("begin", JSON_TEXTS, ids=repr)
def test_json_is_decoded_in_linear_time(begin: str):
    units = [
        "[",
        "{",
        '{"a":',
        '"',
        '\\"',
        "\\u0041",
        "\\ud800",
        " ",
        "\n",
        "0",
        "1",
        "1e",
        "9.",
        "-",
    ]
    units += [",", '"a",', '"a":1,', "null,", "[],", "{},", "[[],", "true", "=", "/", "é", "\\"]
    for unit in units:
        for end in ("", '"]}', "]}", "}]}"):
            shape = Shape(begin, unit, end)

            def ask(size: int, shape: Shape = shape) -> None:
                body = shape.text(size).encode()
                target = "/v1/mget" if "keys" in shape.begin else "/v1/txn"
                call(OPEN, "POST", target, body, CONTENT_TYPE="application/json")

            require_linear(ask, shape)


CBOR_UNITS = [bytes([first]) for first in range(256)] + [b"\x82\x01", b"\x61a\x01", b"\xa1\x01"]


@pytest.mark.parametrize("begin", [b"", b"\xa1\x64keys", b"\xa1\x64then\x81", b"\x99\x04\x00"])
def test_cbor_is_decoded_in_linear_time(begin: bytes):
    for unit in CBOR_UNITS:

        def ask(size: int, unit: bytes = unit) -> None:
            body = begin + unit * (size // len(unit))
            call(OPEN, "POST", "/v1/mget", body, CONTENT_TYPE="application/cbor")

        require_linear(ask, (begin, unit))


def test_long_lists_of_well_formed_items_cost_linear_time():
    def ask(size: int) -> None:
        keys = [f"k{number}" for number in range(size // 16)]
        for body, media_type in (
            (json.dumps({"keys": keys}).encode(), "application/json"),
            (cbor2.dumps({"keys": keys}), "application/cbor"),
        ):
            call(OPEN, "POST", "/v1/mget", body, CONTENT_TYPE=media_type)

    require_linear(ask, "mget")


# --- the check itself ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["GET / HTTP/1.1\r\nA:{}x\r\n\r\n", "GET a://{} x\r\n\r\n"], ids=["blanks", "digits"]
)
def test_check_finds_what_is_quadratic_in_waitress(text: str):
    unit = " " if "A:" in text else "1"

    def parse(size: int) -> None:
        data = text.replace("{}", unit * (size // 4)).encode()
        receive(HTTPRequestParser(ADJUSTMENTS), data)

    with pytest.raises(AssertionError):
        require_linear(parse, text)


def test_check_finds_an_expression_that_is_quadratic():
    blanks = re.compile(r"[ \t]*(?:a)?[ \t]*(?:,|$)")

    with pytest.raises(AssertionError):
        require_linear(lambda size: blanks.match(" " * (size // 4) + "x"), "blanks")


def test_sizes_reach_the_limit_on_headers():
    assert SIZES[-1] == HEADER_BYTES_MAX
