"""Test what ``verify`` and ``repair`` report of an intact and of a damaged store."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from rundlet_server.storage.care import repair
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.processes.command_line import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with three keys."""
    folder = tmp_path / "store"
    for key in ("a", "b", "c"):
        run("set", key, f"value of {key}", "--data", str(folder))
    return folder


def damage(folder: Path, content: bytes = b"value of b") -> None:
    for path in folder.glob("*.log"):
        data = path.read_bytes()
        position = data.find(content)
        if position >= 0:
            path.write_bytes(data[:position] + b"X" + data[position + 1 :])
            return
    pytest.fail("the content is in no segment")


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_verify_of_a_whole_store_says_so_and_changes_nothing(folder):
    before = content_of(folder)

    ended = run("verify", "--data", str(folder))

    assert ended.code == 0
    assert ended.text.startswith("all is well: 3 keys at revision 3, ")
    assert content_of(folder) == before


def test_verify_works_while_the_store_is_open(folder):
    store = open_log_store(folder, StoreSettings())
    try:
        assert run("verify", "--data", str(folder)).code == 0
    finally:
        store.close()


def test_verify_names_file_and_offset_of_damage_and_changes_nothing(folder):
    damage(folder)
    before = content_of(folder)

    ended = run("verify", "--data", str(folder))

    assert ended.code == 5
    assert str(folder / "0000000001.log:") in ended.text
    assert ended.err.count("\n") == 1
    assert "rundlet repair" in ended.err
    assert content_of(folder) == before


def test_verify_tells_machines(folder):
    assert json.loads(run("verify", "--json", "--data", str(folder)).out)["problems"] == []
    damage(folder)

    ended = run("verify", "--json", "--data", str(folder))

    problem = json.loads(ended.out)["problems"][0]
    assert ended.code == 5
    assert problem["path"].endswith(".log")
    assert problem["offset"] > 0
    assert problem["reason"]


def test_repair_of_a_whole_store_does_nothing(folder):
    before = content_of(folder)

    ended = run("repair", "--data", str(folder))

    assert (ended.code, ended.text) == (0, "nothing to repair: all is well\n")
    assert content_of(folder) == before


def test_store_that_does_not_open_is_let_go_of(folder):
    damage(folder)

    with pytest.raises(Damaged) as caught:
        open_log_store(folder)

    assert caught.value.__traceback__ is not None
    assert repair(folder).problems


def test_repair_keeps_what_is_whole_and_says_what_is_lost(folder):
    damage(folder)
    assert run("ls", "--data", str(folder)).code == 5

    ended = run("repair", "--data", str(folder))

    assert ended.code == 1
    assert "lost: " in ended.text
    assert "repaired: 2 keys" in ended.text
    assert ended.err.count("\n") == 1
    listed = folder / "repair-1" / "LOST"
    assert str(listed) in ended.err
    assert listed.read_text() in ended.text
    assert run("ls", "--data", str(folder)).text == "a\nc\n"
    assert run("verify", "--data", str(folder)).code == 0


def test_repair_tells_machines(folder):
    damage(folder)

    ended = run("repair", "--json", "--data", str(folder))
    told = json.loads(ended.out)

    assert ended.code == 1
    assert told["key_count"] == 2
    assert told["losses"][0]["size"] > 0
    assert Path(told["originals"]).is_dir()


def test_repair_without_a_loss_ends_with_zero(folder):
    (folder / "MANIFEST").unlink()

    ended = run("repair", "--data", str(folder))

    assert ended.code == 0
    assert "lost: " not in ended.text
    assert "repaired: 3 keys" in ended.text
    assert not (folder / "repair-1" / "LOST").exists()


def test_repair_summarises_a_long_report_and_names_the_file_that_lists_all(folder):
    settings = StoreSettings(segment_records_max=100)
    for value in (b"old", b"new"):
        with contextlib.closing(open_log_store(folder, settings)) as store:
            for number in range(100):
                store.commit(Txn([Put(f"k{number}", value)]))
            store.maintainer.checkpoint()
    (second,) = folder.glob("*2.log")
    second.unlink()

    ended = run("repair", "--data", str(folder))

    lines = (folder / "repair-1" / "LOST").read_text().splitlines()
    for kind in ("lost: ", "came back: "):
        listed = [line for line in lines if line.startswith(kind)]
        shown = [line for line in ended.text.splitlines() if line.startswith(kind)]
        assert len(listed) > 50
        assert shown[:20] == listed[:20]
        assert len(shown) == 21
        assert f"{len(listed) - 20} more" in shown[-1]
        assert "repair-1/LOST" in shown[-1]
    assert ended.code == 1


def test_an_older_commit_file_put_back_loses_no_key(folder):
    page = (folder / "COMMIT").read_bytes()
    for key in ("d", "e", "f"):
        run("set", key, "value", "--data", str(folder))
    (folder / "COMMIT").write_bytes(page)

    verified = run("verify", "--data", str(folder))
    assert verified.code == 5
    assert "COMMIT:0: the commit page is older than the log" in verified.text
    assert run("ls", "--data", str(folder)).text == "a\nb\nc\nd\ne\nf\n"
    assert run("verify", "--data", str(folder)).code == 0


def test_repair_of_an_open_store_is_refused(folder):
    store = open_log_store(folder, StoreSettings())
    try:
        ended = run("repair", "--data", str(folder))
    finally:
        store.close()

    assert ended.code == 4
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("command", ["verify", "repair"])
def test_there_must_be_a_store(tmp_path, command):
    for folder in (tmp_path, tmp_path / "none"):
        ended = run(command, "--data", str(folder))

        assert ended.code == 4
        assert "no such store" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_store_without_its_log_is_damaged_and_not_missing(folder):
    for path in folder.glob("*.log"):
        path.unlink()

    for command in (["get", "a"], ["verify"], ["set", "a", "b"], ["serve", "--port", "0"]):
        result = run(*command, "--data", str(folder))
        assert (result.code, result.err.count("\n")) == (5, 1), command
        assert "missing" in result.text + result.err
