"""Test jobs that are requested now and done in the background."""

from __future__ import annotations

from rundlet_server.storage.log.maintain.background import Background


def test_request_after_an_unexpected_failure_is_done(caplog):
    done = []

    def action() -> None:
        done.append("tried")
        if len(done) == 1:
            raise ValueError("a bug")

    background = Background("a job")
    background.request(action)
    background.join()

    background.request(action)
    background.join()

    assert len(done) == 2
    assert [record.getMessage() for record in caplog.records] == ["a job failed unexpectedly"]
