"""Test ``/v1/changes`` and ``Prefer: wait``: pages, waits, streams, tokens, places."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.feeds.connection import CONNECTION
from rundlet_server.functions.feeds.events import FORMS, NDJSON_TYPE, SSE_TYPE
from rundlet_server.functions.feeds.places import FeedPlaces
from rundlet_server.functions.feeds.reading import Selection
from rundlet_server.functions.feeds.stream import Source, Stream
from rundlet_server.functions.feeds.waiting import Waiting, waited_for
from rundlet_server.functions.messages.sending import SendingGate
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.settings import FeedLimits, ServerSettings
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.counting.counters import SharedCounters
from rundlet_server.storage.errors import Compacted
from rundlet_server.storage.interface import Delete, Op, Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.tokens.opening import open_tokens
from tests.support import PATIENCE_S
from tests.support.models.model import ModelStore
from tests.support.processes.servers import wait_for

PATH = "/v1/changes"


def put(store: Store, *keys: str, value: bytes = b"v") -> int:
    return commit(store, *(Put(key, value, "text/plain") for key in keys))


def commit(store: Store, *ops: Op) -> int:
    return store.commit(Txn(ops)).revision


def page(api: falcon.testing.TestClient, **options: object) -> dict[str, Any]:
    answer = api.simulate_get(PATH, params=options)
    assert answer.status_code == 200, answer.text
    return answer.json


def soon(act: Callable[[], object], after_s: float = 0.1) -> threading.Timer:
    timer = threading.Timer(after_s, act)
    timer.start()
    return timer


def once_one_waits(api: falcon.testing.TestClient, act: Callable[[], object]) -> threading.Thread:
    """Act as soon as a request waits."""

    def wait_and_act() -> None:
        wait_for(lambda: "\nrundlet_feeds_open 1\n" in api.simulate_get("/metrics").text)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


# --- pages ---------------------------------------------------------------------------------


def test_page_shows_commits_in_order_with_all_members(api, api_store: Store):
    put(api_store, "a")
    commit(api_store, Put("b", b"\xff", ttl_s=60), Delete("a"))

    answer = page(api, since=0)

    assert answer["next_since"] == 2
    assert answer["oldest_revision"] == 0
    first, second, third = answer["events"]
    assert first == {
        "revision": 1, "time": first["time"], "op": "put", "key": "a", "version": 1, "size": 1,
        "content_type": "text/plain", "last": True,
    }  # fmt: skip
    assert (second["key"], second["last"], third["key"], third["last"]) == ("b", False, "a", True)
    assert second["expires"] > second["time"]
    assert (third["op"], third["version"], third["size"]) == ("delete", 0, 0)


def test_values_come_as_text_base64_or_bytes(api, api_store: Store):
    commit(api_store, Put("t", b"text", "text/plain"), Put("b", b"\xff"), Delete("t2"))

    in_json = page(api, since=0, include="value")["events"]
    answer = api.simulate_get(
        PATH, params={"since": 0, "include": "value"}, headers={"Accept": "application/cbor"}
    )

    assert [e.get("text", e.get("base64")) for e in in_json] == ["text", "/w=="]
    assert answer.headers["Content-Type"] == "application/cbor"
    assert [e["value"] for e in cbor2.loads(answer.content)["events"]] == [b"text", b"\xff"]


def test_page_holds_whole_commits_and_next_since_goes_on(api, api_store: Store):
    put(api_store, "a")
    put(api_store, "b1", "b2", "b3")
    put(api_store, "c")

    pages = []
    since = 0
    for _ in range(3):
        pages.append(page(api, since=since, limit=2))
        since = pages[-1]["next_since"]

    assert [[e["key"] for e in p["events"]] for p in pages] == [["a"], ["b1", "b2", "b3"], ["c"]]
    assert page(api, since=since)["events"] == []


def test_values_beyond_the_bound_wait_for_the_next_page_or_are_marked(api, api_store: Store):
    put(api_store, "a", value=bytes(700))
    put(api_store, "b", value=bytes(700))
    put(api_store, "c", "d", value=bytes(700))  # answer_bytes_max is 1,000

    first = page(api, since=0, include="value")
    third = page(api, since=2, include="value")

    assert [e["key"] for e in first["events"]] == ["a"]
    assert first["next_since"] == 1
    assert ["value_omitted" in e for e in third["events"]] == [False, True]


def test_prefix_narrows_and_empty_page_advances(api, api_store: Store):
    put(api_store, "a/1", "b/1")
    put(api_store, "b/2")

    answer = page(api, since=0, prefix="a/")
    empty = page(api, since=1, prefix="a/")

    assert [(e["key"], e["last"]) for e in answer["events"]] == [("a/1", True)]
    assert (empty["events"], empty["next_since"]) == ([], 2)


def test_without_since_the_feed_begins_now(api, api_store: Store):
    put(api_store, "a")

    answer = page(api)

    assert (answer["events"], answer["next_since"]) == ([], 1)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("since=5", 400),
        ("since=x", 400),
        ("since=1&limit=0", 400),
        ("wait=61", 400),
        ("wait=-1", 400),
        ("include=values", 400),
        ("start=a", 400),
    ],
)
def test_what_cannot_be_followed_is_refused(api, api_store: Store, query: str, status: int):
    put(api_store, "a")

    answer = api.simulate_get(f"{PATH}?{query}")

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("option", ["limit=1", "wait=1"])
def test_options_of_pages_are_refused_for_streams(api, option: str):
    answer = api.simulate_get(f"{PATH}?{option}", headers={"Accept": SSE_TYPE})

    assert answer.status_code == 400
    assert "is for pages" in answer.json["detail"]


def test_type_that_there_is_not_is_refused(api):
    answer = api.simulate_get(PATH, headers={"Accept": "text/html"})

    assert answer.status_code == 406
    assert SSE_TYPE in answer.json["detail"]


class CompactedStore(ModelStore):
    """A store whose feed begins at revision 7."""

    def changes(self, *_: object, **__: object) -> Any:
        raise Compacted(7)


@pytest.mark.parametrize("accept", ["application/json", SSE_TYPE, NDJSON_TYPE])
def test_too_old_a_position_is_gone(accept: str):
    api = falcon.testing.TestClient(create_app(CompactedStore()))

    answer = api.simulate_get(f"{PATH}?since=0", headers={"Accept": accept})

    assert answer.status_code == 410
    assert answer.json["oldest_revision"] == 7


# --- waiting -------------------------------------------------------------------------------


def test_long_poll_ends_with_the_commit(api, api_store: Store):
    since = put(api_store, "a")
    timer = soon(lambda: put(api_store, "b"))

    began_s = time.monotonic()
    answer = page(api, since=since, wait=PATIENCE_S)

    timer.join()
    assert [e["key"] for e in answer["events"]] == ["b"]
    assert time.monotonic() - began_s < PATIENCE_S


def test_long_poll_waits_on_for_its_prefix(api, api_store: Store):
    timer = soon(lambda: (put(api_store, "other"), put(api_store, "mine/1")))

    answer = page(api, since=0, prefix="mine/", wait=PATIENCE_S)

    timer.join()
    assert [e["key"] for e in answer["events"]] == ["mine/1"]


def test_long_poll_ends_after_its_time(api, api_store: Store):
    put(api_store, "a")

    answer = page(api, wait="0.05")

    assert (answer["events"], answer["next_since"]) == ([], 1)


def test_wait_is_no_work(api, api_store: Store, capfd):
    page(api, wait="1.2")  # a request that takes a second is slow

    assert "slow" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("wait=5", 5),
        ("respond-async, wait=5", 5),
        ("wait = 7; x=y", 7),
        ("Wait=90", 60),
        ("wait=99999999999999999999", 60),
        ("wait=1.5", 0),
        ("wait=-1", 0),
        ("wait", 0),
        ("waiting=3", 0),
    ],
)
def test_preference_is_read_leniently(header: str | None, seconds: int):
    assert waited_for(header, 60.0) == seconds


def one_key(api: falcon.testing.TestClient, tag: str, wait_s: int = 60) -> falcon.testing.Result:
    return api.simulate_get("/v1/kv/k", headers={"If-None-Match": tag, "Prefer": f"wait={wait_s}"})


def test_one_key_is_waited_for(api, api_store: Store):
    put(api_store, "k", value=b"1")
    tag = api.simulate_get("/v1/kv/k").headers["ETag"]
    timer = once_one_waits(api, lambda: (put(api_store, "other"), put(api_store, "k", value=b"2")))

    answer = one_key(api, tag)

    timer.join()
    assert (answer.status_code, answer.content) == (200, b"2")
    assert answer.headers["Preference-Applied"] == "wait=60"


def test_key_that_is_deleted_meanwhile_is_not_found(api, api_store: Store):
    put(api_store, "k")
    timer = once_one_waits(api, lambda: commit(api_store, Delete("k")))

    answer = one_key(api, "*")

    timer.join()
    assert answer.status_code == 404
    assert answer.headers["Preference-Applied"] == "wait=60"


def test_key_that_does_not_change_is_not_modified(api, api_store: Store):
    put(api_store, "k")

    answer = one_key(api, "*", wait_s=1)

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["Preference-Applied"] == "wait=1"


def test_key_that_has_changed_already_is_not_waited_for(api, api_store: Store):
    put(api_store, "k")

    answer = one_key(api, '"another"')

    assert answer.status_code == 200
    assert "Preference-Applied" not in answer.headers


# --- places --------------------------------------------------------------------------------


def test_beyond_the_places_requests_that_wait_are_refused():
    store = ModelStore()
    put(store, "k")
    counters = SharedCounters()
    api = falcon.testing.TestClient(
        create_app(store, ServerSettings(feeds=FeedLimits(feeds_max=1)))
    )
    found: list[falcon.testing.Result] = []

    def ask_and_end_the_wait() -> None:
        found.append(api.simulate_get(PATH, params={"wait": "0.01"}))
        found.append(one_key(api, "*"))
        found.append(api.simulate_get(PATH, headers={"Accept": SSE_TYPE}))
        found.append(api.simulate_get(PATH))
        put(store, "k")

    asking = once_one_waits(api, ask_and_end_the_wait)
    waited = api.simulate_get(f"{PATH}?wait=60")
    asking.join()
    answer, *others, page_alone = found

    assert [event["key"] for event in waited.json["events"]] == ["k"]
    assert answer.status_code == 503
    assert answer.json["type"] == "/problems/too-many-feeds"
    assert answer.json["limit"] == 1
    assert int(answer.headers["Retry-After"]) > 0
    assert [other.status_code for other in others] == [503, 503]
    assert page_alone.status_code == 200
    assert api.simulate_get(f"{PATH}?wait=0.01").status_code == 200
    assert not counters.rows()


def test_place_of_a_stream_that_no_one_sends_is_free_again():
    places = FeedPlaces(1, SharedCounters())
    place = places.take()

    del place

    places.take().give_back()


def test_metrics_count_feeds(api, api_store: Store):
    put(api_store, "a", "b")
    page(api, since=0)

    text = api.simulate_get("/metrics").text

    assert "rundlet_feed_events_total 2" in text
    assert "rundlet_feeds_open 0" in text
    assert "rundlet_feeds_refused_total 0" in text


# --- streams -------------------------------------------------------------------------------


class Client:
    """The connection of a client that reads as it likes."""

    def __init__(self) -> None:
        self.has_left = False
        self.unread_bytes = 0

    def is_over(self) -> bool:
        return self.has_left

    def unsent_bytes(self) -> int:
        return self.unread_bytes


class Streamed:
    """A stream over a store, without a server."""

    def __init__(
        self,
        store: Store,
        media_type: str,
        *,
        since: int = 0,
        heartbeat_s: float = 60.0,
        include_values: bool = False,
        readmit: Callable[[dict[str, object]], None] = lambda _: None,
    ) -> None:
        self.counters = SharedCounters()
        self.places = FeedPlaces(1, self.counters)
        self.sending = SendingGate(10_000_000)
        source = Source(
            store,
            Waiting(store, readmit),
            self.places,
            self.sending,
            self.counters,
            60.0,
            heartbeat_s,
        )
        selection = Selection("", include_values=include_values)
        stream = Stream(source, FORMS[media_type], selection, since, self.places.take())
        self.client = Client()
        self.pieces: Iterator[bytes] = stream.pieces({CONNECTION: self.client}, "id-1")

    def texts(self, count: int) -> list[str]:
        """The next pieces that hold something."""
        return [p.decode() for p in itertools.islice(filter(None, self.pieces), count)]

    def rest(self) -> str:
        """All that comes until the end."""
        return b"".join(self.pieces).decode()


def test_only_the_last_event_of_a_commit_has_an_id(api_store: Store):
    put(api_store, "a", "b")

    begin, events = Streamed(api_store, SSE_TYPE).texts(2)

    assert begin == "retry: 2000\nid: 0\n\n"
    first, second, rest = events.split("\n\n")
    assert first.splitlines()[0] == "event: put"
    assert json.loads(first.splitlines()[1].removeprefix("data: "))["key"] == "a"
    assert len(first.splitlines()) == 2
    assert second.splitlines()[2] == "id: 1"
    assert rest == ""


def test_lines_tell_events_and_the_position(api_store: Store):
    put(api_store, "a", "b")

    begin, events = Streamed(api_store, NDJSON_TYPE).texts(2)

    assert begin == '{"next_since":0}\n'
    assert [json.loads(line)["key"] for line in events.splitlines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("media_type", "sign"), [(SSE_TYPE, ":\nid: 1\n\n"), (NDJSON_TYPE, '{"next_since":1}\n')]
)
def test_idle_stream_gives_signs_of_life_with_its_position(
    api_store: Store, media_type: str, sign: str
):
    put(api_store, "a")

    texts = Streamed(api_store, media_type, since=1, heartbeat_s=0.05).texts(3)

    assert texts[1:] == [sign, sign]


def test_stream_ends_when_the_client_has_left(api_store: Store):
    streamed = Streamed(api_store, NDJSON_TYPE)
    streamed.texts(1)

    streamed.client.has_left = True

    assert streamed.rest() == ""
    streamed.places.take().give_back()


def test_stream_waits_for_a_client_that_does_not_read(api_store: Store):
    put(api_store, "a")
    streamed = Streamed(api_store, NDJSON_TYPE)
    streamed.texts(1)
    streamed.client.unread_bytes = 1_000_000
    began_s = time.monotonic()
    timer = soon(lambda: setattr(streamed.client, "unread_bytes", 0), 0.3)

    (events,) = streamed.texts(1)

    timer.join()
    assert '"key":"a"' in events
    assert time.monotonic() - began_s > 0.2


def test_revoked_token_ends_the_stream_with_a_last_message(api_store: Store):
    def refuse(_environ: dict[str, object]) -> None:
        raise Problem(401, "unauthorized", "the token is gone")

    lines = Streamed(api_store, NDJSON_TYPE, readmit=refuse).rest().splitlines()
    events = Streamed(api_store, SSE_TYPE, readmit=refuse).rest().split("\n\n")

    assert json.loads(lines[-1])["problem"]["type"] == "/problems/unauthorized"
    name, data = events[-2].splitlines()
    assert name == "event: problem"
    assert json.loads(data.removeprefix("data: "))["status"] == 401


def test_history_that_is_gone_ends_the_stream_with_a_last_message():
    streamed = Streamed(CompactedStore(), NDJSON_TYPE)

    last = json.loads(streamed.rest().splitlines()[-1])

    assert last["problem"]["type"] == "/problems/compacted"
    assert last["problem"]["oldest_revision"] == 7


def test_compaction_that_overtakes_a_slow_watcher_ends_its_stream(tmp_path: Path):
    settings = StoreSettings(sync="never", keep_versions=1, keep_for_s=0)
    with contextlib.closing(open_log_store(tmp_path, settings)) as store:
        put(store, "a")
        streamed = Streamed(store, NDJSON_TYPE)
        begin, first = streamed.texts(2)
        streamed.client.unread_bytes = 1_000_000
        for _ in range(20):
            put(store, "a")
        store.compact(wait=True)
        streamed.client.unread_bytes = 0

        last = json.loads(streamed.rest().splitlines()[-1])

        assert (begin, '"key":"a"' in first) == ('{"next_since":0}\n', True)
        assert last["problem"]["type"] == "/problems/compacted"
        assert last["problem"]["oldest_revision"] == store.stats().oldest_revision > 1


def test_large_commit_holds_memory_while_it_is_sent():
    store = ModelStore()
    commit(store, *(Put(f"k{i}", bytes(500_000)) for i in range(4)))
    streamed = Streamed(store, NDJSON_TYPE, include_values=True)
    streamed.texts(1)

    streamed.texts(1)
    held_bytes = streamed.sending.held_bytes
    streamed.texts(3)
    next(streamed.pieces)

    assert 2_000_000 < held_bytes < 2_100_000
    assert streamed.sending.held_bytes == 0


def test_last_event_id_wins_over_since(api, api_store: Store):
    put(api_store, "a")

    headers = {"Accept": SSE_TYPE, "Last-Event-ID": "9"}
    answer = api.simulate_get(f"{PATH}?since=0", headers=headers)

    assert answer.status_code == 400  # 9 is beyond the head


# --- tokens --------------------------------------------------------------------------------


def test_token_with_a_prefix_sees_its_own_keys_only(api_store: Store, tmp_path: Path):
    tokens = open_tokens(StoreAddress.of_folder(tmp_path), None)
    assert tokens is not None
    _, secret = tokens.add("own", "read", prefix="mine/")
    api = falcon.testing.TestClient(create_app(api_store, tokens=tokens.watch()))
    headers = {"Authorization": f"Bearer {secret}"}
    put(api_store, "mine/1", "other/1")

    answer = api.simulate_get(f"{PATH}?since=0", headers=headers)
    outside = api.simulate_get(f"{PATH}?since=0&prefix=other/", headers=headers)

    assert [e["key"] for e in answer.json["events"]] == ["mine/1"]
    assert outside.status_code == 403


def test_long_poll_ends_when_its_token_is_revoked(api_store: Store, tmp_path: Path):
    tokens = open_tokens(StoreAddress.of_folder(tmp_path), None)
    assert tokens is not None
    _, secret = tokens.add("mine", "read")
    api = falcon.testing.TestClient(create_app(api_store, tokens=tokens.watch()))
    timer = soon(lambda: tokens.remove("mine"))

    began_s = time.monotonic()
    answer = api.simulate_get(
        f"{PATH}?since=0&wait=60", headers={"Authorization": f"Bearer {secret}"}
    )

    timer.join()
    assert answer.status_code == 401
    assert time.monotonic() - began_s < PATIENCE_S


def test_feed_without_a_token_ends_when_the_first_token_is_created(
    api_store: Store, tmp_path: Path
):
    tokens = open_tokens(StoreAddress.of_folder(tmp_path), None)
    assert tokens is not None
    api = falcon.testing.TestClient(create_app(api_store, tokens=tokens.watch()))
    timer = soon(lambda: tokens.add("first", "read"))

    answer = api.simulate_get(f"{PATH}?since=0&wait=60")

    timer.join()
    assert answer.status_code == 401
