"""Test that a plain PUT does the same with and without Falcon, to the byte.

Two stores get the same random PUTs: one by Falcon, one by ``PlainPuts`` where that takes them.
"""

from __future__ import annotations

import dataclasses

import pytest

from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.errors import DiskFull, OutcomeUnknown, StoreError
from rundlet_server.storage.interface import Put, Store, Txn
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
            if isinstance(op, Put) and op.key in FAILURES:
                raise FAILURES[op.key]
        return super().commit(txn)


FAILURES: dict[str, Exception] = {
    "trouble/1": DiskFull("x"),
    "trouble/2": OutcomeUnknown("x"),
    "trouble/3": KeyError("a bug"),
}


class QuickSide(Side):
    """Plain PUTs are answered without Falcon; Falcon answers the rest."""

    def __init__(self, store: Store, settings: ServerSettings, tokens: TokenFile | None) -> None:
        super().__init__(store, settings, tokens)
        self._store = store
        assert self.app.quick_puts is not None
        self._begin = self.app.quick_puts

    def answer(self, request: Request) -> Answer:
        path, _, query = request.target.encode("latin-1").partition(b"?")
        if request.method != "PUT" or not path.startswith(b"/"):
            return super().answer(request)
        pairs = [(n.encode(), text.encode("latin-1")) for n, text in request.headers]
        put = self._begin(path, query, [pair for pair in pairs if b"_" not in pair[0]])
        txn = None if put is None or put.size != len(request.body) else put.txn(request.body)
        if put is None or txn is None:
            return super().answer(request)
        self.quick["PUT with a time to live" if query else "PUT"] += 1
        status, headers, body = put.answer(outcome_of(self._store, txn))
        assert all(name == name.lower() for name, _ in headers)
        texts = [(name.decode(), text.decode("latin-1")) for name, text in headers]
        return without_ids(Answer(str(status), texts, body))


def outcome_of(store: Store, txn: Txn) -> Commit | Exception:
    try:
        return store.commit(txn)
    except (StoreError, KeyError) as ex:
        return ex


@pytest.mark.parametrize("name", SETTINGS)
def test_puts_do_the_same_with_and_without_falcon(name, tmp_path, capsys, campaign):
    settings, has_tokens = SETTINGS[name]
    secrets = made_tokens(tmp_path / "tokens") if has_tokens else []
    falcon, quick = (
        kind(FailingStore(), dataclasses.replace(settings, audit_path=tmp_path / kind.__name__),
             TokenFile(tmp_path / "tokens"))
        for kind in (FalconSide, QuickSide)
    )  # fmt: skip

    for chance in campaign.rounds(1):
        random = chance.random()
        requests = Requests(random, tags=[], secrets=secrets)
        for number in range(REQUESTS_A_ROUND):
            request = put_of(requests.any(), number)
            expected = falcon.answer(request), logged(capsys)
            assert (quick.answer(request), logged(capsys)) == expected, request

    assert quick.counts() == falcon.counts()
    assert quick.trail(tmp_path / "QuickSide") == falcon.trail(tmp_path / "FalconSide")
    is_ever_plain = not has_tokens and not settings.read_only and settings.open_without_tokens
    assert bool(quick.quick_count) == is_ever_plain
    assert quick.quick_count >= REQUESTS_A_ROUND // 8 * is_ever_plain
    assert bool(quick.quick["PUT with a time to live"]) == is_ever_plain


def put_of(request: Request, number: int) -> Request:
    """Return a request as a PUT of a value."""
    names = ("content-length", "transfer-encoding", "authorization", "if-match")
    is_odd = number % 3 == 0
    headers = [pair for pair in request.headers if is_odd or pair[0] not in names]
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
