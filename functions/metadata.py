"""User metadata in headers, of writes and of answers: ``KV-Meta-NAME: text``.

WSGI gives header names in upper case with underscores for hyphens. The original names can be
recovered, because names of metadata have neither upper case nor underscores. A text is printable
ASCII; other characters are percent-encoded UTF-8, as are ``%`` itself and a blank at either end,
which HTTP would remove.

If a name comes more than once, the server in front joins the texts in their order with ``JOINT``,
as RFC 9110 (5.3) combines fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from rundlet_server.functions.problems import Member, Problem
from rundlet_server.storage.errors import InvalidRequest, LimitExceeded
from rundlet_server.storage.metadata import NO_METADATA, Metadata, metadata_of

HEADER: Final = "KV-Meta-"
JOINT: Final = ", "
"""Separates the texts of a repeated name. A text may contain it, so it cannot be refused."""

TEXT_PATTERN: Final = "(?:[\\x20-\\x24\\x26-\\x7e]|%[0-9A-Fa-f]{2})*"
"""The characters of a text in a header, before it is decoded."""

IN_ENVIRON: Final = "HTTP_KV_META_"
_PREFIX: Final = HEADER.lower()
_TEXT: Final = re.compile(TEXT_PATTERN)
_ENCODED: Final = re.compile(r"^ +| +$|[^\x20-\x24\x26-\x7e]+")


def metadata_given(environ: Mapping[str, object]) -> Metadata:
    """Return the metadata in the headers of a request.

    Raises:
        Problem: 400 ``bad-metadata``, 431 ``metadata-too-large``.
    """
    names = [name for name in environ if name.startswith(IN_ENVIRON)]
    if not names:
        return NO_METADATA
    texts = {}
    for name in names:
        shown = name[len(IN_ENVIRON) :].replace("_", "-").lower()
        texts[shown] = _decoded(shown, str(environ[name]))
    try:
        return metadata_of(texts)
    except LimitExceeded as ex:
        members: dict[str, Member] = {"limit": ex.limit, "got": ex.got}
        raise Problem(431, "metadata-too-large", f"{ex}; send less", members) from ex
    except InvalidRequest as ex:
        raise Problem(400, "bad-metadata", str(ex)) from ex


def metadata_headers(metadata: Metadata) -> Iterator[tuple[str, str]]:
    """Yield the headers that show metadata."""
    for name, text in metadata:
        yield _PREFIX + name, _ENCODED.sub(_percent_encoded, text)


def _decoded(name: str, text: str) -> str:
    if _TEXT.fullmatch(text):
        try:
            return unquote_to_bytes(text).decode() if "%" in text else text
        except UnicodeDecodeError:
            pass
    raise Problem(
        400,
        "bad-metadata",
        f"the header {HEADER}{name[:80]} is not printable ASCII; percent-encode everything else in"
        " it as UTF-8, and send '%25' for '%'",
    )


def _percent_encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())
