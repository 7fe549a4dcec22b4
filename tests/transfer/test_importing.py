"""An import stores the rows that it takes, in whatever parts they come."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import pytest

from rundlet_server.functions.transfer.formats import OnConflict
from rundlet_server.functions.transfer.importing import Import
from rundlet_server.functions.transfer.rows import Rows
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, Limits
from rundlet_server.storage.metadata import Metadata, metadata_of
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.campaign import Campaign
from tests.support.disks.unsynced_files import UnsyncedFiles

Line = tuple[str, bytes, int | None, Metadata]


@pytest.mark.parametrize("on_conflict", [OnConflict.REPLACE, OnConflict.SKIP])
def test_random_rows_in_random_parts_keep_what_belongs_to_them(
    tmp_path: Path, campaign: Campaign, on_conflict: OnConflict
):
    chance = random.Random(campaign.seed)
    now_us = system_clock_us()
    settings = StoreSettings(files=UnsyncedFiles(), limits=Limits(txn_ops_max=3))
    for number in range(20):
        has_odd = chance.random() < 0.8
        lines = [random_line(chance, now_us, has_odd=has_odd) for _ in range(chance.randint(1, 40))]
        with closing(open_log_store(tmp_path / str(number), settings)) as store:
            run = Import(store, on_conflict)
            for part in random_parts(chance, lines):
                run.add(part)
            run.flush()

            found = {
                info.entry.key: (info.entry.value, info.entry.expires_us, info.entry.metadata)
                for info in store.scan(include_values=True).keys
            }

        expected: dict[str, tuple[bytes, int | None, Metadata]] = {}
        for key, value, expires_us, metadata in lines:
            is_expired = expires_us is not None and expires_us <= now_us
            if not is_expired and not (on_conflict is OnConflict.SKIP and key in expected):
                expected[key] = value, expires_us, metadata
        assert found == expected
        assert run.imported + run.skipped == len(lines)
        assert run.next_line == len(lines) + 1
        campaign.count("random rows", len(lines))


def random_line(chance: random.Random, now_us: int, *, has_odd: bool) -> Line:
    expiries = [None, None, now_us - 10_000_000, now_us + 900_000_000]
    return (
        f"key {chance.randint(0, 30)}",
        bytes(chance.randint(0, 9)),
        chance.choice(expiries) if has_odd else None,
        metadata_of({"n": str(chance.randint(0, 9))}) if has_odd and chance.random() < 0.3 else (),
    )


def random_parts(chance: random.Random, lines: list[Line]) -> list[Rows]:
    parts = [Rows()]
    for number, (key, value, expires_us, metadata) in enumerate(lines, 1):
        row = key.encode(), value, DEFAULT_CONTENT_TYPE
        parts[-1].add(number, row, expires_us, metadata)
        if chance.random() < 0.2:
            parts.append(Rows())
    return parts
