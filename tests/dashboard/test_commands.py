"""Test that what "Copy as" gives does what the screen shows, in each of its four languages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rundlet import Client
from tests.dashboard.conftest import address
from tests.support.browser.chromium import Page
from tests.support.processes.servers import RundletServer

TEXT = "text/plain; charset=utf-8"
KEYS = [
    "plain/key",
    'quote\'s "and" `ticks` $HOME \\ ${x}',
    "-n",
    "line\nbreak\tand \x01",
    "שלום/\u202e🦀",
    "../..//dots",
]


def commands(page: Page, act: str, **options: object) -> dict[str, str]:
    """The commands of an act, as the module of the page makes them."""
    page.wait_for("document.querySelector('link[rel=modulepreload]')")
    base = page.run("document.querySelector('link[rel=modulepreload]').href").partition("/shell")[0]
    described = json.dumps({"act": act, **options})
    module = f"import({json.dumps(base + '/core/commands.js')})"
    return page.run(f"{module}.then((m) => m.commandsOf({described}))")


def run(language: str, text: str, page: Page) -> str:
    """Run a command as its user would."""
    if language == "JavaScript":
        return page.run(f"(async () => {{ {text}\nreturn answer.text(); }})()")
    folder = Path(sys.executable).parent
    environ = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    program = [sys.executable, "-c", text] if language == "Python" else ["bash", "-c", text]
    done = subprocess.run(program, capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == 0, (text, done.stderr)
    return done.stdout


@pytest.mark.parametrize("number", range(len(KEYS)))
def test_value_is_read_by_every_command(
    server: RundletServer, client: Client, page: Page, number: int
):
    key = KEYS[number]
    client.set(key, f"value {number}", content_type=TEXT)
    page.open(address(server))

    found = commands(page, "get", key=key)

    assert [*found] == ["curl", "rundlet", "Python", "JavaScript"]
    found["Python"] += "\nprint(value.text)"
    outputs = {language: run(language, text, page) for language, text in found.items()}
    assert {output.rstrip("\n") for output in outputs.values()} == {f"value {number}"}


@pytest.mark.parametrize("language", ["curl", "rundlet", "Python", "JavaScript"])
def test_value_is_stored_by_every_command(
    server: RundletServer, client: Client, page: Page, language: str
):
    key = f"copy/{language}"
    text = 'it\'s "quoted"\nand $HOME ü'
    page.open(address(server))

    found = commands(page, "put", key=key, text=text, type=TEXT, ttl=60, isNew=True)
    run(language, found[language], page)

    value = client.get(key)
    assert value is not None
    assert (value.text, value.content_type) == (text, TEXT)
    assert value.expires is not None


def test_keys_are_listed_by_every_command(server: RundletServer, client: Client, page: Page):
    for name in ("a/name", "b/name", "b/age"):
        client.set(f"copied/{name}", "")
    page.open(address(server))

    whole = commands(page, "list", prefix="copied/b")
    fitting = commands(page, "list", prefix="copied/", match="*/name")

    for commanded, shown in ((whole, [0, 1, 1]), (fitting, [1, 1, 0])):
        assert [*commanded] == ["curl", "rundlet", "Python", "JavaScript"]
        for language, text in commanded.items():
            output = run(language, text, page)
            found = [output.count(f"copied/{name}") for name in ("a/name", "b/name", "b/age")]
            assert found == shown, text


def test_options_of_a_command_stand_before_a_key_with_a_dash(
    server: RundletServer, client: Client, page: Page
):
    client.set("-copied", "first", content_type=TEXT)
    etag = client.get("-copied").etag
    page.open(address(server))

    found = commands(page, "put", key="-copied", text="", type=TEXT, ttl=60, etag=etag)
    run("rundlet", found["rundlet"], page)

    value = client.get("-copied")
    assert (value.text, value.content_type) == ("", TEXT)
    assert value.expires is not None


def test_commands_never_hold_the_token(server: RundletServer, page: Page):
    page.open(address(server))
    page.run("sessionStorage.setItem('rundlet-token', 'rundlet_secret')")

    found = commands(page, "list", prefix="a/")

    assert "rundlet_secret" not in json.dumps(found)
    assert '"Authorization: Bearer $RUNDLET_TOKEN"' in found["curl"]
    assert 'token=os.environ["RUNDLET_TOKEN"]' in found["Python"]
    page.run("sessionStorage.clear()")
