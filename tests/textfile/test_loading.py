"""Test that a text file is loaded completely or not at all, also after a crash."""

from __future__ import annotations

import subprocess
import sys
import uuid
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rundlet_server.storage.errors import Damaged, ReadOnly, Unavailable, UnknownFormat
from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.interface import Delete, Limits, Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.textfile.lines import BadFile
from rundlet_server.storage.textfile.loading import load_text_file
from tests.support.models.model import ModelStore

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"


def keys_of(count, seed=1):
    random = Random(seed)
    return [str(uuid.UUID(int=random.getrandbits(128), version=4)) for _ in range(count)]


A, B, C = keys_of(3)


class Commits:
    """A store that notes transactions, and may fail at one of them."""

    def __init__(self, store, fail_at=None):
        self.info = store.info
        self.sizes = []
        self._store = store
        self._fail_at = fail_at

    def commit(self, txn):
        if len(self.sizes) == self._fail_at:
            raise Unavailable("the disk failed")
        self.sizes.append(len(txn.then))
        return self._store.commit(txn)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.data"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def store(folder):
    store = open_log_store(folder, StoreSettings(sync="never"))
    yield store
    store.close()


def contents(store):
    found = {}
    after = None
    while True:
        page = store.scan(include_values=True, after=after)
        found |= {info.key: info.entry.value for info in page.keys}
        after = page.resume
        if after is None:
            return found


def marks(folder):
    return [path.name for path in folder.glob("LOADED-*")]


def test_every_line_is_stored_with_its_exact_bytes(path, store):
    path.write_bytes(f"{A} x y \r\n{B} \n{C} \0".encode() + b"\xff")

    report = load_text_file(store, path)

    assert contents(store) == {A: b"x y \r", B: b"", C: b"\0\xff"}
    assert [store.get(key).content_type for key in (A, B, C)] == [TEXT, TEXT, BYTES]
    assert (report.rows, report.duplicates, report.bad) == (3, 0, 0)
    assert str(report) == f"loaded 3 lines of {path}"


def test_content_type_is_the_same_in_a_block_of_ascii(path, store):
    path.write_bytes(f"{A} plain\n".encode())

    load_text_file(store, path)

    assert store.get(A).content_type == TEXT


def test_empty_file_is_fine(path, store):
    path.write_bytes(b"")

    assert load_text_file(store, path).rows == 0


def test_later_line_of_a_key_wins(path, store):
    # Some of the same transaction, some of another.
    lines = [f"{A} 1", f"{A} 2", *(f"{key} x" for key in keys_of(2_500, seed=2)), f"{A} 3"]
    path.write_text("\n".join(lines))

    report = load_text_file(store, path)

    assert store.get(A).value == b"3"
    assert (report.rows, report.duplicates) == (2_503, 2)
    assert store.stats().key_count == 2_501
    assert str(report).endswith(f"of {path} (2 replaced by a later line with the same key)")


def test_bad_line_at_the_end_of_a_large_file_loads_nothing(path, folder, store):
    path.write_text("".join(f"{key} v\n" for key in keys_of(150_000)) + "bad line\n")

    with pytest.raises(BadFile) as caught:
        load_text_file(store, path, folder=folder)

    assert store.stats().revision == 0
    assert marks(folder) == []
    assert str(caught.value).startswith(f"{path}:150001: 'bad' is not a UUID")
    assert caught.value.bad == 1


def test_bad_lines_are_left_out_and_counted_when_asked(path, store):
    path.write_text(f"bad\n{A} 1\n\nworse\n{B} 2\n")

    report = load_text_file(store, path, skip_bad=True)

    assert contents(store) == {A: b"1", B: b"2"}
    assert (report.rows, report.bad) == (2, 3)
    assert [error.number for error in report.first_errors] == [1, 3, 4]
    assert str(report) == f"loaded 2 lines of {path} (3 bad ones left out)"


def test_any_key_is_taken_when_asked(path, store):
    path.write_text("naïve/ключ a value\n")

    with pytest.raises(BadFile):
        load_text_file(store, path)
    load_text_file(store, path, any_key=True)

    assert contents(store) == {"naïve/ключ": b"a value"}


def test_five_megabytes_are_one_value(path, store):
    value = Random(5).randbytes(5 * 1024 * 1024).replace(b"\n", b" ")
    path.write_bytes(f"{A} ".encode() + value + b"\n")

    load_text_file(store, path)

    assert store.get(A).value == value


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        (Limits(), [1_000, 1_000, 500]),
        (Limits(txn_ops_max=700), [700, 700, 700, 400]),
        (Limits(txn_bytes_max=37_000), [902, 902, 696]),  # 41 bytes a line
        (Limits(txn_ops_max=100_000), [1_000, 1_000, 500]),
    ],
)
def test_transactions_keep_the_limits_of_the_store(path, limits, sizes):
    path.write_text("".join(f"{key} abcd\n" for key in keys_of(2_500)))
    commits = Commits(ModelStore(limits=limits))

    load_text_file(commits, path)

    assert commits.sizes == sizes


def test_value_longer_than_a_transaction_is_stored_alone(path):
    path.write_text(f"{A} 1\n{B} {'v' * 3_000}\n{C} 3\n")
    commits = Commits(ModelStore(limits=Limits(txn_bytes_max=1_000)))

    load_text_file(commits, path)

    assert commits.sizes == [1, 1, 1]


def test_value_longer_than_the_store_takes_is_a_bad_line(path):
    path.write_text(f"{A} {'v' * 101}\n")

    with pytest.raises(BadFile, match=":1: the value is longer than 100 bytes"):
        load_text_file(ModelStore(limits=Limits(value_bytes_max=100)), path)


def test_progress_tells_bytes_and_rows(path, store):
    path.write_text("".join(f"{key} v\n" for key in keys_of(2_500)))
    told = []

    load_text_file(store, path, progress=lambda *numbers: told.append(numbers))

    line_size, size = 39, 39 * 2_500
    assert told == [
        (1_000 * line_size, size, 1_000),
        (2_000 * line_size, size, 2_000),
        (size, size, 2_500),
    ]


def test_read_only_store_takes_no_file(path):
    path.write_text(f"{A} 1\n")

    with pytest.raises(ReadOnly):
        load_text_file(ModelStore(read_only=True), path)


def test_missing_file_is_an_error_of_the_system(path, store):
    with pytest.raises(FileNotFoundError):
        load_text_file(store, path)


# --- once ----------------------------------------------------------------------------------


def test_file_is_not_loaded_twice_into_a_folder(path, folder, store):
    path.write_text(f"{A} 1\n{B} 2\n")
    load_text_file(store, path, folder=folder)
    store.commit(Txn([Put(A, b"changed since"), Delete(B)]))

    report = load_text_file(store, path, folder=folder)

    assert report.already_loaded
    assert str(report) == f"{path} was loaded before; nothing was changed"
    assert contents(store) == {A: b"changed since"}


def test_same_content_under_another_name_counts_as_loaded(path, folder, store, tmp_path):
    path.write_text(f"{A} 1\n")
    copy = tmp_path / "copy.data"
    copy.write_text(f"{A} 1\n")
    load_text_file(store, path, folder=folder)

    assert load_text_file(store, copy, folder=folder).already_loaded


def test_file_is_loaded_again_when_forced(path, folder, store):
    path.write_text(f"{A} 1\n")
    load_text_file(store, path, folder=folder)
    store.commit(Txn([Delete(A)]))

    assert not load_text_file(store, path, folder=folder, force=True).already_loaded
    assert contents(store) == {A: b"1"}


def test_changed_file_is_loaded(path, folder, store):
    path.write_text(f"{A} 1\n")
    load_text_file(store, path, folder=folder)
    path.write_text(f"{A} 2\n")

    assert not load_text_file(store, path, folder=folder).already_loaded
    assert contents(store) == {A: b"2"}


def test_without_a_folder_nothing_is_remembered(path, folder, store):
    path.write_text(f"{A} 1\n")
    load_text_file(store, path)

    assert not load_text_file(store, path).already_loaded
    assert marks(folder) == []


def test_lines_that_were_bad_before_are_loaded_when_they_are_not_any_more(path, folder, store):
    path.write_text(f"{A} 1\nname 2\n")
    load_text_file(store, path, folder=folder, skip_bad=True)
    assert load_text_file(store, path, folder=folder, skip_bad=True).already_loaded

    assert not load_text_file(store, path, folder=folder, any_key=True).already_loaded
    assert contents(store) == {A: b"1", "name": b"2"}


def test_more_lenient_rules_do_not_load_a_whole_file_again(path, folder, store):
    path.write_text(f"{A} 1\n")
    load_text_file(store, path, folder=folder)

    assert load_text_file(store, path, folder=folder, any_key=True, skip_bad=True).already_loaded


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"rundlet loaded 2\nsomething\n", UnknownFormat),
        (b"", UnknownFormat),
        (b"rundlet loaded 1\n" + b"0" * 64 + b" 1\n", Damaged),
    ],
)
def test_mark_that_cannot_be_read_is_named(path, folder, store, content, error):
    path.write_text(f"{A} 1\n")
    load_text_file(store, path, folder=folder)
    (mark,) = folder.glob("LOADED-*")
    mark.write_bytes(content)

    with pytest.raises(error, match=mark.name):
        load_text_file(store, path, folder=folder)


# --- trouble -------------------------------------------------------------------------------


def test_failed_load_is_not_marked_and_can_be_repeated(path, folder, store):
    keys = keys_of(2_500)
    path.write_text("".join(f"{key} v\n" for key in keys))

    with pytest.raises(Unavailable):
        load_text_file(Commits(store, fail_at=1), path, folder=folder)

    assert store.stats().key_count == 1_000
    assert marks(folder) == []
    assert not load_text_file(store, path, folder=folder).already_loaded
    assert contents(store).keys() == set(keys)
    assert len(marks(folder)) == 1


KILLED_WHILE_LOADING = """
import os, sys
from pathlib import Path
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.textfile.loading import load_text_file

def progress(bytes_done, bytes_total, rows):
    if rows == 2_000:
        os.kill(os.getpid(), 9)

folder = Path(sys.argv[1])
load_text_file(open_log_store(folder), Path(sys.argv[2]), folder=folder, progress=progress)
"""


def test_load_that_was_killed_is_done_again(path, folder):
    keys = keys_of(3_500)
    path.write_text("".join(f"{key} v\n" for key in keys))

    ended = subprocess.run([sys.executable, "-c", KILLED_WHILE_LOADING, folder, path], check=False)

    assert ended.returncode == -9
    assert marks(folder) == []
    store = open_log_store(folder)
    assert store.stats().key_count == 2_000
    assert not load_text_file(store, path, folder=folder).already_loaded
    assert contents(store).keys() == set(keys)
    assert load_text_file(store, path, folder=folder).already_loaded
    store.close()


def test_mark_is_set_only_when_the_rows_cannot_be_lost(path, tmp_path):
    steps = []

    class Synced(ModelStore):
        def commit(self, txn):
            steps.append("commit")
            return super().commit(txn)

        def sync(self):
            steps.append("sync")

    class Watched(RealFiles):
        def rename(self, source, target):
            steps.append("mark")
            super().rename(source, target)

    path.write_text(f"{A} 1\n")

    load_text_file(Synced(), path, folder=tmp_path, files=Watched())

    assert steps == ["commit", "sync", "mark"]


def test_file_that_changes_meanwhile_is_not_marked(path, folder, store):
    path.write_text("".join(f"{key} old\n" for key in keys_of(1_500)))

    def change(*_numbers):
        with path.open("r+b") as file:
            file.seek(-4, 2)
            file.write(b"new\n")

    with pytest.raises(Unavailable, match="changed while it was loaded"):
        load_text_file(store, path, folder=folder, progress=change)

    assert marks(folder) == []


def test_lines_appended_meanwhile_wait_for_the_next_load(path, folder, store):
    path.write_text(f"{A} 1\n")

    def append(*_numbers):
        with path.open("a") as file:
            file.write(f"{B} 2\n")

    load_text_file(store, path, folder=folder, progress=append)

    assert contents(store) == {A: b"1"}
    assert not load_text_file(store, path, folder=folder).already_loaded
    assert contents(store) == {A: b"1", B: b"2"}


LINES = st.lists(
    st.tuples(
        st.text(st.characters(exclude_characters=" \n", codec="utf-8"), min_size=1, max_size=3),
        st.binary(max_size=8).map(lambda value: value.replace(b"\n", b"")),
    ),
    max_size=20,
)


@settings(max_examples=50)
@given(lines=LINES, ops_max=st.integers(1, 7), ends_with_newline=st.booleans())
def test_loaded_store_equals_a_dict(tmp_path_factory, lines, ops_max, ends_with_newline):
    path = tmp_path_factory.getbasetemp() / "random.data"
    text = b"\n".join(key.encode() + b" " + value for key, value in lines)
    path.write_bytes(text + b"\n" * (ends_with_newline and bool(lines)))
    store = ModelStore(limits=Limits(txn_ops_max=ops_max))

    report = load_text_file(store, path, any_key=True)

    assert contents(store) == dict(lines)
    assert (report.rows, report.duplicates) == (len(lines), len(lines) - len(dict(lines)))
