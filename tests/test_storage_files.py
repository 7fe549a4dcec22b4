"""``storage.files``: the only door to the file system."""

from __future__ import annotations

import stat
from pathlib import Path

from storage import open_store
from storage.interface import Put, Txn


def test_nobody_but_its_owner_may_look_into_a_store(tmp_path: Path):
    folder = tmp_path / "data"
    store = open_store(folder)
    store.commit(Txn([Put("a", b"1")]))
    store.close()

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
