"""Back up a server while six writers write, destroy its folder, restore it, and compare."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from pathlib import Path

import pytest

from rundlet import Client
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.processes.command_line import Ended, run_process
from tests.support.processes.killed_servers import kill_whole
from tests.support.processes.servers import RundletServer, wait_for

WRITERS = 6
BACKUPS = 3
SERVERS = [
    pytest.param(("--server", "waitress"), id="waitress"),
    pytest.param(("--server", "granian", "--workers", "2"), id="granian"),
]


class Writer(threading.Thread):
    """Counts up in a key of its own, and notes when each number was acknowledged.

    Attributes:
        acknowledged: the time before each number was sent, and when it was acknowledged.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self.key = name
        self.acknowledged: list[tuple[float, float]] = []
        self.is_over = threading.Event()
        self._url = url

    def run(self) -> None:
        with Client(self._url) as client:
            while not self.is_over.is_set():
                began_s = time.time()
                client.set(self.key, str(len(self.acknowledged)))
                self.acknowledged.append((began_s, time.time()))


@pytest.mark.parametrize("options", SERVERS)
def test_a_destroyed_store_is_restored_to_any_moment(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    data, backups = tmp_path / "data", str(tmp_path / "backups")
    with RundletServer("--data", data, *options, stderr_path=tmp_path / "stderr") as server:
        writers = [Writer(server.url, f"writer {number}") for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        wait_for(lambda: all(writer.acknowledged for writer in writers))
        moments = []
        for _ in range(BACKUPS):
            time.sleep(0.3)
            moments.append(time.time())
            time.sleep(0.1)
            succeeded("backup", backups, "--url", server.url)
        for writer in writers:
            writer.is_over.set()
        for writer in writers:
            writer.join()
        last = succeeded("backup", backups, "--url", server.url)
        kill_whole(server)
    shutil.rmtree(data)

    succeeded("verify", "--backup", backups)
    succeeded("restore", backups, "--to", str(data))
    succeeded("verify", "--data", str(data))
    numbers = numbers_in(data)
    for writer in writers:
        assert numbers[writer.key] == len(writer.acknowledged) - 1, last.text
    for moment in moments:
        folder = tmp_path / f"{moment}"
        succeeded("restore", backups, "--to", str(folder), "--to-time", rfc3339(moment))
        numbers = numbers_in(folder)
        for writer in writers:
            found = numbers[writer.key]
            assert writer.acknowledged[found][0] <= moment, "it was not yet sent"
            later = writer.acknowledged[found + 1 :]
            assert not later or later[0][1] >= moment, "a later one was acknowledged by then"


def succeeded(*arguments: str) -> Ended:
    ended = run_process(*arguments)
    assert ended.code == 0, ended.err
    return ended


def numbers_in(folder: Path) -> dict[str, int]:
    with contextlib.closing(open_log_store(folder, StoreSettings(is_read_only=True))) as store:
        entries = [info.entry for info in store.scan(include_values=True).keys]
        return {entry.key: int(entry.value) for entry in entries if entry}


def rfc3339(moment: float) -> str:
    seconds, microseconds = divmod(int(moment * 1e6), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{microseconds:06d}Z"
