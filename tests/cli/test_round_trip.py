"""Test that an import restores what a store can hold, in each format, by folder and by server."""

from __future__ import annotations

import codecs
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rundlet_server.storage.bounds import CONTENT_TYPE_BYTES_MAX, TTL_S_MAX
from rundlet_server.storage.interface import TEXT_CONTENT_TYPE, Limits, Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.textfile.lines import content_type_of
from tests.support.processes.command_line import Place
from tests.support.wire.served_model import served

KEY_BYTES_MAX = Limits().key_bytes_max
TTL_S_MIN = 3_600  # so that no key expires during a test
ROUNDING = timedelta(microseconds=2)
"""Of a time to live that is sent as a number of seconds."""

# Characters that some step might treat as an end, as a separator or as nothing.
AWKWARD = '\0\t\n\v\f\r\x1c\x1f "%/\\-.?#{}\x7f\x85\xa0\u2028\u3000\ufeff\ufffd\U0001f5dd'


class Stored(NamedTuple):
    """What a store keeps of a value."""

    value: bytes
    content_type: str
    expires_us: int | None


characters = st.one_of(st.sampled_from(AWKWARD), st.characters(exclude_categories=["Cs"]))
keys = st.one_of(
    st.text(characters, min_size=1, max_size=20),
    st.sampled_from([".", "..", "//", "x" * KEY_BYTES_MAX, "é" * (KEY_BYTES_MAX // 2)]),
    st.uuids(version=4).map(str),
)
values = st.one_of(
    st.binary(max_size=60),
    st.text(characters, max_size=20).map(str.encode),
    st.sampled_from([b"", b"\r", b"\n", b"\xef\xbb\xbf", b"\xff\xfe", b"[1e400]", bytes(5_000)]),
)
content_types = st.one_of(
    st.sampled_from(
        [
            "application/octet-stream",
            TEXT_CONTENT_TYPE,
            "text/plain; charset=latin-1",
            "TEXT/html",
            "application/json",
            " ",
            "\t",
            "x" * CONTENT_TYPE_BYTES_MAX,
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30),
)
ttls = st.one_of(
    st.none(),
    st.integers(TTL_S_MIN, TTL_S_MAX),
    st.floats(TTL_S_MIN, TTL_S_MAX),
    st.just(TTL_S_MAX),
)
puts = st.builds(Put, keys, values, content_types, ttls)
stored_values = st.lists(puts, max_size=12, unique_by=lambda put: put.key)


@contextmanager
def opened(folder: Path, way: str) -> Iterator[tuple[Store, Place]]:
    """Make a store, and say how the command reaches it."""
    with closing(open_log_store(folder)) as store, reached(store, folder, way) as place:
        yield store, place


@contextmanager
def reached(store: Store, folder: Path, way: str) -> Iterator[Place]:
    if way == "data":
        yield Place(("--data", str(folder)))
    else:
        with served(store) as url:
            yield Place(("--url", url))


def contents(store: Store) -> dict[str, Stored]:
    found = {}
    for info in store.scan(include_values=True, limit=10_000).keys:
        assert info.entry is not None
        found[info.key] = Stored(info.entry.value, info.entry.content_type, info.entry.expires_us)
    return found


def round_trip(
    written: list[Put], ways: tuple[str, str], name: str, *options: str
) -> tuple[dict[str, Stored], dict[str, Stored], str]:
    """Store values, export them, and import them elsewhere.

    Returns:
        What the stores hold, and the notes of the export.
    """
    with tempfile.TemporaryDirectory() as above:
        file = Path(above) / name
        with (
            opened(Path(above) / "from", ways[0]) as (source, place),
            opened(Path(above) / "to", ways[1]) as (target, elsewhere),
        ):
            for put in written:
                source.commit(Txn([put]))
            exported = place.run("export", str(file))
            assert exported.code == 0, exported.err
            imported = elsewhere.run("import", str(file), *options)
            assert imported.code == 0, imported.err
            return contents(source), contents(target), exported.err


def assert_same(original: dict[str, Stored], copied: dict[str, Stored], took: timedelta) -> None:
    assert list(copied) == list(original)
    for key, before in original.items():
        after = copied[key]
        assert after[:2] == before[:2]
        assert (after.expires_us is None) == (before.expires_us is None)
        if before.expires_us is not None and after.expires_us is not None:
            later = timedelta(microseconds=after.expires_us - before.expires_us)
            # An import sends the time that is left, which counts from when the store gets it.
            assert -ROUNDING <= later <= took + ROUNDING


WAYS = [("data", "data"), ("data", "url"), ("url", "data"), ("url", "url")]
PATIENT = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("ways", WAYS, ids="-".join)
@PATIENT
@given(written=stored_values)
def test_json_lines_hold_everything_that_a_store_can_hold(ways, written):
    started_s = time.monotonic()

    original, copied, said = round_trip(written, ways, "all.jsonl")

    assert len(original) == len(written)
    assert_same(original, copied, timedelta(seconds=time.monotonic() - started_s))
    assert said == ""


def fits_on_a_line(put: Put) -> bool:
    return {" ", "\n"}.isdisjoint(put.key) and b"\n" not in put.value


def begins_with_a_mark(written: list[Put]) -> bool:
    first = min((put.key.encode() for put in written), default=b"")
    return first.startswith(codecs.BOM_UTF8)


def loses_something(put: Put) -> bool:
    return put.ttl_s is not None or put.content_type != content_type_of(put.value)


lines_of_text = st.lists(
    puts.filter(fits_on_a_line), max_size=12, unique_by=lambda put: put.key
).filter(lambda written: not begins_with_a_mark(written))


@pytest.mark.parametrize("ways", WAYS, ids="-".join)
@PATIENT
@given(written=lines_of_text)
@example(written=[Put("\ufeffa", b"1", "text/plain"), Put("b", b"2", "text/plain")])
@example(written=[])
def test_text_lines_hold_keys_and_values_and_an_export_counts_what_is_lost(ways, written):
    original, copied, said = round_trip(written, ways, "all.txt", "--any-key")

    assert [(key, stored.value) for key, stored in copied.items()] == [
        (key, stored.value) for key, stored in original.items()
    ]
    losses = sum(map(loses_something, written))
    assert bool(said) == bool(losses)
    assert said.startswith(f"{losses} key" if losses else "")


@pytest.mark.parametrize("ways", WAYS, ids="-".join)
def test_text_lines_of_uuids_need_no_option(ways):
    key = "0b1f8a52-7c1d-4d0e-9a35-7c1f5f0f5a11"

    _, copied, said = round_trip([Put(key, b"1\r", TEXT_CONTENT_TYPE)], ways, "all.data")

    assert copied == {key: Stored(b"1\r", TEXT_CONTENT_TYPE, None)}
    assert said == ""


@pytest.mark.parametrize("way", ["data", "url"])
def test_key_that_would_be_read_as_a_byte_order_mark_is_not_exported_as_text(way, tmp_path):
    with opened(tmp_path / "data", way) as (store, place):
        store.commit(Txn([Put("\ufeffa", b"1", "text/plain")]))

        ended = place.run("export", str(tmp_path / "all.txt"))

    assert ended.code == 2
    assert "export .jsonl" in ended.err
    assert not (tmp_path / "all.txt").exists()


@pytest.mark.parametrize("way", ["data", "url"])
def test_key_that_the_settings_of_a_server_allowed_is_exported_from_its_folder(way, tmp_path):
    long_key = "k" * 60_000
    limits = Limits(key_bytes_max=60_000)
    with closing(open_log_store(tmp_path, StoreSettings(limits=limits))) as store:
        store.commit(Txn([Put(long_key, b"1")]))
        with reached(store, tmp_path, way) as place:
            assert long_key in place.run("export").text


@pytest.mark.parametrize("ways", WAYS, ids="-".join)
def test_largest_key_and_value_that_the_limits_allow_go_through(ways, tmp_path):
    limits = Limits(key_bytes_max=2_048, value_bytes_max=100_000, txn_bytes_max=100_000)
    file = tmp_path / "all.jsonl"
    written = [Put(f"{n}".ljust(2_048, "k"), bytes([n]) * 100_000) for n in range(3)]
    with ExitStack() as stack:
        stores = [
            stack.enter_context(
                closing(open_log_store(tmp_path / name, StoreSettings(limits=limits)))
            )
            for name in ("from", "to")
        ]
        places = [
            stack.enter_context(reached(store, tmp_path / name, way))
            for store, name, way in zip(stores, ("from", "to"), ways, strict=True)
        ]
        for put in written:
            stores[0].commit(Txn([put]))

        assert places[0].run("export", str(file)).code == 0
        assert places[1].run("import", str(file)).err == ""

        assert contents(stores[1]) == contents(stores[0])
