"""Opening, refusing, closing, and opening again."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import ReadOnly
from rundlet_server.storage.interface import Delete, Put
from tests.support.backends import BACKENDS, do, put


def test_a_read_only_store_refuses_commits_and_compaction(open_backend):
    open_backend().close()  # a store that is to be read exists
    store = open_backend(read_only=True)

    assert store.info.read_only
    with pytest.raises(ReadOnly):
        put(store, "a")
    with pytest.raises(ReadOnly):
        store.compact()
    assert store.get("a") is None
    store.close()


def test_closing_twice_is_harmless(store):
    store.close()
    store.close()


@pytest.mark.parametrize(
    "backend", [backend for backend in BACKENDS if backend.is_kept], ids=lambda kept: kept.name
)
def test_everything_is_there_after_opening_again(open_backend, clock):
    store = open_backend()
    put(store, "a", b"1", ttl_s=5)
    put(store, "a", b"2")
    put(store, "b", b"3", ttl_s=1, content_type="text/css")
    clock.advance(2)
    assert store.get("b") is None
    do(store, Put("c", b"4"), Delete("a"))
    before = (store.stats(), store.scan(include_values=True), store.history("a"), store.info)
    store.close()
    clock.advance(-2)
    again = open_backend()

    stats, *rest = before
    assert (again.scan(include_values=True), again.history("a"), again.info) == tuple(rest)
    now = again.stats()
    assert (now.revision, now.key_count, now.value_bytes) == (
        stats.revision,
        stats.key_count,
        stats.value_bytes,
    )
    again.close()
