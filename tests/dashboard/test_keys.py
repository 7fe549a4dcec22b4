"""Test the view of keys: search, list and tree, selection, hostile keys, a bounded page."""

from __future__ import annotations

import pytest

from rundlet import Client, Put
from tests.dashboard.conftest import address
from tests.support.browser.chromium import Page
from tests.support.processes.servers import RundletServer

KEYS = "[...document.querySelectorAll('.table-canvas .table-row:not([hidden]) .key')]"
SHOWN = f"{KEYS}.map((e) => e.textContent)"


def test_keys_are_listed_searched_and_opened(any_server: RundletServer, page: Page):
    with Client(any_server.url) as client:
        client.set("find/a/1", "one", content_type="text/plain; charset=utf-8")
        client.set("find/b/1", '{"two": 2}', content_type="application/json")
    page.open(address(any_server, prefix="find/"))
    page.wait_for(f"{KEYS}.length === 2")

    page.fill("Prefix of the keys", "find/b/")
    page.wait_for(f"{KEYS}.length === 1")
    page.run(f"{KEYS}[0].click()")

    page.wait_for_text('"two": 2', ".pane")
    assert page.run("location.hash") == "#/keys?prefix=find%2Fb%2F&key=find%2Fb%2F1"


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\u202egnp.exe",
    "nul\x00and\nline",
    "שלום עולם",
    "../../etc/passwd",
    "a//b/./c",
    "x" * 2043,
    "per%cent+plus &=?#",
    "🦀 \U0001f468\u200d\U0001f469",
    "'quotes\" and `ticks` ${x}",
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_key_is_shown_and_read(
    server: RundletServer, client: Client, page: Page, number: int
):
    key = f"h{number:02d}/{HOSTILE[number]}"
    client.set(key, f"value of {number}", content_type="text/plain; charset=utf-8")

    page.open(address(server, prefix=f"h{number:02d}/"))
    page.wait_for(f"{KEYS}.length === 1")
    page.run(f"{KEYS}[0].click()")
    page.wait_for_text(f"value of {number}", ".pane")

    assert page.run("new URLSearchParams(location.hash.split('?')[1]).get('key')") == key
    page.call("Page.reload")
    page.wait_for_text(f"value of {number}", ".pane")


def test_no_key_is_an_invitation(server: RundletServer, page: Page):
    page.open(address(server, prefix="no-such-prefix/"))

    page.wait_for_text("No keys with this prefix", ".message")
    page.click("New key", ".message")
    page.wait_for("document.querySelector('input[aria-label=Key]')?.value === 'no-such-prefix/'")


def test_tree_opens_folders_with_their_counts(server: RundletServer, client: Client, page: Page):
    client.txn([Put(f"tree:{a}:{b}", b"") for a in "xy" for b in range(3)])
    page.open(address(server, prefix="tree:", tree=1, delimiter=":"))
    page.wait_for(f"{SHOWN}.join() === '▸x:3,▸y:3'")

    page.run(f"{KEYS}[0].click()")

    page.wait_for(f"{SHOWN}.join() === '▾x:3,0,1,2,▸y:3'")


def test_list_is_reversed(server: RundletServer, client: Client, page: Page):
    client.txn([Put(f"rev/{n}", b"") for n in range(3)])
    page.open(address(server, prefix="rev/"))
    page.wait_for(f"{SHOWN}.join() === 'rev/0,rev/1,rev/2'")

    page.click("A → Z, first key first")

    page.wait_for(f"{SHOWN}.join() === 'rev/2,rev/1,rev/0'")


def test_selected_keys_are_deleted_with_the_count_asked_back(
    server: RundletServer, client: Client, page: Page
):
    client.txn([Put(f"sel/{n}", b"") for n in range(4)])
    page.open(address(server, prefix="sel/"))
    page.wait_for(f"{KEYS}.length === 4")
    for n in range(3):
        page.click(f"Select sel/{n}")
    page.click("Delete…")
    page.wait_for("document.querySelector('dialog .danger').disabled")

    page.fill("Type 3 to confirm", "3")
    page.click("Delete 3", "dialog")

    page.wait_for(f"{SHOWN}.join() === 'sel/3'")
    assert [info.key for info in client.scan(prefix="sel/")] == ["sel/3"]


def test_key_that_was_changed_since_is_not_deleted(
    server: RundletServer, client: Client, page: Page
):
    client.txn([Put(f"kept/{n}", b"") for n in range(2)])
    page.open(address(server, prefix="kept/"))
    page.wait_for(f"{KEYS}.length === 2")
    page.click("Select kept/0")
    client.set("kept/0", "changed")
    page.click("Delete…")
    page.click("Delete 1", "dialog")

    page.wait_for_text("1 key was not deleted", "dialog")
    assert client.get("kept/0") is not None
    page.problems = [text for text in page.problems if "409" not in text]


def test_keyboard_goes_through_keys(server: RundletServer, client: Client, page: Page):
    client.txn(
        [Put(f"walk/{n}", f"value {n}".encode(), content_type="text/plain") for n in range(3)]
    )
    page.open(address(server, prefix="walk/"))
    page.wait_for(f"{KEYS}.length === 3")

    for key in ("j", "j", "Enter"):
        page.press(key)
    page.wait_for_text("value 1", ".pane")
    page.press("j")
    page.wait_for_text("value 2", ".pane")
    page.press("Escape")
    page.wait_for("document.querySelector('.pane').hidden")
    page.press("/")
    assert page.run("document.activeElement.type") == "search"
    page.press("Escape")
    page.press("?")
    page.wait_for_text("Previous key", "dialog")


def test_list_that_is_longer_than_a_page_can_be_goes_on(
    server: RundletServer, client: Client, page: Page
):
    client.txn([Put(f"cut/{n:04d}", b"") for n in range(1_000)])
    client.txn([Put(f"cut/{n:04d}", b"") for n in range(1_000, 1_600)])
    page.open(address(server, prefix="cut/"))
    page.wait_for(f"{KEYS}.length > 10")

    source = "document.querySelector('rundlet-keys').source"
    page.run(f"{source}.rowsMax = 1000; {source}.onChange()")
    page.run("document.querySelector('.table-scroller').scrollBy(0, 1e6)")
    page.wait_for("document.querySelector('rundlet-keys').source.length === 1000")
    page.click("More from the last key on")

    page.wait_for(f"{SHOWN}[0] === 'cut/0999'")


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [
        ("pat/*/name", "pat/1/name,pat/2/x/name"),
        ("pat/?/age", "pat/1/age"),
        ("pat/[13]*", "pat/1/age,pat/1/name,pat/3.+(x)"),
        ("pat/[!1-2]*", "pat/3.+(x)"),
        ("pat/*.+(x)", "pat/3.+(x)"),
        ("pat/[", ""),
    ],
)
def test_pattern_selects_keys(
    server: RundletServer, client: Client, page: Page, pattern: str, fitting: str
):
    for key in ("1/age", "1/name", "2/x/name", "3.+(x)"):
        client.set(f"pat/{key}", "")
    page.open(address(server))

    page.fill("Prefix of the keys", pattern)

    count = len(fitting.split(",")) if fitting else 0
    page.wait_for_text(f"{count} match", ".summary")
    page.wait_for(f"{SHOWN}.join() === {fitting!r}")


def test_prefix_is_deleted_with_the_count_asked_back(
    server: RundletServer, client: Client, page: Page
):
    for start in range(0, 2_500, 500):
        client.txn([Put(f"all/{n:04d}", b"") for n in range(start, start + 500)])
    client.set("alone", "")
    page.open(address(server, prefix="all/"))
    page.click("Delete all…")
    page.wait_for_text("Delete 2,500 keys?", "dialog")
    client.set("all/9999", "came since")
    page.fill("Type 2500 to confirm", "2,500")
    page.click("Delete 2,500", "dialog")
    page.wait_for_text("Nothing was deleted: there are 2,501 keys now", "dialog")
    assert client.count(prefix="all/") == 2_501

    page.fill("Type 2501 to confirm", "2501")
    page.click("Delete 2,501", "dialog")

    page.wait_for_text("Deleted 2,501 keys", ".notices")
    page.wait_for_text("No keys with this prefix", ".message")
    assert client.count(prefix="all/") == 0
    assert client.get("alone") is not None
    page.problems = [text for text in page.problems if "412" not in text]


def test_matches_are_deleted_in_one_transaction(server: RundletServer, client: Client, page: Page):
    client.txn([Put(f"some/{n}.{end}", b"") for n in range(3) for end in ("log", "txt")])
    page.open(address(server, prefix="some/", match="*.log"))
    page.wait_for_text("3 matches", ".summary")
    before = client.info()["revision"]
    page.click("Delete all…")
    page.wait_for_text("All of them or none.", "dialog")
    page.fill("Type 3 to confirm", "3")
    page.click("Delete 3", "dialog")

    page.wait_for_text("No keys match", ".message")
    events = client.changes(before, prefix="some/").events
    assert {event.revision for event in events} == {events[0].revision}
    assert client.count(prefix="some/") == 3


def test_all_keys_cannot_be_deleted_by_a_pattern(server: RundletServer, client: Client, page: Page):
    client.set("pattern/alone", "")
    page.open(address(server, match="*alone"))

    page.wait_for_text("match", ".summary")

    assert not page.run(
        "[...document.querySelectorAll('button')]"
        ".some((e) => e.textContent === 'Delete all…' && e.checkVisibility())"
    )
