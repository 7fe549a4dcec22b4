"""Test that a read which waits for a disk does not hold up the event loop."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import PATIENCE_S
from tests.support.disks.strace import CannotTrace, slow_disk
from tests.support.paces import PACES, at_some_pace
from tests.support.processes.servers import RundletServer, ask_once, wait_for, worker_pids

pytest.importorskip("granian")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(os, "RWF_NOWAIT"), reason="RWF_NOWAIT is needed"
)

READ_S = 1.0
"""How long a read takes at first; the others are answered in a small part of it."""

Asked = tuple[str, str, dict[str, str]]
COLD: dict[str, Asked] = {
    "get": ("GET", "/v1/kv/cold{}", {}),
    "head": ("HEAD", "/v1/kv/cold{}", {}),
    "range": ("GET", "/v1/kv/cold{}", {"Range": "bytes=0-9"}),
    "old": ("GET", "/v1/kv/cold{}?rev=39", {}),
    "version": ("GET", "/v1/kv/cold{}?version=1", {}),
    "mget": ("POST", "/v1/mget", {"Content-Type": "application/json"}),
}
OF_TEXT: dict[str, Asked] = {
    **COLD,
    "old": ("GET", "/v1/kv/cold{}?rev=1", {}),
    "large": ("GET", "/v1/kv/large{}", {}),
}
KEYS = (len(COLD) + len(OF_TEXT)) * len(PACES)
_NUMBERS = itertools.count()
"""Of the keys: each is read once, because a server may keep what it has read."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    folder = tmp_path_factory.mktemp("slow")
    with RundletServer(
        "--data", folder / "data", "--server", "granian", stderr_path=folder / "log"
    ) as server:
        for number in range(KEYS):
            server.client.put(f"/v1/kv/cold{number}", content=bytes(5_000))
        server.client.put("/v1/kv/a", content=b"1")
        server.client.get("/v1/kv/a")
        yield server


@pytest.fixture(scope="module")
def text_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    """Serve a text file as it is."""
    folder = tmp_path_factory.mktemp("text")
    text = folder / "text"
    lines = [f"cold{number} {'x' * 5_000}\n" for number in range(KEYS)]
    lines += [f"large{number} {'y' * 300_000}\n" for number in range(KEYS)]
    text.write_text("".join(lines))
    options = ["--store", f"file:{text}", "--any-key", "--server", "granian"]
    with RundletServer(*options, stderr_path=folder / "log") as server:
        yield server


@pytest.mark.parametrize("kind", COLD)
def test_read_that_waits_for_a_disk_holds_no_other_up(
    server: RundletServer, kind: str, tmp_path: Path
):
    def attempt(pace: int) -> None:
        got = answers_beside(COLD[kind], server, "/v1/kv/a", tmp_path, pace)

        assert all(answer.is_success for answer in got)

    at_some_pace(attempt)


@pytest.mark.parametrize("kind", OF_TEXT)
def test_line_that_waits_for_a_disk_holds_no_other_up(
    text_server: RundletServer, kind: str, tmp_path: Path
):
    def attempt(pace: int) -> None:
        asked = OF_TEXT[kind]
        missing, alive = answers_beside(asked, text_server, "/v1/kv/missing", tmp_path, pace)

        assert (missing.status_code, alive.status_code) == (404, 200)

    at_some_pace(attempt)


def answers_beside(
    cold: Asked, server: RundletServer, path: str, folder: Path, pace: int
) -> list[httpx.Response]:
    """Return the answers of ``path`` and a probe that came while a request waited for the disk."""
    method, cold_path, headers = cold
    number = next(_NUMBERS)
    (worker,) = worker_pids(server.process.pid)
    answers: list[httpx.Response] = []

    def ask() -> None:
        url = server.url + cold_path.format(number)
        content = b'{"keys": ["a", "cold%d"]}' % number if method == "POST" else None
        options = {"headers": headers, "content": content, "timeout": PATIENCE_S}
        answers.append(ask_once(method, url, **options))

    asking = threading.Thread(target=ask)
    log = folder / f"strace-{pace}"
    try:
        with slow_disk(worker, log, READ_S * pace):
            asking.start()
            wait_for(lambda: "pread64(" in log.read_text())
            got = [server.client.get(path), server.client.get("/v1")]
            is_waiting = not answers
            asking.join(PATIENCE_S)
    except CannotTrace as ex:
        pytest.skip(str(ex))

    assert is_waiting
    assert answers[0].is_success
    return got
