"""User metadata: stored with a value, shown with it, and replaced or kept as a whole."""

from __future__ import annotations

import pytest

from rundlet_server.storage.bounds import (
    CONTENT_TYPE_BYTES_MAX,
    METADATA_BYTES_MAX,
    METADATA_COUNT_MAX,
    METADATA_NAME_BYTES_MAX,
)
from rundlet_server.storage.errors import InvalidOperation, LimitExceeded
from rundlet_server.storage.interface import Add, Delete, Put, Restore, Touch
from rundlet_server.storage.metadata import NO_METADATA, Metadata, metadata_bytes, metadata_of
from rundlet_server.storage.past.differences import differences, moment_of
from rundlet_server.storage.past.rollback import Scope, roll_back
from rundlet_server.storage.selecting.globs import Glob
from rundlet_server.storage.selecting.matching import Selected, Wanted, matching_page
from tests.support.backends import do, needs, put

ABOUT = (("author", "Zoë"), ("origin", "import 7"))
OTHER = (("origin", "by hand"),)
ODD_TEXTS = (" ", "\0", "a\nb", "%41", "e\u0301", "\U0001f511", "x" * 300)


def largest() -> Metadata:
    """As many names as there may be, as long as they may be, and all the bytes there may be."""
    names = [f"{number:0{METADATA_NAME_BYTES_MAX}}" for number in range(METADATA_COUNT_MAX)]
    texts = dict.fromkeys(names, "x")
    rest = METADATA_BYTES_MAX - (METADATA_NAME_BYTES_MAX + 1) * METADATA_COUNT_MAX
    texts[names[3]] += "x" * rest
    return metadata_of(texts)


def test_every_read_of_a_value_shows_its_metadata(store):
    put(store, "a", metadata=ABOUT)
    put(store, "b")

    assert store.get("a").metadata == ABOUT
    assert store.peek("a").metadata == ABOUT
    assert store.get_version("a", 1).metadata == ABOUT
    assert [entry.metadata for entry in store.get_many(["a", "b"]).entries] == [ABOUT, NO_METADATA]
    assert [info.entry.metadata for info in store.scan(include_values=True).keys] == [ABOUT, ()]


def test_a_list_shows_it_where_it_is_asked_for(store):
    do(store, Put("a", b"v", metadata=ABOUT), Put("b", b"v"), Put("c", b"v", metadata=OTHER))
    put(store, "c", content_type="text/x-odd", ttl_s=60.0)

    assert [info.metadata for info in store.scan(include_metadata=True).keys] == [ABOUT, (), ()]
    assert [info.metadata for info in store.scan().keys] == [(), (), ()]
    both = store.scan(include_metadata=True, include_values=True).keys
    assert [(info.metadata, info.entry.value) for info in both] == [
        (ABOUT, b"v"),
        ((), b"v"),
        ((), b"v"),
    ]
    rolled_up = store.scan(include_metadata=True, delimiter="b")
    assert [info.metadata for info in rolled_up.keys] == [ABOUT, ()]


def test_a_put_replaces_all_of_it(store):
    put(store, "a", metadata=ABOUT)
    put(store, "a", metadata=OTHER)
    second = store.get("a").metadata
    put(store, "a")

    assert second == OTHER
    assert store.get("a").metadata == NO_METADATA


def test_adding_and_touching_keep_it(store):
    do(store, Put("n", b"1", metadata=ABOUT), Put("t", b"v", metadata=OTHER))
    do(store, Add("n", 2), Touch("t", 60.0))

    assert store.get("n").metadata == ABOUT
    assert store.get("t").metadata == OTHER


def test_it_ends_with_the_value(store):
    put(store, "a", metadata=ABOUT)
    do(store, Delete("a"))
    do(store, Add("a", 1))

    assert store.get("a").metadata == NO_METADATA


@pytest.mark.parametrize("field", ["version", "revision"])
def test_restoring_a_value_brings_it_back(store, field):
    put(store, "a", metadata=ABOUT)
    put(store, "a", metadata=OTHER)
    do(store, Restore("a", **{field: 1}))

    assert store.get("a").metadata == ABOUT


def test_reads_of_the_past_show_what_was_there_then(store):
    put(store, "a", metadata=ABOUT)
    put(store, "a", metadata=OTHER)
    put(store, "a")

    shown = [store.get("a", at=revision).metadata for revision in (1, 2, 3)]
    listed = [store.scan(at=revision, include_metadata=True).keys[0] for revision in (1, 2, 3)]
    assert shown == [ABOUT, OTHER, NO_METADATA]
    assert [info.metadata for info in listed] == shown


def test_the_history_shows_it(store):
    put(store, "a", metadata=ABOUT)
    put(store, "a", content_type="text/x-odd")
    do(store, Delete("a"))

    assert [version.metadata for version in store.history("a").versions] == [(), (), ABOUT]


@needs("changes")
@pytest.mark.parametrize("include_values", [False, True])
def test_the_changes_show_it(store, include_values):
    do(store, Put("a", b"v", metadata=ABOUT), Put("b", b"v"))
    do(store, Delete("a"))

    events = store.changes(0, include_values=include_values).events
    assert [(event.key, event.metadata) for event in events] == [("a", ABOUT), ("b", ()), ("a", ())]


@needs("changes")
def test_differences_show_it_on_both_sides(store):
    put(store, "a", metadata=ABOUT)
    before = moment_of(store)
    put(store, "a", metadata=OTHER)

    [found] = differences(store, before, moment_of(store)).found
    assert (found.before.metadata, found.after.metadata) == (ABOUT, OTHER)


@needs("changes")
def test_a_rollback_brings_it_back(store):
    put(store, "a", metadata=ABOUT)
    then = moment_of(store)
    put(store, "a", metadata=OTHER)
    roll_back(store, then, Scope())

    assert store.get("a").metadata == ABOUT


def test_any_text_is_kept(store):
    metadata = metadata_of({f"text-{number}": text for number, text in enumerate(ODD_TEXTS)})
    put(store, "a", metadata=metadata)

    assert store.get("a").metadata == metadata
    assert store.history("a").versions[0].metadata == metadata


def test_the_most_that_is_allowed_is_kept(store, open_backend, backend):
    content_type = "x" * CONTENT_TYPE_BYTES_MAX
    put(store, "a", metadata=largest(), content_type=content_type, ttl_s=60.0)
    do(store, Put("b", b"v"), Put("c", b""))
    do(store, Touch("a", 1_000.0))
    if backend.is_kept:
        store.close()
        store = open_backend()

    entry = store.get("a")
    assert (entry.metadata, entry.content_type, entry.value) == (largest(), content_type, b"v")
    assert [info.size for info in store.scan().keys] == [1, 1, 0]
    assert metadata_bytes(entry.metadata) == METADATA_BYTES_MAX


@needs("compaction")
def test_it_survives_a_compaction(store):
    put(store, "a", metadata=ABOUT)
    put(store, "b", metadata=largest())
    for _ in range(3):
        put(store, "c", metadata=OTHER)
    store.compact(wait=True)

    assert [store.get(key).metadata for key in "abc"] == [ABOUT, largest(), OTHER]


def test_the_size_of_all_values_leaves_it_out(store):
    put(store, "a", b"four", metadata=ABOUT)

    assert store.stats().value_bytes == 4
    assert store.scan(include_metadata=True).keys[0].size == 4


@pytest.mark.parametrize(
    ("metadata", "limit"),
    [
        (tuple((f"{number:02}", "x") for number in range(17)), "metadata_count_max"),
        ((*largest()[:-1], (largest()[-1][0], "xx")), "metadata_bytes_max"),
        ((("a", "é" * 1_024),), "metadata_bytes_max"),
    ],
)
def test_too_much_of_it_is_refused(store, metadata, limit):
    with pytest.raises(LimitExceeded, match=limit):
        put(store, "a", metadata=metadata)

    assert store.get("a") is None


@pytest.mark.parametrize(
    "metadata",
    [
        (("", "v"),),
        (("a", ""),),
        (("Author", "v"),),
        (("a_b", "v"),),
        (("a b", "v"),),
        (("ä", "v"),),
        (("a\n", "v"),),
        (("x" * 41, "v"),),
        (("a", "1"), ("a", "2")),
        (("b", "1"), ("a", "2")),
        (("a", "\ud800"),),
    ],
)
def test_what_is_no_metadata_is_refused_by_the_number_of_the_operation(store, metadata):
    with pytest.raises(InvalidOperation) as refusal:
        do(store, Put("a", b"v"), Put("b", b"v", metadata=metadata))

    assert refusal.value.index == 1
    assert store.get("a") is None


def test_transactions_are_bounded_with_it(store):
    text = "x" * (store.info.limits.txn_bytes_max // 2)

    with pytest.raises(LimitExceeded, match="txn_bytes_max"):
        do(store, *(Put(key, b"", metadata=(("a", text),)) for key in "abc"))


def test_answers_are_bounded_with_it(store):
    size = store.info.limits.answer_bytes_max // 2
    for key in "abc":
        put(store, key, metadata=(("a", "x" * size),))

    assert [info.key for info in store.scan().keys] == ["a", "b", "c"]
    assert [info.key for info in store.scan(include_metadata=True).keys] == ["a"]
    assert [info.key for info in store.scan(include_values=True).keys] == ["a"]
    assert store.get_many(["a"]).entries[0] is not None
    with pytest.raises(LimitExceeded, match="answer_bytes_max"):
        store.get_many(["a", "b"])


@pytest.mark.parametrize("include_metadata", [False, True])
def test_pages_of_matching_values_are_bounded_with_it(store, include_metadata):
    size = store.info.limits.answer_bytes_max // 4
    keys = ["a", "b", "c", "d", "e"]
    for key in keys:
        put(store, key, b"v" * 100, metadata=(("a", "x" * size),))

    shown, after = [], None
    while after is not None or not shown:
        wanted = Wanted(
            limit=10, after=after, include_values=True, include_metadata=include_metadata
        )
        page = matching_page(store, Selected(""), Glob("?", 0), wanted)
        shown += [(info.key, len(dict(info.entry.metadata)["a"])) for info in page.keys]
        after = page.resume

    assert shown == [(key, size) for key in keys]


def test_names_are_put_in_lower_case_and_in_order():
    assert metadata_of({"B": "1", "a": "2"}) == (("a", "2"), ("b", "1"))
    assert metadata_of({}) == NO_METADATA
