"""Test ``rundlet demo``: what it loads, what it says to try next, and that it all goes away."""

from __future__ import annotations

import json
import re
import shlex
from xml.etree import ElementTree

import pytest

from rundlet import Client
from rundlet_server.functions.ui.samples import read_samples
from tests.support.processes.command_line import Ended, Place, run
from tests.support.processes.servers import RundletServer


def shown(place: Place, command: str, *arguments: str) -> bytes:
    ended = place.run(command, *arguments)
    assert ended.code == 0, ended.err
    return ended.out


def commands_of(ended: Ended) -> list[str]:
    """The commands that are said to be tried next."""
    return re.findall(r"^(?:Try|Remove|) +(\S*rundlet .+)$", ended.text, re.MULTILINE)


def test_samples_show_what_a_store_can_hold(place: Place):
    assert place.run("demo").code == 0

    checkout = shown(place, "get", "demo/config/checkout")
    assert json.loads(checkout)["timeout_ms"] == 20
    assert len(shown(place, "history", "demo/config/checkout").splitlines()) == 4
    assert shown(place, "get", "demo/visits") == b"42"
    rows = [row.split(b"\t") for row in shown(place, "ls", "demo/", "--long").splitlines()]
    assert {b"image/svg+xml", b"application/json", b"text/plain; charset=utf-8"} <= {
        cell for row in rows for cell in row
    }
    picture = ElementTree.fromstring(shown(place, "get", "demo/logo.svg"))  # our own
    assert picture.tag.endswith("svg")
    assert json.loads(shown(place, "get", "demo/session/guest", "--json"))["expires"]
    assert b"demo/menu/cake/pumpkin" not in shown(place, "ls", "demo/menu/")
    assert b"delete" in shown(place, "history", "demo/menu/cake/pumpkin")


def test_what_is_said_to_be_tried_next_works(place: Place):
    ended = place.run("demo")

    tried = [run(*shlex.split(command)[1:]) for command in commands_of(ended)]

    assert [each.code for each in tried] == [0] * 4, [each.err for each in tried]
    history, diff, rollback, removal = tried
    assert len(history.text.splitlines()) == 4
    assert len(diff.text.splitlines()) == 3
    assert rollback.text.startswith("3 restored, 0 deleted")
    assert removal.text == "deleted 16 keys below demo/\n"
    assert place.run("ls").out == b""


def test_release_is_rolled_back_to_the_one_before(place: Place):
    loaded = json.loads(place.run("demo", "--json").out)

    place.run("rollback", "--prefix", "demo/config/", "--to", str(loaded["good_revision"]))

    assert shown(place, "get", "demo/config/release") == b"1.8.0\n"
    assert json.loads(shown(place, "get", "demo/config/checkout"))["timeout_ms"] == 2000


def test_nothing_is_loaded_over_keys_that_are_there(place: Place):
    place.run("set", "demo/mine", "1")

    ended = place.run("demo")

    assert ended.code == 3
    assert "nothing was loaded: there are keys below demo/" in ended.err
    assert place.run("ls").out == b"demo/mine\n"


def test_keys_that_are_no_sample_data_stay(place: Place):
    place.run("set", "demo/mine", "1")

    ended = place.run("demo", "--remove")

    assert (ended.code, place.run("ls").out) == (1, b"demo/mine\n")
    assert ended.err == "rundlet: there is no sample data: demo/about is missing\n"


def test_more_keys_than_one_transaction_deletes_are_removed(place: Place):
    place.run("demo")
    place.run("mset", *(f"demo/a{number}=x" for number in range(250)))

    assert place.run("demo", "--remove").text == "deleted 266 keys below demo/\n"
    assert place.run("ls").out == b""


@pytest.mark.parametrize("options", [(), ("--no-ui",)])
def test_dashboard_is_named_where_there_is_one(tmp_path, options):
    with RundletServer("--in-memory", *options, stderr_path=tmp_path / "stderr") as server:
        ended = run("demo", "--url", server.url)

    addresses = re.findall(rf"{server.url}/ui/\S+", ended.text)
    assert len(addresses) == (0 if options else 2)


def test_samples_are_transactions_as_the_api_takes_them(tmp_path):
    samples = read_samples()
    with (
        RundletServer("--in-memory", stderr_path=tmp_path / "stderr") as server,
        Client(server.url) as client,
    ):
        statuses = [
            server.client.post("/v1/txn", json=step["txn"]).status_code
            for step in [*samples["steps"], samples["steps"][0]]
        ]

        assert statuses == [200] * len(samples["steps"]) + [409]
        keys = [info.key for info in client.scan()]
    assert len(keys) == 16
    assert all(key.startswith(samples["prefix"]) for key in keys)
