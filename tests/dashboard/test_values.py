"""Test how values are shown by their type, and that no stored value can run."""

from __future__ import annotations

import math
import struct
import zlib

import pytest

from rundlet import Client
from tests.dashboard.conftest import address
from tests.support.browser.chromium import Page
from tests.support.processes.servers import RundletServer

SCRIPT = "<script>parent.owned = window.owned = 1</script><img src=x onerror='owned = 1'>"
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="owned = 1">{SCRIPT[:56]}</svg>'
TEXTS = {
    "text/html": (SCRIPT, ".text"),
    "text/plain": (SCRIPT, ".text"),
    "application/json": ('{"<b>": "' + "<img src=x onerror=alert(1)>" + '"}', ".json"),
    "application/xhtml+xml": (SCRIPT, ".text"),
    "text/javascript": ("owned = 1", ".text"),
    "image/svg+xml": (SVG, "img.image"),
    "application/x-unknown": (SCRIPT, ".hex"),
}


@pytest.mark.parametrize("content_type", TEXTS)
def test_stored_value_never_runs(
    server: RundletServer, client: Client, page: Page, content_type: str
):
    text, shown_as = TEXTS[content_type]
    key = f"run/{content_type}"
    client.set(key, text, content_type=content_type)

    page.open(address(server, key=key))

    page.wait_for(f"document.querySelector('.shown {shown_as}, .shown .problem')")
    page.run("new Promise((done) => setTimeout(done, 200))")
    assert page.run("window.owned") is None
    assert page.run("document.querySelectorAll('.shown :is(script, iframe, b)').length") == 0


def png(width: int, height: int) -> bytes:
    """A black picture."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress((b"\0" + bytes(width)) * height)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def wav() -> bytes:
    """Half a second of a tone."""
    tone = b"".join(struct.pack("<h", int(8_000 * math.sin(n / 8))) for n in range(4_000))
    form = struct.pack("<IHHIIHH", 16, 1, 1, 8_000, 16_000, 2, 16)
    head = b"RIFF" + struct.pack("<I", 36 + len(tone)) + b"WAVEfmt " + form
    return head + b"data" + struct.pack("<I", len(tone)) + tone


def test_image_is_shown_with_its_size(server: RundletServer, client: Client, page: Page):
    client.set("pic", png(33, 44), content_type="image/png")

    page.open(address(server, key="pic"))

    page.wait_for_text("33 \u00d7 44 pixels", ".shown")


def test_sound_is_played(server: RundletServer, client: Client, page: Page):
    client.set("tone", wav(), content_type="audio/wav")

    page.open(address(server, key="tone"))

    page.wait_for("document.querySelector('audio')?.duration === 0.5")


def test_what_is_not_what_it_says_is_named(server: RundletServer, client: Client, page: Page):
    client.set("liar", "no picture", content_type="image/png")

    page.open(address(server, key="liar"))

    page.wait_for_text("the bytes are not what the content type says", ".shown")


def test_bytes_are_shown_in_pieces(server: RundletServer, client: Client, page: Page):
    client.set("big", bytes(range(256)) * 1_000)
    page.open(address(server, key="big"))
    page.wait_for_text("00000000  00 01 02 03 04 05 06 07  08", ".hex")
    assert "bytes 0 to 65,536 of 256,000" in page.text(".shown")

    page.click("After →")
    page.wait_for_text("00010000  00 01", ".hex")
    page.fill("Offset, decimal or 0x…", "0x3e7f5")

    page.wait_for_text("0003e7f0  f0 f1 f2", ".hex")


def test_json_is_folded_and_keeps_its_numbers(server: RundletServer, client: Client, page: Page):
    body = '{"id": 12345678901234567890, "deep": {"a": {"b": {"c": [1, 2.50, 1e400, 4]}}}}'
    client.set("doc.json", body, content_type="application/json")
    page.open(address(server, key="doc.json"))
    page.wait_for_text("12345678901234567890", ".json")

    page.run("document.querySelectorAll('.json details').forEach((e) => { e.open = true; })")
    page.wait_for_text("1e400", ".json")
    assert "2.50" in page.text(".json")
    page.click("As stored")

    page.wait_for(f"document.querySelector('.text')?.textContent === {body!r}")


def test_time_to_live_counts_down(server: RundletServer, client: Client, page: Page):
    client.set("short", "x", content_type="text/plain", ttl=3)
    page.open(address(server, key="short"))
    page.wait_for_text("in 2 s", ".facts")

    page.wait_for_text("expired", ".facts")


def test_empty_value_is_shown_as_empty(server: RundletServer, client: Client, page: Page):
    client.set("void", "", content_type="text/plain")

    page.open(address(server, key="void"))

    page.wait_for_text("The value is empty", ".shown")
    page.problems = [text for text in page.problems if "416" not in text]


def test_missing_key_says_so_and_offers_what_helps(server: RundletServer, page: Page):
    page.open(address(server, key="never/was"))
    page.wait_for_text("No value", ".pane")

    page.click("Create it")

    page.wait_for("document.querySelector('input[aria-label=Key]')?.value === 'never/was'")
    page.problems = [text for text in page.problems if "404" not in text]
