"""Test that a plain write does the same with and without Falcon, to the byte.

Two stores get the same random writes: one by Falcon, one by ``PlainWrites`` where that takes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from rundlet_server.functions.monitoring.quick import QUICK_WRITES
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.errors import DiskFull, OutcomeUnknown, StoreError
from rundlet_server.storage.interface import Store, Txn
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.tokens.file import TokenFile
from tests.http.test_plain_gets import (
    SETTINGS,
    Answer,
    FalconSide,
    Side,
    logged,
    made_tokens,
    without_ids,
)
from tests.support.models.model import ModelStore
from tests.support.wire.get_requests import Request, Requests

REQUESTS_A_ROUND = 400
CONTENT_TYPES = ("text/html", "a/b; c=\td", "", "\xe9", "x" * 300)
ENCODINGS = ("identity", "gzip")
TTLS = (
    "600",
    "1000.5",
    "0",
    "1e3",
    "600&ttl=1",
    "",
    "%36",
    " 600",
    "6_0",
    "9" * 9,
    "9" * 10,
    "0600",
)


class FailingStore(ModelStore):
    """Commits of some keys fail."""

    def commit(self, txn: Txn) -> Commit:
        for op in txn.then:
            if op.key in FAILURES:
                raise FAILURES[op.key]
        return super().commit(txn)


FAILURES: dict[str, Exception] = {
    "trouble/1": DiskFull("x"),
    "trouble/2": OutcomeUnknown("x"),
    "trouble/3": KeyError("a bug"),
}


class QuickSide(Side):
    """Plain writes are answered without Falcon; Falcon answers the rest."""

    def __init__(self, store: Store, settings: ServerSettings, tokens: TokenFile | None) -> None:
        super().__init__(store, settings, tokens)
        self._store = store
        assert self.app.quick_writes is not None
        self._writes = self.app.quick_writes

    def answer(self, request: Request) -> Answer:
        path, _, query = request.target.encode("latin-1").partition(b"?")
        if request.method not in QUICK_WRITES or not path.startswith(b"/"):
            return super().answer(request)
        pairs = [(n.encode(), text.encode("latin-1")) for n, text in request.headers]
        pairs = [pair for pair in pairs if b"_" not in pair[0]]
        write = self._writes.begin(request.method, path, query, pairs, "127.0.0.1")
        txn = None
        if write is not None and write.size == len(request.body):
            txn = write.txn(request.body)
        if write is None or txn is None:
            return super().answer(request)
        status, headers, body = write.answer(outcome_of(self._store, txn))
        if write.line is not None:
            self._writes.record([write.line])
        write.count()
        with_it = "".join(
            name for name in ("if-match", "if-none-match") if name in dict(request.headers)
        )
        self.quick[f"{request.method} {with_it or 'ttl' if query else with_it} {status}"] += 1
        assert all(name == name.lower() for name, _ in headers)
        texts = [(name.decode(), text.decode("latin-1")) for name, text in headers]
        return without_ids(Answer(str(status), texts, body))


def outcome_of(store: Store, txn: Txn) -> Commit | Exception:
    try:
        return store.commit(txn)
    except (StoreError, KeyError) as ex:
        return ex


@pytest.mark.parametrize("name", SETTINGS)
def test_writes_do_the_same_with_and_without_falcon(name, tmp_path, capsys, campaign):
    settings, has_tokens = SETTINGS[name]
    secrets = []
    if has_tokens:  # the first is given most often
        secrets = [TokenFile(tmp_path / "tokens").add("writer", "write")[1]]
        secrets += made_tokens(tmp_path / "tokens")
    falcon, quick = (
        kind(FailingStore(), dataclasses.replace(settings, audit_path=tmp_path / kind.__name__),
             TokenFile(tmp_path / "tokens"))
        for kind in (FalconSide, QuickSide)
    )  # fmt: skip

    def compare(request: Request) -> Answer:
        expected = falcon.answer(request), logged(capsys)
        assert (quick.answer(request), logged(capsys)) == expected, request
        return expected[0]

    for request in every_kind(secrets):
        compare(request)
    for chance in campaign.rounds(1):
        requests = Requests(chance.random(), tags=[], secrets=secrets)
        tags: dict[str, str] = {}
        for number in range(REQUESTS_A_ROUND):
            request = write_of(requests.any(), number, tags)
            headers = dict(compare(request).headers)
            if "etag" in headers:
                tags[request.target] = headers["etag"]

    assert quick.counts() == falcon.counts()
    assert quick.trail(tmp_path / "QuickSide") == falcon.trail(tmp_path / "FalconSide")
    is_ever_plain = not settings.read_only and (has_tokens or settings.open_without_tokens)
    assert bool(quick.quick_count) == is_ever_plain
    if is_ever_plain:
        assert quick.quick.keys() >= KINDS, quick.quick
        assert quick.quick_count >= REQUESTS_A_ROUND // 8


KINDS = {
    *("PUT  201", "PUT  204", "PUT ttl 201", "DELETE  204", "DELETE  404"),
    *("PUT if-match 204", "PUT if-match 412", "PUT if-none-match 201", "PUT if-none-match 412"),
    *("DELETE if-match 204", "DELETE if-match 412", "DELETE if-match 404"),
}


def every_kind(secrets: list[str]) -> Iterator[Request]:
    """Yield plain writes that get the answers of ``KINDS``, one after the other."""
    named = [("host", "localhost"), *(("authorization", f"Bearer {one}") for one in secrets[:1])]
    known, foreign, new = ("if-match", "*"), ("if-match", '"1-a"'), ("if-none-match", "*")
    for method, *given in (
        *(("PUT", new), ("PUT", new), ("PUT",), ("PUT", known), ("PUT", foreign)),
        *(("DELETE", foreign), ("DELETE", known), ("DELETE", known), ("DELETE",), ("PUT",)),
        ("DELETE",),
    ):
        size = [("content-length", "1")] * (method == "PUT")
        body = b"x" * len(size)
        yield Request(method, "/v1/kv/a", [*named, *given, *size], "HTTP/1.1", body)  # type: ignore[list-item]
    size = [("content-length", "1")]
    yield Request("PUT", "/v1/kv/a?ttl=9", [*named, *size], "HTTP/1.1", b"x")
    for size in ([("content-length", "0")], [("content-length", "00")]):
        yield Request("DELETE", "/v1/kv/a", [*named, *size], "HTTP/1.1", b"")


def write_of(request: Request, number: int, tags: dict[str, str]) -> Request:
    """Return a request as a write of a value.

    Args:
        request: of any method.
        number: chooses what is written.
        tags: entity tags by target, as answers have said.
    """
    names = ["content-length", "transfer-encoding", "if-match", "if-none-match"]
    is_odd = number % 5 == 0
    headers = [pair for pair in request.headers if is_odd or pair[0] not in names]
    if number % 4 == 0 and tags:
        target, tag = [*tags.items()][-1 - number // 4 % len(tags)]
        request = request._replace(target=target)
        tag = (tag, "*", '"1-aaaaaaaaaaaa"')[number // 4 % 3]
        headers.append(("if-none-match" if number % 16 == 0 else "if-match", tag))
    if number % 3 == 1:
        return request._replace(method="DELETE", headers=headers, body=b"")
    return put_of(request._replace(headers=headers), number)


def put_of(request: Request, number: int) -> Request:
    """Return a request as a PUT."""
    headers = [*request.headers]
    body = b"" if number % 17 == 0 else b"value %d" % number
    if not any(name in ("content-length", "transfer-encoding") for name, _ in headers):
        headers.append(("content-length", str(len(body))))
    if number % 2:
        headers.append(("content-type", CONTENT_TYPES[number // 2 % len(CONTENT_TYPES)]))
    if number % 7 == 0:
        headers.append(("content-encoding", ENCODINGS[number // 7 % len(ENCODINGS)]))
    target = request.target
    if number % 5 == 0 and "?" not in target:
        target += "?ttl=" + TTLS[number // 5 % len(TTLS)]
    return request._replace(method="PUT", target=target, headers=headers, body=body)
