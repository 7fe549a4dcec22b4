"""Test a served text file: exact bytes, an index built once, and never a wrong value."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
import uuid
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rundlet_server.storage.errors import (
    Damaged,
    InvalidKey,
    InvalidRequest,
    LimitExceeded,
    ReadOnly,
)
from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.interface import Limits, Put, Txn
from rundlet_server.storage.textfile.lines import BadFile, content_type_of
from rundlet_server.storage.textfile.sorting import gather_keys, sort_keys
from rundlet_server.storage.textfile.store import open_text_file
from tests.support import ROOT
from tests.support.models.model import Clock, ModelStore

A, B, C = sorted(str(uuid.UUID(int=Random(seed).getrandbits(128), version=4)) for seed in range(3))


class WatchedFiles(RealFiles):
    """The file system, which notes what is read, and lets nobody write into some folders."""

    def __init__(self, text_file, unwritable=()):
        self.text_bytes_read = 0
        self._text_file = text_file
        self._unwritable = unwritable

    def open(self, path, *, create=False, writable=True):
        if create and path.parent in self._unwritable:
            raise PermissionError(13, "not allowed", str(path))
        file = super().open(path, create=create, writable=writable)
        return WatchedFile(self, file) if path == self._text_file else file


class WatchedFile:
    """A file of ``WatchedFiles``."""

    def __init__(self, files, file):
        self._files = files
        self._file = file

    def pread(self, size, offset):
        self._files.text_bytes_read += size
        return self._file.pread(size, offset)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture
def path(folder):
    return folder / "some.data"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def opened(path, cache):
    """Opens the file; everything that was opened is closed at the end."""
    stores = []

    def open_file(**options):
        stores.append(open_text_file(path, cache_folder=cache, **options))
        return stores[-1]

    yield open_file
    for store in stores:
        store.close()


def index_of(path):
    return path.with_name(path.name + ".rundlet-index")


def values(store):
    return {info.key: info.entry.value for info in store.scan(include_values=True).keys}


# --- what is served ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [b"", b"   ", b"x\r", b"\0", b"\xff\xfe", "🐎".encode(), bytes(range(11, 256))],
    ids=ascii,
)
@pytest.mark.parametrize("end", [b"\n", b""])
def test_values_are_the_exact_bytes(path, opened, value, end):
    path.write_bytes(f"{A} 1\n{B} ".encode() + value + end)

    entry = opened().get(B)

    assert entry.value == value
    assert entry.content_type == content_type_of(value)
    assert (entry.revision, entry.version, entry.expires_us) == (1, 1, None)
    assert entry.time_us == path.stat().st_mtime_ns // 1_000


def test_five_megabytes_are_one_value(path, opened):
    value = Random(5).randbytes(5 * 1024 * 1024).replace(b"\n", b" ")
    path.write_bytes(f"{A} ".encode() + value + f"\n{B} 2\n".encode())

    store = opened()

    assert (store.get(A).value, store.get(B).value) == (value, b"2")
    assert store.stats().value_bytes == len(value) + 1


def test_read_that_must_not_wait_answers_as_one_that_may(path, opened):
    path.write_text(f"{A} value\n{B} {'x' * 300_000}\n")
    store = opened()
    store.get(A)  # from now on in memory

    assert store.peek_cached(A) == store.peek(A)
    assert store.peek_cached(C) is None
    with pytest.raises(BlockingIOError):
        store.peek_cached(B)
    with pytest.raises(LimitExceeded):
        store.peek_cached("k" * 70_000)


def test_empty_file_has_no_keys(path, opened):
    path.write_bytes(b"")

    store = opened()

    assert (values(store), store.count(), store.stats().key_count) == ({}, 0, 0)
    assert store.get(A) is None


def test_later_line_of_a_key_wins(path, opened):
    path.write_text(f"{A} 1\n{B} x\n{A} 2\n{A} 3\n")

    store = opened()

    assert values(store) == {A: b"3", B: b"x"}
    assert store.stats().key_count == 2
    assert store.gauges()["duplicate_lines"].value == 2


def test_bad_line_refuses_the_file_and_leaves_no_index(path, opened):
    path.write_text(f"{A} 1\nbad\n")

    with pytest.raises(BadFile, match=f"{path}:2: 'bad' is not a UUID"):
        opened()

    assert list(path.parent.iterdir()) == [path]


def test_rules_of_another_opening_are_not_taken_over(path, opened):
    path.write_text(f"{A} 1\nname 2\nbad\n")

    assert values(opened(skip_bad=True)) == {A: b"1"}
    assert values(opened(skip_bad=True, any_key=True)) == {A: b"1", "name": b"2"}
    assert values(opened(skip_bad=True, limits=Limits(value_bytes_max=0))) == {}
    with pytest.raises(BadFile):
        opened()


def test_index_by_stricter_rules_that_found_nothing_bad_is_used(path, opened):
    path.write_text(f"{A} 1\n{B} 2\n")
    opened()
    made = index_of(path).stat()

    assert values(opened(any_key=True, skip_bad=True)) == {A: b"1", B: b"2"}
    assert index_of(path).stat().st_ino == made.st_ino


def test_missing_file_and_folder_are_errors(path, opened):
    with pytest.raises(FileNotFoundError):
        opened()
    path.mkdir()
    with pytest.raises(InvalidRequest, match="not an ordinary file"):
        opened()


def test_writes_are_refused(path, opened):
    path.write_text(f"{A} 1\n")
    store = opened()

    assert store.info.read_only
    assert store.info.backend == "file"
    with pytest.raises(ReadOnly):
        store.commit(Txn([Put(A, b"2")]))
    with pytest.raises(ReadOnly):
        store.compact()
    assert store.health().reasons == []


def test_requests_are_checked(path, opened):
    path.write_text(f"{A} 1\n")
    store = opened(limits=Limits(key_bytes_max=40))

    for read in (store.get, store.history):
        with pytest.raises(InvalidKey):
            read("")
        with pytest.raises(LimitExceeded):
            read("k" * 41)
    for read in (lambda: store.get(A, at=2), lambda: store.scan(at=2), lambda: store.count(at=2)):
        with pytest.raises(InvalidRequest):
            read()


# --- the index -----------------------------------------------------------------------------


def test_opening_again_uses_the_index(path, opened):
    path.write_text(f"{A} 1\n{B} 2\n")
    opened()
    first = index_of(path).stat()
    files = WatchedFiles(path)

    store = opened(files=files)

    assert files.text_bytes_read == 0
    assert index_of(path).stat().st_ino == first.st_ino
    assert values(store) == {A: b"1", B: b"2"}


@pytest.mark.parametrize("change", ["longer", "same size", "replaced", "touched"])
def test_changed_file_is_indexed_again(path, opened, change):
    path.write_text(f"{A} 1\n")
    first = opened()
    match change:
        case "longer":
            path.write_text(f"{A} 1\n{B} 2\n")
        case "same size":
            path.write_text(f"{A} 2\n")
            os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
        case "replaced":
            status = path.stat()
            other = path.with_name("other")
            other.write_text(f"{A} 2\n")
            os.utime(other, ns=(0, status.st_mtime_ns))
            other.rename(path)
        case "touched":
            os.utime(path, ns=(0, 1_000_000))

    second = opened()

    expected = dict(line.split(" ") for line in path.read_text().splitlines())
    assert values(second) == {key: value.encode() for key, value in expected.items()}
    # Entity tags are made of the id: the same for the same content, another for another.
    assert (second.info.store_id == first.info.store_id) == (change == "touched")


def test_index_is_made_when_a_later_change_must_show_in_the_time_of_the_file(path, opened):
    path.write_text(f"{A} 1\n")

    opened()

    assert time.time_ns() - path.stat().st_mtime_ns > 20_000_000  # two ticks, of 10 ms at most


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "empty"])
def test_damaged_index_is_made_again(path, opened, damage):
    path.write_text("".join(f"{key} v\n" for key in (A, B, C)))
    opened()
    index = index_of(path)
    content = bytearray(index.read_bytes())
    match damage:
        case "cut":
            del content[-10:]
        case "flipped":
            content[len(content) // 2] ^= 1
        case "foreign":
            content = bytearray(b"something else" * 100)
        case "empty":
            content.clear()
    index.write_bytes(content)

    assert values(opened()) == {A: b"v", B: b"v", C: b"v"}
    assert index.read_bytes() != content


def test_unwritable_folder_puts_the_index_into_the_cache(path, cache, opened):
    path.write_text(f"{A} 1\n")
    files = WatchedFiles(path, unwritable=[path.parent])

    assert values(opened(files=files)) == {A: b"1"}
    assert list(path.parent.iterdir()) == [path]
    assert len(list(cache.iterdir())) == 1
    again = WatchedFiles(path, unwritable=[path.parent])
    opened(files=again)
    assert again.text_bytes_read == 0


def test_where_nothing_can_be_written_the_index_is_private(path, cache, opened):
    path.write_text(f"{A} 1\n")

    store = opened(files=WatchedFiles(path, unwritable=[path.parent, cache]))

    assert values(store) == {A: b"1"}
    assert list(path.parent.iterdir()) == [path]
    assert list(cache.iterdir()) == []


def test_cache_folder_is_the_users(path, tmp_path, monkeypatch):
    path.write_text(f"{A} 1\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    open_text_file(path, files=WatchedFiles(path, unwritable=[path.parent])).close()

    (index,) = (tmp_path / "home" / "rundlet").iterdir()
    assert index.name.endswith(".rundlet-index")


def test_orphaned_files_of_a_crash_are_removed(path, opened):
    path.write_text(f"{A} 1\n")
    orphan = path.with_name("some.data.rundlet-index.12345.tmp")
    orphan.write_bytes(b"half an index")
    stranger = path.with_name("other.data.rundlet-index.12345.tmp")
    stranger.write_bytes(b"another's")

    opened()

    assert sorted(path.parent.iterdir()) == sorted([path, index_of(path), stranger])


OPENED_AT_THE_SAME_TIME = """
import os, sys
from pathlib import Path
from rundlet_server.storage.textfile.store import open_text_file

path = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
store = open_text_file(path)
print(store.info.store_id, store.stats().key_count, os.stat(f"{path}.rundlet-index").st_ino)
"""


def test_processes_that_open_at_the_same_time_share_one_index(path):
    random = Random(3)
    keys = [str(uuid.UUID(int=random.getrandbits(128), version=4)) for _ in range(20_000)]
    path.write_text("".join(f"{key} v\n" for key in keys))
    command = [sys.executable, "-c", OPENED_AT_THE_SAME_TIME, str(path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()

    answers = {process.communicate(timeout=60)[0] for process in processes}

    inode = index_of(path).stat().st_ino
    assert [answer.split()[1:] for answer in answers] == [["20000", str(inode)]]
    assert sorted(path.parent.iterdir()) == sorted([path, index_of(path)])


# --- never a wrong value -------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 5, 36, 37, 40])
def test_changed_bytes_are_an_error_that_names_the_place(path, opened, offset):
    path.write_text(f"{A} value\n{B} value\n")
    store = opened()
    line_size = len(A) + 7
    with path.open("r+b") as file:
        file.seek(line_size + offset)
        file.write(b"#")

    assert store.get(A).value == b"value"
    with pytest.raises(Damaged, match=f"{path}: damaged at offset {line_size}"):
        store.get(B)
    with pytest.raises(Damaged):
        store.peek_cached(B)
    with pytest.raises(Damaged):
        store.scan(include_values=True)
    with pytest.raises(Damaged):
        store.get_many([A, B])


def test_file_that_became_shorter_is_an_error_and_a_problem(path, opened):
    path.write_text(f"{A} value\n{B} value\n")
    store = opened()
    os.truncate(path, len(A) + 10)

    assert store.get(A).value == b"value"
    with pytest.raises(Damaged):
        store.get(B)
    assert "shorter than" in store.health().reasons[0]


def test_file_that_is_replaced_is_served_as_it_was(path, opened):
    path.write_text(f"{A} old\n")
    store = opened()
    other = path.with_name("other")
    other.write_text(f"{A} new\n")
    other.rename(path)

    assert store.get(A).value == b"old"
    assert values(opened()) == {A: b"new"}


# --- the same as a plain store -------------------------------------------------------------

KEYS = st.text(st.sampled_from("abž/\0🐎"), min_size=1, max_size=12)
LINES = st.lists(
    st.tuples(KEYS, st.binary(max_size=6).map(lambda value: value.replace(b"\n", b""))),
    max_size=25,
)
RANGES = st.fixed_dictionaries(
    {
        "prefix": st.just("") | KEYS.map(lambda key: key[:2]),
        "start": st.none() | KEYS,
        "end": st.none() | KEYS,
        "at": st.sampled_from([None, 0, 1]),
    }
)


@settings(max_examples=150, deadline=None)
@given(
    lines=LINES.filter(bool),
    keys=RANGES,
    limit=st.integers(1, 5),
    reverse=st.booleans(),
    delimiter=st.sampled_from([None, "/", "ž"]),
)
def test_file_answers_like_a_store_with_the_same_values(random_file, lines, **wanted):
    entries = dict(lines)
    store = random_file(b"".join(key.encode() + b" " + value + b"\n" for key, value in lines))
    time_us = store.get(lines[0][0]).time_us
    model = ModelStore(Clock(time_us))
    model.commit(Txn([Put(k, v, content_type_of(v)) for k, v in entries.items()]))

    for key in entries.keys() | {"a", "/"}:
        assert store.get(key) == model.get(key)
        assert store.get(key, at=0) is None
        assert store.history(key) == model.history(key)
        assert store.history(key, before=1).versions == []
    keys = [key for key, _ in lines]
    assert store.get_many(keys) == model.get_many(keys)
    assert store.stats().key_count == model.stats().key_count
    assert store.stats().value_bytes == model.stats().value_bytes
    assert store.count(**wanted["keys"]) == model.count(**wanted["keys"])
    assert pages(store, **wanted) == pages(model, **wanted)


@pytest.fixture(scope="module")
def random_file(tmp_path_factory):
    """Opens a file with the content given; each is a little younger than the one before."""
    path = tmp_path_factory.mktemp("random") / "random.data"
    times_ns = itertools.count(10**18, 1_000)

    def open_file(content):
        path.write_bytes(content)
        os.utime(path, ns=(0, next(times_ns)))
        return open_text_file(path, any_key=True)

    return open_file


def pages(store, keys, **options):
    """All pages of a list."""
    found = [store.scan(include_values=True, **keys, **options)]
    while found[-1].resume is not None:
        after = found[-1].resume
        found.append(store.scan(include_values=True, after=after, **keys, **options))
    return found


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=20) | st.binary(max_size=9).map(lambda b: b"12345678" * 3 + b)))
def test_keys_are_sorted_like_bytes(keys):
    joined = np.frombuffer(b"".join(keys), np.uint8)
    ends = np.cumsum([len(key) for key in keys], dtype=np.int64)

    order, is_same_as_next = sort_keys(joined, ends)

    assert order.tolist() == sorted(range(len(keys)), key=lambda number: keys[number])
    in_order = [keys[number] for number in order]
    pairs = itertools.pairwise(in_order)
    assert is_same_as_next[:-1].tolist() == [a == b for a, b in pairs]
    assert gather_keys(joined, ends, order).tobytes() == b"".join(in_order)


def test_index_beside_a_file_of_the_example(tmp_path):
    example = ROOT / "example.data"
    path = tmp_path / "example.data"
    path.write_bytes(example.read_bytes())

    store = open_text_file(path)

    assert store.get("3479d894-3271-4935-88cf-a06f3cbb80a5").value == b"this is a value"
    assert store.count() == 3
    store.close()
