"""Test that no client fills the log of a whole server."""

from __future__ import annotations

import os

import httpx
import pytest

from rundlet_server.storage.notices.repeats import AT_ONCE
from tests.support.processes.killed_servers import GRANIAN, SERVER_NAMES, WAITRESS, start

_VALUE_BYTES = 300_000
_MESSAGES = ("Exception while serving", "Application callable raised an exception")


@pytest.mark.parametrize("options", [WAITRESS, GRANIAN[:2]], ids=SERVER_NAMES)
def test_answers_that_break_off_at_a_damaged_value_are_reported_a_few_times(tmp_path, options):
    with start(tmp_path, *options) as server:
        for number in range(10):
            answer = server.client.put(f"/v1/kv/{number}", content=os.urandom(_VALUE_BYTES))
            answer.raise_for_status()
        (segment,) = (tmp_path / "data").glob("*.log")
        with segment.open("r+b") as file:
            file.seek(5 * _VALUE_BYTES)
            file.write(b"damaged!")

        for _ in range(2 * AT_ONCE):
            with pytest.raises(httpx.RemoteProtocolError):
                server.client.get("/v1/export")

        # A slow machine takes so long that a line counts the others; it begins with their number.
        found = [line for line in server.stderr.splitlines() if line.startswith(_MESSAGES)]
        assert len(found) == AT_ONCE
