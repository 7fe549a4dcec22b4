"""What a backend says that it can do it does; what it does not say it refuses."""

from __future__ import annotations

from typing import get_args

import pytest

from rundlet_server.storage.errors import BackupGone, NotSupported, ReadOnly
from rundlet_server.storage.interface import TEXT_CONTENT_TYPE, Feature
from tests.support.backends import put, value


def test_features_are_known_ones(filled):
    assert filled.info.features <= set(get_args(Feature))


def test_bulk_load_stores_rows_or_is_refused(filled):
    rows = [(b"new", b"1", TEXT_CONTENT_TYPE), (b"a", b"2", TEXT_CONTENT_TYPE)]

    if "bulk_load" in filled.info.features:
        filled.load(rows)
        filled.finish_load()

        assert (value(filled, "new"), value(filled, "a")) == (b"1", b"2")
    else:
        with pytest.raises((NotSupported, ReadOnly)):
            filled.load(rows)
        assert value(filled, "a") == b"ant"


def test_compaction_is_done_or_refused(filled):
    if "compaction" in filled.info.features:
        filled.compact(wait=True)
    else:
        with pytest.raises((NotSupported, ReadOnly)):
            filled.compact(wait=True)

    assert value(filled, "a") == b"ant"


def test_a_backup_is_held_or_refused(filled):
    if "backup" in filled.info.features:
        backup = filled.backups.take(60)

        assert filled.backups.find(backup.id).files == backup.files
        filled.backups.release(backup.id)
        with pytest.raises(BackupGone):
            filled.backups.find(backup.id)
    else:
        with pytest.raises(NotSupported):
            filled.backups.take(60)


def test_erasing_is_done_or_refused(filled):
    if "erase" in filled.info.features:
        assert filled.erase("a").versions == 1
    else:
        with pytest.raises((NotSupported, ReadOnly)):
            filled.erase("a")
        assert value(filled, "a") == b"ant"


def test_a_backend_lacks_what_it_says_and_no_more(store, backend):
    assert ("erase" in store.info.features) != ("erase" in backend.lacks)
    assert not backend.lacks & store.info.features


def test_syncing_is_never_refused(store):
    put(store, "a")

    store.sync()
