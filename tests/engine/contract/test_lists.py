"""Lists of keys: order, bounds, pages, delimiters."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import InvalidKey
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, Delete
from tests.support.backends import LIMITS, do, names, put
from tests.support.models.model import START_US


@pytest.fixture
def listed(store):
    keys = ["a", "a/1", "a/2", "a/2/x", "b", "b/", "b/1", "c", "z\uffff", "z\U00010000"]
    for key in reversed(keys):
        put(store, key, key.encode())
    for key in ("a", "b/1", "c"):
        put(store, key, b"again")
    put(store, "deleted", b"")
    do(store, Delete("deleted"))
    return store, keys


def test_lists_are_in_the_order_of_the_utf_8_bytes(listed):
    store, keys = listed

    assert names(store.scan()) == keys
    assert names(store.scan(reverse=True)) == keys[::-1]


def test_lists_tell_the_newest_version(listed):
    store, _ = listed
    page = store.scan(prefix="c", include_values=True)

    (info,) = page.keys
    assert info[:5] == ("c", 13, 2, 5, DEFAULT_CONTENT_TYPE)
    assert info.entry == store.get("c")


def test_lists_without_values_have_no_entries(listed):
    store, _ = listed

    assert all(info.entry is None for info in store.scan().keys)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"prefix": "a/"}, ["a/1", "a/2", "a/2/x"]),
        ({"prefix": "x"}, []),
        ({"start": "a/2"}, ["a/2", "a/2/x", "b", "b/", "b/1", "c", "z\uffff", "z\U00010000"]),
        ({"end": "a/2"}, ["a", "a/1"]),
        ({"start": "a/2", "end": "b"}, ["a/2", "a/2/x"]),
        ({"start": "c", "end": "a"}, []),
        ({"prefix": "b", "start": "b/", "end": "b/1"}, ["b/"]),
        ({"prefix": "b", "start": "a", "end": "zz"}, ["b", "b/", "b/1"]),
        ({"start": "z\uffff"}, ["z\uffff", "z\U00010000"]),
        ({"start": "z\U00010000"}, ["z\U00010000"]),
        ({"end": "a"}, []),
    ],
)
def test_lists_and_counts_of_a_range(listed, options, expected):
    store, _ = listed

    assert names(store.scan(**options)) == expected
    assert names(store.scan(**options, reverse=True)) == expected[::-1]
    assert store.count(**options) == len(expected)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 9, 10, 11])
@pytest.mark.parametrize("delimiter", [None, "/"])
@pytest.mark.parametrize("prefix", ["", "a", "b/"])
def test_pages_follow_each_other_without_gap_or_repetition(
    listed, reverse, limit, delimiter, prefix
):
    store, _ = listed
    options = {"prefix": prefix, "delimiter": delimiter, "reverse": reverse}
    whole = store.scan(**options)
    keys, prefixes, after = [], [], None
    revision = store.stats().revision
    while True:
        page = store.scan(**options, limit=limit, after=after, at=revision)
        assert len(page.keys) + len(page.prefixes) <= limit
        keys += names(page)
        prefixes += page.prefixes
        if page.resume is None:
            break
        assert len(page.keys) + len(page.prefixes) == limit
        after = page.resume
        put(store, "b/0 comes later", b"")

    assert (keys, prefixes) == (names(whole), whole.prefixes)


def test_a_delimiter_rolls_up_what_follows_it(listed):
    store, _ = listed
    page = store.scan(delimiter="/")

    assert names(page) == ["a", "b", "c", "z\uffff", "z\U00010000"]
    assert page.prefixes == ["a/", "b/"]
    below = store.scan(prefix="a/", delimiter="/")
    assert (names(below), below.prefixes) == (["a/1", "a/2"], ["a/2/"])


def test_a_delimiter_may_be_longer_than_a_character(store):
    for key in ("a::b::c", "a::d", "a:e"):
        put(store, key)
    page = store.scan(delimiter="::")

    assert (names(page), page.prefixes) == (["a:e"], ["a::"])


def test_a_prefix_under_which_nothing_is_left_is_not_listed(store):
    put(store, "a/1")
    put(store, "b/1")
    do(store, Delete("a/1"))

    assert store.scan(delimiter="/").prefixes == ["b/"]


@pytest.mark.parametrize("option", ["prefix", "start", "end", "after", "delimiter"])
def test_what_has_no_bytes_bounds_no_list(store, option):
    put(store, "a")

    with pytest.raises(InvalidKey):
        store.scan(**{option: "\ud800"})


@pytest.mark.parametrize("reverse", [False, True])
def test_a_page_ends_before_it_has_too_many_bytes(store, reverse):
    sizes = [100, 0, 50, 100, 100, 1, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100]
    keys = [f"k{number:02}" for number in range(len(sizes))]
    for key, size in zip(keys, sizes, strict=True):
        put(store, key, bytes(size))
    seen, after, pages = [], None, 0
    while pages == 0 or after is not None:
        page = store.scan(after=after, include_values=True, reverse=reverse)
        assert sum(len(info.key) + info.size for info in page.keys) <= LIMITS.answer_bytes_max
        assert all(len(info.entry.value) == info.size for info in page.keys)
        seen += names(page)
        after, pages = page.resume, pages + 1

    assert sorted(seen) == keys
    assert pages == 2
    assert store.scan().resume is None  # without values there is room for all


def test_keys_and_prefixes_count_on_a_page_without_values(store):
    for number in range(40):
        put(store, f"{number:02}{'k' * 28}/a")

    assert len(store.scan().keys) == LIMITS.answer_bytes_max // 32
    page = store.scan(delimiter="/")
    assert len(page.prefixes) == LIMITS.answer_bytes_max // 31
    assert page.resume == page.prefixes[-1]
    assert len(store.scan(delimiter="/", after=page.resume).prefixes) == 40 - len(page.prefixes)


def test_a_line_says_when_the_value_was_written_and_when_it_expires(store, clock):
    put(store, "a", ttl_s=60)
    clock.advance(1)
    put(store, "b", content_type="text/x-rare")
    written_us = START_US + 1_000_000

    for include_values in (False, True):
        lines = store.scan(include_values=include_values).keys
        assert [(line.time_us, line.expires_us) for line in lines] == [
            (START_US, START_US + 60_000_000),
            (written_us, None),
        ]
