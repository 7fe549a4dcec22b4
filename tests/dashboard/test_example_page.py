"""Test the example of a web page of another origin, in two tabs."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.browser.chromium import Chromium
from tests.support.processes.servers import RundletServer

NOTE = "document.getElementById('note')"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def origin() -> Iterator[str]:
    """A server of the examples, which is another origin than the server of the keys."""
    handler = functools.partial(QuietHandler, directory=str(ROOT / "docs/examples"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{pages.server_port}"
        pages.shutdown()


def test_pages_share_a_note_and_overwrite_nothing_unseen(
    chromium: Chromium, origin: str, tmp_path: Path
):
    options = ("--in-memory", "--cors-origin", origin)
    with RundletServer(*options, stderr_path=tmp_path / "stderr") as server:
        first, second = chromium.new_page(), chromium.new_page()
        for page in (first, second):
            page.open(f"{origin}/page.html?server={server.url}")
            page.wait_for("document.body.dataset.ready === 'true'")

        first.run(f"{NOTE}.value = 'oak'; document.getElementById('save').click()")
        second.wait_for(f"{NOTE}.value === 'oak'")

        second.run(f"{NOTE}.focus(); {NOTE}.value = 'elm'")
        first.run(f"{NOTE}.value = 'ash'; document.getElementById('save').click()")
        first.wait_for("document.getElementById('said').textContent === 'Saved.'")
        second.run("document.getElementById('save').click()")
        second.wait_for_text("Another page has saved", "body")

        assert server.client.get("/v1/kv/page/note").text == "ash"
        for page in (first, second):
            page.close()
