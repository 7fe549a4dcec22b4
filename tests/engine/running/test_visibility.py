"""Test that what one process publishes is visible to all of them at once."""

from __future__ import annotations

from contextlib import ExitStack, closing

from rundlet_server.storage.log.format import commit_page
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles

ROWS = [(f"k{number:05}".encode(), b"value", "text/plain") for number in range(5_000)]


def test_a_bulk_load_is_visible_to_all_processes_at_once(tmp_path, monkeypatch):
    """One of them looks for new files all the time, the other only reads."""
    settings = StoreSettings(files=UnsyncedFiles())
    seen: list[tuple[bool, bool]] = []
    with ExitStack() as stack:

        def opened() -> LogStore:
            return stack.enter_context(closing(open_log_store(tmp_path, settings)))

        loader, refreshing, reading = opened(), opened(), opened()

        def look(page: commit_page.CommitPage, _value: object, write) -> None:
            """Ask both between any two changes of the page."""
            write(page, _value)
            refreshing._follower.refresh()
            seen.append((refreshing.get("k00000") is not None, reading.get("k00000") is not None))

        for name in ("generation", "published", "durable", "is_changing"):
            word = getattr(commit_page.CommitPage, name)
            monkeypatch.setattr(
                commit_page.CommitPage,
                name,
                word.setter(lambda page, value, write=word.fset: look(page, value, write)),
            )
        loader.load(ROWS)
        monkeypatch.undo()

    assert (False, False) in seen
    assert (True, True) in seen
    assert all(refreshed == read for refreshed, read in seen)
