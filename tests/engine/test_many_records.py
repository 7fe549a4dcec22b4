"""Test that many records read in few calls have the bytes that reads one by one return."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.files import File, RealFile
from rundlet_server.storage.log.format.locator import offset_of, pack_position, segment_of
from rundlet_server.storage.log.read.many_records import read_records

_SIZE = 200_000


class CountedFile(RealFile):
    """A file that counts the calls of ``pread``."""

    __slots__ = ("calls",)

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.calls = 0

    def pread(self, size: int, offset: int) -> bytes:
        self.calls += 1
        return super().pread(size, offset)


class WrappedFile:
    """A file that is not the system's, as those of simulated disks."""

    def __init__(self, file: RealFile) -> None:
        self.pread = file.pread


@pytest.fixture
def files(tmp_path: Path) -> Iterator[dict[int, CountedFile]]:
    with contextlib.ExitStack() as stack:
        files = {}
        for number in range(1, 4):
            path = tmp_path / str(number)
            path.write_bytes(random.Random(number).randbytes(_SIZE))
            files[number] = CountedFile(os.open(path, os.O_RDONLY))
            stack.enter_context(contextlib.closing(files[number]))
        yield files


def one_by_one(
    files: dict[int, CountedFile], positions: list[int], sizes: list[int]
) -> list[bytes]:
    return [
        files[segment_of(position)].pread(size, offset_of(position))
        for position, size in zip(positions, sizes, strict=True)
    ]


@pytest.mark.parametrize("is_system_file", [True, False])
@pytest.mark.parametrize("may_wait", [True, False])
def test_records_are_those_of_reads_one_by_one(files, is_system_file, may_wait):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    rng = random.Random(seed)
    shown: dict[int, File] = {
        number: file if is_system_file else WrappedFile(file) for number, file in files.items()
    }
    for _ in range(100):
        first, span = rng.randrange(_SIZE), rng.choice([1_000, 20_000, _SIZE])
        count, numbers = rng.choice([1, 2, 100]), rng.choice([[2], [1, 2, 3]])
        sizes = [rng.randrange(1, 3_000) for _ in range(count)]
        positions = [
            pack_position(rng.choice(numbers), rng.randrange(first, min(first + span, _SIZE)))
            for _ in range(count)
        ]
        sizes = [
            min(size, _SIZE - offset_of(position))
            for position, size in zip(positions, sizes, strict=True)
        ]

        found = read_records(shown.__getitem__, positions, sizes, may_wait=may_wait)

        assert found == one_by_one(files, positions, sizes)


def test_records_near_each_other_are_read_in_one_call(files):
    positions = [pack_position(1, offset) for offset in range(5_000, 25_000, 200)]

    found = read_records(files.__getitem__, positions, [150] * len(positions), may_wait=True)

    assert files[1].calls == 1
    assert found == one_by_one(files, positions, [150] * len(positions))


def test_records_far_apart_are_read_without_the_bytes_between_them(files):
    positions = [pack_position(1, 0), pack_position(1, 150_000)]

    assert list(map(len, read_records(files.__getitem__, positions, [5, 7], may_wait=True))) == [
        5,
        7,
    ]
    assert files[1].calls == 0


def test_record_behind_the_end_of_its_file_has_fewer_bytes(files):
    positions = [pack_position(1, _SIZE - 10), pack_position(1, 0)]

    assert len(read_records(files.__getitem__, positions, [50, 50], may_wait=True)[0]) == 10
