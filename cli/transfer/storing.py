"""Stores the rows of a file in an opened store."""

from __future__ import annotations

from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.store import StoreTarget
from rundlet_server.cli.place.target import Target
from rundlet_server.cli.transfer.loading import Loading
from rundlet_server.functions.transfer.exporting import clock_ahead_us
from rundlet_server.functions.transfer.formats import OnConflict
from rundlet_server.functions.transfer.importing import Import, KeyExists


def store_rows(loading: Loading, target: Target, on_conflict: OnConflict) -> None:
    """Store all rows.

    Raises:
        CommandError: a key has a value, with ``on_conflict`` fail; the rows before it are stored.
        StoreError: see ``Import.add``.
    """
    assert isinstance(target, StoreTarget)  # the only other target
    store = target.store
    run = Import(store, on_conflict, ahead_us=clock_ahead_us(store), on_stored=loading.advance)
    try:
        for rows in loading.parts():
            run.add(rows)
        run.flush()
    except KeyExists as ex:
        loading.extent.stored = run.imported
        message = f"{loading.source.name}:{ex.line}: {ex}"
        raise CommandError(message, ExitCode.CONFLICT) from ex
    if "bulk_load" in store.info.features:
        store.finish_load()
    loading.loaded.skipped = max(0, run.skipped - loading.loaded.expired)
