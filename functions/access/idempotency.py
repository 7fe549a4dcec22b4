"""``Idempotency-Key``: recognize a repeated request, and mark its answer.

The header is text of printable ASCII, plain or as a quoted string, as
draft-ietf-httpapi-idempotency-key-header has it; ``a`` and ``"a"`` are one key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import falcon

from rundlet_server.functions.access.admission import caller_of
from rundlet_server.functions.metadata import IN_ENVIRON as METADATA_IN_ENVIRON
from rundlet_server.functions.problems import Problem
from rundlet_server.storage.bounds import IDEMPOTENCY_KEY_BYTES_MAX
from rundlet_server.storage.outcomes.idempotency import KEY_SIZE, Idempotency

_FINGERPRINT_SIZE: Final = 16
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPED: Final = re.compile(r'\\(["\\])')
_PRINTABLE: Final = re.compile(rf"[\x20-\x7e]{{1,{IDEMPOTENCY_KEY_BYTES_MAX}}}")
_CONDITIONS: Final = (
    "CONTENT_TYPE",
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_UNMODIFIED_SINCE",
)


def idempotency_of(
    req: falcon.Request, keep_s: int, target: str, body: bytes = b""
) -> Idempotency | None:
    """Return the idempotency key and fingerprint of a request; ``None`` if it sends no key.

    The store keeps only digests. The fingerprint is keyed with the client's key, which is not
    stored, so that a reader of the disk cannot test guesses of an erased value.

    Args:
        req: the request, of an authenticated caller if there are tokens.
        keep_s: how long the store remembers the outcome, in seconds.
        target: the decoded key or the route that it writes to, so that the spelling does not count.
        body: of the request.

    Raises:
        Problem: 400 ``bad-idempotency-key``.
    """
    header = req.env.get("HTTP_IDEMPOTENCY_KEY")
    if header is None:
        return None
    text = _text_of(header).encode()
    caller = caller_of(req.env)
    scope = caller.token.token_id if caller and caller.token else ""
    key = blake2b(_joined([scope.encode(), text]), digest_size=KEY_SIZE)
    secret = blake2b(text, digest_size=blake2b.MAX_KEY_SIZE).digest()
    fingerprint = blake2b(_request(req, target), digest_size=_FINGERPRINT_SIZE, key=secret)
    fingerprint.update(body)
    return Idempotency(key.digest(), fingerprint.digest(), keep_s)


def mark_replay(resp: falcon.Response, *, is_replay: bool) -> None:
    """Add ``Idempotency-Replayed`` if the answer repeats that of an earlier request."""
    if is_replay:
        resp.set_header("Idempotency-Replayed", "true")


def _text_of(header: str) -> str:
    text = header.strip(" \t")
    if text.startswith('"'):
        quoted = _QUOTED.fullmatch(text)
        text = _ESCAPED.sub(r"\1", quoted[1]) if quoted else ""
    if not _PRINTABLE.fullmatch(text):
        detail = (
            f"Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} characters of printable"
            " ASCII, plain or in double quotes; send a new UUID with each write"
        )
        raise Problem(400, "bad-idempotency-key", detail)
    return text


def _request(req: falcon.Request, target: str) -> bytes:
    """Encode a request without its body; different requests give different bytes."""
    environ: Mapping[str, str] = req.env
    metadata = sorted(name for name in environ if name.startswith(METADATA_IN_ENVIRON))
    named = ((name, environ[name]) for name in (*_CONDITIONS, *metadata) if name in environ)
    parts = [req.method, target, req.query_string, *(text for pair in named for text in pair)]
    return _joined([part.encode("utf-8", "surrogateescape") for part in parts])


def _joined(parts: list[bytes]) -> bytes:
    """Join parts so that no other parts give the same bytes."""
    sizes = b"".join(len(part).to_bytes(4) for part in parts)
    return len(parts).to_bytes(4) + sizes + b"".join(parts)
