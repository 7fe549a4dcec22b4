"""Imports that are interrupted, and text files that other programs wrote."""

from __future__ import annotations

import io
import json
import os
import signal
import threading

import pytest

from rundlet import Client
from rundlet_server.cli.exits import CommandError, Interrupted
from rundlet_server.cli.show.progress import RowProgress
from rundlet_server.cli.transfer import command as transfer
from rundlet_server.cli.transfer import loading, sending
from rundlet_server.cli.transfer.loading import Source, checked
from rundlet_server.functions.transfer.formats import Format
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from tests.support import PATIENCE_S
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import run
from tests.support.wire.served_model import served

UUID = "3479d894-3271-4935-88cf-a06f3cbb80a5"


@pytest.mark.parametrize("line", ["{", '{"key": "k", "text": "v", "ttl": 1e99}'])
@pytest.mark.parametrize("is_there", [False, True])
def test_import_that_fails_leaves_no_store_that_it_has_created(tmp_path, line, is_there):
    data, rows = tmp_path / "data", tmp_path / "rows.jsonl"
    rows.write_text(line)
    if is_there:
        data.mkdir()
        (data / "TOKENS").write_bytes(b"")

    ended = run("import", str(rows), "--data", str(data))

    assert ended.code == 2
    assert "Nothing is stored; removed it again." in ended.err
    assert sorted(tmp_path.glob("data/*")) == ([data / "TOKENS"] if is_there else [])
    assert data.exists() == is_there


def test_import_that_fails_leaves_a_store_that_was_there(tmp_path):
    data, rows = tmp_path / "data", tmp_path / "rows.jsonl"
    open_log_store(data).close()
    rows.write_text("{")

    ended = run("import", str(rows), "--data", str(data))

    assert ended.code == 2
    assert "removed" not in ended.err
    assert (data / "MANIFEST").exists()


def test_import_that_fails_leaves_a_store_that_others_use_since(tmp_path, monkeypatch):
    data, rows = tmp_path / "data", tmp_path / "rows.jsonl"
    rows.write_text("{")
    others = []

    def opened_by_others(*_: object) -> None:
        others.append(open_log_store(data))
        raise CommandError("others came")

    monkeypatch.setattr(loading, "reader_of", opened_by_others)
    ended = run("import", str(rows), "--data", str(data))
    others[0].commit(Txn([Put("a", b"1")]))
    others[0].close()

    assert "removed" not in ended.err
    assert (data / "MANIFEST").exists()


class Interrupting(ModelStore):
    """A store that interrupts the command while it stores its second transaction.

    Attributes:
        may_answer: set once the command has ended, so that it ends before it has an answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()

    def commit(self, txn):
        if self.stats().key_count:
            os.kill(os.getpid(), signal.SIGINT)
            assert self.may_answer.wait(PATIENCE_S)
        return super().commit(txn)


@pytest.mark.parametrize("ending", ["jsonl", "data"])
def test_an_import_that_is_interrupted_says_how_far_it_came(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(sending, "_PIECE_ROWS", 1_000)
    rows = tmp_path / f"rows.{ending}"
    line = '{"key": "k%d", "text": "v"}\n' if ending == "jsonl" else "k%d v\n"
    rows.write_text("".join(line % number for number in range(1_500)))
    store = Interrupting()
    with served(store) as url:
        ended = run("import", str(rows), "--any-key", "--url", url)
        store.may_answer.set()

    assert ended.code == 130
    assert ended.err.startswith(
        "rundlet: interrupted: the first 1,000 of 1,500 lines are stored; run the same import again"
    )
    assert ended.err.count("\n") == 1


def test_an_import_into_a_folder_that_is_interrupted_says_how_far_it_came(tmp_path, monkeypatch):
    rows = tmp_path / "rows.data"
    rows.write_text("".join(f"k{number} v\n" for number in range(2_500)))
    commit = LogStore.commit

    def interrupted(store, txn):
        if store.stats().key_count:
            signal.raise_signal(signal.SIGINT)
        return commit(store, txn)

    monkeypatch.setattr(LogStore, "commit", interrupted)
    ended = run("import", str(rows), "--any-key", "--data", str(tmp_path / "store"))

    assert ended.code == 130
    assert "interrupted: the first 1,000 of 2,500 lines are stored" in ended.err


class InterruptingFile(io.BytesIO):
    """A file whose second block is not read any more."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise KeyboardInterrupt
        return super().read(size)


def test_an_import_that_is_interrupted_while_it_checks_has_stored_nothing():
    with served(ModelStore()) as url, Client(url) as client:
        source = Source("rows", InterruptingFile(b'{"key": "a", "text": "v"}\n'), Format.JSONL)
        with (
            pytest.raises(Interrupted, match="nothing is stored"),
            checked(source, client, RowProgress("importing")),
        ):
            pass

        assert list(client.scan()) == []


def test_carriage_returns_are_named_and_can_be_removed(place, tmp_path):
    rows = tmp_path / "rows.data"
    rows.write_bytes(f"{UUID} one\r\n".encode())

    ended = place.run("import", str(rows))
    assert place.run("get", UUID).out == b"one\r"
    assert "1 line ended in a carriage return (CRLF)" in ended.err
    assert "--strip-cr" in ended.err

    ended = place.run("import", str(rows), "--strip-cr")
    assert place.run("get", UUID).out == b"one"
    assert ended.err == ""


def test_carriage_return_at_the_edge_of_a_block_is_counted(monkeypatch):
    monkeypatch.setattr(transfer, "_BLOCK_BYTES", 4)
    for file, count in ((b"abc\r\nab\r\n", 2), (b"abc\r", 1), (b"a\rb\n", 0), (b"", 0)):
        assert transfer._count_returns(io.BytesIO(file)) == count


@pytest.mark.parametrize("options", [(), ("--any-key",), ("--skip-bad",)])
def test_byte_order_mark_is_named(place, tmp_path, options):
    place.run("set", "other", "v")
    rows = tmp_path / "rows.data"
    rows.write_bytes(f"\ufeff{UUID} v\n".encode())

    ended = place.run("import", str(rows), *options)

    assert ended.code == 2
    assert f"{rows}:1: the file begins with a byte-order mark" in ended.err
    assert place.run("ls").text == "other\n"


@pytest.mark.parametrize("options", [(), ("--any-key",)])
def test_tab_in_the_place_of_the_space_is_named(place, tmp_path, options):
    rows = tmp_path / "rows.data"
    rows.write_text(f"{UUID}\tvalue\n")

    ended = place.run("import", str(rows), *options)

    assert ended.code == 2
    assert "a tab follows the key; one space belongs there" in ended.err


def test_many_repeated_keys_are_counted_with_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "_SET_ROWS_MAX", 10)
    rows = tmp_path / "rows.jsonl"
    lines = [{"key": f"k{number % 15}", "text": str(number)} for number in range(20)]
    rows.write_text("\n".join(json.dumps(line) for line in lines))
    with served(ModelStore()) as url:
        assert run("import", str(rows), "--url", url).text == "imported 20 lines (5 repeated)\n"
