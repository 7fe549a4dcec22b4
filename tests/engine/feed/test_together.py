"""The feed while processes write, compact, follow, and are killed."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable
from contextlib import closing
from itertools import groupby
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import PATIENCE_S
from tests.support.campaign import Campaign
from tests.support.disks.sample_stores import folder_in_memory
from tests.support.processes import feeding
from tests.support.processes.stores import PROCESSES

WRITERS = 3
FOLLOWERS = 2
KILLS = 12
"""In a round."""

Line = tuple[int, ...]
"""Revision, writer, count, part, number of parts."""


class Running(NamedTuple):
    """A process that reports."""

    process: BaseProcess
    reports: Connection

    @classmethod
    def start(cls, work: Callable[..., None], folder: Path, *arguments: int) -> Running:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = PROCESSES.Process(target=work, args=(folder, *arguments, sender), daemon=True)
        process.start()
        sender.close()
        return cls(process, receiver)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def read(self) -> list[bytes]:
        """Return what has been reported; what a killed process has not finished is left out."""
        found = []
        try:
            while self.reports.poll(0):
                found.append(self.reports.recv_bytes())
        except (EOFError, OSError):
            pass
        return found


class Followed:
    """What one follower has seen, through all its lives: only whole commits count."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lines: list[Line] = []
        self.running = self.begin(0)

    def begin(self, seed: int) -> Running:
        since = self.lines[-1][0] if self.lines else 0
        self.running = Running.start(feeding.follow, self._folder, since, seed)
        return self.running

    def read(self) -> None:
        self.lines += [feeding.SEEN.unpack(line) for line in self.running.read()]

    def die(self) -> None:
        """End within any page; as a client does, go on after the last whole commit."""
        self.running.kill()
        self.read()
        while self.lines and self.lines[-1][3] != self.lines[-1][4] - 1:
            self.lines.pop()


def test_followers_see_every_commit_once_and_whole(campaign: Campaign):
    for chosen in campaign.rounds(1):
        with folder_in_memory() as folder:
            kill_and_follow(folder / "data", campaign, chosen)


@pytest.mark.soak
def test_followers_see_every_commit_once_and_whole_for_long(campaign: Campaign):
    for chosen in campaign.rounds():
        with folder_in_memory() as folder:
            kill_and_follow(folder / "data", campaign, chosen)


def kill_and_follow(folder: Path, campaign: Campaign, chosen: random.Random) -> None:
    feeding.opened(folder).close()
    acknowledged: dict[tuple[int, int], int] = {}

    def started(number: int) -> Running:
        return Running.start(feeding.write, folder, number, chosen.randrange(1 << 32))

    def note(number: int) -> None:
        for line in writers[number].read():
            count, revision = feeding.ACKNOWLEDGED.unpack(line)
            acknowledged[number, count] = revision

    writers = [started(number) for number in range(WRITERS)]
    followers = [Followed(folder) for _ in range(FOLLOWERS)]
    for _ in range(KILLS):
        wait([each.reports for each in writers], PATIENCE_S)
        time.sleep(chosen.uniform(0, 0.2))
        for number in range(WRITERS):
            note(number)
        if chosen.random() < 0.5:
            number = chosen.randrange(WRITERS)
            writers[number].kill()
            campaign.count("writers killed")
            note(number)
            writers[number] = started(number)
        else:
            follower = chosen.choice(followers)
            follower.die()
            campaign.count("followers killed")
            follower.begin(chosen.randrange(1 << 32))
    for number, writer in enumerate(writers):
        writer.kill()
        note(number)

    with closing(feeding.opened(folder)) as store:
        wanted = read_all(store, chosen)
        for follower in followers:
            until_s = time.monotonic() + PATIENCE_S
            while len(follower.lines) < len(wanted) and time.monotonic() < until_s:
                follower.read()
                time.sleep(0.02)
            follower.die()
            assert follower.lines == wanted
    assert_whole(wanted)
    found = {(writer, count): revision for revision, writer, count, _, _ in wanted}
    assert acknowledged.items() <= found.items()
    for number in range(WRITERS):
        counts = sorted(count for writer, count in found if writer == number)
        assert counts == list(range(1, len(counts) + 1))


def read_all(store, chosen: random.Random) -> list[Line]:
    """Read the feed from its start, in pages of all sizes."""
    lines, since, head = [], 0, store.stats().revision
    while since < head:
        page = store.changes(
            since, prefix="part/", limit=chosen.randint(1, 20), include_values=True
        )
        lines += [feeding.SEEN.unpack(feeding.line_of(event)) for event in page.events]
        since = page.next_since
    return lines


def assert_whole(lines: list[Line]) -> None:
    last = 0
    for revision, commit in groupby(lines, lambda line: line[0]):
        parts = list(commit)
        assert revision > last
        assert [part for _, _, _, part, _ in parts] == list(range(parts[0][4]))
        assert len({line[1:3] for line in parts}) == 1
        last = revision
