"""Test that a copy goes on after whatever ended it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from rundlet_server.cli.copy.copying import bring_up_to_date, verify
from rundlet_server.cli.copy.notes import Note, Notes
from rundlet_server.cli.copy.replaying import batches, catch_up
from rundlet_server.cli.copy.sides import Change, Commit, Facts, Item
from rundlet_server.cli.copy.stores import StoreSide
from rundlet_server.cli.exits import CommandError
from rundlet_server.cli.place.store import StoreTarget
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.interface import Delete, Limits, Put, Txn
from rundlet_server.storage.opening import open_store
from rundlet_server.storage.timeline import Retention
from tests.cli.copy.conftest import held, opened
from tests.support.processes.command_line import run

KEYS = 120_000


def fill(address: str, count: int = KEYS) -> None:
    """Store many keys, and let the feed begin behind them."""
    with opened(address) as store:
        store.load([(b"k/%06d" % number, b"%d" % number, "text/plain") for number in range(count)])
        store.commit(Txn([Put("a", b"")]))
        store.commit(Txn([Delete("a")]))
        store.retain(Retention(1, 0))
        store.compact(wait=True)
        assert store.stats().oldest_revision > 40


def note_of(state_home: Path) -> dict[str, object] | None:
    found = list(state_home.rglob("*.json"))
    return json.loads(found[0].read_bytes()) if found else None


DYING = """
import os, signal, sys, threading
from rundlet_server.cli.copy.notes import Notes
from rundlet_server.cli.main import app

save = Notes.save

def save_and_die_soon(notes, note):
    save(notes, note)
    if note.done:
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGKILL)).start()

Notes.save = save_and_die_soon
app()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "postgresql"])
def test_a_killed_copy_goes_on_where_it_was(make_place, state_home, kind):
    source, to = make_place("folder", "from"), make_place(kind, "to")
    fill(source)
    command = [sys.executable, "-c", DYING, "copy", source, to]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    note = note_of(state_home)
    assert 0 < note["done"] < KEYS, "it was killed in the middle"

    copied = run("copy", source, to)

    assert copied.code == 0, copied.err
    assert copied.text.startswith(f"going on after {note['done']} of {KEYS} keys")
    assert f"copied {KEYS} keys" in copied.text
    with opened(to) as store:
        for number in (0, KEYS - 1):  # only what the kill was in the middle of is stored twice
            assert store.get(f"k/{number:06d}").version == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("options", [(), ("--no-history",)])
def test_a_copy_takes_little_memory(make_place, options):
    source, to = make_place("folder", "from"), make_place("folder", "to")
    with opened(source) as store:
        for number in range(50):
            store.commit(Txn([Put(f"k/{number}", os.urandom(10_000) * 200)]))
    # The peak that getrusage shows would be that of the process that started it.
    program = (
        "import sys; from rundlet_server.cli.main import app; sys.argv[0] = 'rundlet';"
        " app(standalone_mode=False); print(open('/proc/self/status').read())"
    )
    command = [sys.executable, "-c", program, "copy", source, to, *options]

    copied = subprocess.run(command, capture_output=True, text=True, check=True)

    peak = re.search(r"VmHWM:\s*(\d+) kB", copied.stdout)
    assert int(peak[1]) < 100 * 1024, "the values have 100 MB"


class Sides:
    """Both sides of a copy between folders, opened here."""

    def __init__(self, source: str, to: str, stack: ExitStack) -> None:
        self.stores = []
        for address in map(StoreAddress.parse, (source, to)):
            self.stores.append(stack.enter_context(closing(open_store(address))))
        self.source, self.to = (
            StoreSide(StoreTarget(store, StoreAddress.parse(address)))
            for store, address in zip(self.stores, (source, to), strict=True)
        )
        ids = [store.info.store_id for store in self.stores]
        self.notes = Notes.of(*ids)
        head = self.source.head()
        self.note = self.notes.read(*ids) or Note(*ids, head, head, with_history=False)

    def interrupt_after(self, pages: int) -> None:
        """Copy so many pages, and no further."""
        whole = self.source.pages

        def some(after, revision):
            for number, page in enumerate(whole(after, revision)):
                if number == pages:
                    raise KeyboardInterrupt
                yield page

        self.source.pages = some
        with pytest.raises(KeyboardInterrupt):
            bring_up_to_date(self.source, self.to, self.note, self.notes)
        self.source.pages = whole


@pytest.fixture
def sides(make_place):
    source, to = make_place("folder", "from"), make_place("folder", "to")
    fill(source, 45_000)
    with ExitStack() as stack:
        yield Sides(source, to, stack)


def test_changes_during_a_copy_are_made_after_it(sides):
    sides.interrupt_after(25)
    assert 0 < sides.note.done < 45_000
    store, copied = sides.stores
    store.retain(Retention(1, 3_600))
    store.commit(Txn([Delete("k/000001"), Put("k/000002", b"new"), Put("k/000001x", b"1")]))
    store.commit(Txn([Put("k/044999", b"new")]))

    bring_up_to_date(sides.source, sides.to, sides.note, sides.notes)

    assert verify(sides.source, sides.to, sides.note).difference_count == 0
    assert copied.get("k/000001") is None
    assert copied.get("k/000002").value == b"new"
    assert copied.count() == store.count() == 45_000


def test_a_copy_whose_revision_is_dropped_begins_again(sides, capsys):
    sides.interrupt_after(25)
    store, copied = sides.stores
    store.commit(Txn([Delete("k/000001"), Put("k/000002", b"new")]))
    store.compact(wait=True)
    assert store.stats().oldest_revision > sides.note.base

    bring_up_to_date(sides.source, sides.to, sides.note, sides.notes)

    assert "FROM no longer keeps revision" in capsys.readouterr().err
    assert verify(sides.source, sides.to, sides.note).difference_count == 0
    assert copied.get("k/000001") is None
    assert copied.count() == 44_999


def test_the_revision_that_is_copied_is_kept_meanwhile(sides):
    store, copied = sides.stores
    whole = sides.source.pages

    def compacting(after, revision):
        for number, page in enumerate(whole(after, revision)):
            if number == 1:
                store.commit(Txn([Put("k/044000", b"new")]))
                store.compact(wait=True)
            yield page

    sides.source.pages = compacting
    bring_up_to_date(sides.source, sides.to, sides.note, sides.notes)

    assert not sides.note.is_again
    assert copied.get("k/044000").value == b"new"


def test_a_note_of_another_kind_is_refused_by_name(make_place, state_home):
    source, to = make_place("folder", "from"), make_place("folder", "to")
    run("set", "a", "1", "--store", source)
    run("copy", source, to)
    [path] = state_home.rglob("*.json")
    for text in ("", '{"format": 2}', '{"format": 1, "from_id": "x"}'):
        path.write_text(text)

        refused = run("copy", source, to)

        assert refused.code == 4
        assert str(path) in refused.err


def test_a_copy_whose_other_store_was_emptied_begins_anew(make_place):
    source, to = make_place("folder", "from"), make_place("folder", "to")
    run("set", "a", "1", "--store", source)
    run("copy", source, to)
    run("del", "a", "--store", to)

    copied = run("copy", source, to)

    assert copied.code == 0, copied.err
    assert held(to) == held(source)


def test_a_note_is_whole_or_the_one_before(tmp_path, monkeypatch):
    notes = Notes(tmp_path / "note.json")
    note = Note("a", "b", 1, 1, with_history=True)
    notes.save(note)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("full")))

    with pytest.raises(OSError, match="full"):
        notes.save(dataclasses.replace(note, position=2))

    assert notes.read("a", "b") == note
    assert notes.read("a", "c") is None


def test_an_unreadable_note_is_an_error(tmp_path):
    (tmp_path / "note.json").write_text("[]")

    with pytest.raises(CommandError, match=r"note\.json does not say how far"):
        Notes(tmp_path / "note.json").read("a", "b")


def commit(revision: int, *keys: str) -> Commit:
    return Commit(revision, 0, [Change(key, Item(key, b"v", "text/plain", None)) for key in keys])


def shape(commits: list[Commit], ops_max: int = 4) -> list[tuple[str, int]]:
    limits = Limits(txn_ops_max=ops_max)
    return [
        ("".join(change.key for change in batch.changes), batch.revision)
        for batch in batches(commits, limits)
    ]


def test_commits_become_fewer_and_no_version_is_lost():
    assert shape([commit(1, "a"), commit(2, "b"), commit(3, "a"), commit(4)]) == [
        ("ab", 2),
        ("a", 4),
    ]


def test_a_commit_is_torn_only_if_it_must_be():
    commits = [commit(1, "a", "b"), commit(2, "c", "d", "e"), commit(3, *"fghijk"), commit(4, "l")]

    assert shape(commits) == [("ab", 1), ("cde", 2), ("fghi", 0), ("jkl", 4)]


def test_commits_without_changes_move_the_position():
    assert shape([commit(7)]) == [("", 7)]
    assert shape([]) == []


def bulk(commits: list[Commit]) -> tuple[list[str], list[int]]:
    """Catch up; return what was done, by its size, and the revisions that were reached."""
    done: list[str] = []
    reached: list[int] = []

    class Noted:
        facts = Facts("there", "id", Limits(), keeps_history=True, is_read_only=False)

        def put_all(self, items):
            done.append(f"bulk {len(items)}")

        def apply(self, changes):
            done.append(f"txn {len(changes)}")

    catch_up(Noted(), commits, reached.append)
    return done, reached


def test_many_puts_are_stored_in_bulk_while_a_copy_catches_up():
    puts = [commit(number, f"k{number}") for number in range(1, 6_001)]
    deletes = [Commit(6_001, 0, [Change("k1")])]
    few = [commit(6_002, "k2"), commit(6_003)]

    assert bulk([*puts, *deletes, *few]) == (["bulk 6000", "txn 1", "txn 1"], [6_000, 6_001, 6_003])


def test_a_key_that_comes_again_is_not_in_the_same_bulk():
    puts = [commit(number, f"k{number % 5_500}") for number in range(1, 11_001)]

    assert bulk(puts)[0] == ["bulk 5500", "bulk 5500"]


def test_values_that_expire_are_not_stored_in_bulk():
    commits = [
        Commit(number, 0, [Change(f"k{number}", Item(f"k{number}", b"", "", 1))])
        for number in range(1, 6_001)
    ]

    assert set(bulk(commits)[0]) == {"txn 1000"}


def test_two_copies_may_save_their_notes_at_once(tmp_path, monkeypatch):
    path = tmp_path / "note.json"
    fsync = os.fsync

    def while_another_saves(descriptor):
        monkeypatch.setattr(os, "fsync", fsync)
        Notes(path).save(Note("a", "b", 1, 1, with_history=False))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", while_another_saves)
    Notes(path).save(Note("a", "b", 2, 2, with_history=False))

    assert Notes(path).read("a", "b") == Note("a", "b", 2, 2, with_history=False)
    assert list(tmp_path.iterdir()) == [path]
