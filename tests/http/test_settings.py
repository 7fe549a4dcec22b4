"""Test that settings keep their values when passed through the environment."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rundlet_server.functions.connections import ConnectionLimits
from rundlet_server.functions.settings import ServerSettings, SettingError
from rundlet_server.storage.interface import Limits

UNUSUAL = ServerSettings(
    data_path=Path("/somewhere else"),
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
    uploads_max=7,
    cors_origins=("https://a.example", "*"),
    host_names=("a.example", "b"),
    connections=ConnectionLimits(6, 7, 0.5, 1.5, 2.5),
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
        ("RUNDLET_MAX_KEY_BYTES", "9" * 5_000),
        ("RUNDLET_READ_ONLY", "maybe"),
    ],
)
def test_unreadable_variable_is_named(name: str, text: str):
    with pytest.raises(SettingError, match=name):
        ServerSettings.from_environ({name: text})
