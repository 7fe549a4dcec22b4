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


def pdf(action: bytes = b"") -> bytes:
    """A red page, and what a viewer is to do when it opens it."""
    drawing = b"1 0 0 rg 0 0 300 200 re f"
    objects = (
        b"<</Type/Catalog/Pages 2 0 R" + action + b">>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawing), drawing),
    )
    parts = [b"%PDF-1.4\n"]
    parts += [b"%d 0 obj%sendobj\n" % (number, text) for number, text in enumerate(objects, 1)]
    places = [sum(map(len, parts[: number + 1])) for number in range(len(objects))]
    table = b"0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer<</Size 5/Root 1 0 R>>startxref\n%d\n%%%%EOF" % sum(map(len, parts))
    return b"".join((*parts, b"xref\n0 5\n", table, trailer))


VIEWER = "document.querySelector('iframe.pdf')?.contentDocument"
OPENING = {
    "script": b"/OpenAction<</S/JavaScript/JS(this.getURL\\('http://127.0.0.1:9/'\\);)>>",
    "link": b"/OpenAction<</S/URI/URI(http://127.0.0.1:9/)>>",
}


@pytest.mark.parametrize("kind", OPENING)
def test_stored_pdf_opens_when_it_is_asked_for_and_leaves_the_page_alone(
    server: RundletServer, client: Client, page: Page, kind: str
):
    client.set("doc.pdf", pdf(OPENING[kind]), content_type="application/pdf")
    page.open(address(server, key="doc.pdf"))
    page.wait_for_text("PDF, ", ".shown")
    assert page.run("document.querySelectorAll('iframe').length") == 0
    before = page.run("location.href")

    page.click("Open the PDF", ".shown")

    page.wait_for(f"{VIEWER}?.querySelector('link[href^=\"chrome-extension:\"]')")
    page.run("new Promise((done) => setTimeout(done, 500))")
    assert page.run(f"{VIEWER}.querySelectorAll('script').length") == 0
    assert page.run("[location.href, window.owned]") == [before, None]
    assert not [url for url in page.requests if "127.0.0.1:9/" in url]


@pytest.mark.parametrize("text", [SCRIPT, f"<html>{SCRIPT}</html>", ""])
def test_page_that_says_it_is_a_pdf_gets_no_frame(
    server: RundletServer, client: Client, page: Page, text: str
):
    client.set("liar.pdf", text, content_type="application/pdf")

    page.open(address(server, key="liar.pdf"))

    page.wait_for_text("the bytes are not what the content type says", ".shown")
    assert page.run("[window.owned, document.querySelectorAll('iframe').length]") == [None, 0]
    page.problems = [text for text in page.problems if "416" not in text]


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


def test_metadata_is_shown_as_it_was_written(server: RundletServer, client: Client, page: Page):
    client.set("described", "x", content_type="text/plain", meta={"author": "Zoë 100% \u202e"})

    page.open(address(server, key="described"))

    page.wait_for_text("Zoë 100% \\u202e", ".facts")


def test_time_to_live_counts_down(server: RundletServer, client: Client, page: Page):
    client.set("short", "x", content_type="text/plain", ttl=300)
    page.open(address(server, key="short"))
    page.wait_for_text("in 4 min", ".facts")

    page.run("(() => { const now = Date.now; Date.now = () => now() + 200_000; })()")
    page.wait_for_text("in 1 min", ".facts")
    page.run("(() => { const now = Date.now; Date.now = () => now() + 200_000; })()")
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
