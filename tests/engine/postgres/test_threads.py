"""The background threads go on after an error that is a fault of ours."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing

import pytest

from rundlet_server.storage.postgres import keeper as keepers
from rundlet_server.storage.postgres.failover import lifeline as lifelines
from rundlet_server.storage.postgres.failover.lifeline import Lifeline
from rundlet_server.storage.postgres.keeper import Keeper
from tests.support import PATIENCE_S
from tests.support.processes.servers import wait_for


class Faulty:
    """A job that fails the first time."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> int:
        self.runs += 1
        if self.runs == 1:
            raise RuntimeError("a fault")
        return self.runs


def test_keeper_tends_again_after_a_fault(monkeypatch, caplog):
    monkeypatch.setattr(keepers, "TEND_EVERY_S", 0.01)
    tend = Faulty()

    with closing(Keeper(lambda: 0, tend)):
        wait_for(lambda: tend.runs > 1)
    assert "a fault" in caplog.text


def test_keeper_looks_again_after_a_fault(monkeypatch):
    monkeypatch.setattr(keepers, "TEND_EVERY_S", 0.01)
    look = Faulty()

    def find_head() -> int:
        return 0 if threading.current_thread() is threading.main_thread() else look()

    with closing(Keeper(find_head, None)) as keeper:
        assert keeper.wait(1, PATIENCE_S) == 2


def test_lifeline_looks_again_after_a_fault(monkeypatch, caplog):
    monkeypatch.setattr(lifelines, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(lifelines, "_LOOK_AROUND_EVERY_S", 0.0)
    look_around = Faulty()

    with closing(Lifeline("", look_around)):
        wait_for(lambda: look_around.runs > 1)
    assert "a fault" in caplog.text


def test_wait_that_is_interrupted_no_longer_counts(monkeypatch):
    monkeypatch.setattr(keepers, "LOOK_EVERY_S", 0.001)
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    interrupts = [signal.SIGUSR1]

    def find_head() -> int:
        if threading.current_thread() is not threading.main_thread() and interrupts:
            os.kill(os.getpid(), interrupts.pop())
        return 0

    try:
        with closing(Keeper(find_head, None)) as keeper:
            with pytest.raises(KeyboardInterrupt):
                keeper.wait(0, PATIENCE_S)
            assert keeper._waiting == 0
    finally:
        signal.signal(signal.SIGUSR1, before)
