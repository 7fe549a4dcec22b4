"""Parse the head of a request: the request line and the headers (RFC 9112, sections 2 to 5).

Every step takes time linear in the size of the head. The regular expressions cannot match a
character in two ways, so they never backtrack. waitress's own parser takes quadratic time for
blanks before a value and for some targets.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from rundlet_server.server.messages.checks import check_method, check_target, shown
from rundlet_server.server.messages.refusals import HeadError

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_REQUEST_LINE: Final = re.compile(
    rb"(" + _TOKEN + rb"+) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])[ \t]*"
)
FIELD: Final = re.compile(rb"(" + _TOKEN + rb"+):([\t\x20-\x7e\x80-\xff]*)\r\n")
"""A header, or a trailer after the last chunk of a body, with the end of its line."""
_BEGINNING: Final = re.compile(rb"(?:\r\n)?(?:" + _TOKEN + rb"|\r?\Z)")
_BARE_LINE_END: Final = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
_AUTHORITY: Final = re.compile(r"[^\[\]]*|(?:[^\[\]@]*@)?\[[0-9A-Za-z:.]+\](?::[0-9]*)?")
_TLS_HANDSHAKE: Final = b"\x16\x03"


class Head(NamedTuple):
    """A request without its body.

    Attributes:
        method: in upper case.
        target: as sent, ASCII.
        version: ``1.0`` or ``1.1``.
        headers: by name in upper case with underscores for hyphens; values of one name are joined
            with commas. Headers whose own name has an underscore are left out.
    """

    method: str
    target: str
    version: str
    headers: dict[str, str]


def parse_head(data: bytes) -> Head:
    """Parse a head up to and including the empty line.

    Raises:
        HeadError: it is malformed, or of another version of HTTP.
    """
    line_end = data.index(b"\r\n")
    line = _REQUEST_LINE.fullmatch(data, 0, line_end)
    if line is None:
        raise _malformed_line(data[:line_end])
    method, target, major, minor = line.groups()
    if major != b"1":
        detail = f"this server does not speak HTTP/{(major + b'.' + minor).decode()}; use HTTP/1.1"
        raise HeadError(505, detail)
    check_method(method)
    check_target(target)
    _require_authority(target)
    version = "1.0" if minor == b"0" else "1.1"  # a higher minor version only adds to 1.1
    return Head(method.decode(), target.decode(), version, _headers(data, line_end + 2))


def check_beginning(received: bytearray, checked_size: int) -> None:
    """Reject bytes that cannot begin a valid head, so that no client waits in vain.

    Args:
        received: the bytes of the head so far.
        checked_size: the number of bytes that were checked before.

    Raises:
        HeadError: they are of another protocol, such as TLS, or their lines do not end with CRLF.
    """
    if checked_size < len(b"\r\n") + 1 and not _BEGINNING.match(received):
        if received.startswith(_TLS_HANDSHAKE):
            detail = (
                "this port speaks plain HTTP, and the client began a TLS handshake; use http://"
            )
            raise HeadError(400, detail)
        if received != _TLS_HANDSHAKE[:1]:
            raise HeadError(400, "a request begins with a method, such as GET")
    if _BARE_LINE_END.search(received, max(0, checked_size - 1)):
        raise HeadError(400, _BARE_END)


_BARE_END: Final = "a CR or LF stands alone in the head of the request; end each line with CRLF"


def _headers(data: bytes, position: int) -> dict[str, str]:
    values: dict[bytes, list[bytes]] = {}
    end = len(data) - 2  # the empty line
    while position < end:
        field = FIELD.match(data, position)
        if field is None:
            raise _malformed_field(data[position : data.index(b"\r\n", position)])
        position = field.end()
        name, value = field.groups()
        if b"_" not in name:  # a CGI-like name cannot tell it from the one with a hyphen
            values.setdefault(name.upper(), []).append(value.strip(b" \t"))
    return {
        name.decode().replace("-", "_"): b", ".join(listed).decode("latin-1")
        for name, listed in values.items()
    }


def _malformed_line(line: bytes) -> HeadError:
    if b"\r" in line or b"\n" in line:
        return HeadError(400, _BARE_END)
    detail = f"the request line {shown(line)} is malformed; send METHOD TARGET HTTP/1.1"
    return HeadError(400, detail)


def _malformed_field(line: bytes) -> HeadError:
    if b"\r" in line or b"\n" in line:
        return HeadError(400, _BARE_END)
    if line.startswith((b" ", b"\t")):
        return HeadError(400, "a header continues on the next line; send each header on one line")
    return HeadError(400, f"the header {shown(line)} is malformed; send NAME: VALUE")


def _require_authority(target: bytes) -> None:
    """Reject the target of a request to a proxy if its brackets do not hold an address."""
    if target.startswith(b"/"):
        return
    authority = target.partition(b"://")[2].partition(b"/")[0].decode()
    if not _AUTHORITY.fullmatch(authority):
        raise HeadError(400, "the host in the request target is malformed")
