"""Test that a copy holds what the store held, whatever kinds of stores they are."""

from __future__ import annotations

import json
import time

import pytest

from rundlet import Client
from rundlet_server.cli.copy.sides import Item
from rundlet_server.storage.interface import Delete, Entry, Put, Txn
from tests.cli.copy.conftest import KINDS, held, opened, option, versions
from tests.support.processes.command_line import run

HOUR_US = 3_600_000_000
ABOUT = (("author", "Zoë"), ("odd", " %\n"))


def fill(address: str) -> None:
    """Store what is awkward: keys, types, times of expiry, sizes, a large transaction."""
    now_us = time.time_ns() // 1_000
    ops = [
        [Put(f"many/{number}", b"%d" % number) for number in range(60)],
        [Put("a", b"1"), Put("gone", b"x"), Put("..", b""), Put("🗝\n", "schön".encode())],
        [Put("a", b"2", "text/plain"), Delete("gone")],
        [Put("a", b"3", "text/css", metadata=ABOUT)],
        [Put("soon", b"s", "text/plain", expires_us=now_us + HOUR_US, metadata=ABOUT)],
        [Put("large", bytes(range(256)) * 1_200, "image/png")],
    ]
    if address.startswith("http"):
        with Client(address) as client:
            for number in range(60):
                client.set(f"many/{number}", b"%d" % number)
            client.set("a", b"1")
            client.set("a", b"2", content_type="text/plain")
            client.set("a", b"3", content_type="text/css", meta=dict(ABOUT))
            client.set("soon", b"s", ttl=3_600, meta=dict(ABOUT))
            client.set("large", bytes(range(256)) * 1_200, content_type="image/png")
        return
    with opened(address) as store:
        for each in ops:
            store.commit(Txn(each))


@pytest.mark.parametrize("to_kind", KINDS)
@pytest.mark.parametrize("from_kind", KINDS)
def test_a_copy_holds_what_the_store_held(make_place, from_kind, to_kind):
    source, to = make_place(from_kind, "from"), make_place(to_kind, "to")
    fill(source)

    copied = run("copy", source, to)

    assert copied.code == 0, copied.err
    assert held(to) == held(source)
    assert f"copied {len(held(source))} keys" in copied.text
    assert versions(to, "a") == [b"1", b"2", b"3"]


def test_everything_that_a_store_keeps_with_a_value_is_copied():
    of_each_store = {"time_us"}

    assert set(Item._fields) == set(Entry._fields) - of_each_store


@pytest.mark.parametrize("kind", ["folder", "etcd", "postgresql"])
def test_user_metadata_is_copied(make_place, kind):
    source, to = make_place("folder", "from"), make_place(kind, "to")
    with opened(source) as store:
        store.commit(Txn([Put("a", b"1", metadata=(("owner", "me"),))]))
    for extra in ((), ("--no-history",)):
        with opened(source) as store:
            store.commit(Txn([Put("b", b"1", metadata=(("owner", "you"),))]))

        assert run("copy", source, to, *extra).code == 0

        with opened(to) as store:
            assert store.get("a").metadata == (("owner", "me"),)
            assert store.get("b").metadata == (("owner", "you"),)


def test_older_versions_than_the_feed_reaches_are_copied(make_place):
    source, to = make_place("folder", "from"), make_place("folder", "to")
    with opened(source) as store:
        for number in range(4):
            store.commit(Txn([Put("a", b"%d" % number), Put(f"once/{number}", b"x")]))
    run("retention", "--keep-versions", "3", "--keep-for", "0s", "--store", source)
    run("compact", "--store", source)
    with opened(source) as store:
        assert store.stats().oldest_revision > 0

    assert run("copy", source, to).code == 0

    assert versions(to, "a") == versions(source, "a") == [b"1", b"2", b"3"]
    kept = run("retention", "--store", to, "--json")
    assert json.loads(kept.text)["keep_versions"] == 3


def test_history_is_left_out_on_request_and_said_so(make_place):
    source, to = make_place("folder", "from"), make_place("folder", "to")
    fill(source)

    copied = run("copy", source, to, "--no-history")

    assert "without history" in copied.text
    assert versions(to, "a") == [b"3"]
    assert held(to) == held(source)


def test_a_text_file_has_no_history_and_is_copied(make_place, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("ant small\nbee yellow\n")
    to = make_place("folder", "to")

    copied = run("copy", f"file:{words}", to)

    assert copied.code == 0, copied.err
    assert f"without history: file:{words} keeps none" in copied.text
    assert run("get", "bee", "--store", to).out == b"yellow"
    assert run("copy", f"file:{words}", to, "--follow").code == 2
    assert run("copy", to, f"file:{words}").code == 6


def test_an_empty_store_is_copied(make_place):
    source, to = make_place("folder", "from"), make_place("folder", "to")
    run("set", "a", "1", "--store", source)
    run("del", "a", "--store", source)

    copied = run("copy", source, to, "--json")

    assert copied.code == 0, copied.err
    assert json.loads(copied.text)["keys"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_with_other_keys_is_refused_and_unchanged(make_place, kind):
    source, to = make_place("folder", "from"), make_place(kind, "to")
    fill(source)
    run("set", "mine", "1", *option(to))
    run("set", "a", "mine", *option(to))

    refused = run("copy", source, to)

    assert refused.code == 3
    assert "has 2 keys; copy to an empty store, or give --merge" in refused.err
    assert set(held(to)) == {"mine", "a"}

    assert run("copy", source, to, "--merge").code == 0
    present = held(to)
    assert present.pop("mine")["text"] == "1"
    assert present == held(source)


def test_a_copy_to_itself_or_of_nothing_is_refused(make_place, tmp_path):
    source = make_place("folder", "from")
    run("set", "a", "1", "--store", source)

    assert run("copy", source, source).code == 2
    assert run("copy", str(tmp_path / "missing"), make_place("folder", "to")).code == 4
    assert run("copy", source, "redis://there/x").code == 2
    assert not (tmp_path / "to").exists()


def test_a_copy_that_is_done_brings_the_other_store_up_to_date(make_place):
    source, to = make_place("folder", "from"), make_place("postgresql", "to")
    fill(source)
    run("copy", source, to)
    run("set", "new", "1", "--store", source)
    run("del", "a", "--store", source)

    copied = run("copy", source, to)

    assert copied.code == 0, copied.err
    assert copied.text.startswith("going on from revision")
    assert held(to) == held(source)
    assert "a" not in held(to)


def test_what_others_wrote_to_the_copy_is_not_overwritten(make_place):
    source, to = make_place("folder", "from"), make_place("folder", "to")
    fill(source)
    run("copy", source, to)
    run("set", "a", "theirs", "--store", to)
    run("set", "a", "ours", "--store", source)

    refused = run("copy", source, to)

    assert refused.code == 3
    assert "was written to after the copy: 'a' at its revision" in refused.err
    assert run("get", "a", "--store", to).out == b"theirs"
    assert run("copy", source, to, "--merge").code == 0
    assert run("get", "a", "--store", to).out == b"ours"


def test_keys_that_are_not_the_same_are_named(make_place):
    source, to = make_place("folder", "from"), make_place("etcd", "to")
    fill(source)
    run("copy", source, to)
    run("set", "many/7", "other", "--store", to)
    run("set", "many/8", "8", "--type", "text/html", "--store", to)
    run("del", "large", "--store", to)

    compared = run("copy", source, to, "--merge")

    assert compared.code == 5
    assert "3 keys are not the same: 'large' is missing in TO; 'many/7' has" in compared.err
    assert "'many/8' has another content type in TO" in compared.err


def test_what_is_too_large_for_the_other_store_is_named(make_place):
    source, to = make_place("folder", "from"), make_place("etcd", "to")
    with opened(source) as store:
        store.commit(Txn([Put("small", b"x"), Put("big", bytes(2_000_000))]))

    for extra in ((), ("--no-history",)):
        refused = run("copy", source, to, *extra)

        assert refused.code == 2
        assert "the value of 'big' has 2000000 bytes" in refused.err


def test_an_erased_key_is_erased_in_the_copy(make_place):
    source, to = make_place("folder", "from"), make_place("folder", "to")
    fill(source)
    run("copy", source, to)
    run("erase", "a", "--store", source)

    assert run("copy", source, to).code == 0

    assert versions(to, "a") == []


def test_a_password_is_not_shown(make_place):
    source, to = make_place("folder", "from"), make_place("postgresql", "to")
    run("set", "a", "1", "--store", source)

    copied = run("copy", source, to.replace("me@", "me:secret@"))

    assert copied.code == 0, copied.err
    assert "secret" not in copied.text + copied.err
