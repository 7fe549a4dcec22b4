"""The ``Store`` protocol in sentences: every backend keeps each of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rundlet_server.storage import StoreSettings, open_log_store
from rundlet_server.storage.errors import (
    Compacted,
    Conflict,
    FailedCondition,
    InvalidKey,
    InvalidOperation,
    InvalidRequest,
    LimitExceeded,
    ReadOnly,
)
from rundlet_server.storage.interface import (
    DEFAULT_CONTENT_TYPE,
    TEXT_CONTENT_TYPE,
    Add,
    Commit,
    Condition,
    Delete,
    Limits,
    Op,
    OpResult,
    Page,
    Put,
    Restore,
    Store,
    Touch,
    Txn,
)
from rundlet_server.storage.log.store import LogStore
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import START_US, Clock, ModelStore

LIMITS = Limits(
    key_bytes_max=32, value_bytes_max=100, txn_ops_max=8, txn_bytes_max=150, list_keys_max=100
)
SECOND_US = 1_000_000

OpenStore = Callable[..., Store]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["model", "log", "log of tiny segments"])
def open_backend(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> OpenStore:
    """Opens a store of one kind; more than once gives the same store where it has a place."""

    def open_one(*, read_only: bool = False) -> Store:
        if request.param == "model":
            return ModelStore(clock, LIMITS, read_only=read_only)
        settings = StoreSettings(
            files=UnsyncedFiles(),
            limits=LIMITS,
            clock=clock,
            is_read_only=read_only,
            segment_records_max=65_536 if request.param == "log" else 2,
        )
        return open_log_store(tmp_path / "data", settings)

    return open_one


@pytest.fixture
def store(open_backend: OpenStore) -> Iterator[Store]:
    opened = open_backend()
    yield opened
    opened.close()


def put(store: Store, key: str, value: bytes = b"v", **options: float | str) -> Commit:
    return store.commit(Txn([Put(key, value, **options)]))


def do(store: Store, *ops: Op) -> Commit:
    return store.commit(Txn(ops))


def value(store: Store, key: str, at: int | None = None) -> bytes | None:
    entry = store.get(key, at=at)
    return None if entry is None else entry.value


def names(page: Page) -> list[str]:
    return [info.key for info in page.keys]


def kinds(store: Store, key: str) -> list[str]:
    return [version.kind for version in store.history(key)]


# --- an empty store ------------------------------------------------------------------------


def test_an_empty_store_is_at_revision_0_and_holds_nothing(store):
    stats = store.stats()

    assert (stats.revision, stats.key_count, stats.value_bytes) == (0, 0, 0)
    assert store.get("a") is None
    assert store.get_many(["a", "b"]).entries == [None, None]
    assert store.scan() == Page(0, [], [], None)
    assert store.count() == 0
    assert store.history("a") == []


def test_info_tells_the_limits_and_an_id(store):
    assert store.info.limits == LIMITS
    assert store.info.store_id
    assert store.info.read_only is False


def test_a_store_that_works_has_no_problem(store):
    assert store.health().reasons == []


# --- put and get ---------------------------------------------------------------------------


def test_a_value_is_got_as_it_was_put(store, clock):
    commit = put(store, "a", b"\0\xff", content_type="image/png")
    entry = store.get("a")

    assert commit == Commit(True, 1, (OpResult(found=False, version=1),))
    assert entry == ("a", b"\0\xff", 1, 1, START_US, "image/png", None)


def test_an_empty_value_is_a_value(store):
    put(store, "a", b"")

    assert value(store, "a") == b""
    assert store.stats().key_count == 1


@pytest.mark.parametrize(
    "key", [" ", "\0", "a\0", "a/../b", "ключ", "\U0001f600", "\uffff", "é", "e\u0301", "%2F"]
)
def test_any_text_is_a_key(store, key):
    put(store, key, key.encode())
    put(store, key + "x", b"other")

    assert value(store, key) == key.encode()
    assert names(store.scan(end=key + "x")) == [key]


def test_every_write_is_a_new_version_at_a_higher_revision(store):
    revisions = [put(store, "a", b"%d" % number).revision for number in range(5)]

    assert revisions == [1, 2, 3, 4, 5]
    assert store.get("a")[2:4] == (5, 5)


def test_the_same_value_again_is_a_write_too(store):
    put(store, "a", b"same")

    assert put(store, "a", b"same").results == (OpResult(found=True, version=2),)


def test_a_put_without_content_type_is_octets(store):
    put(store, "a")

    assert store.get("a").content_type == DEFAULT_CONTENT_TYPE


@pytest.mark.parametrize("key", ["", "\ud800", "a\udfff"])
def test_what_cannot_be_encoded_is_no_key(store, key):
    with pytest.raises(InvalidKey):
        put(store, key)
    with pytest.raises(InvalidKey):
        store.get(key)
    with pytest.raises(InvalidKey):
        store.get_many(["a", key])
    with pytest.raises(InvalidKey):
        store.history(key)
    with pytest.raises(InvalidKey):
        store.commit(Txn([], [Condition(key, exists=True)]))
    assert store.stats().revision == 0


def test_a_key_may_have_just_as_many_bytes_as_the_limit(store):
    put(store, "é" * 16)

    with pytest.raises(LimitExceeded) as caught:
        put(store, "é" * 16 + "x")
    assert (caught.value.what, caught.value.limit, caught.value.got) == ("key_bytes_max", 32, 33)


def test_a_value_may_have_just_as_many_bytes_as_the_limit(store):
    put(store, "a", bytes(100))

    with pytest.raises(LimitExceeded) as caught:
        put(store, "a", bytes(101))
    assert (caught.value.what, caught.value.limit, caught.value.got) == (
        "value_bytes_max",
        100,
        101,
    )


# --- delete --------------------------------------------------------------------------------


def test_a_deleted_key_is_gone(store):
    put(store, "a")
    commit = do(store, Delete("a"))

    assert commit == Commit(True, 2, (OpResult(found=True, version=0),))
    assert store.get("a") is None
    assert names(store.scan()) == []
    assert store.stats().key_count == 0


def test_deleting_a_missing_key_changes_nothing(store):
    put(store, "b")
    commit = do(store, Delete("a"))

    assert commit == Commit(True, 1, (OpResult(found=False, version=0),))
    assert store.history("a") == []


def test_versions_begin_again_after_a_delete(store):
    put(store, "a")
    put(store, "a")
    do(store, Delete("a"))

    assert put(store, "a").results == (OpResult(found=False, version=1),)


# --- transactions --------------------------------------------------------------------------


def test_a_transaction_writes_all_at_one_revision(store):
    put(store, "b")
    commit = do(store, Put("a", b"1"), Delete("b"), Put("c", b"3"))

    assert commit.revision == 2
    assert commit.results == (OpResult(False, 1), OpResult(True, 0), OpResult(False, 1))
    assert [entry and entry.revision for entry in store.get_many(["a", "b", "c"]).entries] == [
        2,
        None,
        2,
    ]


def test_an_empty_transaction_reports_the_head(store):
    assert do(store) == Commit(True, 0, ())
    put(store, "a")
    assert do(store) == Commit(True, 1, ())


def test_a_transaction_of_which_one_operation_changes_nothing_writes_the_rest(store):
    commit = do(store, Delete("missing"), Put("a", b"1"))

    assert commit == Commit(True, 1, (OpResult(False, 0), OpResult(False, 1)))


def test_a_key_stands_once_among_the_writes(store):
    with pytest.raises(InvalidOperation) as caught:
        do(store, Put("a", b"1"), Put("b", b"2"), Delete("a"))

    assert caught.value.index == 2
    assert store.stats().revision == 0


def test_otherwise_is_checked_although_it_may_not_be_done(store):
    with pytest.raises(LimitExceeded):
        store.commit(Txn([], (), [Put("a", bytes(101))]))


def test_an_operation_that_cannot_be_done_undoes_its_transaction(store):
    put(store, "text", b"not a number")

    with pytest.raises(InvalidOperation) as caught:
        do(store, Put("a", b"1"), Add("text", 1))
    assert caught.value.index == 1
    assert store.get("a") is None
    assert store.stats().revision == 1


def test_a_transaction_has_limits_of_operations_and_bytes(store):
    do(store, *(Put(f"k{number}", b"") for number in range(8)))

    with pytest.raises(LimitExceeded) as caught:
        do(store, *(Put(f"k{number}", b"") for number in range(9)))
    assert caught.value.what == "txn_ops_max"
    with pytest.raises(LimitExceeded) as caught:
        do(store, Put("a", bytes(80)), Put("b", bytes(80)))
    assert caught.value.what == "txn_bytes_max"


def test_values_that_are_written_once_more_count_like_those_put(store):
    put(store, "a", bytes(100))
    put(store, "b", bytes(100))

    with pytest.raises(LimitExceeded) as caught:
        do(store, Touch("a", 5), Touch("b", 5))
    assert (caught.value.what, caught.value.got) == ("txn_bytes_max", 200)
    with pytest.raises(LimitExceeded):
        do(store, Touch("a", 5), Restore("b", 1))
    assert do(store, Touch("a", 5)).revision == 3


# --- conditions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition("a", exists=True), True),
        (Condition("a", exists=False), False),
        (Condition("a", version=2), True),
        (Condition("a", version=1), False),
        (Condition("a", version=0), False),
        (Condition("a", revisions=(2,)), True),
        (Condition("a", revisions=(1, 2, 3)), True),
        (Condition("a", revisions=(1, 3)), False),
        (Condition("a", revisions=(0,)), False),
        (Condition("a", revisions=()), False),
        (Condition("a", not_revisions=(2,)), False),
        (Condition("a", not_revisions=(0, 1)), True),
        (Condition("a", not_revisions=()), True),
        (Condition("a", exists=True, version=2, revisions=(2,), not_revisions=(1,)), True),
        (Condition("a", exists=True, version=2, revisions=(1,)), False),
        (Condition("a"), True),
        (Condition("none", exists=False), True),
        (Condition("none", exists=True), False),
        (Condition("none", version=0), True),
        (Condition("none", revisions=(0,)), True),
        (Condition("none", not_revisions=(0,)), False),
        (Condition("none"), True),
    ],
)
def test_a_condition_holds_or_not(store, condition, holds):
    put(store, "a")
    put(store, "a")

    commit = store.commit(Txn([Put("then", b"")], [condition], [Put("else", b"")]))

    assert commit.succeeded is holds
    assert (store.get("then") is not None, store.get("else") is not None) == (holds, not holds)


def test_all_conditions_that_failed_are_named(store):
    put(store, "a")

    with pytest.raises(Conflict) as caught:
        store.commit(
            Txn(
                [Put("x", b"")],
                [
                    Condition("a", exists=False),
                    Condition("a", exists=True),
                    Condition("b", exists=True),
                ],
            )
        )
    assert caught.value.failed == (FailedCondition(0, "a", 1), FailedCondition(2, "b", 0))
    assert store.get("x") is None


def test_an_empty_otherwise_is_no_conflict(store):
    commit = store.commit(Txn([Put("x", b"")], [Condition("x", exists=True)], []))

    assert commit == Commit(False, 0, ())


def test_conditions_are_of_the_state_before_the_transaction(store):
    commit = store.commit(Txn([Put("a", b"1")], [Condition("a", exists=False)]))

    assert commit.succeeded


def test_a_deleted_key_has_version_and_revision_0_in_conditions(store):
    put(store, "a")
    do(store, Delete("a"))

    with pytest.raises(Conflict) as caught:
        store.commit(Txn([], [Condition("a", revisions=(1, 2))]))
    assert caught.value.failed == (FailedCondition(0, "a", 0),)
    store.commit(Txn([Put("a", b"")], [Condition("a", version=0, revisions=(0,))]))


# --- add, touch, restore -------------------------------------------------------------------


def test_adding_to_a_missing_key_counts_from_0(store):
    commit = do(store, Add("n", -3))

    assert commit.results == (OpResult(False, 1, -3),)
    assert store.get("n")[1] == b"-3"
    assert store.get("n").content_type == TEXT_CONTENT_TYPE


def test_adding_keeps_type_and_expiry(store, clock):
    put(store, "n", b"40", content_type="text/plain", ttl_s=10)
    clock.advance(1)

    assert do(store, Add("n", 2)).results == (OpResult(True, 2, 42),)
    entry = store.get("n")
    assert (entry.value, entry.content_type) == (b"42", "text/plain")
    assert entry.expires_us == START_US + 10 * SECOND_US


@pytest.mark.parametrize(
    "text", [b"", b"x", b"1.5", b"1e3", b" 1", b"1 ", b"-", b"0x1", b"\xff", b"--1"]
)
def test_only_decimal_text_is_added_to(store, text):
    put(store, "n", text)

    with pytest.raises(InvalidOperation) as caught:
        do(store, Add("n", 1))
    assert caught.value.index == 0
    assert store.stats().revision == 1


def test_touching_changes_the_expiry_and_nothing_else(store, clock):
    put(store, "a", b"v", content_type="text/css")
    clock.advance(1)
    commit = do(store, Touch("a", 5.5))
    entry = store.get("a")

    assert commit.results == (OpResult(True, 2),)
    assert (entry.value, entry.content_type) == (b"v", "text/css")
    assert entry.expires_us == START_US + 6_500_000
    do(store, Touch("a"))
    assert store.get("a").expires_us is None


def test_touching_a_missing_key_is_refused(store):
    with pytest.raises(InvalidOperation) as caught:
        do(store, Put("b", b""), Touch("a", 1))
    assert caught.value.index == 1


def test_restoring_writes_an_earlier_version_again(store):
    put(store, "a", b"one", content_type="text/css")
    put(store, "a", b"two", ttl_s=100)
    commit = do(store, Restore("a", 1))

    assert commit.results == (OpResult(True, 3),)
    assert store.get("a")[:4] == ("a", b"one", 3, 3)
    assert store.get("a").content_type == "text/css"
    assert store.get("a").expires_us is None
    assert kinds(store, "a") == ["restore", "put", "put"]


def test_restoring_brings_a_deleted_key_back(store):
    put(store, "a", b"one")
    put(store, "a", b"two")
    do(store, Delete("a"))

    assert do(store, Restore("a", 2)).results == (OpResult(False, 1),)
    assert value(store, "a") == b"two"


def test_restoring_takes_the_newest_of_that_version(store):
    put(store, "a", b"old")
    do(store, Delete("a"))
    put(store, "a", b"new")
    put(store, "a", b"newer")

    do(store, Restore("a", 1))
    assert value(store, "a") == b"new"


@pytest.mark.parametrize("version", [0, 2, 99])
def test_restoring_a_version_that_is_not_there_is_refused(store, version):
    put(store, "a")

    with pytest.raises(InvalidOperation):
        do(store, Restore("a", version))
    with pytest.raises(InvalidOperation):
        do(store, Restore("b", 1))


def test_restoring_does_not_bring_back_what_has_expired(store, clock):
    put(store, "a", b"eternal")
    do(store, Delete("a"))
    put(store, "a", b"one", ttl_s=1)
    put(store, "a", b"two")
    clock.advance(1)

    with pytest.raises(InvalidOperation):
        do(store, Restore("a", 1))


# --- expiry --------------------------------------------------------------------------------


def test_an_expired_value_is_seen_by_no_read(store, clock):
    put(store, "a", b"v", ttl_s=1)
    put(store, "b", b"keeps")
    clock.advance(0.999999)
    assert value(store, "a") == b"v"
    clock.advance(0.000001)

    assert store.get("a") is None
    assert store.get("a", at=1) is None
    assert store.get("a", at=2) is None
    assert store.get_many(["a"], at=1).entries == [None]
    assert names(store.scan()) == ["b"]
    assert names(store.scan(at=1)) == []
    assert store.count() == 1
    assert store.count(at=1) == 0
    assert store.count(prefix="a") == 0
    stats = store.stats()
    assert (stats.revision, stats.key_count, stats.value_bytes) == (2, 1, 5)


def test_expiry_uncovers_no_older_version(store, clock):
    put(store, "a", b"old")
    put(store, "a", b"new", ttl_s=1)
    clock.advance(2)

    assert store.get("a") is None
    assert value(store, "a", at=1) == b"old"
    assert store.get("a", at=2) is None


def test_expired_stays_expired_when_the_clock_goes_back(store, clock):
    put(store, "a", b"v", ttl_s=1)
    clock.advance(2)
    assert store.get("a") is None
    clock.advance(-100)

    assert store.get("a") is None
    assert store.count() == 0
    assert put(store, "b").revision == 2
    assert store.get("b").time_us == START_US + 2 * SECOND_US


def test_writing_over_an_expired_value_logs_its_expiry_before(store, clock):
    put(store, "a", b"v", ttl_s=1)
    clock.advance(1)
    commit = put(store, "a", b"w")

    assert commit == Commit(True, 3, (OpResult(found=False, version=1),))
    assert [version[:3] for version in store.history("a")] == [
        (3, 1, "put"),
        (2, 0, "expire"),
        (1, 1, "put"),
    ]


def test_expiries_before_a_transaction_share_one_revision(store, clock):
    do(store, Put("a", b"", ttl_s=1), Put("b", b"", ttl_s=1))
    clock.advance(1)

    assert do(store, Put("a", b""), Put("b", b"")).revision == 3
    assert kinds(store, "a") == kinds(store, "b") == ["put", "expire", "put"]


def test_an_expired_key_counts_as_missing(store, clock):
    put(store, "a", b"5", ttl_s=1)
    put(store, "b", b"5", ttl_s=1)
    clock.advance(1)

    store.commit(Txn([], [Condition("a", exists=False, version=0, revisions=(0,))]))
    with pytest.raises(InvalidOperation):
        do(store, Touch("a", 1))
    assert do(store, Add("b", 1)).results == (OpResult(False, 1, 1),)
    assert store.get("b").expires_us is None


def test_what_has_expired_ends_whatever_becomes_of_the_operation_on_it(store, clock):
    put(store, "a", b"x", ttl_s=1)
    put(store, "b", b"x", ttl_s=1)
    clock.advance(1)

    assert do(store, Delete("a")) == Commit(True, 3, (OpResult(found=False, version=0),))
    with pytest.raises(InvalidOperation):
        do(store, Touch("b", 1))
    assert kinds(store, "a") == kinds(store, "b") == ["expire", "put"]
    assert do(store, Delete("a")).revision == store.stats().revision == 4


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf"), 1e12])
def test_a_time_to_live_is_above_0_and_bounded(store, ttl_s):
    with pytest.raises(InvalidOperation):
        put(store, "a", ttl_s=ttl_s)
    assert store.stats().revision == 0


def test_the_smallest_time_to_live_is_a_microsecond(store, clock):
    put(store, "a", ttl_s=1e-9)

    assert store.get("a").expires_us == START_US + 1
    clock.advance(0.000001)
    assert store.get("a") is None


# --- old revisions -------------------------------------------------------------------------


def test_old_revisions_stay_readable(store):
    put(store, "a", b"1")
    put(store, "a", b"2")
    do(store, Delete("a"))
    put(store, "b", b"3")

    assert [value(store, "a", at=revision) for revision in range(5)] == [
        None,
        b"1",
        b"2",
        None,
        None,
    ]
    assert [names(store.scan(at=revision)) for revision in range(5)] == [
        [],
        ["a"],
        ["a"],
        [],
        ["b"],
    ]
    assert [store.count(at=revision) for revision in range(5)] == [0, 1, 1, 0, 1]
    assert store.get_many(["a", "b"], at=2).revision == 2


def test_a_revision_that_is_not_there_yet_is_refused(store):
    put(store, "a")

    for read in (
        lambda: store.get("a", at=2),
        lambda: store.get_many(["a"], at=2),
        lambda: store.scan(at=2),
        lambda: store.count(at=2),
    ):
        with pytest.raises(InvalidRequest):
            read()


def test_get_many_answers_in_the_order_asked_from_one_revision(store):
    put(store, "a", b"1")
    put(store, "b", b"2")
    snapshot = store.get_many(["b", "none", "a", "b"])

    assert snapshot.revision == 2
    assert [entry and entry.value for entry in snapshot.entries] == [b"2", None, b"1", b"2"]


# --- lists ---------------------------------------------------------------------------------


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


# --- history -------------------------------------------------------------------------------


def test_history_is_newest_first(store, clock):
    put(store, "a", b"1", content_type="text/css")
    clock.advance(1)
    put(store, "other")
    put(store, "a", b"22")
    do(store, Delete("a"))
    later = START_US + SECOND_US

    assert store.history("a")[1:] == [
        (3, 2, "put", later, 2, DEFAULT_CONTENT_TYPE),
        (1, 1, "put", START_US, 1, "text/css"),
    ]
    assert store.history("a")[0][:5] == (4, 0, "delete", later, 0)


def test_history_is_limited_and_goes_on_before_a_revision(store):
    for _ in range(6):
        put(store, "a")

    assert [version.revision for version in store.history("a", limit=2)] == [6, 5]
    assert [version.revision for version in store.history("a", limit=2, before=5)] == [4, 3]
    assert store.history("a", before=1) == []


# --- stats ---------------------------------------------------------------------------------


def test_counts_are_exact_through_every_kind_of_write(store, clock):
    def counts() -> tuple[int, int]:
        stats = store.stats()
        assert stats.key_count == store.count() == store.count(start="\0")
        return stats.key_count, stats.value_bytes

    put(store, "a", b"12")
    put(store, "b", b"345", ttl_s=1)
    assert counts() == (2, 5)
    put(store, "a", b"1")
    assert counts() == (2, 4)
    clock.advance(1)
    assert counts() == (1, 1)
    put(store, "b", b"67")
    assert counts() == (2, 3)
    do(store, Delete("a"), Add("n", 100))
    assert counts() == (2, 5)
    do(store, Touch("n", 5))
    assert counts() == (2, 5)
    clock.advance(5)
    assert counts() == (1, 2)
    do(store, Restore("b", 1))
    assert counts() == (1, 2)


# --- the rest ------------------------------------------------------------------------------


def test_a_read_only_store_refuses_commits_and_compaction(open_backend):
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


def test_everything_is_there_after_opening_again(open_backend, clock):
    store = open_backend()
    if not isinstance(store, LogStore):
        pytest.skip("the model lives in memory")
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


def test_compaction_keeps_what_was_visible_in_the_time_to_keep(tmp_path, clock):
    store = open_log_store(
        tmp_path, StoreSettings(files=UnsyncedFiles(), keep_for_s=60, clock=clock)
    )
    put(store, "a", b"1")
    put(store, "a", b"2")
    store.maintainer.compact(thorough=True)
    clock.advance(59)
    put(store, "a", b"3")
    store.maintainer.compact(thorough=True)

    assert [value(store, "a", at=revision) for revision in range(4)] == [None, b"1", b"2", b"3"]
    clock.advance(60)
    store.maintainer.compact(thorough=True)
    assert value(store, "a", at=3) == b"3"
    with pytest.raises(Compacted):
        store.get("a", at=1)
    store.close()


def test_the_horizon_itself_is_readable(tmp_path, clock):
    store = open_log_store(
        tmp_path, StoreSettings(files=UnsyncedFiles(), keep_for_s=60, clock=clock)
    )
    for number in (1, 2, 3):
        put(store, "a", b"%d" % number)
        store._writer.seal()
        clock.advance(10)
    clock.advance(45)  # the first value was replaced 65 seconds ago, the second one 55
    store.maintainer.compact(thorough=True)

    assert store.stats().oldest_revision == 2
    assert [value(store, "a", at=revision) for revision in (2, 3)] == [b"2", b"3"]
    with pytest.raises(Compacted):
        store.get("a", at=1)
    store.close()


@pytest.mark.parametrize("keep_versions", [1, 2])
def test_a_version_let_go_is_not_restored_from_an_earlier_life_of_the_key(
    tmp_path, clock, keep_versions
):
    settings = StoreSettings(
        files=UnsyncedFiles(), keep_for_s=0, keep_versions=keep_versions, clock=clock
    )
    store = open_log_store(tmp_path, settings)
    put(store, "a", b"earlier life")
    for number in range(20):
        put(store, f"k{number}")
    store._writer.seal()
    store.maintainer.checkpoint()
    do(store, Delete("a"))
    put(store, "a", b"1")
    store._writer.seal()
    store.maintainer.checkpoint()
    put(store, "a", b"2")
    put(store, "a", b"3")
    store._writer.seal()
    store.maintainer.checkpoint()  # merges the two small index files, not the large one

    assert store.gauges()["index_files"].value == 2
    assert [version.version for version in store.history("a")] == [3, 2][:keep_versions]
    with pytest.raises(InvalidOperation):
        do(store, Restore("a", 1))
    store.close()


def test_behind_the_horizon_only_the_newest_version_is_left(tmp_path, clock):
    settings = StoreSettings(files=UnsyncedFiles(), keep_for_s=0, clock=clock)
    store = open_log_store(tmp_path, settings)
    put(store, "a", b"1")
    put(store, "a", b"2")
    put(store, "b", b"3")
    do(store, Delete("b"))
    store.maintainer.compact(thorough=True)

    assert value(store, "a") == value(store, "a", at=4) == b"2"
    for revision in range(4):
        with pytest.raises(Compacted) as caught:
            store.get("a", at=revision)
        assert caught.value.oldest_revision == 4
    assert store.stats().oldest_revision == 4
    assert [version.revision for version in store.history("a")] == [2]
    assert store.history("b") == []
    store.close()
