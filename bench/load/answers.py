"""Find the end and the body of an HTTP answer."""

from __future__ import annotations

from collections.abc import Iterator


def answer_size(received: bytes) -> int | None:
    """Return the size of the whole answer, head included; ``None`` while it is not known."""
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    head = received[: head_end + 2].lower()
    found = head.find(b"\r\ncontent-length:")
    if found >= 0:
        return head_end + 4 + int(head[found + 17 : head.index(b"\r\n", found + 2)])
    if b"\r\ntransfer-encoding: chunked" in head:
        return len(received) if received.endswith(b"\r\n0\r\n\r\n") else None
    return head_end + 4


def body_of(answer: bytes) -> bytes:
    """Return the body of a whole answer; join its chunks if it is chunked."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    return b"".join(_chunks(body))


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        yield rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
