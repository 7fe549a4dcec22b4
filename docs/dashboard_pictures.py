"""Take the pictures of the dashboard that the documentation shows, with a real server and Chromium.

Run it after a change that can be seen: ``python docs/dashboard_pictures.py``
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from rundlet import Client, Put  # noqa: E402 # found by the line above
from tests.support.browser.chromium import Chromium, Page  # noqa: E402
from tests.support.processes.servers import RundletServer  # noqa: E402

IMAGES: Final = ROOT / "docs/images"
WIDTH: Final = 1_120
HEIGHT: Final = 640
TEXT: Final = "text/plain; charset=utf-8"
NAMES: Final = ("keys", "conflict", "history", "overview")

SETTINGS = {"name": "cellar", "casks": 12, "alarm": {"above_c": 14.5, "mail": ["ann@example.org"]}}


def fill(client: Client) -> None:
    """Store what the pictures show."""
    for casks in (9, 10, 12):
        settings = json.dumps({**SETTINGS, "casks": casks}, indent=2)
        client.set("config/cellar", settings, content_type="application/json")
    client.set("config/motto", "Drink slowly.\nShare the rest.\n", content_type=TEXT)
    client.set("images/cask.png", gradient(), content_type="image/png")
    client.set("session/7f3a", "ann", ttl=1_800, content_type=TEXT)
    client.set("visits", "1041", content_type=TEXT)
    wines = ("Aligoté", "Blaufränkisch", "Chasselas", "Dolcetto", "Encruzado", "Furmint")
    casks = [
        Put(f"cask/{number:03d}/wine", wines[number % 6].encode(), content_type=TEXT)
        for number in range(420)
    ]
    client.txn(casks)


def gradient() -> bytes:
    """A small picture."""
    rows = b"".join(
        b"\0" + bytes(part for x in range(96) for part in (150 - y, 90 + x, 60 + y))
        for y in range(64)
    )
    header = struct.pack(">IIBBBBB", 96, 64, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def keys(page: Page, url: str, _client: Client) -> None:
    """The list, and an opened value."""
    page.open(f"{url}/ui/#/keys?key=config/cellar")
    page.wait_for_text('"casks"', ".shown")


def conflict(page: Page, url: str, client: Client) -> None:
    """Two writers of one key."""
    client.set("config/motto", "Drink slowly.\nShare the rest.\n", content_type=TEXT)
    page.open(f"{url}/ui/#/keys?prefix=config/&key=config/motto&pane=edit")
    page.fill("Value", "Drink slowly.\nShare the rest.\nTurn the cask.\n")
    client.set("config/motto", "Drink very slowly.\nShare the rest.\n", content_type=TEXT)
    page.click("Save")
    page.wait_for_text("Theirs", ".conflict")


def history(page: Page, url: str, _client: Client) -> None:
    """The versions of a key."""
    page.open(f"{url}/ui/#/keys?prefix=config/&key=config/cellar&pane=history")
    page.wait_for_text("From revision", ".difference")


def overview(page: Page, url: str, client: Client) -> None:
    """The server at work."""
    page.open(f"{url}/ui/#/overview")
    page.wait_for_text("Ready", ".overview")
    points = "(document.querySelector('.line-a').getAttribute('d') || '').split('L').length"
    count = 0
    while page.run(points) < 12:  # a point every two seconds
        for _ in range(20 + 15 * (count % 7)):
            client.get("config/cellar")
        client.set(f"tmp/{count}", "x")
        list(client.scan(prefix="config/"))
        count += 1


def pictures() -> Iterator[tuple[str, Callable[[Page, str, Client], None]]]:
    """Every picture by its name."""
    yield from zip(NAMES, (keys, conflict, history, overview), strict=True)


def main() -> None:
    """Take all pictures, light and dark."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place)
        with (
            RundletServer("--data", folder / "data", stderr_path=folder / "stderr") as server,
            Client(server.url) as client,
            Chromium(folder) as browser,
        ):
            fill(client)
            page = browser.new_page(width=WIDTH, height=HEIGHT)
            for name, show in pictures():
                show(page, server.url, client)
                for scheme in ("light", "dark"):
                    page.prefer(scheme)
                    page.screenshot(IMAGES / f"dashboard-{name}-{scheme}.png")
                page.prefer("light")


if __name__ == "__main__":
    main()
