"""Make the golden folder of the format that this release writes.

    python -m tests.golden.make tests/golden/format-3

Run it once for a format version, at its release, and never again after that: every later release
must read that folder. ``expected.json`` comes from the model, not from the store.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rundlet_server.storage.interface import (
    Add,
    Delete,
    Entry,
    Op,
    Put,
    Restore,
    Store,
    Touch,
    Txn,
)
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.metadata import metadata_of
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Version
from rundlet_server.storage.tokens.file import TokenFile
from tests.support.models.model import START_US, Clock, ModelStore

DAY_S = 86_400.0
KEEP_VERSIONS = 3
NOW_US = START_US + 1_000 * 1_000_000
"""The time at which the folder is to be read: one key has expired since it was written."""
KEYS = ["a", "c/1", "c/2", "é", "deleted", "expired", "expires", "number", "large", "\0", "z" * 200]
KEYS += ["described"]
ABOUT = metadata_of({"author": "Zoë", "blank": " "})
LONG = metadata_of({f"name-{number:02}": "x" * 100 for number in range(16)})

OLD: list[Sequence[Op]] = [
    [Put("a", b"one", "text/plain")],
    [Put("a", b"two", "text/x-rare"), Put("deleted", b"soon gone")],
    [Put("c/1", bytes(range(256))), Put("c/2", b""), Add("number", -41)],
    [Put("large", b"0123456789abcdef" * 700), Put("\0", b"low")],
    [Delete("deleted"), Put("z" * 200, "ü".encode(), "text/html; charset=utf-8")],
    [Restore("a", 1)],
    [Put("expired", b"logged", ttl_s=5.0), Put("expires", b"not yet logged", ttl_s=500.0)],
    [Put("described", b"first", "text/plain", metadata=ABOUT)],
]
"""Commits that are compacted."""
NEW: list[Sequence[Op]] = [
    [Add("number", 83), Touch("c/1", 1_000 * DAY_S)],
    [Put("é", b"new", "application/json"), Delete("c/2")],
    [Put("a", b"three"), Put("deleted", b"again")],
    [Delete("deleted")],
    [Put("described", b"second", "image/x-rare", ttl_s=2_000 * DAY_S, metadata=LONG)],
    [Restore("described", 1)],
]
"""Commits in the segments behind."""


def main() -> None:
    """Write the folder and what it holds."""
    folder = Path(sys.argv[1])
    clock = Clock()
    model = ModelStore(clock)
    store = open_log_store(folder / "data", settings(clock))
    write(store, model, clock)
    store.close()
    TokenFile(folder / "data", clock=clock).add("reader", "read", prefix="c/")
    clock.now_us = NOW_US
    text = json.dumps(contents(model), indent=1, ensure_ascii=True)
    (folder / "expected.json").write_text(text + "\n")


def settings(clock: Clock) -> StoreSettings:
    """Small segments, in which everything of the last days is kept."""
    return StoreSettings(
        clock=clock, segment_records_max=6, keep_for_s=DAY_S, keep_versions=KEEP_VERSIONS
    )


def write(store: LogStore, model: ModelStore, clock: Clock) -> None:
    """Fill a store and the model alike."""
    for ops in OLD:
        clock.advance(1)
        assert store.commit(Txn(ops)) == model.commit(Txn(ops))
    clock.advance(10)
    store.maintainer.compact(thorough=True)
    model._now_us()
    model._log_expiries(["expired"])
    for ops in NEW:
        clock.advance(1)
        assert store.commit(Txn(ops)) == model.commit(Txn(ops))


def contents(store: Store) -> dict[str, object]:
    """All that can be read of a store, in words of JSON."""
    head = store.stats().revision
    return {
        "revisions": {str(at): listed(store, at) for at in range(1, head + 1)},
        "histories": {
            key: [described(version) for version in store.history(key).versions]
            for key in KEYS
            if store.history(key).versions
        },
        "key_count": store.stats().key_count,
        "value_bytes": store.stats().value_bytes,
    }


def listed(store: Store, at: int) -> list[list[object]]:
    """The entries of a revision; bytes as text in hex."""
    entries = [info.entry for info in store.scan(include_values=True, at=at).keys]
    return [
        [value.hex() if isinstance(value, bytes) else value for value in described(entry)]
        for entry in entries
        if entry is not None
    ]


def described(found: Entry | Version) -> list[object]:
    """All that is known of a value; its metadata, which the first formats did not have, if any."""
    return list(found) if found.metadata else list(found[:-1])


if __name__ == "__main__":
    main()
