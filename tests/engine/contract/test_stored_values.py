"""Reading what a store holds, be it one that takes writes or not."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import InvalidKey, InvalidRequest, LimitExceeded
from rundlet_server.storage.interface import TEXT_CONTENT_TYPE
from tests.engine.contract.conftest import VALUES
from tests.support.backends import names, value

KEYS = sorted(VALUES, key=str.encode)


def test_every_value_is_got_as_it_was_stored(filled):
    assert {key: value(filled, key) for key in VALUES} == VALUES
    assert {filled.get(key).content_type for key in VALUES} == {TEXT_CONTENT_TYPE}
    assert filled.get("missing") is None


def test_many_values_come_in_the_order_asked_from_one_revision(filled):
    snapshot = filled.get_many(["b", "missing", "a", "b"])

    assert [entry and entry.value for entry in snapshot.entries] == [b"bee", None, b"ant", b"bee"]
    assert snapshot.revision == filled.stats().revision


def test_lists_are_in_the_order_of_the_utf_8_bytes(filled):
    assert names(filled.scan()) == KEYS
    assert names(filled.scan(reverse=True)) == KEYS[::-1]
    assert [info.entry.value for info in filled.scan(include_values=True).keys] == [
        VALUES[key] for key in KEYS
    ]


def test_lists_and_counts_are_of_the_range_asked_for(filled):
    assert names(filled.scan(prefix="a/")) == ["a/1", "a/2"]
    assert names(filled.scan(start="a/2", end="z")) == ["a/2", "b"]
    assert filled.count(start="a/2", end="z") == 2
    assert filled.count() == len(VALUES)
    assert filled.scan(delimiter="/").prefixes == ["a/"]


def test_pages_follow_each_other(filled):
    first = filled.scan(limit=4)
    second = filled.scan(limit=4, after=first.resume, at=first.revision)

    assert names(first) + names(second) == KEYS
    assert second.resume is None


def test_history_has_one_version_of_each_key(filled):
    assert [version.version for version in filled.history("a").versions] == [1]
    assert filled.history("missing").versions == []


def test_counts_are_exact(filled):
    stats = filled.stats()

    assert (stats.key_count, stats.value_bytes) == (6, sum(map(len, VALUES.values())))


def test_values_of_the_newest_revision_can_be_asked_for_by_it(filled):
    revision = filled.stats().revision

    assert value(filled, "b", at=revision) == b"bee"
    assert value(filled, "b", at=0) is None
    with pytest.raises(InvalidRequest):
        filled.get("b", at=revision + 1)


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_what_cannot_be_encoded_is_no_key(filled, key):
    with pytest.raises(InvalidKey):
        filled.get(key)


def test_a_store_that_works_is_healthy(filled):
    assert filled.health().reasons == []


def test_gauges_have_names_for_metrics_and_a_text(filled):
    gauges = filled.gauges()

    assert all(name.replace("_", "a").isalnum() and name.islower() for name in gauges)
    assert all(gauge.text for gauge in gauges.values())
    assert all(isinstance(gauge.value, int | float) for gauge in gauges.values())


def test_answers_are_bounded_in_bytes(filled):
    size = len("b") + len(VALUES["b"])
    count = filled.info.limits.answer_bytes_max // size

    assert len(filled.get_many(["b"] * count).entries) == count
    with pytest.raises(LimitExceeded, match="answer_bytes_max"):
        filled.get_many(["b"] * (count + 1))
