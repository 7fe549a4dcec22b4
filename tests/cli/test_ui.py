"""Test ui: the address of the dashboard, and when there is none."""

from __future__ import annotations

import json
import webbrowser

from tests.support.models.model import ModelStore
from tests.support.processes.command_line import run
from tests.support.wire.served_model import served

NO_SCREEN = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}


def test_address_is_printed_and_opened_if_there_is_a_screen(monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    with served(ModelStore()) as url:
        printed = run("ui", "--url", url, **NO_SCREEN)
        assert opened == []
        seen = run("ui", "--url", f"{url}/", **NO_SCREEN | {"DISPLAY": ":0"})
        told = run("ui", "--url", url, "--json", **NO_SCREEN | {"DISPLAY": ":0"})
        quiet = run("ui", "--url", url, "--no-browser", **NO_SCREEN | {"DISPLAY": ":0"})

    assert printed.text == seen.text == quiet.text == f"{url}/ui/\n"
    assert opened == [f"{url}/ui/"]
    assert json.loads(told.text) == {"url": f"{url}/ui/"}


def test_folder_has_no_dashboard(tmp_path):
    ended = run("ui", "--data", str(tmp_path))

    assert ended.code == 2
    assert "rundlet serve" in ended.err


def test_missing_server_is_exit_code_4():
    assert run("ui", "--url", "http://127.0.0.1:1").code == 4
