"""Test the feed with the ``EventSource`` of a real browser: Chromium, where there is one."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet import Client, Put
from tests.support.processes.servers import RundletServer, free_port, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

PAGE = """<script>
const server = "URL";
const feed = new EventSource(server + "/v1/changes?since=0&prefix=in/");
let count = 0;
for (const op of ["put", "delete", "problem"]) {
  feed.addEventListener(op, (message) => {
    const event = JSON.parse(message.data);
    const text = [op, event.key, event.revision, event.last, message.lastEventId].join(" ");
    fetch(server + "/v1/kv/out/" + String(count++).padStart(4, "0"), {method: "PUT", body: text});
  });
}
</script>"""


@contextlib.contextmanager
def browser(folder: Path, url: str) -> Iterator[None]:
    """A browser that shows the page; it is killed at the end."""
    assert CHROMIUM is not None
    page = folder / "page.html"
    page.write_text(PAGE.replace("URL", url))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
    process = subprocess.Popen(
        [CHROMIUM, *options, "--remote-debugging-port=0", page.as_uri()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def seen(client: Client, count: int) -> list[str]:
    """What the page told of the first events."""

    def found() -> list[str] | None:
        infos = list(client.scan(prefix="out/", values=True))
        texts = [info.value.text for info in infos if info.value is not None]
        return texts if len(texts) >= count else None

    return wait_for(found)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
@pytest.mark.parametrize("server_name", ["waitress", "granian"])
def test_browser_follows_through_a_restart(server_name: str, tmp_path: Path):
    port = free_port()
    arguments = ("--data", tmp_path / "data", "--port", str(port), "--server", server_name)
    arguments = (*arguments, "--cors-origin", "*")
    with contextlib.ExitStack() as stack:
        first_life = stack.enter_context(RundletServer(*arguments, stderr_path=tmp_path / "first"))
        client = stack.enter_context(Client(first_life.url))
        first = client.txn([Put("in/a", b"1"), Put("in/b", b"2")]).revision
        stack.enter_context(browser(tmp_path, first_life.url))
        before = seen(client, 2)
        first_life.stop()
        stack.enter_context(RundletServer(*arguments, stderr_path=tmp_path / "second"))
        client.delete("in/a")
        after = seen(client, 3)

    last = after[2].split()
    assert before == [f"put in/a {first} false 0", f"put in/b {first} true {first}"]
    assert after[:2] == before
    assert last[:2] == ["delete", "in/a"]
    assert last[2] == last[4]
