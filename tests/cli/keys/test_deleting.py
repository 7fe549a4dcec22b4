"""Test del --prefix: what it asks, what it deletes, how it is interrupted."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from rundlet import Commit, KeyInfo, OpResult
from rundlet_server.cli.commands import deleting
from rundlet_server.cli.exits import CommandError, Interrupted
from rundlet_server.storage.interface import Limits, Put, Txn
from tests.support import PATIENCE_S
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import Place
from tests.support.wire.served_model import served


def test_prefix_deletes_what_begins_with_it(place):
    place.run("mset", "a/1=1", "a/2=2", "a=3", "b=4")

    ended = place.run("del", "--prefix", "a/", "--yes")

    assert (ended.code, ended.text) == (0, "deleted 2 of 2\n")
    assert place.run("ls").text == "a\nb\n"
    assert place.run("del", "--prefix", "a/", "--yes").code == 1


def test_glob_narrows_what_is_deleted(place):
    place.run("mset", "a/1=1", "a/2=2", "a/3=3")

    told = json.loads(place.run("del", "--prefix", "a/", "--match", "[12]", "-y", "--json").out)

    assert told["deleted"] == 2
    assert place.run("ls").text == "a/3\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a", "--prefix", "a"),
        ("--prefix", "", "--yes"),
        ("a", "--yes"),
        ("a", "--match", "*"),
        ("--prefix", "a"),
    ],
)
def test_nothing_is_deleted_without_a_clear_order(place, arguments):
    place.run("set", "a", "1")

    ended = place.run("del", *arguments)

    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert place.run("ls").text == "a\n"


class Busy(ModelStore):
    """A store to which another client adds a key after it was counted."""

    coming: tuple[str, ...] = ()

    def count(self, **selected):
        counted = super().count(**selected)
        coming, self.coming = self.coming, ()
        for key in coming:
            self.commit(Txn([Put(key, b"")]))
        return counted


def test_what_comes_after_the_count_is_deleted_only_if_no_count_was_confirmed():
    store = Busy()
    with served(store) as url:
        place = Place(("--url", url))
        place.run("mset", "k/1=v", "k/2=v")
        store.coming = ("k/3",)

        code, shown = answered(url, b"y\n")
        kept = store.stats().key_count
        store.coming = ("k/4",)
        ended = place.run("del", "--prefix", "k/", "--yes")

    assert (code, kept) == (3, 3)
    assert b"3 now; nothing was deleted" in shown
    assert ended.text == "deleted 4 of 4\n"


def test_keys_that_one_transaction_holds_are_deleted_in_one():
    store = ModelStore()
    with served(store) as url:
        place = Place(("--url", url))
        place.run("mset", *[f"k/{number}=v" for number in range(4)])
        before = store.stats().revision

        ended = place.run("del", "--prefix", "k/", "--match", "[12]", "--yes")

    assert ended.text == "deleted 2 of 2\n"
    assert store.stats().revision == before + 1


def test_more_than_a_transaction_holds_is_deleted_in_several():
    store = ModelStore(limits=Limits(txn_ops_max=3))
    with served(store) as url:
        place = Place(("--url", url))
        for number in range(8):
            place.run("set", f"k{number}", "v")
        before = store.stats().revision

        ended = place.run("del", "--prefix", "k", "--yes")

    assert ended.text == "deleted 8 of 8\n"
    assert store.stats().revision == before + 3


def answered(url: str, answer: bytes) -> tuple[int, bytes]:
    """What a terminal shows, and the exit code, if this is typed when the question is there."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rundlet_server", "del", "--prefix", "k/", "--url", url]
    shown = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        is_typed = False
        while True:
            try:
                shown += os.read(ours, 4_096)
            except OSError:
                break
            if b"[y/N]" in shown and not is_typed:
                os.write(ours, answer)
                is_typed = True
        code = process.wait(PATIENCE_S)
    os.close(ours)
    return code, shown


@pytest.mark.parametrize(
    ("answer", "code", "left"), [(b"y\n", 0, 0), (b"n\n", 2, 4), (b"\n", 2, 4), (b"\x04", 2, 4)]
)
def test_question_names_the_count_and_only_yes_deletes(answer, code, left):
    store = ModelStore()
    with served(store) as url:
        Place(("--url", url)).run("mset", *[f"k/{number}=v" for number in range(4)])

        ended, shown = answered(url, answer)

    assert "Delete 4 keys that begin with 'k/' ('k/0', 'k/1', 'k/2', …)? [y/N]".encode() in shown
    assert ended == code
    assert store.stats().key_count == left
    assert b"nothing was deleted" in shown or not left


class Stopped:
    """A store of five keys and two operations a transaction, whose second one is interrupted."""

    def __init__(self) -> None:
        self.asked = 0

    def scan(self, **_):
        return (KeyInfo(key) for key in "abcde")

    def txn(self, then):
        self.asked += 1
        if self.asked == 2:
            raise KeyboardInterrupt
        return Commit(True, 7, tuple(OpResult(found=True) for _ in then))


ALL = deleting._Selected("", None)


def test_interruption_says_how_far_it_came():
    with pytest.raises(Interrupted, match="2 of 5 keys are deleted"):
        deleting._delete_many(Stopped(), ALL, 5, 2, as_json=False)


def test_nothing_is_deleted_if_more_keys_came_than_were_confirmed():
    store = Stopped()

    with pytest.raises(CommandError, match="5 now; nothing was deleted"):
        deleting._delete_many(store, ALL, 4, 2, as_json=False)

    assert store.asked == 0
