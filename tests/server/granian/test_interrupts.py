"""Test that Granian's main thread hears a signal whatever thread the kernel gives it to."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest

from rundlet_server.server.granian.interrupts import Interrupts
from tests.support.processes.servers import PATIENCE_S


@pytest.fixture
def interrupts(monkeypatch):
    before = signal.getsignal(signal.SIGUSR1)
    interrupts = Interrupts()
    signal.signal(signal.SIGUSR1, lambda *_: interrupts.set())
    yield interrupts
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGUSR1, before)
    os.close(interrupts._reader)
    os.close(interrupts._writer)


def signal_itself() -> None:
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)


def test_signal_to_another_thread_wakes_the_main_thread(interrupts):
    thread = threading.Timer(0.1, signal_itself)
    thread.start()

    assert interrupts.wait(PATIENCE_S)
    thread.join()


def test_event_is_set_cleared_and_set_again(interrupts):
    for _ in range(3):
        threading.Timer(0.01, interrupts.set).start()
        assert interrupts.wait(PATIENCE_S)
        interrupts.clear()
        assert not interrupts.is_set()
    assert not interrupts.wait(0.01)


def test_a_hundred_thousand_signals_fill_no_pipe(interrupts):
    for _ in range(100_000):
        interrupts.set()

    assert interrupts.wait(PATIENCE_S)
    assert select.select([interrupts._reader], [], [], 0)[0]
