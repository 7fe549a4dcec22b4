"""Test commands on a store's folder, also while it is served and when it is damaged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.processes.command_line import run, run_process
from tests.support.wire.served_model import served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@contextmanager
def served_folder(folder: Path) -> Iterator[str]:
    store = open_log_store(folder, StoreSettings())
    try:
        with served(store) as url:
            yield url
    finally:
        store.close()


def test_a_folder_and_its_server_see_each_others_writes(folder):
    with served_folder(folder) as url:
        run("set", "over-http", "1", "--url", url)
        assert run_process("get", "over-http", "--data", str(folder)).out == b"1"

        run_process("set", "in-folder", "2", "--data", str(folder))
        assert run("get", "in-folder", "--url", url).out == b"2"


def test_counting_from_all_sides_loses_nothing(folder):
    with served_folder(folder) as url:
        places = [("--url", url), ("--data", str(folder))] * 4
        with ThreadPoolExecutor(4) as pool:
            ended = list(pool.map(lambda place: run_process("incr", "n", *place), places))

        assert sorted(int(one.out) for one in ended) == list(range(1, 9))


def test_what_was_written_in_a_folder_is_there_for_the_next_command(folder):
    assert run_process("mset", "a=1", "b=2", "--data", str(folder)).code == 0
    assert run_process("del", "a", "--data", str(folder)).code == 0
    assert run_process("compact", "--data", str(folder)).code == 0

    assert run_process("ls", "--data", str(folder)).out == b"b\n"


def test_compacting_a_folder_while_it_is_served_loses_nothing(folder):
    with served_folder(folder) as url:
        for number in range(5):
            run("set", "k", f"value {number}", "--url", url)

        assert run("compact", "--data", str(folder)).code == 0

        assert run("get", "k", "--url", url).out == b"value 4"
        assert run("get", "k", "--rev", "1", "--url", url).out == b"value 0"


def test_writing_in_a_folder_keeps_its_history(folder):
    first = run("set", "k", "old", "--json", "--data", str(folder)).text
    run("set", "k", "new", "--data", str(folder))

    assert '"revision": 1,' in first
    assert run("get", "k", "--rev", "1", "--data", str(folder)).out == b"old"


def test_a_list_goes_over_all_segments(folder):
    keys = [f"{number:03}" for number in range(300)]
    store = open_log_store(folder, StoreSettings(segment_records_max=40))
    for key in random.Random(1).sample(keys, len(keys)):
        store.commit(Txn([Put(key, b"v")]))
    store.close()

    assert run("ls", "--data", str(folder)).text.split() == keys
    assert len(run("export", "--data", str(folder)).out.splitlines()) == len(keys)


def test_a_revision_that_is_not_there_yet_is_a_usage_error(folder):
    run("set", "k", "v", "--data", str(folder))

    assert run("get", "k", "--rev", "99", "--data", str(folder)).code == 2


def test_damage_is_exit_code_5_and_never_another_value(folder):
    with served_folder(folder) as url:
        run("set", "k", "precious", "--url", url)
        _flip_byte_of(folder, b"precious")

        for place in (("--url", url), ("--data", str(folder))):
            for command in (["get", "k"], ["mget", "k"], ["export"]):
                ended = run(*command, *place)
                assert (ended.code, ended.out) == (5, b"")
                assert ended.err.count("\n") == 1
                assert "rundlet verify" in ended.err


def _flip_byte_of(folder: Path, content: bytes) -> None:
    for path in folder.glob("*.log"):
        data = path.read_bytes()
        position = data.find(content)
        if position >= 0:
            with path.open("r+b") as file:
                file.seek(position)
                file.write(bytes([data[position] ^ 1]))
            return
    pytest.fail("the content is in no segment")
