"""Test that a plain GET or HEAD gets the same answer with and without Falcon, to the byte.

Three applications over one store get the same random requests: one where Falcon answers all of
them, one where plain ones are answered first, and one where they are answered first in ASGI's form.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import pytest

from rundlet_server.functions.access.routing import ROUTE
from rundlet_server.functions.app import create_app
from rundlet_server.functions.messages.target import raw_path
from rundlet_server.functions.messages.validators import store_digest
from rundlet_server.functions.monitoring.measures import MeasuredApp, request_counts, request_totals
from rundlet_server.functions.monitoring.quick import QUICK_METHODS
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.functions.waits import IN_THREAD, Waits
from rundlet_server.storage.bounds import LARGE_VALUE_BYTES
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.errors import Damaged, Unavailable
from rundlet_server.storage.interface import Delete, Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.tokens.file import TokenFile
from tests.support.campaign import Campaign
from tests.support.models.model import ModelStore
from tests.support.processes.killed_servers import SERVERS, port_of, start
from tests.support.wire.get_requests import KEYS, Request, Requests
from tests.support.wire.raw_http import read_answers, talk
from tests.support.wire.served_model import served_app

REQUESTS_A_ROUND = 300
ROUNDS = 2
ABOUT_THE_SERVER = ("/v1", "/v1/stats")
LAST = b"GET /v1/kv/plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
VARYING = re.compile(rb'Date: [^\r]*|(?<="request_id":")[0-9a-f-]*|Request-Id: [^\r]*')
ETAG = re.compile(rb"(?s)HTTP/1.1 200 (?:(?!\r\n\r\n).)*\r\nEtag: ([^\r]*)")
REQUEST_ID = re.compile(rb'(?<="request_id":")[0-9a-f]{8}-')
LARGE = b"l" * (LARGE_VALUE_BYTES + 1)


class TroubledStore(ModelStore):
    """Some values cannot be read.

    Attributes:
        read_count: how often a value was read.
    """

    read_count = 0

    def get(self, key, *, at=None):
        self.read_count += 1
        if key.startswith("trouble/") and at is None:
            raise TROUBLES[key]
        return super().get(key, at=at)


TROUBLES: dict[str, Exception] = {
    "trouble/1": Unavailable("the disk failed"),
    "trouble/2": Damaged(Path("x.log"), 7, "the checksum is wrong"),
    "trouble/3": KeyError("a bug"),
}


class Answer(NamedTuple):
    """An answer as its server would send it."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Side:
    """An application, and how requests reach it.

    Attributes:
        waits: how requests wait.
        quick: counts the requests that were answered with success, and not by Falcon, by kind.
    """

    waits: Waits = IN_THREAD

    def __init__(self, store: Store, settings: ServerSettings, tokens: TokenFile | None) -> None:
        self._counters = OperationCounters()
        source = None if tokens is None else tokens.watch()
        self.app: MeasuredApp = create_app(
            store, settings, self._counters, source, token_store=tokens, waits=self.waits
        )
        self.quick: Counter[str] = Counter()

    @property
    def quick_count(self) -> int:
        """How many they are."""
        return self.quick.total()

    def answer(self, request: Request) -> Answer:
        """Ask as a WSGI server does."""
        said: list[Answer] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            said.append(Answer(status, headers, b""))

        environ = environ_of(request)
        body = self.app(environ, start_response)  # type: ignore[arg-type]
        data = b"".join(body)
        if hasattr(body, "close"):
            body.close()
        if ROUTE not in environ:
            self.quick[kind_of(request, said[0].status)] += said[0].status[:3] in ("200", "304")
        return without_ids(said[0]._replace(body=data))

    @staticmethod
    def trail(path: Path) -> list[dict[str, object]]:
        """What is in the audit trail, without times and ids."""
        return [without_times(json.loads(line)) for line in path.read_text().splitlines()]

    def counts(self) -> object:
        """What was counted, without times."""
        rows = self._counters.shared.rows()
        sizes = [(*total[:2], *total[3:]) for total in request_totals(rows)]
        return self._counters.totals(), request_counts(rows), sizes


class FalconSide(Side):
    """Falcon answers everything."""

    def __init__(self, store: Store, settings: ServerSettings, tokens: TokenFile | None) -> None:
        super().__init__(store, settings, tokens)
        self.app.quick = None


class AsgiSide(Side):
    """What can be answered in the form of ASGI is; Falcon answers the rest."""

    def __init__(self, store: Store, settings: ServerSettings, tokens: TokenFile | None) -> None:
        super().__init__(store, settings, tokens)
        assert self.app.quick is not None
        self._quick, self.app.quick = self.app.quick, None

    def answer(self, request: Request) -> Answer:
        path, _, query = request.target.encode("latin-1").partition(b"?")
        if request.method in QUICK_METHODS and not query and path.startswith(b"/"):
            headers = [
                (name.encode(), text.encode("latin-1"))
                for name, text in request.headers
                if "_" not in name
            ]
            found = self._quick.answer_asgi(request.method, path, headers)
            if found is not None:
                status, pairs, body = found
                texts = [(name.decode(), text.decode("latin-1")) for name, text in pairs]
                self.quick[kind_of(request, str(status))] += status in (200, 304)
                assert all(name == name.lower() for name, _ in texts)
                return without_ids(Answer(str(status), texts, body))
        return super().answer(request)


def kind_of(request: Request, status: str) -> str:
    what = "/livez" if "livez" in request.target else "value"
    return f"{request.method} {what} {status[:3]}"


OF_LIVEZ = {"GET /livez 200", "HEAD /livez 200"}
OF_VALUES = {f"{method} value {status}" for method in ("GET", "HEAD") for status in (200, 304)}
LOGGED = ServerSettings(slow_s=0.0, log_format="json")
OWN_ORIGIN = ("https://app.example",)
OWN_NAME = ("own.example",)
SETTINGS = {
    "any-name": (LOGGED, False),
    "own-names": (dataclasses.replace(LOGGED, host_names=OWN_NAME), False),
    "one-origin": (dataclasses.replace(LOGGED, cors_origins=OWN_ORIGIN, read_only=True), False),
    "any-origin": (dataclasses.replace(LOGGED, cors_origins=("*",)), False),
    "tokens": (dataclasses.replace(LOGGED, host_names=OWN_NAME, cors_origins=OWN_ORIGIN), True),
    "no-token-yet": (dataclasses.replace(LOGGED, open_without_tokens=False), False),
}
"""Settings of servers, and whether there are tokens."""


@contextlib.contextmanager
def opened(kind: str, folder: Path) -> Iterator[Store]:
    if kind == "model":
        yield filled(TroubledStore())
    else:
        store = open_log_store(folder, StoreSettings(sync="never"))
        with contextlib.closing(store):
            yield filled(store)


def filled(store: Store) -> Store:
    """Store a value under each of the keys."""
    for number, key in enumerate(KEYS):
        if not key.startswith("trouble/"):
            store.commit(Txn([put(key, number)]))
    store.commit(Txn([put("plain", 1)]))
    store.commit(Txn([Put("deleted", b"x")]))
    store.commit(Txn([Delete("deleted")]))
    return store


def put(key: str, number: int) -> Put:
    match key:
        case "empty":
            return Put(key, b"")
        case "large":
            return Put(key, LARGE, "text/html")
        case "expiring":
            return Put(key, b"soon", expires_us=system_clock_us() + 10**12)
        case "expired":
            return Put(key, b"gone", expires_us=1)
        case "described":
            return Put(key, b"x", "image/png; x=\t1", metadata=(("a", "é %"), ("b-c", " x ")))
        case _:
            return Put(key, b"value %d" % number)


@pytest.mark.parametrize(
    ("kind", "name"), [*(("model", name) for name in SETTINGS), ("log", "any-name")]
)
def test_answers_are_the_same_with_and_without_falcon(kind, name, tmp_path, capsys, campaign):
    with opened(kind, tmp_path / "data") as store:
        compare_answers(store, name, tmp_path, capsys, campaign)


def compare_answers(
    store: Store,
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    campaign: Campaign,
) -> None:
    settings, has_tokens = SETTINGS[name]
    tokens = TokenFile(tmp_path / "tokens")
    secrets = made_tokens(tmp_path / "tokens") if has_tokens else []
    audits = [tmp_path / kind.__name__ for kind in (FalconSide, Side, AsgiSide)]
    falcon, quick, asgi = (
        kind(store, dataclasses.replace(settings, audit_path=audit), tokens)
        for kind, audit in zip((FalconSide, Side, AsgiSide), audits, strict=True)
    )
    tags = [f'"{revision}-{store_digest(store.info.store_id)}"' for revision in (1, 5, 20)]

    def compare(request: Request) -> Answer:
        expected = falcon.answer(request), logged(capsys)
        assert (quick.answer(request), logged(capsys)) == expected, request
        assert (asgi.answer(request), logged(capsys)) == expected, request
        return expected[0]

    for chance in campaign.rounds(ROUNDS):
        requests = Requests(chance.random(), tags=tags, secrets=secrets)
        for _ in range(REQUESTS_A_ROUND):
            request = requests.any()
            tag = dict(compare(request).headers).get("etag")
            if tag is not None:
                compare(requests.again(request, tag))

    assert quick.counts() == asgi.counts() == falcon.counts()
    assert quick.trail(audits[1]) == asgi.trail(audits[2]) == falcon.trail(audits[0])
    assert falcon.quick_count == 0
    # Where a token is needed and there is none, only what is open to all is answered.
    kinds = OF_LIVEZ if name == "no-token-yet" else OF_LIVEZ | OF_VALUES
    for side in (quick, asgi):
        assert set(+side.quick) == kinds
        assert min(side.quick[kind] for kind in kinds) >= ROUNDS * REQUESTS_A_ROUND // 200


@pytest.mark.parametrize("name", ["any-name", "one-origin"])
def test_waitress_sends_the_same_from_its_loop_and_from_threads(name, tmp_path, campaign):
    with opened("log", tmp_path / "data") as store, contextlib.ExitStack() as stack:
        settings = dataclasses.replace(SETTINGS[name][0], slow_s=60.0)
        app, other = (create_app(store, settings) for _ in range(2))
        kinds: Counter[str] = Counter()

        def quick(environ: dict[str, object]) -> tuple[str, list[tuple[str, str]], bytes] | None:
            answer = app.answer_quickly(environ)
            if answer is not None:
                kinds[f"{environ['REQUEST_METHOD']} {answer[0]}"] += 1
            return answer

        in_threads = stack.enter_context(served_app(other))
        in_loop = stack.enter_context(served_app(app, quick))

        def compare(request: Request) -> re.Match[bytes] | None:
            data = request.encoded() + LAST
            answers = [talk(port, data, is_whole=True) for port in (in_threads, in_loop)]
            expected, found = (VARYING.sub(b"", answer) for answer in answers)
            assert found == expected, request
            return ETAG.match(answers[0])

        for chance in campaign.rounds(1):
            requests = Requests(chance.random(), tags=[], secrets=[])
            for _ in range(250):
                request = requests.any()
                tag = compare(request)
                if tag is not None:
                    compare(requests.again(request, tag[1].decode()))

    answered = {
        f"{m} {status}" for m in ("GET", "HEAD") for status in ("200 OK", "304 Not Modified")
    }
    assert answered <= set(kinds)
    assert kinds.total() >= 60


def test_both_servers_answer_the_same(tmp_path, campaign):
    settings = ("--sync", "never")
    with opened("log", tmp_path / "data"), contextlib.ExitStack() as stack:
        servers = [stack.enter_context(start(tmp_path, *options, *settings)) for options in SERVERS]

        def compare(request: Request) -> str | None:
            data = request.encoded() + LAST
            waitress, granian = (asked(port_of(server), data, request.method) for server in servers)
            if granian != (400, {"content-length": "0"}, b""):
                assert granian == waitress, request
            else:  # malformed: what is below Rundlet refuses it, in fewer words
                assert waitress[0] in (400, 404), request
            return waitress[1].get("etag")

        for chance in campaign.rounds(1):
            requests = Requests(chance.random(), tags=[], secrets=[])
            for _ in range(200):
                request = requests.any()
                if request.target in ABOUT_THE_SERVER:
                    continue
                tag = compare(request)
                if tag is not None:
                    compare(requests.again(request, tag))


def asked(port: int, data: bytes, method: str) -> tuple[int, dict[str, str], bytes]:
    """Return the first answer to some requests, without what differs between two requests."""
    answer = read_answers(talk(port, data, is_whole=True), [method])[0]
    varying = ("date", "connection", "request-id", "server")
    if "request-id" in answer.headers:
        varying += ("content-length",)
    headers = {name: text for name, text in answer.headers.items() if name not in varying}
    return answer.status, headers, VARYING.sub(b"", answer.body)


def test_content_type_that_would_break_a_header_is_left_to_falcon(tmp_path):
    with opened("log", tmp_path / "data") as store:
        for content_type in ("a\r\nX: y", "\u20ac"):
            store.commit(Txn([Put("odd", b"x", content_type)]))
            for side in (
                Side(store, ServerSettings(), None),
                AsgiSide(store, ServerSettings(), None),
            ):
                side.answer(get("/v1/kv/odd"))

                assert side.quick_count == 0


def made_tokens(folder: Path) -> list[str]:
    """Create tokens of all kinds: for all keys, for some, expired, and revoked."""
    tokens = TokenFile(folder, clock=lambda: 1)
    secrets = [
        tokens.add("all", "read")[1],
        tokens.add("some", "write", prefix="prefix/")[1],
        tokens.add("expired", "admin", expires_us=2)[1],
        tokens.add("revoked", "admin")[1],
    ]
    tokens.remove("revoked")
    return secrets


def environ_of(request: Request) -> dict[str, object]:
    """Return the environment that waitress makes of a request."""
    path, _, query = request.target.partition("?")
    environ: dict[str, object] = {
        "REQUEST_METHOD": request.method,
        "REQUEST_URI": request.target,
        "PATH_INFO": unquote_to_bytes(raw_path({"REQUEST_URI": path, "PATH_INFO": path})).decode(
            "latin-1"
        ),
        "QUERY_STRING": query.partition("#")[0],
        "SERVER_PROTOCOL": request.version,
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "SCRIPT_NAME": "",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
    }
    for name, text in request.headers:
        spelled = name.upper().replace("-", "_")
        if spelled not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            spelled = f"HTTP_{spelled}"
        environ[spelled] = f"{environ[spelled]}, {text}" if spelled in environ else text
    return environ


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return what was logged since the last call, without times and ids."""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [without_times(line) for line in lines]


def without_times(line: dict[str, object]) -> dict[str, object]:
    number = str(line["request_id"]).partition("-")[2]
    left_out = {"time": None, "duration_ms": None, "traceback": None}
    return {**line, **left_out, "request_id": number}


def without_ids(answer: Answer) -> Answer:
    """Return an answer without the half of its request id that differs between processes."""
    headers = [
        (name, text.partition("-")[2] if name == "request-id" else text)
        for name, text in answer.headers
    ]
    return Answer(answer.status[:3], headers, REQUEST_ID.sub(b"", answer.body))


def test_large_values_and_those_of_other_routes_are_left_to_falcon(tmp_path):
    with opened("log", tmp_path / "data") as store:
        side = Side(store, ServerSettings(), None)

        answers = [side.answer(get(target)) for target in ("/v1/kv/large", "/v1/stats")]

    assert [answer.status for answer in answers] == ["200", "200"]
    assert answers[0].body == LARGE
    assert side.quick_count == 0


def test_value_that_cannot_be_read_is_read_once(tmp_path):
    store = TroubledStore()
    for kind in (Side, AsgiSide):
        reads = store.read_count

        answer = kind(store, ServerSettings(), None).answer(get("/v1/kv/trouble/1"))

        assert answer.status == "503"
        assert store.read_count == reads + 1


def get(target: str) -> Request:
    return Request("GET", target, [("host", "localhost")], "HTTP/1.1", b"")
