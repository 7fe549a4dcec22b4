"""Test the output on a terminal, and the exit codes and streams of the process."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from rundlet_server.cli.show import progress
from rundlet_server.cli.show.bars import row_bar
from rundlet_server.cli.show.terminal import escaped, escaped_value
from rundlet_server.storage.interface import Put, Txn
from tests.support import PATIENCE_S
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import run_on_terminal, run_process
from tests.support.wire.served_model import served


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def url(store: ModelStore) -> Iterator[str]:
    with served(store) as url:
        yield url


def put(store: ModelStore, key: str, value: bytes) -> None:
    store.commit(Txn([Put(key, value, "text/plain")]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a/b ä 🗝", "a/b ä 🗝"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc\x00", r"a\nb\tc\x00"),
        ("\x9b2J", r"\x9b2J"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
    ],
)
def test_a_key_cannot_drive_the_terminal(text, shown):
    assert escaped(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"two\nlines\tand a tab", "two\nlines\tand a tab"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"\r\x1b]0;title\x07", r"\r\x1b]0;title\x07"),
        ("ä".encode(), "ä"),
    ],
)
def test_a_value_cannot_drive_the_terminal(value, shown):
    assert escaped_value(value) == shown


def test_get_escapes_on_a_terminal_and_ends_the_line(store, url):
    put(store, "k", b"\x1b[31mred")

    assert run_on_terminal("get", "k", "--url", url).out == b"\\x1b[31mred\n"


def test_get_adds_nothing_in_a_pipe(store, url):
    put(store, "k", b"\x1b[31mred")

    assert run_process("get", "k", "--url", url).out == b"\x1b[31mred"


def test_ls_on_a_terminal_has_a_heading_and_escaped_keys(store, url):
    put(store, "a\nb", b"1")

    assert run_on_terminal("ls", "--url", url).out == b"a\\nb\n"
    heading, row = run_on_terminal("ls", "--long", "--url", url).out.decode().splitlines()
    assert heading.split() == ["revision", "version", "size", "type", "key"]
    assert row.split() == ["1", "1", "1", "text/plain", r"a\nb"]


def test_mget_and_json_on_a_terminal_are_harmless(store, url):
    put(store, "a\x1bb", b"\x1b[2J")

    for options in ((), ("--json",)):
        shown = run_on_terminal("mget", "a\x1bb", "--url", url, *options).out
        assert b"\x1b" not in shown


def test_an_import_shows_its_progress_on_a_terminal_only(tmp_path, url):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"key": "k{number}", "text": "v"}}\n' for number in range(3_000)))

    on_terminal = run_on_terminal("import", str(rows), "--url", url)
    in_pipe = run_process("import", str(rows), "--url", url)

    assert b"importing" in on_terminal.out
    assert in_pipe.out == b"imported 3000 lines\n"
    assert in_pipe.err == ""


def test_a_value_that_is_not_utf8_can_be_an_argument(store, url):
    ended = run_process("set", "k", b"\xff\xfe", "--url", url)

    assert ended.code == 0
    entry = store.get("k")
    assert entry is not None
    assert entry.value == b"\xff\xfe"
    assert entry.content_type == "application/octet-stream"


def test_a_key_that_is_not_utf8_is_refused_in_one_line(url):
    ended = run_process("set", b"\xff", "v", "--url", url)

    assert ended.code == 2
    assert ended.err.count("\n") == 1


def test_the_environment_names_the_place_and_the_command_line_wins(store, url):
    put(store, "k", b"v")

    assert run_process("get", "k", RUNDLET_URL=url).out == b"v"
    assert run_process("get", "k", "--url", url, RUNDLET_DATA="/nowhere").out == b"v"
    ended = run_process("get", "k", RUNDLET_URL=url, RUNDLET_DATA="/nowhere")
    assert ended.code == 2
    assert "RUNDLET_DATA" in ended.err


def test_utf8_is_written_whatever_the_locale(store, url):
    put(store, "ä🗝", b"v")
    environ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    assert run_process("ls", "--url", url, **environ).out == "ä🗝\n".encode()


def test_a_reader_that_goes_away_is_no_news(store, url):
    for number in range(3_000):
        put(store, f"{number:05}" + "x" * 100, b"v")
    command = [sys.executable, "-m", "rundlet_server", "ls", "--url", url]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        complaint = process.stderr.read()

    assert complaint == b""


def test_ctrl_c_ends_with_130_and_without_a_traceback():
    program = "from rundlet_server.cli.main import app; print('up', flush=True); app()"
    command = [sys.executable, "-c", program]
    waiting = [*command, "set", "k", "-", "--url", "http://127.0.0.1:9"]
    with subprocess.Popen(
        waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        _wait_until_reading_stdin(process.pid)
        process.send_signal(signal.SIGINT)
        complaint = process.stderr.read()
        code = process.wait(PATIENCE_S)

    assert code == 130
    assert b"Traceback" not in complaint


def _wait_until_reading_stdin(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with open(f"/proc/{pid}/wchan") as where:
            if "pipe" in where.read():
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("total", "shown", "is_time_left_shown"),
    [(None, "1,500 rows", False), (3_000, "of 3,000", True)],
)
def test_bar_shows_the_total_and_the_time_left_where_they_are_known(
    total, shown, is_time_left_shown
):
    bar = row_bar()
    task = bar.add_task("importing", total=total)
    bar.update(task, completed=1_500)
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(bar.get_renderable())
    text = console.export_text()

    assert shown in text
    assert "?" not in text
    assert ("-:--:--" in text or "0:00:0" in text) == is_time_left_shown


def test_bar_names_what_it_counts():
    bar = row_bar("operations")
    bar.update(bar.add_task("measuring", total=9), completed=1)
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(bar.get_renderable())

    assert "1 of 9 operations" in console.export_text()


@pytest.mark.parametrize(("columns", "has_bar"), [(60, False), (80, True), (160, True)])
def test_bar_fits_on_one_line_of_any_terminal(columns, has_bar, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    bar = row_bar("lines")
    bar.update(bar.add_task("importing", total=1_000_000), completed=900_000)
    console = Console(width=columns, file=io.StringIO(), record=True)
    console.print(bar.get_renderable())

    text = console.export_text().rstrip("\n")

    assert "\n" not in text
    assert "900,000 of 1,000,000 lines" in text
    assert ("━" in text) == has_bar


def test_progress_is_that_of_the_checks_before_it_begins(monkeypatch):
    monkeypatch.setattr(progress, "stderr_is_terminal", lambda: True)
    shown = progress.RowProgress("importing", "lines", first="checking")
    shown.advance(700)
    [before] = shown._drawn[0].tasks
    before = (before.description, before.completed)

    shown.begin(1_000)

    [after] = shown._drawn[0].tasks
    assert before == ("checking", 700)
    assert (after.description, after.completed, after.total) == ("importing", 0, 1_000)


def test_rows_are_counted_where_they_take_longer_than_a_moment(monkeypatch):
    monkeypatch.setattr(progress, "stderr_is_terminal", lambda: True)
    monkeypatch.setattr(progress, "_MOMENT_S", 0.0)
    drawn = []
    monkeypatch.setattr(progress.RowProgress, "advance", lambda _, rows: drawn.append(rows))

    rows = list(progress.counted(range(600), "counting", "keys"))

    assert rows == list(range(600))
    assert sum(drawn) == 599
