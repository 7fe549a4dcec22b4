"""Metadata that the client stores, and where it shows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rundlet import BadRequest, Client, Put, Restore
from tests.support.models.model import ModelStore
from tests.support.wire.served_model import served

META = {"author": "Zoë", "odd": " 100%\n\0 ", "plain": "a, b; c=1"}


@pytest.fixture
def client() -> Iterator[Client]:
    with served(ModelStore()) as url, Client(url) as client:
        yield client


def test_metadata_comes_back_as_it_was_stored(client):
    client.set("a", "v", meta={name.upper(): text for name, text in META.items()})
    found = client.get("a")

    assert found is not None
    assert found.meta == META
    assert client.mget(["a"])[0].meta == META
    assert next(client.history("a")).meta == META
    assert client.changes(0).events[0].meta == META


def test_a_set_without_metadata_leaves_none(client):
    client.set("a", "v", meta=META)
    client.set("a", "v")
    client.set("b", "v", if_absent=True)

    assert client.get("a").meta == {}
    assert client.get("a", version=1).meta == META
    assert client.mget(["b"])[0].meta == {}


def test_a_condition_on_the_revision_keeps_metadata(client):
    written = client.set("a", "v")
    client.set("a", "w", meta=META, if_revision=written.revision)

    assert client.get("a").meta == META


def test_transactions_have_it(client):
    client.txn([Put("a", b"v", meta=META)])
    client.txn([Put("a", b"v")])
    client.txn([Restore("a", version=1)])

    assert client.get("a").meta == META


def test_lists_show_it_where_it_is_asked_for(client):
    client.set("a", "v", meta=META)

    assert [info.meta for info in client.scan()] == [{}]
    assert [info.meta for info in client.scan(values=True)] == [{}]
    assert [info.meta for info in client.scan(meta=True)] == [META]
    [both] = client.scan(meta=True, values=True)
    assert (both.meta, both.value.meta, both.value.data) == (META, META, b"v")


def test_an_export_and_an_import_keep_it(client):
    client.set("a", "v", meta=META)
    rows = list(client.export())
    client.delete("a")
    client.import_(rows)

    assert rows[0].meta == META
    assert client.get("a").meta == META


def test_a_diff_shows_it(client):
    first = client.set("a", "v", meta=META).revision
    client.set("a", "v", meta={"n": "2"})

    [found] = client.diff(first)
    assert (found.before.meta, found.after.meta) == (META, {"n": "2"})


@pytest.mark.parametrize(
    "meta", [{"a\r\nb": "x"}, {"a b": "x"}, {"": "x"}, {"a": "\ud800"}, {"a": "1", "A": "2"}]
)
def test_what_cannot_be_a_header_is_refused_before_it_is_sent(client, meta):
    with pytest.raises(BadRequest):
        client.set("a", "v", meta=meta)

    assert client.get("a") is None


def test_records_with_metadata_have_a_hash(client):
    client.set("a", "v", meta=META)

    assert {client.get("a"), client.get("a")} == {client.get("a")}
    assert len({Put("a", b"v", meta=META), Put("a", b"v", meta=META)}) == 1
