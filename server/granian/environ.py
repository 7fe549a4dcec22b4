"""The environment of a request, as WSGI defines it, made from an ASGI scope.

It equals the environment that waitress makes of the same bytes: it has the raw target, and headers
as latin-1. Values of a repeated header are joined with commas, and a header whose own name has an
underscore is left out. A request that waitress refuses is refused with the same words, unless
Granian refuses it before.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict
from urllib.parse import unquote_to_bytes

from rundlet_server.server.granian.bodies import Message
from rundlet_server.server.messages.checks import (
    NO_BODY,
    Framing,
    check_method,
    check_target,
    framing_of,
)

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_OWN_NAMES: Final = ("CONTENT_TYPE", "CONTENT_LENGTH")
_LINE_BYTES: Final = len("  HTTP/1.1\r\n\r\n")
_FIELD_BYTES: Final = len(": \r\n")


class Scope(TypedDict):
    """A request as Granian describes it.

    Attributes:
        arrived: the first part of the body, if this process has received it already.
    """

    type: str
    http_version: str
    server: tuple[str, str]
    client: tuple[str, str]
    scheme: str
    method: str
    raw_path: bytes
    query_string: bytes
    headers: Sequence[tuple[bytes, bytes]]
    arrived: NotRequired[Message]


def head_bytes(scope: Scope) -> int:
    """Return the size of the request line and all headers."""
    size = _LINE_BYTES + len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += _FIELD_BYTES + len(name) + len(value)
    return size


def environ_of(scope: Scope) -> tuple[WSGIEnvironment, Framing]:
    """Return the environment without a body, and the framing of the body.

    Raises:
        HeadError: the request is malformed.
    """
    method, path, query = scope["method"], scope["raw_path"], scope["query_string"]
    target = path + b"?" + query if query else path
    check_method(method.encode())
    check_target(target)
    version = "1.0" if scope["http_version"] == "1" else scope["http_version"]
    environ: WSGIEnvironment = _FIXED.copy()
    environ["REQUEST_METHOD"] = method
    environ["REQUEST_URI"] = target.decode("latin-1")
    environ["PATH_INFO"] = (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
    environ["QUERY_STRING"] = query.decode("latin-1")
    environ["SERVER_PROTOCOL"] = f"HTTP/{version}"
    environ["SERVER_NAME"], environ["SERVER_PORT"] = scope["server"]
    environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = scope["client"]
    environ["wsgi.url_scheme"] = scope["scheme"]
    for name, value in scope["headers"]:
        key = _key_of(name)
        if key in environ:
            environ[key] += ", " + value.decode("latin-1")
        elif key is not None:
            environ[key] = value.decode("latin-1")
    codings = environ.pop("HTTP_TRANSFER_ENCODING", None)
    length = environ.get("CONTENT_LENGTH")
    if codings is None and length is None:
        return environ, NO_BODY
    return environ, framing_of(codings, length, version)


@functools.lru_cache(maxsize=1_024)
def _key_of(name: bytes) -> str | None:
    """Return the name of a header in the environment; ``None`` if it is left out."""
    if b"_" in name:
        return None
    key = name.decode("latin-1").upper().replace("-", "_")
    return key if key in _OWN_NAMES else f"HTTP_{key}"


class _NoBody:
    """The body of a request that has none."""

    def read(self, _size: int = -1, /) -> bytes:
        """Return nothing."""
        return b""


class FilePieces:
    """A file as an answer, in the pieces that it reads best."""

    def __init__(self, file: Any, _block_size: int = 0) -> None:  # noqa: ANN401 # PEP 3333 names no type
        self._file = file
        self.close: Callable[[], None] = file.close

    def __iter__(self) -> FilePieces:
        return self

    def __next__(self) -> bytes:
        piece: bytes = self._file.read(_PIECE_BYTES)
        if not piece:
            raise StopIteration
        return piece


_PIECE_BYTES: Final = 128 * 1024
_FIXED: Final[dict[str, object]] = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.input": _NoBody(),
    "wsgi.input_terminated": True,
    "wsgi.file_wrapper": FilePieces,
}
