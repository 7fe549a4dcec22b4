"""Test how settings are read, handed over to other processes, and shown."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from rundlet_server.functions.limits import SET_BY, shown_limits
from rundlet_server.functions.settings import (
    SETTINGS,
    ConnectionLimits,
    FeedLimits,
    ServeOptions,
    ServerSettings,
    SettingError,
)
from rundlet_server.functions.settings.kinds import Duration
from rundlet_server.functions.settings.processors import usable_processors
from rundlet_server.functions.settings.reading import read
from rundlet_server.functions.settings.rules import serve_options, with_file
from rundlet_server.functions.settings.writes import WriteSettings
from rundlet_server.functions.units import (
    bytes_of,
    seconds_of,
    shown_bytes,
    shown_seconds,
)
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.settings import StoreSettings

UNUSUAL = ServerSettings(
    data_path=Path("/somewhere else"),
    store_address=StoreAddress.parse("postgresql://me:s3cret@db/kv"),
    sync="interval",
    sync_interval_s=0.25,
    keep_versions=7,
    keep_for_s=0.0,
    read_only=True,
    read_only_file=Path("a file.txt"),
    any_key=True,
    skip_bad=True,
    maintain_inline=False,
    counters_path=Path("counters"),
    tokens_path=Path("tokens"),
    open_without_tokens=False,
    audit_path=Path("audit.log"),
    log_format="json",
    slow_s=0.25,
    receiving_bytes_max=2**22,
    exports_max=5,
    sending_bytes_max=8_000,
    cors_origins=("https://a.example", "*"),
    host_names=("a.example", "b"),
    no_ui=True,
    connections=ConnectionLimits(6, 7_000, 0.5, 1.5, 2.5),
    writes=WriteSettings(3.0),
    feeds=FeedLimits(7, 2.5),
    limits=Limits(1, 2, 3, 4, 5),
)


@pytest.mark.parametrize("settings", [UNUSUAL, ServerSettings()])
def test_settings_come_back_from_the_environment(settings: ServerSettings):
    assert ServerSettings.from_environ(settings.to_environ()) == settings


def test_every_setting_differs_in_the_example_above():
    for field in dataclasses.fields(ServerSettings):
        assert getattr(UNUSUAL, field.name) != getattr(ServerSettings(), field.name), field.name


def test_empty_environment_gives_the_defaults():
    assert ServerSettings.from_environ({}) == ServerSettings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RUNDLET_SYNC", "sometimes"),
        ("RUNDLET_SYNC_INTERVAL", "soon"),
        ("RUNDLET_KEEP_FOR", "-1"),
        ("RUNDLET_KEEP_FOR", "nan"),
        ("RUNDLET_KEEP_FOR", "inf"),
        ("RUNDLET_KEEP_VERSIONS", "0"),
        ("RUNDLET_KEEP_VERSIONS", "1.5"),
        ("RUNDLET_MAX_KEY_BYTES", "-3"),
        ("RUNDLET_MAX_KEY_BYTES", "65536"),
        ("RUNDLET_MAX_VALUE_BYTES", "4GiB"),
        ("RUNDLET_MAX_TXN_BYTES", "4GiB"),
        ("RUNDLET_MAX_KEY_BYTES", "9" * 5_000),
        ("RUNDLET_READ_ONLY", "maybe"),
    ],
)
def test_unreadable_variable_is_named(name: str, text: str):
    with pytest.raises(SettingError, match=name):
        ServerSettings.from_environ({name: text})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5h", 5_400), ("15m", 900), ("250ms", 0.25), ("2d", 172_800),
     ("1w", 604_800), ("0", 0), ("1e-05", 1e-05), (" 3 s ", 3)],
)  # fmt: skip
def test_duration_takes_a_unit(text: str, seconds: float):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1 week", "-1s", "infs", "nan", "1hh", "5S", "1y"])
def test_other_text_is_no_duration(text: str):
    with pytest.raises(ValueError):  # noqa: PT011 # the message is the kind's
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4_096), ("10MB", 10_000_000), ("64MiB", 67_108_864), ("1.5KiB", 1_536),
     ("2 gib", 2**31), ("1kB", 1_000), ("7b", 7), ("0", 0)],
)  # fmt: skip
def test_size_takes_a_unit(text: str, size: int):
    assert bytes_of(text) == size


@pytest.mark.parametrize(
    "text", ["", "MB", "-1", "1.5", "0.1b", "1e3", "1 MBit", "64M", "\u0663", "9" * 19, "9" * 5_000]
)
def test_other_text_is_no_size(text: str):
    with pytest.raises(ValueError):  # noqa: PT011 # the message is the kind's
        bytes_of(text)


@pytest.mark.parametrize("text", ["1h", "75s", "250ms", "2d", "0s", "1.5s"])
def test_duration_is_shown_as_it_is_written(text: str):
    assert shown_seconds(seconds_of(text)) in (text, "1500ms")


@pytest.mark.parametrize("text", ["64MiB", "2KiB", "1000", "1GiB", "0"])
def test_size_is_shown_as_it_is_written(text: str):
    assert shown_bytes(bytes_of(text)) == text


def test_variables_take_units():
    environ = {"RUNDLET_KEEP_FOR": "2h", "RUNDLET_MAX_VALUE_BYTES": "10MB", "RUNDLET_SLOW_MS": "2s"}

    settings = ServerSettings.from_environ(environ)

    assert settings.keep_for_s == 7_200
    assert settings.limits.value_bytes_max == 10_000_000
    assert settings.slow_s == 2
    assert ServerSettings.from_environ({"RUNDLET_SLOW_MS": "300"}).slow_s == 0.3


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0, 0.1 + 0.2, 1e-07, 12_345.678])
def test_milliseconds_are_handed_over_exactly(seconds: float):
    kind = Duration(plain_unit="ms")

    assert kind.read(kind.write(seconds)) == seconds


def test_option_goes_before_variable_and_variable_before_default():
    environ = {"RUNDLET_KEEP_FOR": "2h", "RUNDLET_SYNC": "never", "RUNDLET_HOST": ""}

    found = read(ServeOptions(), environ, {"--keep-for": "3h"})

    assert found.instance.settings.keep_for_s == 3 * 3_600
    assert found.sources["settings", "keep_for_s"] == "option"
    assert found.instance.settings.sync == "never"
    assert found.sources["settings", "sync"] == "environment"
    assert found.instance.host == "127.0.0.1"
    assert found.sources["host",] == "default"


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.option], ids=lambda row: row.name)
def test_option_and_variable_are_read_alike(row):
    other = {
        "Flag": "1", "Text": "other", "Folder": "other", "File": "other", "Count": "7",
        "Size": "7KiB", "Duration": "7m", "Words": "a", "Origins": "https://a.example",
        "Address": "file:words.txt",
    }  # fmt: skip
    kind = type(row.kind).__name__
    text = row.kind.words[-1] if kind == "Choice" else other[kind]
    given = {"Flag": True, "Words": [text], "Origins": [text]}.get(kind, text)

    by_option = read(ServeOptions(), {}, {row.option: given}).instance

    assert row.value_in(by_option) != row.default
    if row.variable is not None:
        assert read(ServeOptions(), {row.variable: text}).instance == by_option


@pytest.mark.parametrize(
    ("option", "text", "advice"),
    [
        ("--sync", "sometimes", "--sync is 'sometimes'; write always, interval or never"),
        ("--keep-for", "soon", "--keep-for is 'soon'; write a time such as 90s, 15m, 12h or 30d"),
        ("--body-timeout", "0", "--body-timeout is '0'; write a time above 0"),
        ("--threads", "0", "--threads is '0'; write a whole number from 1 to 1024"),
        ("--max-key-bytes", "2k", "--max-key-bytes is '2k'; write a size such as 4096, 10MB"),
        ("--max-header-bytes", "9", "--max-header-bytes is '9'; write a size of at least 1KiB"),
        ("--data", "", "--data is ''; name a folder"),
        ("--host", "", "--host is ''; write a host"),
        ("--store", "redis://me:s3cret@h", "--store is 'redis://me:***@h'; a store has no scheme"),
        ("--keep-versions", "9" * 5_000, "--keep-versions is 5000 characters long; write a whole"),
    ],
)
def test_error_says_what_to_write_instead(option: str, text: str, advice: str):
    with pytest.raises(SettingError) as caught:
        read(ServeOptions(), {}, {option: text})

    assert str(caught.value).startswith(advice)


def test_folder_that_is_a_file_is_refused_and_the_reverse(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()

    with pytest.raises(SettingError, match="that is a file; name a folder"):
        read(ServeOptions(), {}, {"--tokens": str(file)})
    with pytest.raises(SettingError, match="that is a folder; name a file"):
        read(ServeOptions(), {}, {"--audit": str(tmp_path)})


def options_of(**given: object) -> ServeOptions:
    named = {f"--{name.replace('_', '-')}": value for name, value in given.items()}
    return serve_options(named, {}, is_terminal=False).instance


@pytest.mark.parametrize(
    ("quota", "count"),
    [("150000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("", None)],
)
def test_limit_of_a_container_counts_as_processors(tmp_path: Path, quota: str, count: int | None):
    (tmp_path / "cpu.max").write_text(quota + "\n")

    without = usable_processors(tmp_path / "none")

    assert usable_processors(tmp_path / "cpu.max") == (count or without)


def test_workers_follow_the_processors():
    assert options_of(server="granian").workers == max(1, usable_processors() // 2)
    assert options_of().workers == 1


def test_defaults_follow_the_server():
    waitress, granian = options_of(), options_of(workers="2")

    assert (waitress.server, waitress.threads) == ("waitress", 16)
    assert (granian.server, granian.threads) == ("granian", 32)
    assert waitress.settings.connections.connections_max == 1_000
    assert granian.settings.connections.connections_max == 4_000
    assert waitress.settings.exports_max == 4
    assert options_of(threads="3").settings.exports_max == 1
    assert options_of(threads="3", max_exports="5").settings.exports_max == 5
    assert granian.settings.exports_max == 8
    assert waitress.settings.feeds.feeds_max == 64
    assert granian.settings.feeds.feeds_max == 1_000


def test_log_is_for_people_on_a_terminal_only():
    assert options_of().settings.log_format == "json"
    assert options_of(log_format="text").settings.log_format == "text"
    assert serve_options({}, {}, is_terminal=True).instance.settings.log_format == "text"


def test_headers_have_room_for_the_longest_key():
    connections = options_of(max_key_bytes="60KiB").settings.connections

    assert connections.header_bytes_max > 3 * 60 * 2**10


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"server": "waitress", "workers": "2"}, "add --server granian"),
        ({"in_memory": True, "read_only": True}, "leave one out"),
        ({"store": "a", "data": "b"}, "--store and --data name two stores"),
        ({"store": "a", "in_memory": True}, "--store and --in-memory name two stores"),
        ({"store": "memory", "read_only": True}, "leave one out"),
        ({"tls_cert": "a.pem", "server": "granian"}, "give both"),
        ({"tls_cert": "a.pem", "tls_key": "a.key"}, "add --server granian"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, object], advice: str):
    with pytest.raises(SettingError, match=advice):
        options_of(**given)


@pytest.mark.parametrize(
    ("given", "environ", "address"),
    [
        ({}, {}, "data"),
        ({"--data": "a"}, {}, "a"),
        ({"--data": "memory"}, {}, "./memory"),
        ({"--store": "./a"}, {}, "a"),
        ({"--store": "./a"}, {"RUNDLET_DATA": "b"}, "a"),
        ({"--data": "b"}, {"RUNDLET_STORE": "file:a"}, "b"),
        ({}, {"RUNDLET_STORE": "etcd://h1/NAME"}, "etcd://h1/NAME"),
        ({}, {"RUNDLET_READ_ONLY_FILE": "words.txt"}, "file:words.txt"),
    ],
)
def test_store_is_the_one_that_is_named(given, environ, address):
    options = serve_options(given, environ, is_terminal=False).instance

    assert options.settings.store == StoreAddress.parse(address)
    assert not options.in_memory


def test_two_stores_in_the_environment_are_one_too_many():
    with pytest.raises(SettingError, match="name two stores"):
        serve_options({}, {"RUNDLET_DATA": "a", "RUNDLET_STORE": "b"}, is_terminal=False)


def test_store_in_memory_is_the_same_as_the_flag():
    options = options_of(store="memory")

    assert options == options_of(in_memory=True)


def test_text_file_as_the_store_is_read_only():
    options = options_of(store="file:words.txt")

    assert options.settings.read_only
    with pytest.raises(SettingError, match="leave one out"):
        with_file(options, Path("more.txt"))


def test_password_of_the_store_is_handed_over_and_not_shown():
    (row,) = (row for row in SETTINGS if row.option == "--store")
    address = StoreAddress.parse("postgresql://me:s3cret@db/kv")

    assert row.kind.read(row.kind.write(address)) == address
    assert row.kind.show(address) == "postgresql://me:***@db/kv"


def test_file_is_loaded_or_served_as_it_is():
    file = Path("words.txt")

    assert with_file(options_of(), file).load_path == file
    assert with_file(options_of(read_only=True), file).settings.read_only_file == file
    assert with_file(options_of(read_only=True), file).load_path is None


def test_settings_of_the_store_reach_it_and_its_maintenance_process():
    plain, unusual = StoreSettings(), UNUSUAL.of_store()
    handed = StoreSettings.from_json(unusual.to_json())

    for name in ("sync", "sync_interval_s", "keep_versions", "keep_for_s", "limits"):
        assert getattr(unusual, name) == getattr(UNUSUAL, name) != getattr(plain, name)
    for name in ("sync", "sync_interval_s"):
        assert getattr(handed, name) == getattr(UNUSUAL, name)
    assert (handed.keep_versions, handed.keep_for_s) == (None, None)  # the store has it
    assert not handed.is_read_only
    assert handed.maintain_inline


def test_settings_of_a_store_that_it_does_not_know_are_refused():
    with pytest.raises(ValueError, match="keep_four"):
        StoreSettings.from_json('{"keep_four": 1}')


def test_every_limit_has_the_option_of_its_row():
    shown = shown_limits(ServerSettings(), Limits())

    assert set(shown) <= set(SET_BY)
    for row in SETTINGS:
        if row.name in shown:
            assert SET_BY[row.name] == row.option


def test_table_is_cheap_to_import():
    program = "import sys, rundlet_server.functions.settings.rules; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()

    assert not {"falcon", "numpy", "granian", "typer", "waitress", "rich"} & set(loaded)
