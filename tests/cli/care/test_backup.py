"""Test ``backup``, ``restore`` and ``verify --backup`` as a user runs them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rundlet_server.storage.files import Buffer, RealFile
from rundlet_server.storage.interface import Store
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support import PATIENCE_S
from tests.support.processes.command_line import Place, run
from tests.support.processes.servers import RundletServer, free_port, wait_for
from tests.support.wire.served_model import served


@pytest.fixture(autouse=True)
def usual_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs in this process must not slow the tests after it."""
    monkeypatch.setattr(os, "setpriority", lambda *_: None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    opened = open_log_store(tmp_path / "data", StoreSettings(sync="never"))
    yield opened
    opened.close()


@pytest.fixture(params=["url", "data"])
def place(request, store: Store, tmp_path: Path) -> Iterator[Place]:
    """A store that a server serves and that can be opened beside it."""
    with served(store) as url:
        yield Place(
            ("--url", url) if request.param == "url" else ("--data", str(tmp_path / "data"))
        )


def set_key(place: Place, key: str, value: str) -> int:
    assert place.run("set", key, value).code == 0
    return int(json.loads(place.run("stats", "--json").text)["revision"])


def test_disk_that_is_full_is_named(tmp_path: Path, store: LogStore, monkeypatch) -> None:
    place = Place(("--data", str(tmp_path / "data")))
    set_key(place, "a", "one")
    backups, full = tmp_path / "backups", tmp_path / "full"
    assert place.run("backup", str(backups)).code == 0
    pwrite = RealFile.pwrite

    def fill(file: RealFile, buffers: Sequence[Buffer], offset: int) -> None:
        if str(full) in os.readlink(f"/proc/self/fd/{file.fileno()}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        pwrite(file, buffers, offset)

    monkeypatch.setattr(RealFile, "pwrite", fill)
    for ended in (
        place.run("backup", str(full / "backups")),
        run("restore", str(backups), "--to", str(full / "new")),
    ):
        assert ended.code == 4
        assert f"{full}/" in ended.err
        assert "No space left on device; free some space and try again" in ended.err


def test_a_store_is_backed_up_and_restored(place: Place, tmp_path: Path) -> None:
    backups, new = str(tmp_path / "backups"), str(tmp_path / "new")
    first = set_key(place, "a", "one")
    full = place.run("backup", backups)
    assert full.code == 0
    assert full.text.startswith(f"backed up revision {first} to {backups}: ")
    second = set_key(place, "a", "two")
    again = json.loads(place.run("backup", backups, "--json").text)
    assert (again["revision"], again["removed"]) == (second, [])
    assert 0 < again["bytes_new"] < again["bytes_total"]

    verified = run("verify", "--backup", backups)
    assert verified.text.startswith("all is well: 2 backups")
    assert verified.text.endswith(f"restorable: revisions 0 to {second}\n")
    restored = run("restore", backups, "--to", new)
    assert restored.code == 0, restored.err
    assert run("get", "a", "--data", new).out == b"two"
    assert run("verify", "--data", new).code == 0
    older = run("restore", backups, "--to", f"{new} 1", "--to-revision", str(first), "--json")
    assert json.loads(older.text)["revision"] == first
    assert run("get", "a", "--data", f"{new} 1").out == b"one"


def test_backups_are_listed_and_pruned(place: Place, tmp_path: Path) -> None:
    backups = str(tmp_path / "backups")
    for number in range(3):
        set_key(place, "a", f"{number}")
        place.run("backup", backups)

    listed = run("backup", backups, "--list")
    assert len(listed.text.splitlines()) == 4
    assert listed.text.endswith("restorable: revisions 0 to 3\n")

    set_key(place, "a", "last")
    pruned = place.run("backup", backups, "--prune", "--keep", "2")

    assert pruned.text.endswith("removed 2 older backups\n")
    lines = run("backup", backups, "--list", "--json").text.splitlines()
    assert [json.loads(line)["revision"] for line in lines] == [3, 4]
    rows = run("backup", backups, "--list", "--format", "csv").text.splitlines()
    assert rows[0] == "backup,store_id,oldest_revision,revision,time"
    assert [row.split(",")[3] for row in rows[1:]] == ["3", "4"]
    assert run("backup", backups, "--format", "csv").code == 2


def test_a_time_is_restored(place: Place, tmp_path: Path) -> None:
    backups, new = str(tmp_path / "backups"), str(tmp_path / "new")
    set_key(place, "a", "before")
    time.sleep(0.01)
    then_us = time.time_ns() // 1_000
    time.sleep(0.01)
    set_key(place, "a", "after")
    place.run("backup", backups)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(then_us // 1_000_000))

    restored = run(
        "restore", backups, "--to", new, "--to-time", f"{moment}.{then_us % 1_000_000:06d}Z"
    )

    assert restored.code == 0, restored.err
    assert run("get", "a", "--data", new).out == b"before"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("backup", "{b}", "--keep", "3"), 2, "--prune"),
        (("backup", "{b}", "--prune"), 2, "--keep"),
        (("restore", "{b}", "--to", "{n}", "--to-revision", "99"), 1, "revisions 0 to 1"),
        (("restore", "{b}", "--to", "{n}", "--backup", "other"), 1, "no backup other"),
        (("restore", "{b}", "--to", "{n}", "--to-time", "5"), 2, "unit"),
        (("restore", "{b}", "--to", "{b}"), 2, "not empty"),
        (("restore", "{n}", "--to", "{n}"), 4, "not a directory"),
        (("verify", "--backup", "{n}"), 4, "not a directory"),
    ],
)
def test_what_cannot_be_done_is_told(
    place: Place, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    set_key(place, "a", "1")
    backups, new = str(tmp_path / "backups"), str(tmp_path / "new")
    place.run("backup", backups)
    filled = [each.format(b=backups, n=new) for each in arguments]

    ended = place.run(*filled) if arguments[0] == "backup" else run(*filled)

    assert (ended.code, ended.err.count("\n")) == (code, 1)
    assert said in ended.err
    assert not Path(new).exists()


def test_damage_ends_with_its_exit_code(place: Place, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    set_key(place, "a", "1")
    place.run("backup", str(backups))
    piece = next(backups.glob("*.piece"))
    piece.write_bytes(piece.read_bytes()[:-1] + b"!")

    verified = run("verify", "--backup", str(backups))
    restored = run("restore", str(backups), "--to", str(tmp_path / "new"))

    assert (verified.code, restored.code) == (5, 5)
    assert piece.name in verified.text


def test_a_backup_of_read_only_media_says_what_to_do(tmp_path: Path, store: LogStore) -> None:
    """Folders without permission stand for media on which nothing can be written."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    store.close()
    (tmp_path / "data").chmod(0o500)

    ended = run("backup", str(tmp_path / "backups"), "--data", str(tmp_path / "data"))

    assert ended.code == 6


def test_following_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    data, backups = tmp_path / "data", tmp_path / "backups"
    port = ("--port", str(free_port()))
    with RundletServer("--data", data, *port, stderr_path=tmp_path / "first") as server:
        server.client.put("/v1/kv/a", content=b"1")
        command = [sys.executable, "-m", "rundlet_server", "backup", str(backups), "--follow"]
        with (
            (tmp_path / "shown").open("wb") as shown,
            subprocess.Popen(
                [*command, "--url", server.url, "--json"], stdout=shown, stderr=shown
            ) as follower,
        ):
            try:
                wait_for(lambda: revisions_in(tmp_path / "shown") == [1])
                server.stop()
                with RundletServer(
                    "--data", data, *port, stderr_path=tmp_path / "second"
                ) as second:
                    second.client.put("/v1/kv/a", content=b"2")
                    wait_for(lambda: revisions_in(tmp_path / "shown")[-1:] == [2])
                follower.send_signal(signal.SIGINT)
                assert follower.wait(PATIENCE_S) == 130
            finally:
                with contextlib.suppress(ProcessLookupError):
                    follower.kill()
    assert "recovery point" in (tmp_path / "shown").read_text()
    run("restore", str(backups), "--to", str(tmp_path / "new"))
    assert run("get", "a", "--data", str(tmp_path / "new")).out == b"2"


def revisions_in(path: Path) -> list[int]:
    lines = [line for line in path.read_text().splitlines() if line.startswith("{")]
    return [json.loads(line)["revision"] for line in lines]


def test_a_killed_backup_goes_on_where_it_was(tmp_path: Path) -> None:
    settings = StoreSettings(sync="never", segment_bytes_max=4 * 1024 * 1024)
    store = open_log_store(tmp_path / "data", settings)
    place = Place(("--data", str(tmp_path / "data")))
    with served(store) as url:
        for number in range(24):
            place_url = Place(("--url", url))
            place_url.run("set", f"{number}", "--file", str(value_file(tmp_path)))
        command = [sys.executable, "-m", "rundlet_server", "backup", str(tmp_path / "backups")]
        with subprocess.Popen([*command, "--url", url], stdout=subprocess.DEVNULL) as killed:
            wait_for(lambda: list((tmp_path / "backups").glob("*.piece")) or killed.poll() == 0)
            killed.kill()
        found = sum(path.stat().st_size for path in (tmp_path / "backups").glob("*.piece"))
        finished = place.run("backup", str(tmp_path / "backups"), "--json")
    store.close()

    assert json.loads(finished.text)["bytes_new"] <= 24 * 1024 * 1024 + 100_000 - found
    assert run("verify", "--backup", str(tmp_path / "backups")).code == 0


def value_file(folder: Path) -> Path:
    path = folder / "value"
    if not path.exists():
        path.write_bytes(os.urandom(1024 * 1024))
    return path
