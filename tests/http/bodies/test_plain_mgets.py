"""Test that a plain mget gets the same answer with and without Falcon, to the byte.

Two applications over one store get the same random requests: Falcon answers all those of one, and
``PlainMgets`` answers those of the other that it takes.
"""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import cbor2
import pytest

from rundlet_server.functions.settings import ServerSettings
from rundlet_server.functions.waits import IN_THREAD
from rundlet_server.storage.interface import Store
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.tokens.file import TokenFile
from tests.http.test_plain_gets import (
    SETTINGS,
    Answer,
    FalconSide,
    Side,
    filled,
    logged,
    made_tokens,
    without_ids,
)
from tests.support.wire.get_requests import KEYS, Request, Requests

REQUESTS_A_ROUND = 400
TYPES = ("application/json", "application/cbor")
ODD_TYPES = ("application/json; charset=utf-8", "Application/CBOR", "text/plain", "")
ACCEPTS = (*TYPES, "*/*", "application/*", "image/png", "application/json;q=0.1, */*")
MANY_KEYS = 300


class SharedThread:
    """Waits as in a thread of its own, and has the store asked as in one that is shared."""

    def __getattr__(self, name: str) -> object:
        return getattr(IN_THREAD, name)


class QuickSide(Side):
    """Plain mgets are answered without Falcon; Falcon answers the rest."""

    waits = SharedThread()  # type: ignore[assignment] # it has all that ``IN_THREAD`` has

    def __init__(self, store: Store, settings: ServerSettings, tokens: TokenFile | None) -> None:
        super().__init__(store, settings, tokens)
        assert self.app.quick_mgets is not None
        self._begin = self.app.quick_mgets

    def answer(self, request: Request) -> Answer:
        path, _, query = request.target.encode("latin-1").partition(b"?")
        if request.method != "POST" or query:
            return super().answer(request)
        pairs = [(n.encode(), text.encode("latin-1")) for n, text in request.headers]
        mget = self._begin(path, [pair for pair in pairs if b"_" not in pair[0]])
        is_whole = mget is not None and mget.size == len(request.body)
        found = mget.answer(request.body) if mget is not None and is_whole else None
        if found is None:
            return super().answer(request)
        status, headers, body = found
        self.quick["cbor" if body[0] > 127 else "json"] += 1
        assert all(name == name.lower() for name, _ in headers)
        texts = [(name.decode(), text.decode("latin-1")) for name, text in headers]
        return without_ids(Answer(str(status), texts, body))


@pytest.mark.parametrize("name", SETTINGS)
def test_mgets_get_the_same_answers_with_and_without_falcon(name, tmp_path, capsys, campaign):
    settings, has_tokens = SETTINGS[name]
    secrets = made_tokens(tmp_path / "tokens") if has_tokens else []
    store = filled(open_log_store(tmp_path / "data", StoreSettings(sync="never")))
    falcon, quick = (
        kind(store, dataclasses.replace(settings, audit_path=tmp_path / kind.__name__),
             TokenFile(tmp_path / "tokens"))
        for kind in (FalconSide, QuickSide)
    )  # fmt: skip

    for chance in campaign.rounds(1):
        dice = random.Random(chance.random())
        requests = Requests(dice.random(), tags=[], secrets=secrets)
        for _ in range(REQUESTS_A_ROUND):
            request = mget_of(requests.any(), dice)
            expected = falcon.answer(request), logged(capsys)
            assert (quick.answer(request), logged(capsys)) == expected, request
    store.close()

    assert quick.counts() == falcon.counts()
    assert quick.trail(tmp_path / "QuickSide") == falcon.trail(tmp_path / "FalconSide")
    is_ever_plain = has_tokens or settings.open_without_tokens
    assert set(+quick.quick) == ({"cbor", "json"} if is_ever_plain else set())
    assert quick.quick_count >= REQUESTS_A_ROUND // 16 * is_ever_plain


def mget_of(request: Request, dice: random.Random) -> Request:
    """Return a request as an mget, most often a right one."""
    odd = ("content-length", "transfer-encoding", "if-match", "range", "accept")
    is_odd = dice.random() < 0.2
    headers = [pair for pair in request.headers if is_odd or pair[0] not in odd]
    media_type = dice.choice(TYPES)
    body = body_of(dice, media_type)
    if not any(name in ("content-length", "transfer-encoding") for name, _ in headers):
        headers.append(("content-length", str(len(body))))
    shown = media_type if dice.random() < 0.9 else dice.choice(ODD_TYPES)
    headers.append(("content-type", shown))
    if dice.random() < 0.5:
        headers.append(("accept", dice.choice(ACCEPTS)))
    target = dice.choice(("/v1/mget?x=1", "/v1/mget#", "/v1/mget/", request.target))
    if dice.random() < 0.9:
        target = "/v1/mget"
    return request._replace(method="POST", target=target, headers=headers, body=body)


def body_of(dice: random.Random, media_type: str) -> bytes:
    count = dice.choice((0, 1, 3, 10, MANY_KEYS))
    keys: list[object] = [dice.choice((*KEYS, "missing", "deleted")) for _ in range(count)]
    if dice.random() < 0.8:
        keys = [key for key in keys if isinstance(key, str) and key.isascii() and key != "large"]
    if dice.random() < 0.1:
        keys.append(dice.choice((7, None, "", "k" * 5_000, "ü" * 2_000)))
    members: dict[str, object] = {"keys": keys}
    if dice.random() < 0.1:
        members[dice.choice(("rev", "at", "x"))] = dice.choice((0, 5, 10**6, None, "2100-01-01"))
    body = json.dumps(members).encode() if media_type == TYPES[0] else cbor2.dumps(members)
    if dice.random() < 0.05:
        body = body[: dice.randrange(len(body))] or b"x"
    return body


def test_mgets_that_may_wait_or_are_large_are_left_to_falcon(tmp_path: Path):
    store = filled(open_log_store(tmp_path / "data", StoreSettings(sync="never")))
    quick = QuickSide(store, ServerSettings(), None)
    body = json.dumps({"keys": ["large", "plain"]}).encode()
    request = Request("POST", "/v1/mget", [("host", "x")], "HTTP/1.1", body)
    request.headers.append(("content-length", str(len(body))))
    request.headers.append(("content-type", "application/json"))

    answer = quick.answer(request)
    store.close()

    assert answer.status == "200"
    assert not quick.quick_count
